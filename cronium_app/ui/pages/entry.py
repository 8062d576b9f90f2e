"""The two pages a stranger sees: sign in, and set up the administrator.

Both talk to plain POST routes and then load the next page anew: the session cookie is HttpOnly
and is read when the page's socket opens. No State takes part, so no password passes through one,
and the set-up code stays in the address' fragment, which no server and no log ever sees.
"""

from typing import Any, Final

import reflex as rx

from cronium_app.ui import routes
from cronium_app.ui.components import button, field, mono, notice
from cronium_app.ui.layout import plain_page
from cronium_app.ui.page import Page

MINIMUM_PASSWORD: Final = 10

# Posts the form's fields as JSON and goes where the answer says. Everything shown is set as text.
_SEND: Final = """async () => {
  const form = document.getElementById(FORM);
  if (!form || form.dataset.busy) return;
  const say = (text) => {
    const box = document.getElementById(FORM + "-error");
    box.hidden = !text;
    box.querySelector("[data-words]").textContent = text;
  };
  const body = Object.fromEntries(new FormData(form));
  EXTRA
  form.dataset.busy = "yes";
  const send = form.querySelector("button[type=submit]");
  send.setAttribute("data-pending", "yes");
  say("");
  const post = async (path, fields) => {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(fields),
    });
    return [answer, await answer.json().catch(() => ({}))];
  };
  try {
    let answer, told;
    try {
      [answer, told] = await post(PATH, body);
    } catch (lost) {
      // The answer may be lost although the request was served: a browser drops what is under way
      // when a network interface of its host changes, and each container brings one.
      await new Promise((done) => setTimeout(done, 500));
      [answer, told] = await post(PATH, body);
      if (!answer.ok && body.code) {
        const { email, password } = body;
        const [signed, words] = await post("/auth/login", { email, password });
        if (signed.ok) [answer, told] = [signed, words];
      }
    }
    if (answer.ok) {
      sessionStorage.clear();
      const next = AFTER;
      const safe = /^\\/(?![\\/\\\\])/.test(next) && !next.includes("\\\\");
      location.replace(safe ? next : "/");
      return;
    }
    say(told.message || "The server answered with " + answer.status + ". Try again in a moment.");
  } catch (error) {
    say("The server does not answer. Check that it is running, then try again.");
  }
  delete form.dataset.busy;
  send.removeAttribute("data-pending");
}"""

# The welcome on the home page shows the demo's run and says what to do next.
_AFTER: Final = {
    "/auth/login": 'typeof told.next === "string" ? told.next : "/"',
    "/auth/setup": '"/"',
}
_LOGIN_EXTRA: Final = """
  body.next = new URLSearchParams(location.search).get("next") || "/";
"""
_SETUP_EXTRA: Final = """
  if (body.password !== body.again) { say("The two passwords differ."); return; }
  delete body.again;
  body.code = decodeURIComponent(location.hash.slice(1)) || body.code || "";
  if (!body.code) { say("Enter the set-up code that the server printed."); return; }
"""


def login_page() -> rx.Component:
    """Sign in, and go on to where one wanted to go."""
    return plain_page(
        _form(
            "sign-in",
            "/auth/login",
            _LOGIN_EXTRA,
            _input("E-mail", "email", "email", "username", focus=True),
            _input("Password", "password", "password", "current-password"),
            _submit("Sign in"),
        ),
        rx.el.p(
            "Forgot it? On the server: ",
            mono("cronium user reset-password"),
            class_name="mute sm",
        ),
        title="Sign in",
    )


def setup_page() -> rx.Component:
    """Create the administrator with the code from the one-time link."""
    return plain_page(
        _form(
            "set-up",
            "/auth/setup",
            _SETUP_EXTRA,
            _code_field(),
            _input("E-mail", "email", "email", "username", focus=True),
            _input(
                "Password",
                "password",
                "password",
                "new-password",
                hint=f"At least {MINIMUM_PASSWORD} characters. A sentence is fine.",
            ),
            _input("Password again", "again", "password", "new-password"),
            _submit("Create the administrator"),
        ),
        rx.el.p(
            "The link works once and for 24 hours. ",
            mono("cronium setup-link"),
            " on the server prints a new one.",
            class_name="mute sm",
        ),
        title="Set up Cronium",
        lead="One account to begin with: yours. Then a first run plays before your eyes.",
    )


def _form(name: str, path: str, extra: str, *children: rx.Component) -> rx.Component:
    script = (
        _SEND.replace("EXTRA", extra)
        .replace("FORM", f'"{name}"')
        .replace("PATH", f'"{path}"')
        .replace("AFTER", _AFTER[path])
    )
    problem = rx.el.div(
        notice(rx.el.span(custom_attrs={"data-words": ""}), tone="bad"),
        id=f"{name}-error",
        hidden=True,
    )
    return rx.el.form(
        *children[:-1],
        problem,
        children[-1],
        id=name,
        action=path,
        method="post",
        on_submit=rx.call_function(script),
        class_name="stack",
    )


def _input(
    label: str, name: str, kind: Any, complete: str, *, hint: str | None = None, focus: bool = False
) -> rx.Component:
    # A plain input: what is typed here never leaves the browser before the form is sent.
    return field(
        label,
        rx.el.input(
            id=name,
            name=name,
            type=kind,
            auto_complete=complete,
            auto_focus=focus,
            required=True,
            max_length=1024,
            class_name="input",
        ),
        hint=hint,
        control_id=name,
    )


def _code_field() -> rx.Component:
    """Shown only when the address has no code: who followed the link need not see it."""
    return rx.el.div(
        field(
            "Set-up code",
            rx.el.input(name="code", type="text", auto_complete="off", class_name="input mono"),
            hint="The server printed it at its first start.",
        ),
        class_name="setup-code",
        id="setup-code",
        on_mount=rx.call_function(
            '() => { document.getElementById("setup-code").hidden = location.hash.length > 1; }'
        ),
    )


def _submit(words: str) -> rx.Component:
    return button(words, kind="primary", type="submit")


LOGIN = Page(route=routes.LOGIN, component=login_page, title="Sign in")
SETUP = Page(route=routes.SETUP, component=setup_page, title="Set up")
