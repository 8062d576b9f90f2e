"""The application as the client build sees it: the pages and nothing of the server."""

from cronium_app.ui.app import build_app

app = build_app()
