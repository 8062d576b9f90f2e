"""Single pages in a real browser: who sees what, what survives, what fits on a phone."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import ADMIN, BOB, PASSWORD, Api, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.docker, pytest.mark.timeout(180)]

SLOW = "for i in $(seq 1 400); do echo beat $i; sleep 0.1; done\n"


@pytest.fixture(scope="session")
def event(ada_api: Api) -> dict[str, Any]:
    """An event of Ada's, quick and without a schedule."""
    return ada_api.post("/events", {"name": "pages", "runtime": "bash", "script": "echo hello\n"})


@pytest.fixture(scope="session")
def run(ada_api: Api, event: dict[str, Any]) -> dict[str, Any]:
    """A finished run of it."""
    return ada_api.post(f"/events/{event['id']}/runs?wait=100")


def test_a_stranger_is_sent_to_sign_in_and_comes_back(person: Any, run: dict[str, Any]) -> None:
    stranger = person("")
    page = stranger.page(f"/runs/{run['id']}")
    page.wait_for_url("**/login**")
    page.get_by_label("E-mail").fill(ADMIN)
    page.get_by_label("Password").fill("wrong password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("address or the password is wrong")
    stranger.expect("401")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**/runs/{run['id']}**")
    expect(page.get_by_role("log")).to_contain_text("hello")


def test_another_persons_things_look_missing(
    bob: Visitor, event: dict[str, Any], run: dict[str, Any]
) -> None:
    page = bob.page(f"/runs/{run['id']}")
    expect(page.get_by_text("There is no such run here.")).to_be_visible()
    page.goto(f"/events/{event['id']}")
    expect(page.get_by_text("There is no such event here.")).to_be_visible()
    page.goto("/events")
    expect(page.get_by_text("No events yet.")).to_be_visible()
    expect(page.locator(".template")).to_have_count(8)
    assert "pages" not in page.locator("main").inner_text().split()


def test_signing_out_closes_every_tab(person: Any) -> None:
    visitor: Visitor = person(BOB)
    context = visitor.context()
    first, second = visitor.tab(context, "/"), visitor.tab(context, "/runs")
    expect(first.get_by_role("heading", name="Running now")).to_be_visible()
    expect(second.get_by_text("Nothing has run yet.")).to_be_visible()
    _sign_out(first)
    second.wait_for_url("**/login**", timeout=5_000)
    second.goto("/runs")
    second.wait_for_url("**/login**")


def test_unsaved_work_survives_reload_and_sign_out(ada: Visitor, event: dict[str, Any]) -> None:
    context = ada.context()
    page = ada.tab(context, f"/events/{event['id']}")
    _write(page, "echo not saved yet\n")
    page.get_by_placeholder("nightly-backup").fill("pages renamed")
    expect(page.locator("header").get_by_text("unsaved")).to_be_visible()
    page.wait_for_function(
        "() => Object.entries(localStorage).some(([k, v]) =>"
        " k.startsWith('cronium:fields:') && v.includes('pages renamed'))"
    )
    page.reload()
    expect(page.locator(".cm-content")).to_contain_text("echo not saved yet")
    expect(page.get_by_placeholder("nightly-backup")).to_have_value("pages renamed")
    _sign_out(page)
    _sign_in(page, ADMIN)
    page.goto(f"/events/{event['id']}")
    expect(page.locator(".cm-content")).to_contain_text("echo not saved yet")
    expect(page.get_by_placeholder("nightly-backup")).to_have_value("pages renamed")
    expect(page.locator("header").get_by_text("unsaved")).to_be_visible()


def test_the_next_person_at_a_browser_sees_no_draft(ada: Visitor) -> None:
    page = ada.page("/events/new?template=empty-bash")
    _write(page, "echo only for ada\n")
    page.wait_for_function(
        "() => Object.values(localStorage).some(v => v.includes('echo only for ada'))"
    )
    _sign_out(page)
    _sign_in(page, BOB)
    page.goto("/events/new?template=empty-bash")
    expect(page.locator(".cm-content")).to_be_visible()
    expect(page.locator(".cm-content")).not_to_contain_text("only for ada")


def test_a_save_over_a_newer_revision_shows_both(ada: Visitor, ada_api: Api) -> None:
    event = ada_api.post("/events", {"name": "both", "runtime": "bash", "script": "echo base\n"})
    context = ada.context()
    mine = ada.tab(context, f"/events/{event['id']}")
    theirs = ada.tab(ada.context(), f"/events/{event['id']}")
    _write(mine, "echo mine\n")
    _write(theirs, "echo theirs\n")
    _save(theirs)
    expect(theirs.get_by_text("Saved as revision 2.")).to_be_visible()
    expect(mine.get_by_text("was saved elsewhere while you were writing")).to_be_visible()
    _save(mine)
    dialog = mine.get_by_role("dialog")
    expect(dialog).to_contain_text("echo mine")
    expect(dialog).to_contain_text("echo theirs")
    dialog.get_by_role("button", name="Save mine as the newest").click()
    expect(mine.get_by_text("Saved as revision 3.")).to_be_visible()
    mine.get_by_role("link", name="History").click()
    expect(mine.get_by_role("link", name="Revision 2")).to_be_visible()
    expect(mine.locator(".diff")).to_contain_text("echo mine")


def test_a_running_run_is_live_on_every_page(ada: Visitor, ada_api: Api) -> None:
    event = ada_api.post("/events", {"name": "beats", "runtime": "bash", "script": SLOW})
    context = ada.context()
    home = ada.tab(context, "/")
    listed = ada.tab(context, "/runs")
    of_event = ada.tab(context, f"/events/{event['id']}?tab=runs")
    expect(home.get_by_role("heading", name="Running now")).to_be_visible()
    run = ada_api.post(f"/events/{event['id']}/runs")
    row = home.get_by_role("row").filter(has_text="beats")
    expect(row).to_contain_text(re.compile(r"beat \d+"), timeout=30_000)
    _goes_on_by_itself(home)
    expect(listed.get_by_role("row").filter(has_text="beats")).to_contain_text("running")
    _goes_on_by_itself(listed)
    _goes_on_by_itself(of_event)
    row.get_by_role("button", name="Stop").click()
    expect(listed.get_by_role("row").filter(has_text="beats")).to_contain_text(
        "cancelled", timeout=20_000
    )
    assert ada_api.get(f"/runs/{run['id']}")["reason"] == "cancelled_by_user"


def _goes_on_by_itself(page: Page) -> None:
    row = page.get_by_role("row").filter(has_text=re.compile(r"\d+ lines"))
    expect(row).to_contain_text(re.compile(r"beat \d+"))
    page.wait_for_function(
        "text => ![...document.querySelectorAll('[role=row]')].some(r => r.innerText === text)",
        arg=row.inner_text(),
    )


def test_a_token_is_shown_once(ada: Visitor) -> None:
    page = ada.page("/settings?tab=tokens")
    page.get_by_label("Name").fill("once")
    page.get_by_role("button", name="Create token").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("the only time it is shown")
    secret = dialog.locator("code").inner_text()
    dialog.get_by_role("button", name="Done").click()
    page.reload()
    expect(page.get_by_role("row").filter(has_text="once")).to_be_visible()
    assert secret not in page.content()


def test_filters_live_in_the_address(ada: Visitor, run: dict[str, Any]) -> None:
    page = ada.page("/runs")
    page.get_by_role("button", name="Failed").click()
    page.wait_for_url("**status=failed**")
    expect(page.get_by_text("No run matches these filters.")).to_be_visible()
    page.get_by_placeholder(re.compile("Search")).fill("pages")
    page.wait_for_url("**text=pages**")
    page.get_by_role("button", name="Succeeded").click()
    expect(page.get_by_role("row").filter(has_text="pages").first).to_be_visible()
    page.reload()
    expect(page.get_by_placeholder(re.compile("Search"))).to_have_value("pages")
    expect(page.get_by_role("row").filter(has_text="pages").first).to_be_visible()
    assert run["id"]


PATHS = ("/", "/events", "/events/new", "/events/new?template=hello", "/runs", "/settings")


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (821, "dark"), (1920, "dark")])
def test_every_page_fits(
    ada: Visitor, event: dict[str, Any], run: dict[str, Any], width: int, scheme: str
) -> None:
    context = ada.context(width=width, color_scheme=scheme)
    page = ada.tab(context, "/")
    for path in (*PATHS, f"/events/{event['id']}", f"/runs/{run['id']}"):
        page.goto(path)
        expect(page.locator("main")).not_to_be_empty()
        expect(page.locator(".skeleton")).to_have_count(0)
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert over <= 0, f"{path} is {over} px too wide"
        header = page.locator(".header")
        assert header.evaluate("e => e.scrollHeight - e.clientHeight") <= 1, path


def _sign_out(page: Page) -> None:
    page.get_by_role("button", name=re.compile("Account")).click()
    page.get_by_text("Sign out").click()
    page.wait_for_url("**/login**")


def _sign_in(page: Page, email: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Home").wait_for()


def _write(page: Page, text: str) -> None:
    editor = page.locator(".cm-content")
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)
    expect(editor).to_contain_text(text.strip())


def _save(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Save")).last.click()
