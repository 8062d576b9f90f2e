"""Agents that have ever said hello. The built-in one is a row like any other, named `local`."""

from datetime import datetime
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.store.tables import Agent


async def seen(
    session: AsyncSession,
    agent_id: UUID,
    *,
    name: str,
    builtin: bool,
    slots: int,
    version: str,
    now: datetime,
) -> Agent:
    """Record a hello. An agent with a new id takes the name over from the one that had it."""
    agent = await session.get(Agent, agent_id)
    if agent is None:
        await _free_name(session, name)
        agent = Agent(id=agent_id, name=name, builtin=builtin, first_seen_at=now)
    agent.slots, agent.version, agent.last_seen_at = slots, version, now
    session.add(agent)
    await session.flush()
    return agent


async def by_name(session: AsyncSession, name: str) -> Agent | None:
    return (await session.exec(select(Agent).where(col(Agent.name) == name))).first()


async def _free_name(session: AsyncSession, name: str) -> None:
    former = await by_name(session, name)
    if former is not None:
        former.name = f"{name} (until {former.id})"
        session.add(former)
        await session.flush()
