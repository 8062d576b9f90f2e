"""Random values that open doors: made here, stored only as their sha256.

256 random bits need no slow hash: nobody can guess one, and a stolen hash opens nothing. A lookup
by hash leaks no timing, because the caller cannot steer the hash byte by byte.
"""

import hashlib
import secrets
import zlib

TOKEN_PREFIX = "crn_"  # noqa: S105 - what leak scanners look for, not a secret
HINT_LENGTH = len(TOKEN_PREFIX) + 4
_BODY_LENGTH = 43
_CHECK_LENGTH = 8


def new_secret() -> str:
    """256 random bits as 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def new_api_token() -> str:
    """`crn_`, 256 random bits, and a checksum that tells typos and noise without a look-up."""
    body = new_secret()
    return f"{TOKEN_PREFIX}{body}{_check(body)}"


def looks_like_api_token(text: str) -> bool:
    body = text[len(TOKEN_PREFIX) : -_CHECK_LENGTH]
    return (
        text.startswith(TOKEN_PREFIX)
        and text.isascii()
        and len(body) == _BODY_LENGTH
        and text[-_CHECK_LENGTH:] == _check(body)
    )


def digest(secret: str) -> str:
    """What is stored of a secret: sha256 in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _check(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
