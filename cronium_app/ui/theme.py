"""Fonts, style sheet and the colours that the browser itself shows.

The light or dark choice is Reflex' own: it sets the class `light` or `dark` on <html> before the
first paint and keeps the choice in localStorage under "theme"; assets/cronium.css does the rest.
"""

from typing import Any, Final

from reflex.plugins import Plugin

FONT_PACKAGES: Final = (
    "@fontsource-variable/inter@5.3.0",
    "@fontsource-variable/jetbrains-mono@5.3.0",
)
STYLESHEET: Final = "/cronium.css"
PAGES_STYLESHEET: Final = "/pages.css"
FAVICON: Final = "/favicon.svg"
# Colours of the browser's own bar on phones; they equal --bg in assets/cronium.css.
THEME_COLORS: Final = {"light": "#f7f7f5", "dark": "#0d0f12"}


class BundledFonts(Plugin):
    """Inter and JetBrains Mono (both OFL) from their packages, bundled when the client is built.

    Nothing is loaded from outside at run time, and no font lies in the repository.
    """

    def get_frontend_development_dependencies(self, **_context: Any) -> tuple[str, ...]:
        return FONT_PACKAGES

    def get_stylesheet_paths(self, **_context: Any) -> tuple[str, ...]:
        return (
            "@fontsource-variable/inter/wght.css",
            "@fontsource-variable/jetbrains-mono/wght.css",
        )
