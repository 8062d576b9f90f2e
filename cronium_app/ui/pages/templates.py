"""The eight templates as cards. They come from `actions.events.templates`, which are constants."""

import reflex as rx

from cronium_app.actions import events
from cronium_app.actions.views import Template
from cronium_app.ui import routes
from cronium_app.ui.components import lang_badge, link


def template_cards() -> rx.Component:
    """One card for each template, and one for an empty script; each opens the editor."""
    return rx.el.div(
        *[_card(template) for template in events.templates()],
        class_name="templates",
        role="list",
    )


def template_url(key: str) -> str:
    """The editor of a new event that starts from this template."""
    return f"{routes.EVENT_NEW}?template={key}"


def _card(template: Template) -> rx.Component:
    return link(
        lang_badge(template.runtime),
        rx.el.span(
            rx.el.b(template.name),
            rx.el.span(template.description, class_name="mute sm"),
            class_name="stack-sm",
        ),
        href=template_url(template.key),
        class_name="card template",
        role="listitem",
    )
