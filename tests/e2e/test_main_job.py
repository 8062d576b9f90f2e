"""The main job, as a person does it: from the set-up link to a schedule that fires."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import ServerProcess
from tests.e2e.conftest import ADMIN, PASSWORD, Visitor, is_ready

SCRIPT = """\
import time
for number in range(1, 121):
    print("tick", number)
    time.sleep(0.25)
"""
SHORT = 'print("fired by the clock")\n'

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.timeout(240)]


def test_from_the_set_up_link_to_a_schedule(product: ServerProcess, visitor: Visitor) -> None:
    assert is_ready(product.url)
    context = visitor.context()
    page = visitor.tab(context, _setup_link(product))
    _set_up(page)
    _watch_the_demo(page)
    _write_and_test(page)
    _run_and_watch(page, visitor)
    _stop_it(page)
    _schedule(page)
    _see_it_fire(page)
    _reload(page)


def _setup_link(product: ServerProcess) -> str:
    """Printed by the server's start, after the line that says it is ready."""
    from subprocess import check_output
    from sys import executable

    line = check_output(
        [executable, "-m", "cronium_app.cli", "setup-link", "--data", str(product.data)], text=True
    )
    found = re.search(r"/setup#(\S+)", line)
    assert found, line
    return f"/setup#{found[1]}"


def _set_up(page: Page) -> None:
    page.get_by_label("E-mail").fill(ADMIN)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Create the administrator").click()
    expect(page.get_by_role("heading", name="Welcome to Cronium")).to_be_visible()
    expect(page.get_by_text("master.key")).to_be_visible()


def _watch_the_demo(page: Page) -> None:
    """It plays by itself, once its image is made."""
    expect(page.get_by_role("log")).to_contain_text("Welcome to Cronium", timeout=120_000)
    expect(page.locator(".welcome .pill").first).to_have_text("succeeded", timeout=60_000)


def _write_and_test(page: Page) -> None:
    page.get_by_role("link", name="New event").first.click()
    page.get_by_role("link", name="empty in Python").click()
    page.get_by_placeholder("nightly-backup").fill("ticker")
    _type_script(page, SCRIPT)
    page.get_by_role("button", name="Test").click()
    output = page.get_by_test_id("test-output")
    expect(output.get_by_role("log")).to_contain_text("tick 3", timeout=60_000)
    expect(output.locator(".pill").first).to_have_text("running")
    output.get_by_role("button", name="Stop").click()
    expect(output.locator(".pill").first).to_have_text("cancelled", timeout=20_000)


def _run_and_watch(page: Page, visitor: Visitor) -> None:
    """Save and run is one click; what is printed is seen as it is printed, here and elsewhere."""
    page.get_by_role("button", name="Save and run").click()
    page.wait_for_url("**/runs/*")
    log = page.get_by_role("log")
    expect(log).to_contain_text("tick 2", timeout=30_000)
    expect(_status(page)).to_have_text("running")
    assert "tick 100" not in log.inner_text()
    earlier = _last_tick(page)
    page.wait_for_function(
        "n => [...document.querySelectorAll('[role=log]')].some(e => e.innerText.includes(`tick ${n}`))",
        arg=earlier + 3,
    )
    second = visitor.tab(page.context, page.url)
    expect(second.get_by_role("log")).to_contain_text("tick 1\n", use_inner_text=True)
    expect(_status(second)).to_have_text("running")
    second.close()


def _stop_it(page: Page) -> None:
    page.get_by_role("button", name="Stop").click()
    expect(_status(page)).to_have_text("cancelled", timeout=20_000)
    expect(page.get_by_text("Cancelled by ada@example.org.").first).to_be_visible()
    stopped_at = _last_tick(page)
    page.get_by_role("link", name="Edit and run again").first.click()
    page.wait_for_url("**/events/*")
    assert stopped_at < 120


def _schedule(page: Page) -> None:
    _type_script(page, SHORT)
    page.get_by_role("button", name="Save", exact=False).last.click()
    expect(page.get_by_text("Saved as revision 2.")).to_be_visible()
    page.get_by_role("button", name="Add a schedule").click()
    form = page.locator(".schedule-form")
    form.get_by_role("radio", name="Cron").click()
    form.get_by_label("Expression").fill("61 * * * *")
    expect(form.get_by_role("alert")).to_contain_text("minute")
    form.get_by_label("Expression").fill("*/15 6-20 * * 1-5")
    expect(form.get_by_text("every 15 minutes, 06:00")).to_be_visible()
    expect(form.locator(".fires li")).to_have_count(5)
    form.get_by_role("radio", name="Every").click()
    form.get_by_role("spinbutton").fill("2")
    form.get_by_label("Unit").select_option("1")
    expect(form.get_by_text("every 2 seconds")).to_be_visible()
    form.get_by_role("button", name="Add schedule").click()
    expect(page.locator(".schedules")).to_contain_text("every 2 seconds")


def _see_it_fire(page: Page) -> None:
    """The list of its runs grows by itself."""
    page.get_by_role("link", name="Runs", exact=True).last.click()
    fired = page.get_by_role("row").filter(has_text="every 2 seconds")
    expect(fired.filter(has_text="succeeded").first).to_be_visible(timeout=30_000)
    page.wait_for_function(
        "() => [...document.querySelectorAll('[role=row]')]"
        ".filter(r => r.innerText.includes('every 2 seconds')).length >= 3"
    )
    page.get_by_role("link", name="Editor").click()
    page.get_by_role("switch", name="Schedule every 2 seconds").click()
    expect(page.locator(".schedules")).to_contain_text("off")
    page.get_by_role("link", name="Runs", exact=True).last.click()
    fired.filter(has_text="succeeded").first.get_by_role("link").first.click()
    expect(page.get_by_role("log")).to_contain_text("fired by the clock")
    expect(page.get_by_text("schedule “every 2 seconds”")).to_be_visible()


def _reload(page: Page) -> None:
    """The same page as before, from the address, the cookie and the database."""
    before = page.locator("main .facts").inner_text().splitlines()[0]
    page.reload()
    expect(_status(page)).to_have_text("succeeded")
    expect(page.get_by_role("log")).to_contain_text("fired by the clock")
    assert page.locator("main .facts").inner_text().splitlines()[0] == before


# --- small things -----------------------------------------------------------------------------


def _status(page: Page):
    return page.get_by_test_id("run-head").locator(".pill")


def _last_tick(page: Page) -> int:
    numbers = re.findall(r"tick (\d+)", page.get_by_role("log").inner_text())
    return int(numbers[-1]) if numbers else 0


def _type_script(page: Page, text: str) -> None:
    editor = page.locator(".cm-content")
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)
    expect(editor).to_contain_text(text.splitlines()[0])
