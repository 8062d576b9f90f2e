"""The data folder: one server at a time, and who that server is."""

import fcntl
import json
import os
from pathlib import Path

from cronium_app.domain.ids import new_id


class FolderInUse(Exception):
    """Another server has the data folder; the message names it."""


class FolderUnusable(Exception):
    """The folder cannot be made or written; the message is one sentence."""


class FolderLock:
    """Held as long as the process lives, by whichever way it ends: the kernel lets go of it."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder. Raises FolderInUse, FolderUnusable."""
        self._path = folder / "lock"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _keep_private(folder)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderUnusable(
                f"The data folder {folder} cannot be used: {error.strerror}."
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._holder()
            os.close(self._fd)
            raise FolderInUse(
                f"Another Cronium server{holder} uses the data folder {folder}; stop it first, "
                "or start this one with another folder (--data)."
            ) from error

    def announce(self, address: str) -> None:
        """Leave a note for whoever is refused."""
        note = json.dumps({"pid": os.getpid(), "address": address}).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, note, 0)

    def release(self) -> None:
        os.ftruncate(self._fd, 0)
        os.close(self._fd)

    def _holder(self) -> str:
        try:
            note = json.loads(os.pread(self._fd, 4096, 0))
            return f" (process {int(note['pid'])}, {note['address']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def _keep_private(folder: Path) -> None:
    """A folder that was there before may be open to everybody; what lies in it is not for them."""
    found = folder.stat()
    if found.st_uid == os.geteuid() and found.st_mode & 0o077:
        folder.chmod(0o700)


def server_id(folder: Path) -> str:
    """The id of this installation's server, made at the first start. Restarts keep it."""
    path = folder / "server.id"
    try:
        if text := path.read_text(encoding="ascii").strip():
            return text
    except FileNotFoundError:
        pass
    made = str(new_id())
    fresh = path.with_suffix(".new")
    fresh.write_text(made + "\n", encoding="ascii")
    fresh.replace(path)
    return made
