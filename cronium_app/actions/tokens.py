"""Use cases of API tokens. A token is shown once, at its making."""

from collections.abc import Mapping
from typing import Any

from cronium_app.actions.access import announce, audit, require
from cronium_app.actions.commands import TokenIn, checked
from cronium_app.actions.context import AccountServices
from cronium_app.actions.errors import Conflict, Denied, Invalid, NotFound
from cronium_app.actions.views import NewToken, TokenView
from cronium_app.domain.ids import parse_id
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.store import accounts
from cronium_app.store.tables import ApiToken

MAX_TOKENS = 100


async def create(
    services: AccountServices, actor: Actor, command: TokenIn | Mapping[str, Any]
) -> NewToken:
    """A token acts as its owner. Tokens cannot make tokens: a stolen one must not outlive its
    revocation.
    """
    require(actor, Permission.VIEW)
    if actor.via == "token":
        raise Denied("A token cannot make tokens: sign in, or use `cronium token create`.")
    wanted = checked(TokenIn, command)
    now = services.clock.now()
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise Invalid("That moment has already passed.", field="expires_at")
    async with services.db.write() as session:
        known = await accounts.tokens_of(session, actor.user_id)
        if sum(row.revoked_at is None for row in known) >= MAX_TOKENS:
            raise Conflict(f"At most {MAX_TOKENS} tokens: revoke some first.", code="too_many")
        row, token = services.security.tokens.issue(session, actor.user_id, wanted.name)
        row.expires_at = wanted.expires_at
        audit(session, services.clock, actor, "token.create", str(row.id), row.name)
    announce(services, "account", actor.user_id, actor.user_id)
    return NewToken(token=token, view=_view(row))


async def list_tokens(services: AccountServices, actor: Actor) -> list[TokenView]:
    """Newest first, revoked ones too."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        return [_view(row) for row in await accounts.tokens_of(session, actor.user_id)]


async def revoke(services: AccountServices, actor: Actor, token_id: str) -> None:
    """It stops working at once here, within seconds everywhere. Safe to repeat."""
    require(actor, Permission.VIEW)
    wanted = parse_id(token_id)
    if wanted is None:
        raise NotFound
    async with services.db.write() as session:
        if await accounts.revoke_token(session, actor.user_id, wanted, services.clock.now()):
            audit(session, services.clock, actor, "token.revoke", token_id)
        elif all(row.id != wanted for row in await accounts.tokens_of(session, actor.user_id)):
            raise NotFound
    services.security.tokens.forget_user(actor.user_id)
    announce(services, "account", actor.user_id, actor.user_id)


def _view(row: ApiToken) -> TokenView:
    return TokenView.model_validate(row.model_dump(exclude={"id"}) | {"id": str(row.id)})
