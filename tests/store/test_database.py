"""What a failing statement may say of the values it was given: nothing."""

import traceback

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

SECRET = "hunter2-and-more"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO meta (key, value) VALUES (:secret, NULL)",  # PostgreSQL shows the whole row
        "INSERT INTO nowhere (value) VALUES (:secret)",
    ],
)
async def test_an_error_never_shows_values(db, statement):
    with pytest.raises(DBAPIError) as caught:
        async with db.write() as session:
            await session.exec(text(statement), params={"secret": SECRET})
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert statement[:11] in shown
