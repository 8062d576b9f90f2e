"""The log pane in a real browser, on a faked socket that is cut, doubled and fed by hand."""

import re
import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import Gallery

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


@pytest.fixture
def run() -> str:
    """A run of its own per test: an empty log."""
    return f"empty~{uuid.uuid4().hex[:8]}"


def _texts(page: Page) -> list[str]:
    return page.locator(".log-text").all_inner_texts()


def _line(page: Page, text: str):
    return page.locator(".log-line", has_text=text).first


def test_everything_so_far_then_live(open_page: Open, gallery: Gallery, run: str):
    gallery.append(run, "one\ntwo\n")
    page = open_page(f"/runs/{run}")
    expect(_line(page, "two")).to_be_visible()
    gallery.append(run, "no newline yet")
    expect(_line(page, "no newline yet")).to_be_visible()
    gallery.append(run, " and now\n\xe4", stream=1)
    expect(_line(page, "no newline yet and now")).to_be_visible()
    gallery.append(run, "to stderr\n", stream=2)
    expect(_line(page, "to stderr")).to_have_attribute("data-stream", "2")
    assert _texts(page) == ["one", "two", "no newline yet and now", "\xe4", "to stderr"]
    expect(page.locator(".log-foot")).to_contain_text("following")
    gallery.post(f"/fake/{run}/end")
    expect(page.locator(".log")).to_have_attribute("data-state", "ended")
    expect(page.locator(".log-foot")).to_contain_text("5 lines")


def test_a_new_line_is_seen_at_once(open_page: Open, gallery: Gallery, run: str):
    page = open_page(f"/runs/{run}")
    expect(page.locator(".log-empty")).to_have_text("Waiting for output")
    page.evaluate(
        """() => { window.seen = {}; new MutationObserver(() => {
            for (const line of document.querySelectorAll('.log-text'))
              window.seen[line.textContent] ??= Date.now();
        }).observe(document.querySelector('.log'), {subtree: true, childList: true, characterData: true}) }"""
    )
    import time

    delays = []
    for i in range(10):
        sent = time.time() * 1000
        gallery.append(run, f"tick {i}\n")
        page.wait_for_function(f"window.seen['tick {i}']")
        delays.append(page.evaluate(f"window.seen['tick {i}']") - sent)
    delays.sort()
    assert delays[5] < 150, delays


def test_a_cut_is_said_and_caught_up_without_a_gap(open_page: Open, gallery: Gallery, run: str):
    gallery.append(run, "before \xe2\x82".encode("latin-1"))
    page = open_page(f"/runs/{run}")
    expect(_line(page, "before")).to_be_visible()
    expect(page.locator(".log")).to_have_attribute("data-state", "open")
    # The next connection is given bytes that were already seen: nothing may come twice.
    gallery.post(f"/fake/{run}/overlap?count=5")
    page.evaluate(
        """() => new MutationObserver(() => { window.lost ||= document.querySelector('.log-foot').textContent.includes('Connection lost, reconnecting') })
           .observe(document.querySelector('.log-foot'), {subtree: true, childList: true, characterData: true})"""
    )
    gallery.post(f"/fake/{run}/cut")
    gallery.append(run, b"\xac while away\n")
    expect(_line(page, "before \u20ac while away")).to_be_visible()
    page.wait_for_function("window.lost")
    for _ in range(3):
        gallery.post(f"/fake/{run}/cut")
    gallery.append(run, "after\n")
    expect(_line(page, "after")).to_be_visible()
    assert _texts(page) == ["before \u20ac while away", "after"]
    assert gallery.connects(run)[1] == 9
    gallery.post(f"/fake/{run}/end")
    expect(page.locator(".log")).to_have_attribute("data-state", "ended")


def test_a_log_that_may_not_be_read_is_not_asked_for_again(open_page: Open):
    page = open_page("/runs/refused")
    expect(page.locator(".log-empty")).to_contain_text("cannot be read")


def test_follow_lets_go_on_scrolling_up(open_page: Open, gallery: Gallery, run: str):
    gallery.append(run, "".join(f"line {i}\n" for i in range(1, 501)))
    page = open_page(f"/runs/{run}")
    expect(_line(page, "line 500")).to_be_visible()
    page.locator(".log-scroll").hover()
    page.mouse.wheel(0, -2000)
    expect(page.get_by_role("button", name="Follow")).to_be_visible()
    top = page.locator(".log-scroll").evaluate("e => e.scrollTop")
    gallery.append(run, "".join(f"more {i}\n" for i in range(200)))
    expect(page.locator(".log-foot")).to_contain_text("700 lines")
    assert page.locator(".log-scroll").evaluate("e => e.scrollTop") == pytest.approx(top, abs=2)
    page.get_by_role("button", name="Follow").click()
    expect(_line(page, "more 199")).to_be_visible()
    gallery.append(run, "newest\n")
    expect(_line(page, "newest")).to_be_visible()


