"""Facts about this installation, kept as text by name."""

from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.store.tables import Meta


async def get(session: AsyncSession, key: str) -> str | None:
    row = await session.get(Meta, key)
    return None if row is None else row.value


async def put(session: AsyncSession, key: str, value: str) -> None:
    await session.merge(Meta(key=key, value=value))
