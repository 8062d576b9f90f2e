# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Helpers of a State begin with _ because a public method is an event handler, and the lambdas that
# Reflex calls get Vars of no declared type.
"""One run: the first line says what goes on, and the log is the largest thing on the page."""

import json
from dataclasses import dataclass
from typing import Any, Final

import reflex as rx

from cronium_app.actions import events, pages, runs
from cronium_app.actions.errors import NotFound
from cronium_app.actions.views import RunView
from cronium_app.domain.permissions import Permission
from cronium_app.services import services
from cronium_app.ui import guard, push, routes, words
from cronium_app.ui.components import (
    button,
    card,
    code_editor,
    code_line,
    empty_state,
    key_values,
    link,
    link_button,
    log_pane,
    mono,
    mute,
    notice,
    phases,
    since,
    skeleton,
    small,
    status_pill,
    tabs,
    tag,
    when,
)
from cronium_app.ui.guard import needs
from cronium_app.ui.page import Page
from cronium_app.ui.pages.frame import FRAME_NOUNS, enter, frame, not_found
from cronium_app.ui.state import AppState

TABS: Final = (
    ("log", "Log"),
    ("data", "Inputs and outputs"),
    ("script", "Script"),
    ("environment", "Environment"),
)


@dataclass(frozen=True)
class Shown:
    """What of a run changes only when its status does."""

    id: str = ""
    short: str = ""
    event_id: str = ""
    event_name: str = ""
    event_href: str = ""
    status: str = ""
    pill: str = ""  # the status in one word; "stopping" while it is being stopped
    reason: str = ""
    sentence: str = ""
    next_step: str = ""
    bad: bool = False
    live: bool = False
    stopping: bool = False
    created: str = ""
    started: str = ""
    finished: str = ""
    usual: str = ""
    by: str = ""
    test: bool = False
    revision: str = ""
    revision_href: str = ""
    again_href: str = ""
    runtime: str = ""
    image: str = ""
    digest: str = ""
    limits: str = ""
    network: str = ""
    exit_code: str = ""
    inputs: str = ""
    outputs: str = ""
    conditions: str = ""
    log_note: str = ""


@dataclass(frozen=True)
class Phases:
    """The bar: a word for each phase's state, and its duration when it is over."""

    setup: str = "waiting"
    setup_s: str = ""
    execution: str = "waiting"
    execution_s: str = ""
    cleanup: str = "waiting"
    cleanup_s: str = ""
    since: str = ""  # when the current phase began


class RunState(AppState):
    """The run that the address names."""

    ready: bool = False
    missing: bool = False
    tab: str = "log"
    run: Shown = Shown()
    bar: Phases = Phases()
    waiting: str = ""
    lines: str = ""
    last_lines: list[str] = []
    script: str = ""
    script_key: str = ""
    env: list[list[str]] = []

    @rx.event
    @needs(Permission.VIEW)
    async def load(self) -> None:
        run_id = self._part("runs")
        if self.run.id != run_id:
            self._put(ready=False, missing=False, run=Shown(), bar=Phases(), last_lines=[])
        tab = self._query("tab", "log")
        self._put(tab=tab if tab in dict(TABS) else "log")
        mine = frozenset({run_id})
        push.watch(
            self, guard.actor(), {"run": mine, "run_live": mine} | FRAME_NOUNS, RunState.refresh
        )
        await self._show(run_id)

    @rx.event
    @needs(Permission.VIEW)
    async def refresh(self) -> None:
        if run_id := self._part("runs"):
            await self._show(run_id)

    @rx.event
    @needs(Permission.RUN)
    async def stop(self) -> None:
        await runs.cancel(services(), guard.actor(), self._part("runs"))
        await self._show(self._part("runs"))

    @rx.event
    @needs(Permission.RUN)
    async def again(self) -> Any:
        view = await runs.rerun(services(), guard.actor(), self._part("runs"))
        return rx.redirect(routes.run_url(view.id))

    async def _show(self, run_id: str) -> None:
        svc, actor = await enter(self)
        try:
            view = await runs.get(svc, actor, run_id)
        except NotFound:
            self._put(ready=True, missing=True)
            return
        live = await pages.live(svc, actor, run_id)
        self._put(
            ready=True,
            missing=False,
            run=_shown(view),
            bar=_bar(view, words.iso(live.phase_since) if live else ""),
            waiting=_waiting(view),
            lines=words.plural(live.lines if live else view.log_lines, "line"),
            last_lines=[words.plain_line(text) for text in live.last_lines] if live else [],
        )
        if self.tab in ("script", "environment"):
            await self._show_revision(view)

    async def _show_revision(self, view: RunView) -> None:
        key = f"{view.event_id}:{view.revision}"
        if self.script_key == key:
            return
        revision = await events.revision(services(), guard.actor(), view.event_id, view.revision)
        self._put(
            script=revision.content.script,
            script_key=key,
            env=[[name, value] for name, value in sorted(revision.content.env.items())],
        )


