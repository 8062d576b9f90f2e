"""The pages. Each module holds one page, its State and its view models."""

from cronium_app.ui.page import Page
from cronium_app.ui.pages.entry import LOGIN, SETUP
from cronium_app.ui.pages.event import EVENT, EVENT_NEW
from cronium_app.ui.pages.events import EVENTS
from cronium_app.ui.pages.home import HOME
from cronium_app.ui.pages.run import RUN
from cronium_app.ui.pages.runs import RUNS
from cronium_app.ui.pages.settings import SETTINGS

PAGES: list[Page] = [
    HOME,
    EVENTS,
    EVENT_NEW,
    EVENT,
    RUNS,
    RUN,
    SETTINGS,
    LOGIN,
    SETUP,
]
