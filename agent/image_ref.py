"""The strict grammar of image references. Pure: no name reaches the engine's API without it.

The engine's API puts image names into URLs, so a name such as `../containers/json?x=` would
address something else altogether. The grammar is the registry's own, ASCII only:

    [host[:port]/]path[/path...][:tag][@sha256:digest]
"""

import re
from typing import NamedTuple

MAX_REFERENCE = 512
MAX_NAME = 255

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REGISTRY = re.compile(rf"{_HOST}(?:\.{_HOST})*(?::(?P<port>[0-9]{{1,5}}))?")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{64}")


class ImageReference(NamedTuple):
    """A parsed reference; empty strings for what was not given."""

    registry: str
    path: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """Registry and path, without tag and digest."""
        return f"{self.registry}/{self.path}" if self.registry else self.path

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse_image_reference(text: str) -> str:
    """The reference as it was given, if it follows the grammar. Raises ValueError: one sentence."""
    return str(split_image_reference(text))


def split_image_reference(text: str) -> ImageReference:
    """The parts of a reference. Raises ValueError whose text is one sentence for the user."""
    if not text:
        raise ValueError("An image name is missing.")
    if len(text) > MAX_REFERENCE:
        raise ValueError(f"An image name has at most {MAX_REFERENCE} characters.")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("An image name has no spaces, control characters or non-ASCII letters.")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(
            "An image digest is written @sha256: and 64 lower-case hexadecimal digits."
        )
    rest, tag = _cut_tag(rest)
    registry, path = _cut_registry(rest)
    if not _PATH.fullmatch(path):
        raise ValueError(
            "An image name is lower-case letters and digits, joined by dots, dashes, underscores "
            "and slashes, such as python:3.13 or registry.example:5000/team/tool:1.2."
        )
    if len(rest) > MAX_NAME:
        raise ValueError(f"An image name without its tag has at most {MAX_NAME} characters.")
    if not registry and (_ID.fullmatch(path) or path == "sha256"):
        raise ValueError("An image is given by its name, not by its id.")
    return ImageReference(registry, path, tag, digest)


def _cut_tag(text: str) -> tuple[str, str]:
    """A colon after the last slash starts a tag; one before it belongs to a registry's port."""
    head, slash, last = text.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise ValueError(
            "An image tag is up to 128 letters, digits, dots, dashes and underscores, "
            "and begins with a letter, a digit or an underscore."
        )
    return f"{head}{slash}{last}", tag


def _cut_registry(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return "", text
    match = _REGISTRY.fullmatch(first)
    if match is None:
        raise ValueError("The registry before the first slash is not a host name with a port.")
    if match["port"] is not None and not 1 <= int(match["port"]) <= 65535:
        raise ValueError("The registry's port is not between 1 and 65535.")
    return first, rest