def _shown(view: RunView) -> Shown:
    live = view.status in ("queued", "running")
    stopping = live and view.stop_requested_at is not None
    return Shown(
        id=view.id,
        short=view.id[-6:],
        event_id=view.event_id,
        event_name=view.event_name,
        event_href=routes.event_url(view.event_id),
        status=view.status,
        pill="stopping" if stopping else view.status,
        reason=view.reason or "",
        sentence=_stopping(view) if stopping else view.reason_text,
        next_step=view.next_step,
        bad=view.status == "failed",
        live=live,
        stopping=stopping,
        created=words.iso(view.created_at),
        started=words.iso(view.started_at),
        finished=words.iso(view.finished_at),
        usual=words.duration(view.usual_s),
        by=words.trigger(view.trigger, view.triggered_by),
        test=view.hidden,
        revision=str(view.revision),
        revision_href=f"{routes.run_url(view.id)}?tab=script",
        again_href=f"{routes.event_url(view.event_id)}?revision={view.revision}",
        runtime=view.runtime,
        image=view.image,
        digest=words.short_digest(view.image_digest),
        limits=words.limits(view.limits),
        network="on" if view.network else "off",
        exit_code="" if view.exit_code is None else str(view.exit_code),
        inputs=_json(view.inputs),
        outputs=_json(view.outputs),
        conditions=_json(view.conditions),
        log_note=_log_note(view),
    )


def _stopping(view: RunView) -> str:
    grace = view.limits.get("stop_grace_s")
    after = f" It is killed if it has not ended after {words.span(grace)}." if grace else ""
    return f"Asked to stop.{after}"


def _waiting(view: RunView) -> str:
    if view.status == "queued" or (view.status == "running" and view.waiting_text):
        text = view.waiting_text or "waits for a free slot"
        return text[:1].upper() + text[1:]
    return "Waiting for the first output" if view.status == "running" else "It printed nothing"


def _log_note(view: RunView) -> str:
    done = view.status not in ("queued", "running")
    if done and view.attempt and not view.log_complete:
        return "The end of the log is still being fetched."
    return ""


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""


def _bar(view: RunView, phase_since: str) -> Phases:
    order = ("setup", "execution", "cleanup")
    taken = (view.setup_s, view.execution_s, view.cleanup_s)
    live = view.status == "running"
    at = order.index(view.phase) if live and view.phase in order else -1

    def state(index: int) -> str:
        if live:
            return "done" if index < at else "active" if index == at else "waiting"
        if taken[index] is None:
            return "waiting"
        if index == 1 and view.status == "cancelled":
            return "stopped"
        at_fault = 0 if view.execution_s is None else 1
        return "bad" if view.status == "failed" and index == at_fault else "done"

    return Phases(
        setup=state(0),
        setup_s=words.duration(view.setup_s),
        execution=state(1),
        execution_s=words.duration(view.execution_s),
        cleanup=state(2),
        cleanup_s=words.duration(view.cleanup_s),
        since=phase_since,
    )


# --- the page ---------------------------------------------------------------------------------

# In a component a var stands for its later value, with a Var's methods; on the class it is typed
# as the value.
_Run: Any = RunState


def run_page() -> rx.Component:
    run = _Run.run
    return frame(
        rx.cond(
            _Run.missing,
            not_found("run", routes.RUNS, "All runs"),
            rx.cond(_Run.ready, _body(), skeleton(rows=8)),
        ),
        title=rx.el.span("Run ", mono(run.short)),
        crumbs=[("Events", routes.EVENTS), (run.event_name, run.event_href)],
        actions=[_actions()],
    )


def _actions() -> rx.Component:
    run = _Run.run
    return rx.cond(
        _Run.ready & ~_Run.missing,
        rx.el.div(
            link_button(
                "Edit and run again", href=run.again_href, icon_name="edit", class_name="hide-phone"
            ),
            rx.cond(
                run.live,
                button(
                    rx.cond(run.stopping, "Stopping…", "Stop"),
                    kind="danger",
                    icon_name="stop",
                    on_click=_Run.stop,
                    disabled=run.stopping,
                ),
                button("Run again", kind="primary", icon_name="repeat", on_click=_Run.again),
            ),
            class_name="line",
        ),
        rx.fragment(),
    )


def _body() -> rx.Component:
    return rx.el.div(
        _headline(),
        _facts(),
        _phases(),
        rx.el.div(
            link_button("Edit and run again", href=_Run.run.again_href, icon_name="edit"),
            class_name="only-phone",
        ),
        _tabs(),
        rx.match(
            _Run.tab,
            ("data", _data()),
            ("script", _script()),
            ("environment", _environment()),
            _log(),
        ),
        class_name="stack run-page",
    )