def test_nothing_that_a_job_prints_is_obeyed(open_page: Open):
    page = open_page("/runs/hostile")
    expect(_line(page, "good link")).to_be_visible()
    assert page.evaluate("window.pwned") is None
    assert page.locator(".log-text script, .log-text img").count() == 0
    links = page.locator(".log-text a")
    assert [link.get_attribute("href") for link in links.all()] == ["https://example.org/ok"]
    assert links.first.get_attribute("rel") == "noopener noreferrer nofollow"
    shown = "\n".join(_texts(page))
    assert "<script>window.pwned=1</script>" in shown
    assert "\u241b[2J\u241b[1;1Hcleared?" in shown
    assert "bidi \\u202E evil" in shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)


def test_100_000_lines_open_fast(open_page: Open):
    """500 ms is the promise. Measured is the page's own processor time, from the socket to the
    last line drawn: unlike the time on the wall it means the same on a busy machine."""
    page = open_page("/runs/big")
    expect(_line(page, "worker 100000 ")).to_be_visible()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        values = session.send("Performance.getMetrics")["metrics"]
        return next(v["value"] for v in values if v["name"] == "TaskDuration") * 1000

    times = []
    for _ in range(3):
        page.goto("/runs/small")
        expect(_line(page, "open repository")).to_be_visible()
        before = busy()
        page.evaluate("history.pushState({}, '', '/runs/big')")
        page.evaluate("dispatchEvent(new PopStateEvent('popstate', {state: {}}))")
        expect(_line(page, "worker 100000 ")).to_be_visible()
        times.append(round(busy() - before))
    print(f"100,000 lines: {times} ms of processor time")
    assert page.locator(".log-line").count() < 200
    assert min(times) < 500, times


def test_search(open_page: Open):
    page = open_page("/runs/big")
    expect(_line(page, "worker 100000 ")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("WORKER 9999")
    hits = page.locator(".log-hits")
    expect(hits).to_have_text("1 of 11")
    expect(page.locator(".log-text mark[data-now=yes]")).to_have_text("worker 9999")
    page.keyboard.press("Shift+Enter")
    expect(hits).to_have_text("11 of 11")
    expect(_line(page, "worker 99999 ")).to_be_visible()
    page.keyboard.press("Enter")
    expect(hits).to_have_text("1 of 11")
    page.keyboard.press("Escape")
    expect(hits).to_have_count(0)


def test_a_line_has_an_address(open_page: Open):
    page = open_page("/runs/big#L50000")
    picked = page.locator(".log-line[data-picked=yes]")
    expect(picked).to_contain_text("worker 50000 ")
    page.locator(".log-line", has_text="worker 50003 ").locator(".log-number").click(
        modifiers=["Shift"]
    )
    expect(picked).to_have_count(4)
    assert page.url.endswith("#L50000-L50003")
    page.reload()
    expect(picked).to_have_count(4)


def test_choices_are_remembered(open_page: Open):
    page = open_page("/runs/small")
    expect(_line(page, "open repository")).to_be_visible()
    expect(page.locator(".log-time")).to_have_count(0)
    page.get_by_role("button", name="Timestamps").click()
    expect(page.locator(".log-time").first).to_have_attribute(
        "data-t", re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$")
    )
    page.get_by_role("button", name="Wrap").click()
    page.reload()
    expect(page.locator(".log-time").first).to_be_visible()
    expect(page.get_by_role("button", name="Wrap")).to_have_attribute("aria-pressed", "false")


def test_a_huge_log_keeps_a_window(open_page: Open):
    page = open_page("/runs/huge")
    expect(page.locator(".log")).to_have_attribute("data-state", "ended", timeout=30_000)
    expect(_line(page, "000009999 ")).to_be_visible()
    earlier = page.get_by_role("button", name="Load earlier")
    expect(earlier).to_be_visible()
    before = page.locator(".log-scroll").evaluate("e => e.scrollHeight")
    earlier.click()
    page.wait_for_function(
        f"document.querySelector('.log-scroll').scrollHeight > {before} + 500000"
    )
    expect(earlier).to_be_enabled()


def test_the_source_line_of_a_traceback_is_a_link(open_page: Open):
    page = open_page("/runs/small")
    link = page.get_by_role("link", name="line 12")
    expect(link).to_have_attribute("href", "/events/1/edit#L12")
