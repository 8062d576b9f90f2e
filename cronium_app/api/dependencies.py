"""What a route may ask for. The gate has let the caller in; this hands over who it is."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from cronium_app.actions.errors import NotSignedIn
from cronium_app.api.request import IDENTITY, Caller, caller_of
from cronium_app.domain.permissions import Actor
from cronium_app.security.identity import Identity
from cronium_app.services import Services


def _services(connection: HTTPConnection) -> Services:
    return connection.app.state.services()


def _caller(connection: HTTPConnection) -> Caller:
    return caller_of(dict(connection.scope))


def _identity(connection: HTTPConnection) -> Identity:
    """Denies even if a route were ever mounted where the gate does not look."""
    identity = connection.scope.get(IDENTITY)
    if not isinstance(identity, Identity):
        raise NotSignedIn
    return identity


def _actor(identity: Annotated[Identity, Depends(_identity)]) -> Actor:
    return identity.actor


ServicesDep = Annotated[Services, Depends(_services)]
CallerDep = Annotated[Caller, Depends(_caller)]
IdentityDep = Annotated[Identity, Depends(_identity)]
ActorDep = Annotated[Actor, Depends(_actor)]