def _headline() -> rx.Component:
    run = _Run.run
    how_long = rx.cond(
        run.started,
        rx.el.span(since(run.started, end=run.finished), class_name="big"),
        rx.cond(
            run.live, rx.el.span("waiting ", since(run.created), class_name="big"), rx.fragment()
        ),
    )
    sentence = rx.cond(
        run.sentence,
        notice(
            rx.el.span(run.sentence),
            rx.cond(
                run.next_step, rx.el.span(" ", run.next_step, class_name="mute"), rx.fragment()
            ),
            tone="bad",
        ),
        rx.fragment(),
    )
    plain = rx.cond(run.sentence, rx.el.p(run.sentence, class_name="sentence"), rx.fragment())
    return rx.el.div(
        rx.el.div(
            status_pill(run.pill, reason=run.reason),
            how_long,
            rx.cond(run.live & (run.usual != ""), mute("of usually ", run.usual), rx.fragment()),
            rx.cond(run.test, tag("test"), rx.fragment()),
            class_name="line run-head",
            custom_attrs={"data-testid": "run-head"},
        ),
        rx.cond(
            run.status == "queued",
            rx.el.p(_Run.waiting, class_name="sentence"),
            rx.cond(run.bad, sentence, plain),
        ),
        class_name="stack-sm",
    )


def _facts() -> rx.Component:
    run = _Run.run

    def fact(name: str, *value: Any) -> rx.Component:
        return rx.el.span(name, " ", rx.el.b(*value))

    return rx.el.p(
        fact("started by", run.by),
        fact("on", when(run.created, show="both")),
        fact("revision", link(run.revision, href=run.revision_href)),
        fact(
            "image",
            mono(run.image, rx.cond(run.digest, rx.fragment("@", run.digest), rx.fragment())),
        ),
        fact("limits", run.limits),
        fact("network", run.network),
        rx.cond(run.exit_code, fact("exit code", run.exit_code), rx.fragment()),
        class_name="facts",
    )


def _phases() -> rx.Component:
    bar = _Run.bar

    def time(state: Any, taken: Any) -> rx.Component:
        return rx.cond(
            taken,
            rx.el.span(taken),
            rx.cond((state == "active") & (bar.since != ""), since(bar.since), rx.fragment()),
        )

    return phases(
        ("setup", time(bar.setup, bar.setup_s), bar.setup),
        ("execution", time(bar.execution, bar.execution_s), bar.execution),
        ("cleanup", time(bar.cleanup, bar.cleanup_s), bar.cleanup),
    )


def _tabs() -> rx.Component:
    base = routes.run_url(_Run.run.id)
    return tabs(
        [(f"{base}?tab={key}", name) for key, name in TABS],
        active=f"{base}?tab={_Run.tab}",
        label="About this run",
    )


def _log() -> rx.Component:
    run = _Run.run
    return rx.el.div(
        rx.cond(run.log_note, small(run.log_note), rx.fragment()),
        rx.el.div(
            log_pane(
                run.id,
                running=run.live,
                waiting=_Run.waiting,
                script_href=run.revision_href,
            ),
            class_name="log-frame",
        ),
        class_name="stack-sm grow-log",
    )


def _data() -> rx.Component:
    run = _Run.run
    nothing = "Nothing. A script hands on values with the helper: cronium.output(...)."
    return rx.el.div(
        _last_lines(),
        card(_json_block(run.inputs, "It was started without inputs."), title="Inputs"),
        card(_json_block(run.outputs, nothing), title="Outputs"),
        rx.cond(run.conditions, card(_json_block(run.conditions, ""), title="Conditions")),
        class_name="stack",
    )


def _json_block(text: Any, nothing: str) -> rx.Component:
    return rx.cond(
        text, rx.el.pre(text, class_name="code-block mono"), rx.el.p(nothing, class_name="mute sm")
    )


def _last_lines() -> rx.Component:
    """The newest output on the tabs that do not show the log."""
    return rx.cond(
        _Run.run.live & (_Run.last_lines.length() > 0),
        card(
            rx.el.pre(_Run.last_lines.join("\n"), class_name="code-block mono"),
            title="Latest output",
            note=_Run.lines,
        ),
        rx.fragment(),
    )


def _script() -> rx.Component:
    return rx.el.div(
        _last_lines(),
        card(
            code_editor(
                value=_Run.script,
                version=_Run.script_key,
                language=_Run.run.runtime,
                read_only=True,
            ),
            title=rx.el.span("Revision ", _Run.run.revision),
            note="the text that this run got",
            actions=[link_button("Edit and run again", href=_Run.run.again_href, small=True)],
            flush=True,
        ),
        class_name="stack",
    )


def _environment() -> rx.Component:
    run = _Run.run
    variables = rx.foreach(
        _Run.env,
        lambda pair: rx.el.div(
            mono(pair[0]), mono(pair[1], class_name="cut"), class_name="pair", key=pair[0]
        ),
    )
    return rx.el.div(
        _last_lines(),
        card(
            key_values(
                ("Image", mono(run.image)),
                ("Digest", mono(run.digest)),
                ("Limits", run.limits),
                ("Network", run.network),
            ),
            title="Container",
        ),
        card(
            rx.cond(
                _Run.env.length() > 0,
                rx.el.div(variables, class_name="pairs"),
                empty_state("No environment variables of its own."),
            ),
            title="Environment variables",
            note="of the revision that ran",
        ),
        card(code_line(run.id, label="Copy the run's id"), title="Run id"),
        class_name="stack",
    )


RUN = Page(route=routes.RUN, component=run_page, title="Run", on_load=RunState.load)
