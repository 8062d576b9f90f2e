"""The session cookie's two names, and where a request came from.

Over https the cookie is `__Host-` and Secure, so that no other host and no plain-http page can
plant one. Over plain http browsers would drop such a cookie, so a plain name is used and the
pages show that the connection is not encrypted.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

SECURE_NAME = "__Host-cronium"
PLAIN_NAME = "cronium_session"
_MAX_HEADER = 16_384


def is_secure(scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether the browser speaks TLS, to us or to a proxy in front of us.

    A client that invents `X-Forwarded-Proto` only gets a stricter cookie, so it needs no list of
    trusted proxies.
    """
    forwarded = headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    return scheme in ("https", "wss") or forwarded in ("https", "wss")


def session_token(cookie_header: str, *, secure: bool | None = None) -> str | None:
    """The session's secret in a Cookie header. With `secure` unknown the stricter name wins."""
    if not cookie_header or len(cookie_header) > _MAX_HEADER:
        return None
    names = (
        (SECURE_NAME,)
        if secure
        else (PLAIN_NAME,)
        if secure is False
        else (
            SECURE_NAME,
            PLAIN_NAME,
        )
    )
    found: dict[str, str] = {}
    for part in cookie_header.split(";"):
        name, _, value = part.strip().partition("=")
        found.setdefault(name, value)
    for name in names:
        if value := found.get(name):
            return value
    return None


def set_cookie(token: str, *, secure: bool, max_age_s: int) -> str:
    """The value of a Set-Cookie header."""
    name = SECURE_NAME if secure else PLAIN_NAME
    tail = "; Secure" if secure else ""
    return f"{name}={token}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{tail}"


def clear_cookie(*, secure: bool) -> str:
    return set_cookie("", secure=secure, max_age_s=0)


def is_same_origin(origin: str, host: str, *, secure: bool) -> bool:
    """Whether a page of this very host and scheme sent the request."""
    try:
        parts = urlsplit(origin)
    except ValueError:  # an unfinished IPv6 address, for instance
        return False
    if parts.scheme not in ("http", "https") or not parts.netloc or not host:
        return False
    default = ":443" if parts.scheme == "https" else ":80"
    theirs = parts.netloc.lower().removesuffix(default)
    ours = host.lower().removesuffix(":443" if secure else ":80")
    return theirs == ours and (parts.scheme == "https") == secure


def local_path(wanted: str) -> str:
    """`wanted` if it is a path of this site, else "/". Nothing that a browser could read as a host."""
    if not wanted.startswith("/") or len(wanted) > 2000 or not wanted.isprintable():
        return "/"
    if wanted[1:2] in ("/", "\\") or "\\" in wanted or not wanted.isascii():
        return "/"
    return wanted
