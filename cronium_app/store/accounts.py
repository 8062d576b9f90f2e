"""Queries on people: users, login sessions, API tokens, setup codes and the audit trail."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.store.tables import ApiToken, AuditEntry, LoginSession, SetupCode, User


async def has_users(session: AsyncSession) -> bool:
    return (await session.exec(select(User.id).limit(1))).first() is not None


async def user_by_email(session: AsyncSession, email: str) -> User | None:
    return (await session.exec(select(User).where(User.email == email.lower()))).first()


async def user_by_id(session: AsyncSession, user_id: UUID) -> User | None:
    return await session.get(User, user_id)


async def list_users(session: AsyncSession) -> Sequence[User]:
    return (await session.exec(select(User).order_by(User.email))).all()


async def set_password(session: AsyncSession, user_id: UUID, hashed: str, now: datetime) -> None:
    await session.exec(
        update(User)
        .where(col(User.id) == user_id)
        .values(password_hash=hashed, password_changed_at=now)
    )


async def replace_hash(session: AsyncSession, user_id: UUID, old: str, new: str) -> None:
    """A hash with newer parameters of the same password; lost if the password changed meanwhile."""
    await session.exec(
        update(User)
        .where(col(User.id) == user_id, col(User.password_hash) == old)
        .values(password_hash=new)
    )


async def set_disabled(session: AsyncSession, user_id: UUID, at: datetime | None) -> None:
    await session.exec(update(User).where(col(User.id) == user_id).values(disabled_at=at))


# --- login sessions -----------------------------------------------------------------------------


async def live_session(
    session: AsyncSession, token_hash: str, now: datetime
) -> tuple[LoginSession, User] | None:
    """The session and its user, unless expired or the user is disabled."""
    return (
        await session.exec(
            select(LoginSession, User)
            .join(User, col(User.id) == LoginSession.user_id)
            .where(
                LoginSession.token_hash == token_hash,
                LoginSession.expires_at > now,
                col(User.disabled_at).is_(None),
            )
        )
    ).first()


async def sessions_of(
    session: AsyncSession, user_id: UUID, now: datetime
) -> Sequence[LoginSession]:
    return (
        await session.exec(
            select(LoginSession)
            .where(LoginSession.user_id == user_id, LoginSession.expires_at > now)
            .order_by(col(LoginSession.last_seen_at).desc())
        )
    ).all()


async def touch_session(session: AsyncSession, session_id: UUID, now: datetime) -> None:
    await session.exec(
        update(LoginSession).where(col(LoginSession.id) == session_id).values(last_seen_at=now)
    )


async def delete_session(session: AsyncSession, token_hash: str) -> UUID | None:
    """Ends it; answers whose it was."""
    return (
        await session.exec(
            delete(LoginSession)
            .where(col(LoginSession.token_hash) == token_hash)
            .returning(col(LoginSession.user_id))
        )
    ).scalar_one_or_none()


async def delete_session_of(session: AsyncSession, user_id: UUID, session_id: UUID) -> bool:
    return await _touched(
        session,
        delete(LoginSession).where(
            col(LoginSession.id) == session_id, col(LoginSession.user_id) == user_id
        ),
    )


async def delete_sessions(session: AsyncSession, user_id: UUID, *, but: UUID | None = None) -> None:
    query = delete(LoginSession).where(col(LoginSession.user_id) == user_id)
    await session.exec(query if but is None else query.where(col(LoginSession.id) != but))


async def delete_expired_sessions(session: AsyncSession, now: datetime) -> None:
    await session.exec(delete(LoginSession).where(col(LoginSession.expires_at) <= now))


# --- API tokens -----------------------------------------------------------------------------------


async def live_token(
    session: AsyncSession, token_hash: str, now: datetime
) -> tuple[ApiToken, User] | None:
    """The token and its user, unless revoked, expired, or the user is disabled."""
    return (
        await session.exec(
            select(ApiToken, User)
            .join(User, col(User.id) == ApiToken.user_id)
            .where(
                ApiToken.token_hash == token_hash,
                col(ApiToken.revoked_at).is_(None),
                col(ApiToken.expires_at).is_(None) | (col(ApiToken.expires_at) > now),
                col(User.disabled_at).is_(None),
            )
        )
    ).first()


async def tokens_of(session: AsyncSession, user_id: UUID) -> Sequence[ApiToken]:
    return (
        await session.exec(
            select(ApiToken).where(ApiToken.user_id == user_id).order_by(col(ApiToken.id).desc())
        )
    ).all()


async def touch_token(session: AsyncSession, token_id: UUID, now: datetime) -> None:
    await session.exec(
        update(ApiToken).where(col(ApiToken.id) == token_id).values(last_used_at=now)
    )


async def revoke_token(session: AsyncSession, user_id: UUID, token_id: UUID, now: datetime) -> bool:
    """False: no such token of this user, or revoked before."""
    return await _touched(
        session,
        update(ApiToken)
        .where(
            col(ApiToken.id) == token_id,
            col(ApiToken.user_id) == user_id,
            col(ApiToken.revoked_at).is_(None),
        )
        .values(revoked_at=now),
    )


# --- setup ----------------------------------------------------------------------------------------


async def replace_setup_code(session: AsyncSession, code: SetupCode) -> None:
    """Only the newest code works."""
    await session.exec(delete(SetupCode).where(col(SetupCode.used_at).is_(None)))
    session.add(code)


async def setup_code_is_live(session: AsyncSession, code_hash: str, now: datetime) -> bool:
    found = await session.exec(
        select(SetupCode.id).where(
            SetupCode.code_hash == code_hash,
            col(SetupCode.used_at).is_(None),
            SetupCode.expires_at > now,
        )
    )
    return found.first() is not None


async def use_setup_code(session: AsyncSession, code_hash: str, now: datetime) -> bool:
    """Uses it up; False when somebody else was first, or it is unknown or expired."""
    return await _touched(
        session,
        update(SetupCode)
        .where(
            col(SetupCode.code_hash) == code_hash,
            col(SetupCode.used_at).is_(None),
            col(SetupCode.expires_at) > now,
        )
        .values(used_at=now),
    )


# --- audit ----------------------------------------------------------------------------------------


def add_audit(session: AsyncSession, entry: AuditEntry) -> None:
    session.add(entry)


async def audit_trail(session: AsyncSession, limit: int = 100) -> Sequence[AuditEntry]:
    """Newest first."""
    return (
        await session.exec(select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(limit))
    ).all()


async def _touched(session: AsyncSession, statement: Any) -> bool:
    result = cast("CursorResult[Any]", await session.exec(statement))
    return result.rowcount > 0
