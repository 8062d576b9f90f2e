"""Who may do what. One role today; the seam is here so that roles change nothing elsewhere."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Permission(StrEnum):
    VIEW = "view"
    EDIT = "edit"
    RUN = "run"
    ADMIN = "admin"


class Role(StrEnum):
    ADMIN = "admin"
    USER = "user"


_GRANTS: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.USER: frozenset({Permission.VIEW, Permission.EDIT, Permission.RUN}),
}


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts. `via` says through what: a browser session, an API token, or the system."""

    user_id: UUID
    email: str
    role: Role
    via: str = "session"

    def can(self, permission: Permission) -> bool:
        return permission in _GRANTS[self.role]
