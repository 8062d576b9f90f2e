"""Reflex settings. Read by the client build and by the running server alike."""

import reflex as rx

from cronium_app.ui.theme import BundledFonts

config = rx.Config(
    app_name="cronium_app",
    telemetry_enabled=False,
    show_built_with_reflex=False,
    # Every other origin is refused here; the composition root then allows the page's own one
    # (`app.sio.eio.cors_allowed_origins = None`). An empty list would mean "no check".
    cors_allowed_origins=["https://none.invalid"],
    state_manager_mode=rx.constants.StateManagerMode.MEMORY,
    default_color_mode="system",
    frontend_compression_formats=["gzip"],
    # No RadixThemesPlugin: the look is our own CSS, which is a tenth of the size.
    plugins=[BundledFonts()],
    disable_plugins=[rx.plugins.SitemapPlugin],
)
