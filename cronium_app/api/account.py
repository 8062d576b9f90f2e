"""REST of one's own account: who am I, tokens, sessions; and the home page in one look."""

from fastapi import APIRouter, Response

from cronium_app.actions import accounts, home, tokens
from cronium_app.actions.commands import PasswordIn, TokenIn
from cronium_app.actions.views import (
    EngineView,
    HomeView,
    Me,
    NewToken,
    Page,
    SessionView,
    TokenView,
)
from cronium_app.api.dependencies import ActorDep, CallerDep, IdentityDep, ServicesDep
from cronium_app.api.errors import RESPONSES

router = APIRouter(prefix="/api/v1", responses=RESPONSES)


@router.get("/me", tags=["account"])
async def me(actor: ActorDep) -> Me:
    """Who this session or token speaks for."""
    return Me(id=str(actor.user_id), email=actor.email, role=actor.role.value, via=actor.via)


@router.get("/tokens", tags=["account"])
async def list_tokens(services: ServicesDep, actor: ActorDep) -> Page[TokenView]:
    """Newest first, revoked ones too."""
    return Page(items=await tokens.list_tokens(services, actor))


@router.post("/tokens", status_code=201, tags=["account"])
async def create_token(services: ServicesDep, actor: ActorDep, token: TokenIn) -> NewToken:
    """The token is in this answer and nowhere else. Not for tokens themselves."""
    return await tokens.create(services, actor, token)


@router.delete("/tokens/{token_id}", status_code=204, tags=["account"], response_class=Response)
async def revoke_token(services: ServicesDep, actor: ActorDep, token_id: str) -> None:
    """It stops working within seconds, on open sockets too."""
    await tokens.revoke(services, actor, token_id)


@router.get("/sessions", tags=["account"])
async def list_sessions(services: ServicesDep, identity: IdentityDep) -> Page[SessionView]:
    """Where you are signed in."""
    return Page(items=await accounts.list_sessions(services, identity))


@router.delete("/sessions/{session_id}", status_code=204, tags=["account"], response_class=Response)
async def revoke_session(services: ServicesDep, actor: ActorDep, session_id: str) -> None:
    """Sign that browser out."""
    await accounts.revoke_session(services, actor, session_id)


@router.post("/password", status_code=204, tags=["account"], response_class=Response)
async def change_password(
    services: ServicesDep, identity: IdentityDep, caller: CallerDep, passwords: PasswordIn
) -> None:
    """Needs the present one. Every other session ends."""
    await accounts.change_password(services, identity, passwords, address=caller.address)


@router.get("/home", tags=["home"])
async def get_home(services: ServicesDep, actor: ActorDep) -> HomeView:
    """What runs, what failed since yesterday, what fires next."""
    return await home.home(services, actor)


@router.get("/engine", tags=["home"])
async def get_engine(services: ServicesDep, actor: ActorDep) -> EngineView:
    """The container engine and the base images."""
    return home.engine(services, actor)
