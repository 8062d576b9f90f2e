# ruff: noqa: F405
"""Every component on a few pages, for looking at and for the browser tests. Never shipped.

CRONIUM_UI_MODULE=tests.ui.gallery REFLEX_WEB_WORKDIR=... python -m scripts.build_client
"""

from typing import Any, TypedDict

import reflex as rx

from cronium_app.ui.application import make_app
from cronium_app.ui.components import *  # noqa: F403
from cronium_app.ui.components import Column
from cronium_app.ui.layout import ShellData, plain_page, shell
from cronium_app.ui.page import Page
from tests.ui.fake_log import build_fake_api

SCRIPT = """import cronium, requests

def main(since: str = "yesterday", limit: int = 1000):
    # one page after the other, so that memory stays flat
    total = 0
    for page, rows in pages(since, limit):
        print(f"page {page}, {len(rows)} invoices")
        total += store(rows)
    cronium.output({"invoices": total})


class Store:
    def __init__(self, url: str, retries: int = 3) -> None:
        self.url, self.retries = url, retries
"""
CHANGED = SCRIPT.replace("limit: int = 1000", "limit: int = 500").replace(
    "        total += store(rows)\n", "        total += store(rows)\n        sleep(1)\n"
)


def _ticks(seed: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for i in range(29):
        status = (
            "failed"
            if (seed * 7 + i * 13) % 29 == 0
            else "cancelled"
            if (seed + i) % 17 == 0
            else "succeeded"
        )
        made.append(
            {
                "status": status,
                "reason": "skipped" if (seed * 3 + i) % 23 == 0 else "exited",
                "title": f"#{i} {status}",
                "href": f"/runs/{seed}-{i}",
            }
        )
    return [*made, {"status": "running", "reason": "", "title": "running", "href": "/runs/x"}]


class EventRow(TypedDict):
    id: str
    runtime: str
    name: str
    tags: list[str]
    when: str
    zone: str
    next: str
    on: bool
    took: float
    ticks: list[dict[str, str]]


EVENTS: list[EventRow] = [
    {
        "id": str(i),
        "runtime": r,
        "name": n,
        "tags": t,
        "when": w,
        "zone": "Europe/Berlin",
        "next": x,
        "on": on,
        "took": took,
        "ticks": _ticks(i + 3),
    }
    for i, (r, n, t, w, x, took, on) in enumerate(
        [
            (
                "bash",
                "nightly-backup",
                ["prod", "backup"],
                "every day at 02:00",
                "2026-11-24T02:00:00Z",
                100.0,
                True,
            ),
            (
                "python",
                "sync-invoices",
                ["finance"],
                "every 15 min, Mon\u2013Fri 6\u201320",
                "2026-11-23T14:45:00Z",
                4.1,
                True,
            ),
            (
                "bash",
                "renew-certificates",
                ["tls"],
                "1st and 15th at 02:10",
                "2026-12-01T02:10:00Z",
                3.0,
                True,
            ),
            ("node", "warm-cache", ["prod"], "after release", "", 22.0, True),
            (
                "python",
                "export-ledger-with-a-very-long-name-that-has-to-be-cut-somewhere",
                ["finance", "nightly"],
                "every day at 06:00",
                "2026-11-24T06:00:00Z",
                362.0,
                True,
            ),
            ("python", "train-forecast", ["ml"], "never (paused)", "", 4320.0, False),
            ("bash", "ping-status-page", [], "every 20 s", "2026-11-23T14:30:00Z", 0.004, True),
        ]
    )
]


class G(rx.State):
    """State of the gallery."""

    rows: list[EventRow] = EVENTS
    opened: bool = False
    pending: bool = False
    seg: str = "cron"
    text: str = ""
    tags: list[str] = ["prod", "backup"]
    pairs: list[list[str]] = [["API_URL", "https://example.org"], ["LEVEL", "debug"]]
    saved: str = SCRIPT
    version: str = "1"
    dirty: bool = False
    last: str = ""
    found: list[dict[str, str]] = []
    on: bool = True
    banners: list[dict[str, str]] = [
        {
            "tone": "bad",
            "text": "The container engine does not answer. Runs wait; events can be edited.",
            "href": "/settings",
            "action": "What to do",
        },
        {
            "tone": "info",
            "text": "Preparing cronium/python, 60 %. Runs that need it wait.",
            "href": "",
            "action": "",
        },
    ]

    @rx.event
    def toggle(self):
        self.opened = not self.opened

    @rx.event
    def say(self):
        return rx.toast.success("Saved as revision 18", description="nightly-backup")

    @rx.event
    def fail(self):
        raise RuntimeError("on purpose")

    @rx.event
    def set_seg(self, value: str):
        self.seg = value

    @rx.event
    def set_text(self, value: str):
        self.text = value

    @rx.event
    def set_tags(self, value: list[str]):
        self.tags = value

    @rx.event
    def set_pairs(self, value: list[list[str]]):
        self.pairs = value

    @rx.event
    def flip(self, value: bool):
        self.on = value

    @rx.event
    def save(self, value: str):
        self.saved, self.version, self.last = (
            value,
            str(int(self.version) + 1),
            f"saved {len(value)}",
        )

    @rx.event
    def tested(self, value: str):
        self.last = f"tested {len(value)}"

    @rx.event
    def set_dirty(self, value: bool):
        self.dirty = value

    @rx.event
    def find_nothing(self, value: bool):
        """Refuses."""

    @rx.event
    def find(self, words: str):
        self.found = [
            {"label": e["name"], "href": f"/events/{e['id']}", "hint": e["when"], "group": "Events"}
            for e in EVENTS
            if words and words in e["name"]
        ]


DATA = ShellData(
    engine="ready",
    engine_text="2 of 4 slots",
    user="ada@example.org",
    running="2",
    found=G.found,
    on_find=G.find,
)


def _event_row(e: Any) -> rx.Component:
    return row(
        cell(lang_badge(e["runtime"])),
        cell(
            cell_title(e["name"], href=f"/events/{e['id']}"),
            " ",
            rx.el.span(rx.foreach(e["tags"], lambda t: tag(t)), class_name="hide-phone"),
        ),
        cell(
            e["when"],
            rx.el.div(e["zone"], class_name="faint sm hide-phone"),
            phone="line",
            class_name="indent",
        ),
        cell(when(e["next"]), phone="hide", class_name="mute"),
        cell(ticks(e["ticks"]), phone="line", class_name="indent"),
        cell(duration(e["took"]), phone="hide", right=True, class_name="mute"),
        cell(switch(e["on"], on_change=G.flip, spoken=f"{e['name']} enabled"), right=True),
        href=f"/events/{e['id']}",
        key=e["id"],
    )


def events() -> rx.Component:
    return shell(
        card(
            table(
                [
                    Column("", "24px"),
                    Column("Event", "minmax(160px,1.3fr)"),
                    Column("When", "minmax(150px,1fr)"),
                    Column("Next", "120px"),
                    Column("Last 30 runs", "190px"),
                    Column("Usually", "84px", right=True),
                    Column("", "34px"),
                ],
                rx.foreach(G.rows, _event_row),
                label="Events",
            ),
            pagination(text="1 to 7 of 48", prev_href="", next_href="/events?after=7"),
            flush=True,
        ),
        data=DATA,
        title="Events",
        beside=count("48"),
        search=False,
        actions=[
            search_input(placeholder="Filter by name or tag", value=G.text, on_change=G.set_text),
            link_button("New event", href="/events/new", kind="primary"),
        ],
    )


def gallery() -> rx.Component:
    return shell(
        rx.el.div(
            rx.el.div(
                card(
                    rx.el.div(
                        *[
                            status_pill(s)
                            for s in ("queued", "running", "succeeded", "failed", "cancelled")
                        ],
                        status_pill("cancelled", reason="skipped", label="skipped"),
                        tone_pill("unsaved", tone="warn"),
                        class_name="line",
                    ),
                    rx.el.hr(),
                    rx.el.div(
                        button("Save", kind="primary", hotkey="Ctrl S"),
                        button("Test", icon_name="play", on_click=G.say),
                        button("Stop", kind="danger"),
                        button("Quiet", kind="ghost"),
                        button("Small", small=True),
                        button("Working", pending=True),
                        button("Save", kind="primary", pending=True),
                        button("No", disabled=True),
                        button(icon_name="more", label="More"),
                        class_name="line",
                    ),
                    rx.el.hr(),
                    rx.el.div(
                        lang_badge("python"),
                        lang_badge("node"),
                        lang_badge("bash"),
                        tag("prod"),
                        tag("backup"),
                        kbd("/"),
                        count("48"),
                        since("2026-11-23T14:00:00Z"),
                        duration(0.42),
                        when("2026-11-23T20:00:00Z", show="both"),
                        when("2026-11-20T02:00:00Z", show="absolute", zone="Europe/Berlin"),
                        class_name="line",
                    ),
                    rx.el.hr(),
                    code_line(
                        "docker run -d --restart unless-stopped -p 8080:8080 -v cronium:/data cronium"
                    ),
                    title="Words",
                    note="all of them",
                    actions=[
                        button("More", small=True),
                        menu(
                            menu_item("Duplicate", icon_name="copy", on_click=G.say),
                            menu_item("Archive", icon_name="archive", on_click=G.say),
                            menu_line(),
                            menu_item("Delete", icon_name="trash", danger=True, on_click=G.toggle),
                            small=True,
                        ),
                    ],
                ),
                card(
                    rx.el.div(
                        segmented(
                            G.seg,
                            [
                                ("cron", "Cron"),
                                ("every", "Every"),
                                ("once", "Once"),
                                ("never", "Never"),
                            ],
                            on_change=G.set_seg,
                            label="When",
                        ),
                        field(
                            "Expression",
                            text_input("*/15 6-20 * * 1-5", mono=True),
                            hint="Every 15 minutes, 06:00 to 20:45, Monday to Friday",
                        ),
                        field("Name", text_input(G.text, on_change=G.set_text), error=G.text),
                        form_grid(
                            field("Stop after", number_input("3600", unit="s")),
                            field("Memory", number_input("512", unit="MB")),
                            field("CPUs", number_input("1")),
                            field(
                                "Zone",
                                select(
                                    "b",
                                    [("a", "UTC"), ("b", "Europe/Berlin")],
                                    on_change=G.set_text,
                                ),
                            ),
                        ),
                        field_group("Tags", tag_input(G.tags, on_change=G.set_tags)),
                        field_group("Environment", pairs_input(G.pairs, on_change=G.set_pairs)),
                        switch(G.on, on_change=G.flip, label="Network"),
                        rx.cond(G.on, rx.fragment(), mute("network off")),
                        switch(False, on_change=G.find_nothing, spoken="refused"),
                        class_name="stack",
                    ),
                    title="Form",
                ),
                class_name="stack",
            ),
            rx.el.div(
                card(
                    empty_state(
                        "No runs yet",
                        "Press Run and watch it here, line by line.",
                        action=button("Run now", kind="primary", icon_name="play"),
                        icon_name="runs",
                    ),
                    title="Empty",
                ),
                card(skeleton(rows=4), title="Skeleton", flush=True),
                card(
                    key_values(
                        ("Memory", rx.el.span("61 MB ", mute("of 512"))),
                        ("Image", mono("cronium/bash@4e1c")),
                        ("Revision", "17"),
                    ),
                    title="Using",
                ),
                notice(
                    "no such tag python:3.99", tone="bad", title="The image could not be pulled"
                ),
                notice("Only this machine can open this page.", tone="info"),
                notice(
                    "Keep a copy of the key apart.", tone="warn", action=button("Done", small=True)
                ),
                rx.el.div(
                    button("Toast", on_click=G.say),
                    button("Bug", on_click=G.fail),
                    button("Dialog", on_click=G.toggle),
                    class_name="line",
                ),
                class_name="stack",
            ),
            class_name="cols-wide",
        ),
        confirm_dialog(
            rx.el.p("Its 3 schedules, 1,204 runs and their logs go with it."),
            title="Delete nightly-backup?",
            opened=G.opened,
            confirm="Delete event",
            on_confirm=G.toggle,
            on_close=G.toggle,
        ),
        data=ShellData(
            engine="down",
            engine_text="not answering",
            user="ada@example.org",
            running="",
            banners=G.banners,
        ),
        title="Home",
        actions=[link_button("New event", href="/events/new", kind="primary")],
    )


def run() -> rx.Component:
    return shell(
        page_header(
            since("2026-11-23T14:00:00Z"), lead=status_pill("running"), note="of usually 1 m 40 s"
        ),
        facts(
            ("Started by", "schedule \u201cevery day at 02:00\u201d"),
            ("on", "this host"),
            ("image", mono("cronium/bash@4e1c")),
            ("revision", "17"),
            ("limits", "512 MB \u00b7 1 CPU \u00b7 1 h"),
        ),
        rx.el.div(style={"height": "12px"}),
        phases(
            ("setup", "8 ms", "done"),
            ("execution", since("2026-11-23T14:00:00Z"), "active"),
            ("cleanup", "", "waiting"),
        ),
        rx.el.div(style={"height": "12px"}),
        tabs(
            [
                ("log", "Log"),
                ("io", "Inputs and outputs"),
                ("script", "Script"),
                ("env", "Environment"),
            ],
            active="log",
            on_change=G.set_seg,
        ),
        rx.el.div(
            card(
                log_pane(
                    G.router.page.params["run_id"].to(str),
                    running=True,
                    script_href="/events/1/edit",
                ),
                flush=True,
                class_name="log-card",
            ),
            rx.el.div(
                card(key_values(("Memory", "61 MB"), ("CPU", "0.34")), title="Using"),
                card(ticks(_ticks(4)), title="Last 30 runs"),
                class_name="stack",
            ),
            class_name="cols",
        ),
        data=DATA,
        title="#1842",
        crumbs=[("Events", "/events"), ("nightly-backup", "/events/1")],
        actions=[
            button("Edit and run again", class_name="hide-phone"),
            button("Stop", kind="danger"),
        ],
    )


def edit() -> rx.Component:
    return shell(
        rx.el.div(
            rx.el.div(
                card(
                    code_editor(
                        value=G.saved,
                        version=G.version,
                        language="python",
                        draft_key="event-1",
                        on_save=G.save,
                        on_test=G.tested,
                        on_dirty=G.set_dirty,
                    ),
                    title=rx.el.span("script"),
                    note="Python 3.13 \u00b7 cronium/python",
                    flush=True,
                ),
                card(
                    log_pane("test", running=False, compact=True),
                    title="Test output",
                    note=G.last,
                    flush=True,
                ),
                card(
                    diff_view(before=SCRIPT, after=CHANGED, language="python"),
                    title="Revision 16 and 17",
                    flush=True,
                ),
                class_name="stack",
            ),
            card(field("Stop after", number_input("300", unit="s")), title="Settings"),
            class_name="cols-wide",
        ),
        data=DATA,
        title="sync-invoices",
        crumbs=[("Events", "/events")],
        beside=rx.cond(G.dirty, tone_pill("unsaved", tone="warn"), rx.fragment()),
        actions=[
            button("Test", hotkey="Ctrl \u21b5", on_click=editor_call("test", "event-1")),
            button("Save", kind="primary", on_click=editor_call("save", "event-1")),
        ],
    )


def login() -> rx.Component:
    return plain_page(
        rx.el.form(
            field(
                "E-mail",
                rx.el.input(
                    type="email", name="email", class_name="input", auto_complete="username"
                ),
            ),
            field(
                "Password",
                rx.el.input(
                    type="password",
                    name="password",
                    class_name="input",
                    auto_complete="current-password",
                ),
            ),
            button("Sign in", kind="primary", type="submit"),
            action="/auth/login",
            method="post",
            class_name="stack",
        ),
        title="Sign in",
    )


def broken() -> rx.Component:
    return rx.el.div(rx.Var("(() => { throw new Error('on purpose') })()"))


PAGES = [
    Page(route="/", component=gallery, title="Home"),
    Page(route="/events", component=events, title="Events"),
    Page(route="/events/[event_id]/edit", component=edit, title="Edit"),
    Page(route="/runs/[run_id]", component=run, title="Run"),
    Page(route="/broken/[why]", component=broken, title="Broken"),
    Page(route="/login", component=login, title="Sign in"),
]
app = make_app(PAGES, build_fake_api())
