"""How `cronium serve` gets to its server quickly: the lock first, then the imports, those lean."""

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Generator
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from cronium_app.settings import Settings

# Libraries take these along if they find them, for features that we do not use. Importing them
# would be a tenth of the way from start to ready.
UNUSED = {
    "structlog": ("rich", "better_exceptions", "colorama"),
    "socketio": ("redis", "valkey", "requests", "websocket"),
}


def serve(settings: "Settings") -> None:
    """Run until SIGTERM or Ctrl-C. Raises FolderInUse and FolderUnusable at once, StartRefused."""
    from cronium_app.store.folder import FolderLock

    os.umask(0o077)  # what a job logs and what the database holds is for nobody else here
    lock = FolderLock(settings.data_dir)
    try:
        os.environ.update(settings.process_environment())  # before Reflex is imported
        gc.disable()  # nothing of what is imported will be garbage; the server turns it on again
        for library, unused in UNUSED.items():
            with absent(unused):
                importlib.import_module(library)
        from cronium_app import cronium_app as root

        root.serve(settings, lock)
    finally:
        lock.release()


@contextlib.contextmanager
def absent(names: tuple[str, ...]) -> Generator[None]:
    """As if these were not installed, for whoever imports them inside and not before."""
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    hidden = [name for name in names if name not in modules]
    for name in hidden:
        modules[name] = None
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]
