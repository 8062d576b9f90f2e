"""What the gate reads of a connection before anything else does: pure, from the ASGI scope."""

from dataclasses import dataclass
from typing import Any

from cronium_app.security.cookies import is_same_origin, is_secure, session_token

IDENTITY = "cronium.identity"  # where the gate leaves who is asking
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class Caller:
    """`method` is WEBSOCKET for a socket."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    address: str
    secure: bool

    @property
    def bearer(self) -> str | None:
        """The token of an Authorization header; "" for any other kind of authorization."""
        header = self.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    @property
    def cookie(self) -> str | None:
        return session_token(self.headers.get("cookie", ""), secure=self.secure)

    @property
    def has_origin(self) -> bool:
        return "origin" in self.headers

    @property
    def same_origin(self) -> bool:
        """Whether a page of this very site sent it. Without an Origin no browser did."""
        return is_same_origin(
            self.headers.get("origin", ""), self.headers.get("host", ""), secure=self.secure
        )

    @property
    def wants_page(self) -> bool:
        return self.method in ("GET", "HEAD") and "." not in self.path.rpartition("/")[2]


def caller_of(scope: dict[str, Any]) -> Caller:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == "cookie" and name in headers:
            headers[name] += f"; {value}"  # several cookie headers are one list
        else:
            headers.setdefault(name, value)
    client = scope.get("client")
    return Caller(
        method="WEBSOCKET" if scope["type"] == "websocket" else scope["method"],
        path=scope["path"],
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        address=client[0] if client else "",
        secure=is_secure(scope.get("scheme", "http"), headers),
    )
