"""Headers that every answer gets, and what the pages' own scripts need to be allowed."""

import base64
import hashlib
import re
from pathlib import Path

_INLINE = re.compile(rb"<script(?P<attributes>[^>]*)>(?P<body>.*?)</script>", re.DOTALL)

EVERYWHERE: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    # Not `no-referrer`: a form post would then say "Origin: null", and be refused.
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
)
DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"


def page_policy(client_dir: Path) -> bytes:
    """The Content-Security-Policy of the pages.

    Inline scripts are allowed by the sha256 of those in the built client and no others. The
    framework runs what its server sends (toasts, focus) through eval, so that must stay allowed;
    styles are made in the browser by its component library.
    """
    hashes = " ".join(f"'sha256-{value}'" for value in inline_hashes(client_dir))
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'unsafe-eval' {hashes}".strip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    ).encode()


def inline_hashes(client_dir: Path) -> list[str]:
    found: set[str] = set()
    for page in sorted(client_dir.rglob("*.html")):
        for match in _INLINE.finditer(page.read_bytes()):
            if b"src=" not in match["attributes"]:
                found.add(base64.b64encode(hashlib.sha256(match["body"]).digest()).decode())
    return sorted(found)
