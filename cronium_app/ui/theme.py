"""What the browser must know before the first paint: fonts, colours, the light or dark choice."""

from collections.abc import Sequence
from typing import Any, Final

from reflex.plugins import Plugin

FONT_PACKAGES: Final = (
    "@fontsource-variable/inter@5.3.0",
    "@fontsource-variable/jetbrains-mono@5.3.0",
)
STYLESHEET: Final = "/cronium.css"
FAVICON: Final = "/favicon.svg"
# Colours of the browser's own bar on phones; they equal --bg in assets/cronium.css.
THEME_COLORS: Final = {"light": "#f7f7f5", "dark": "#0d0f12"}

# Runs in <head> before anything is painted, so that nobody sees a white page turn dark. Reflex
# keeps the choice under the same key ("theme") and takes over once it has started.
BOOT_SCRIPT: Final = (
    "(function(){try{var t=localStorage.getItem('theme')||'system';"
    "if(t==='system')t=matchMedia('(prefers-color-scheme: dark)').matches?'dark':'light';"
    "var r=document.documentElement;r.classList.remove('light','dark');r.classList.add(t);"
    "r.style.colorScheme=t}catch(e){}})()"
)


class BundledFonts(Plugin):
    """Inter and JetBrains Mono (both OFL) from their packages, bundled when the client is built.

    Nothing is loaded from outside at run time, and no font lies in the repository.
    """

    def get_frontend_dependencies(self, **_context: Any) -> Sequence[str]:
        return FONT_PACKAGES

    def get_stylesheet_paths(self, **_context: Any) -> Sequence[str]:
        return (
            "@fontsource-variable/inter/wght.css",
            "@fontsource-variable/jetbrains-mono/wght.css",
        )
