"""The frame, the palette, inputs and the editor in a real browser."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import Gallery

# The first one builds the gallery's client, which takes a minute on a busy machine.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
Open = Callable[..., Page]


def _ready(page: Page) -> Page:
    """The page is drawn before its code runs; this mark is made by the code."""
    expect(page.locator(".insecure")).to_have_count(1)
    return page


def test_palette_finds_and_goes_without_a_load(open_page: Open):
    page = _ready(open_page("/events"))
    page.evaluate("window.same = true")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("nightly")
    expect(page.get_by_role("option")).to_contain_text("nightly-backup")
    page.keyboard.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.wait_for_url("**/")
    assert page.evaluate("window.same") is True


def test_a_bar_of_the_last_runs_leads_to_its_run(open_page: Open):
    page = _ready(open_page("/events"))
    page.evaluate("window.same = true")
    page.get_by_title("#5 succeeded").first.click()
    page.wait_for_url("**/runs/3-5")
    assert page.evaluate("window.same") is True


def test_letters_are_no_shortcuts_while_typing(open_page: Open):
    page = _ready(open_page("/events"))
    page.keyboard.press("/")
    page.keyboard.type("g h?")
    assert page.url.rstrip("/").endswith("/events")
    expect(page.get_by_role("searchbox")).to_have_value("g h?")
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox")).to_have_value("")


def test_help(open_page: Open):
    page = _ready(open_page("/events"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_have_count(0)


def test_dialog_menu_toast(open_page: Open):
    page = _ready(open_page("/"))
    page.get_by_role("button", name="More").nth(1).click()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Duplicate")).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete nightly-backup?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Toast").click()
    expect(page.get_by_text("Saved as revision 18")).to_be_visible()


def test_a_bug_in_a_handler_is_one_sentence(open_page: Open):
    page = _ready(open_page("/"))
    page.get_by_role("button", name="Bug").click()
    expect(page.get_by_text("That did not work.")).to_be_visible()
    assert "on purpose" not in page.content()


def test_a_broken_page_has_a_way_out(chromium: Browser, gallery: Gallery):
    page = chromium.new_page()
    page.goto(f"{gallery.url}/broken/now")
    expect(page.get_by_role("heading", name="This page broke")).to_be_visible()
    page.get_by_role("link", name="Home", exact=True).click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    page.close()


def test_an_unknown_address_has_a_way_out(chromium: Browser, gallery: Gallery):
    page = chromium.new_page()
    page.goto(f"{gallery.url}/nothing/here")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    page.close()


def test_inputs_tell_python(open_page: Open):
    page = _ready(open_page("/"))
    page.get_by_label("Name", exact=True).fill("reports")
    expect(page.locator(".field-error")).to_have_text("reports")
    tags = page.get_by_label("Tags", exact=True)
    tags.fill("night,")
    expect(page.locator(".tag-input .tag")).to_have_count(3)
    tags.press("Backspace")
    expect(page.locator(".tag-input .tag")).to_have_count(2)
    page.get_by_role("radio", name="Once").click()
    expect(page.get_by_role("radio", name="Once")).to_have_attribute("aria-checked", "true")
    page.get_by_label("Network").uncheck()
    expect(page.locator(".app")).to_contain_text("network off")


def test_a_switch_that_python_refuses_flips_back(open_page: Open):
    page = _ready(open_page("/"))
    refused = page.get_by_role("switch", name="refused")
    refused.check()
    expect(refused).not_to_be_checked(timeout=8000)


def test_pasted_lines_become_variables(open_page: Open):
    page = _ready(open_page("/"))
    page.get_by_role("button", name="Add a variable").click()
    page.get_by_label("Name 3").evaluate(
        """(box) => { const data = new DataTransfer(); data.setData('text', 'export A=1\\nB="two words"\\n# no');
           box.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})) }"""
    )
    expect(page.locator(".pairs > div")).to_have_count(4)
    expect(page.get_by_label("Value of B")).to_have_value("two words")


def test_the_colours_follow_the_choice_and_survive_a_reload(open_page: Open):
    page = _ready(open_page("/", color_scheme="light"))
    page.get_by_role("button", name="Account").click()
    page.get_by_role("radio", name="Dark").click()
    expect(page.locator("html")).to_have_class("dark")
    page.reload()
    expect(page.locator("html")).to_have_class("dark")


@pytest.mark.parametrize("path", ["/", "/events", "/runs/small", "/events/1/edit", "/login"])
@pytest.mark.parametrize("width", [390, 820, 1280, 1920])
def test_nothing_sticks_out(open_page: Open, path: str, width: int):
    page = open_page(path, width=width)
    expect(page.locator("main")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_phone_has_the_navigation_under_the_thumb(open_page: Open):
    page = _ready(open_page("/events", width=390, height=844))
    box = page.get_by_role("navigation", name="Main").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] == pytest.approx(844, abs=1)
    page.get_by_role("link", name="Runs").first.click()
    page.wait_for_url("**/runs")


def test_the_page_says_when_live_updates_stop(chromium, gallery_client):
    own = Gallery(gallery_client)
    own.start()
    try:
        page = chromium.new_page()
        page.goto(f"{own.url}/events")
        expect(page.locator(".cell-title").first).to_be_visible()
        page.wait_for_function("performance.now() > 1000")
        own.stop()
        expect(page.locator(".reconnect")).to_have_text("Reconnecting\u2026", timeout=10_000)
        own.start(own.url.rsplit(":", 1)[1])
        expect(page.locator(".reconnect")).to_have_count(0, timeout=15_000)
        page.close()
    finally:
        own.stop()


# --- the editor -------------------------------------------------------------------------------


def _editor(page: Page):
    content = page.locator(".editor .cm-content")
    expect(content).to_be_visible()
    return content


def test_the_editor_keeps_a_draft_and_saves(open_page: Open):
    page = _ready(open_page("/events/1/edit"))
    content = _editor(page)
    content.click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("# mine\n")
    expect(page.get_by_text("unsaved", exact=True)).to_be_visible()
    page.wait_for_function("localStorage['cronium.draft.event-1']?.includes('# mine')")
    page.evaluate("sessionStorage.clear()")  # what signing out does
    page.reload()
    expect(_editor(page)).to_contain_text("# mine")
    expect(page.get_by_text("Your unsaved text")).to_be_visible()
    expect(page.get_by_text("unsaved", exact=True)).to_be_visible()
    page.get_by_role("button", name="Back to the saved text").click()
    expect(_editor(page)).not_to_contain_text("# mine")
    expect(page.get_by_text("unsaved", exact=True)).to_have_count(0)
    content.click()
    page.keyboard.type("x = 1")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("tested ")).to_be_visible()
    page.keyboard.press("Control+s")
    expect(page.get_by_text("saved ", exact=False).first).to_be_visible()
    expect(page.get_by_text("unsaved", exact=True)).to_have_count(0)
    page.wait_for_function("localStorage['cronium.draft.event-1'] === undefined")


def test_a_button_outside_asks_the_editor_for_its_text(open_page: Open):
    page = _ready(open_page("/events/1/edit"))
    _editor(page).click()
    page.keyboard.type("y = 2")
    page.get_by_role("button", name="Test", exact=False).first.click()
    expect(page.get_by_text("tested ")).to_be_visible()


def test_too_long_a_script_is_refused_there_and_then(open_page: Open):
    page = _ready(open_page("/events/1/edit"))
    _editor(page).click()
    page.evaluate(
        "document.querySelector('.editor > div:last-child').editor.adopt('\u00e9'.repeat(600_000))"
    )
    page.keyboard.press("Control+s")
    expect(page.get_by_role("alert")).to_contain_text("1.1 MiB; the limit is 1 MiB")


def test_a_script_as_long_as_allowed_is_saved(open_page: Open):
    page = _ready(open_page("/events/1/edit"))
    _editor(page).click()
    # Every second character doubles on its way, and what is typed after it must be in it too.
    page.evaluate(
        "document.querySelector('.editor > div:last-child').editor.adopt('x\\n'.repeat(520_000))"
    )
    page.keyboard.press("Control+Home")
    page.keyboard.type("#")
    page.keyboard.press("Control+s")
    expect(page.get_by_text("saved 1040001")).to_be_visible(timeout=15_000)


def test_a_newer_version_does_not_take_away_what_is_being_typed(open_page: Open):
    page = _ready(open_page("/events/1/edit"))
    _editor(page).click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("# mine ")
    page.keyboard.press("Control+s")
    page.keyboard.type("and more ")
    expect(page.get_by_text("saved ", exact=False).first).to_be_visible()
    expect(_editor(page)).to_contain_text("# mine and more")
    expect(page.get_by_text("unsaved", exact=True)).to_be_visible()
    page.wait_for_function("localStorage['cronium.draft.event-1']?.includes('and more')")
    expect(page.get_by_text("A newer version was saved since")).to_have_count(0)


def test_the_address_marks_a_line(open_page: Open):
    page = open_page("/events/1/edit#L12")
    expect(page.locator(".cm-marked-line")).to_have_text("class Store:")


def test_two_texts_compared(open_page: Open):
    page = open_page("/events/1/edit")
    expect(page.locator(".diff .cm-merge-a .cm-changedLine").first).to_contain_text(
        "limit: int = 1000"
    )
    expect(page.locator(".diff .cm-merge-b .cm-changedLine").first).to_contain_text(
        "limit: int = 500"
    )
    phone = open_page("/events/1/edit", width=390)
    expect(phone.locator(".diff .cm-deletedChunk").first).to_contain_text("limit: int = 1000")
