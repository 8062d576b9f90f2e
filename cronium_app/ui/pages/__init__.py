"""The pages. Each module holds one page, its State and its view models."""

from cronium_app.ui.page import Page

PAGES: list[Page] = []
