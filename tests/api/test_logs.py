"""Logs over HTTP and the socket: attempts, lines, hits, places, pieces, and a job that is faster
than its viewers."""

import asyncio
import json
import struct
import time
from uuid import UUID

import pytest
from websockets.asyncio.client import connect

from agent.protocol import Segment
from cronium_app.actions import events
from cronium_app.actions.errors import Invalid
from cronium_app.api.logs import Wish
from cronium_app.domain.ids import new_id
from cronium_app.logs import pace
from cronium_app.store.tables import Attempt, Run

T0 = 1_700_000_000_000
TEXT = b"".join(b"line %d of the log\n" % n for n in range(1, 10_001))


@pytest.fixture
async def run_id(services, alice) -> str:
    """A run in its second attempt; both have a log that is being written."""
    event = {"name": "n", "runtime": "bash", "script": "true"}
    view = await events.create(services, alice, event)
    now = services.clock.now()
    run = Run(
        id=new_id(), event_id=UUID(view.id), owner_id=alice.user_id, revision=1, status="running",
        trigger="manual", created_at=now, available_at=now, started_at=now, attempt=2,
    )  # fmt: skip
    async with services.db.write() as session:
        session.add(run)
        await session.flush()
        for number in (1, 2):
            row = Attempt(
                id=new_id(), run_id=run.id, number=number, status="running", created_at=now
            )
            session.add(row)
            await services.logs.open(row.id)
            services.__dict__.setdefault("test_attempts", {})[number] = row.id
    return str(run.id)


async def write(services, data: bytes, attempt: int = 2, stream: int = 1) -> None:
    log = services.test_attempts[attempt]
    segment = Segment(stream=stream, length=len(data), time_ms=T0)
    await services.logs.append(log, await services.logs.length(log), data, [segment])


async def end(services, run_id: str) -> None:
    from sqlmodel import col, update

    async with services.db.write() as session:
        now = services.clock.now()
        values = {"status": "succeeded", "reason": "exited", "exit_code": 0, "finished_at": now}
        await session.exec(update(Run).where(col(Run.id) == UUID(run_id)).values(**values))
        await session.exec(
            update(Attempt).where(col(Attempt.run_id) == UUID(run_id)).values(
                status="succeeded", finished_at=now, log_complete=True
            )
        )  # fmt: skip
    for log in services.test_attempts.values():
        await services.logs.finish(log)
    services.bus.publish("run", UUID(run_id))


def log_path(run_id: str, rest: str = "") -> str:
    return f"/api/v1/runs/{run_id}/log{rest}"


async def test_each_attempt_has_its_log(services, alices, run_id):
    await write(services, b"the first try\n", 1)
    await write(services, b"the second try\n", 2)
    for attempt, wanted in ((1, b"the first try\n"), (2, b"the second try\n")):
        answer = await alices.get(log_path(run_id), params={"attempt": attempt})
        assert answer.content == wanted
    for newest in ({}, {"attempt": 0}):
        assert (await alices.get(log_path(run_id), params=newest)).content == b"the second try\n"
    hits = await alices.get(log_path(run_id, "/search"), params={"q": "first", "attempt": 1})
    assert hits.json()["items"][0]["snippet"] == "the first try"
    for rest in ("", "/lines", "/search"):
        answer = await alices.get(log_path(run_id, rest), params={"q": "x", "attempt": 3})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_head_tells_the_length_and_reads_nothing(services, alices, bobs, run_id):
    await write(services, TEXT)
    answer = await alices.head(log_path(run_id), params={"offset": 100})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-log-length"] == str(len(TEXT))
    assert answer.headers["content-length"] == str(len(TEXT) - 100)
    assert (await bobs.head(log_path(run_id))).status_code == 404


async def test_lines_by_their_number(services, alices, bobs, run_id):
    await write(services, TEXT + b"open")
    wanted = {"line": 5000, "count": 2}
    found = (await alices.get(log_path(run_id, "/lines"), params=wanted)).json()
    at = TEXT.index(b"line 5000 ")
    assert found["items"][0] == {
        "line": 5000, "offset": at, "text": "line 5000 of the log", "cut": False
    }  # fmt: skip
    assert [line["line"] for line in found["items"]] == [5000, 5001]
    assert found["next"] == 5002
    last = (await alices.get(log_path(run_id, "/lines"), params={"line": 10_000})).json()
    assert [line["text"] for line in last["items"]] == ["line 10000 of the log", "open"]
    assert last["next"] is None
    beyond = (await alices.get(log_path(run_id, "/lines"), params={"line": 10_002})).json()
    assert (beyond["items"], beyond["next"]) == ([], None)
    assert (await bobs.get(log_path(run_id, "/lines"))).status_code == 404
    for wrong in ({"line": 0}, {"count": 1001}, {"attempt": -1}):
        answer = await alices.get(log_path(run_id, "/lines"), params=wrong)
        assert (answer.status_code, answer.json()["field"]) == (422, next(iter(wrong)))


async def test_a_line_beyond_all_measure_is_cut(services, alices, run_id):
    await write(services, b"a\n" + b"x" * 1_500_000 + b"\nz\n")
    first = (await alices.get(log_path(run_id, "/lines"))).json()
    assert [line["text"] for line in first["items"]] == ["a"]
    second = (await alices.get(log_path(run_id, "/lines"), params={"line": first["next"]})).json()
    assert [(len(line["text"]), line["cut"]) for line in second["items"]] == [(1 << 20, True)]
    third = (await alices.get(log_path(run_id, "/lines"), params={"line": second["next"]})).json()
    assert [line["text"] for line in third["items"]] == ["z"]


async def test_search_goes_on_where_it_stopped(services, alices, run_id):
    await write(services, TEXT)
    path, lines, start = log_path(run_id, "/search"), [], 0
    while start is not None:
        wanted = {"q": r"line \d+7 ", "regex": "true", "limit": 300, "from": start}
        found = (await alices.get(path, params=wanted)).json()
        lines += [hit["line"] for hit in found["items"]]
        assert found["stopped"] == (None if found["next"] is None else "limit")
        start = found["next"]
    assert lines == [n for n in range(1, 10_001) if n % 10 == 7 and n > 9]
    cased = await alices.get(path, params={"q": "LINE 9999 ", "case": "true"})
    assert cased.json()["items"] == []
    plain = (await alices.get(path, params={"q": "LINE 9999 "})).json()
    at = TEXT.index(b"line 9999 ")
    assert plain["items"] == [
        {"line": 9999, "offset": at, "length": 10, "snippet": "line 9999 of the log"}
    ]


@pytest.mark.parametrize(
    "wrong",
    [{"q": ""}, {"q": "(", "regex": "true"}, {"q": r"(a)\1", "regex": "true"}, {"q": "x" * 10_000},
     {"q": "a\nb"}, {"q": "(?<=a)b", "regex": "true"}, {}, {"q": "x", "limit": 0}],
)  # fmt: skip
async def test_a_search_that_cannot_be_done_is_explained(services, alices, run_id, wrong):
    await write(services, b"x\n")
    answer = await alices.get(log_path(run_id, "/search"), params=wrong)
    assert answer.status_code == 422
    assert answer.json()["field"] in ("q", "limit")
    assert answer.json()["message"].endswith(".")


async def test_harmful_queries_are_harmless(services, alices, bobs, run_id):
    await write(services, (b"a" * 80 + b"!\x00\n") * 2000)
    path = log_path(run_id, "/search")
    async with asyncio.timeout(10):
        for query in ("(a+)+$", "(a|a)*b", "(.*){1,50}Q"):
            answer = await alices.get(path, params={"q": query, "regex": "true"})
            assert (answer.status_code, answer.json()["items"]) == (200, [])
    nul = await alices.get(path, params={"q": "!\x00", "limit": 1})
    assert nul.json()["items"][0]["line"] == 1
    lone = await alices.get(f"{path}?q=%ed%a0%80")
    assert (lone.status_code, lone.json()["items"]) == (200, [])
    assert (await bobs.get(path, params={"q": "a"})).status_code == 404


async def test_a_run_without_a_log_has_nothing_to_find(services, alice, alices):
    from cronium_app.actions import runs

    view = await events.create(services, alice, {"name": "n", "runtime": "bash", "script": "true"})
    run = await runs.start(services, alice, view.id)
    assert (await alices.get(log_path(run.id, "/lines"))).json()["items"] == []
    found = (await alices.get(log_path(run.id, "/search"), params={"q": "x"})).json()
    assert found == {"items": [], "next": None, "stopped": None, "length": 0}


# --- the socket -----------------------------------------------------------------------------------


@pytest.fixture
def opened(base, alices, run_id):
    def make(query: str, **options):
        url = f"{base.replace('http', 'ws')}/api/v1/runs/{run_id}/log/ws?{query}"
        headers = {"Authorization": alices.headers["authorization"]}
        return connect(url, additional_headers=headers, max_size=None, **options)

    return make


async def received(socket) -> tuple[list[dict], list[tuple[int, bytes]]]:
    """(text frames, (offset, bytes)) until it closes."""
    said, got = [], []
    async for message in socket:
        if isinstance(message, str):
            said.append(json.loads(message))
        else:
            got.append((struct.unpack(">Q", message[:8])[0], message[17:]))
    return said, got


@pytest.mark.parametrize(
    ("query", "line"),
    [("line=5000", 5000), ("line=1", 1), ("line=99999999", 10_000), ("tail=1000000", 1),
     ("tail=1000&all_below=1000000", 1), ("from=0&align=1", 1)],
)  # fmt: skip
async def test_where_it_begins_is_said_first(services, opened, run_id, query, line):
    await write(services, TEXT)
    await end(services, run_id)
    async with opened(query) as socket:
        said, got = await received(socket)
    at = TEXT.index(b"line %d " % line)
    assert said[0] == {"start": {"offset": at, "line": line, "length": len(TEXT)}}
    assert b"".join(data for _, data in got) == TEXT[at:]
    assert said[-1]["end"]["status"] == "succeeded"


async def test_the_tail_begins_with_a_line(services, opened, run_id):
    await write(services, TEXT)
    await end(services, run_id)
    async with opened("tail=1000&all_below=2000") as socket:
        said, got = await received(socket)
    start = said[0]["start"]
    assert len(TEXT) - 1000 <= start["offset"] < len(TEXT) - 950
    assert got[0][1].startswith(b"line %d of" % start["line"])


async def test_a_small_log_comes_whole_and_live(services, opened, run_id):
    await write(services, TEXT)
    async with opened("line=5000&all_below=1000000&limit=10") as socket:
        assert json.loads(await socket.recv())["start"]["offset"] == 0
        await end(services, run_id)
        said, got = await received(socket)
    assert b"".join(data for _, data in got) == TEXT
    assert "end" in said[-1]


async def test_a_piece_and_no_more(services, opened, run_id):
    await write(services, TEXT)
    async with opened("from=100&limit=5000") as socket:
        said, got = await received(socket)
    assert b"".join(data for _, data in got) == TEXT[100:5100]
    assert said == [{"stop": {"offset": 5100, "length": len(TEXT)}}]
    async with opened(f"from={len(TEXT) - 10}&limit=5000") as socket:
        said, got = await received(socket)
    assert said == [{"stop": {"offset": len(TEXT), "length": len(TEXT)}}]


async def test_a_job_faster_than_its_viewer(services, opened, run_id, monkeypatch):
    monkeypatch.setattr(pace, "BURST", 0)
    everything, said, at = TEXT * 51, [], 0

    async def read_to(end: int) -> int:
        """Bytes that came; each is where it belongs, or said to be left out."""
        nonlocal at
        seen = 0
        while at < end:
            message = await asyncio.wait_for(socket.recv(), 5)
            if isinstance(message, str):
                skipped = json.loads(message)["skipped"]
                said.append(skipped)
                assert skipped["from"] == at
                assert skipped["line"] == 1 + everything.count(b"\n", 0, skipped["to"])
                assert skipped["lines"] == everything.count(b"\n", at, skipped["to"])
                at = skipped["to"]
            else:
                assert struct.unpack(">Q", message[:8])[0] == at
                assert message[17:] == everything[at : at + len(message) - 17]
                at += len(message) - 17
                seen += len(message) - 17
        return seen

    async with opened("from=0") as socket, opened("from=0&skip=0") as whole:
        reading = asyncio.create_task(received(whole))
        await write(services, TEXT)
        assert await read_to(len(TEXT)) == len(TEXT)
        begun = time.monotonic()
        for _ in range(50):  # 10 MB at once
            await write(services, TEXT)
        seen = await read_to(len(everything))
        # what it may have in that time, and a quantum more at either end
        assert seen <= (time.monotonic() - begun) * pace.RATE + 3 * pace.QUANTUM
        await end(services, run_id)
        text, got = await reading
    assert said
    assert b"".join(data for _, data in got) == TEXT * 51
    assert "skipped" not in {key for frame in text for key in frame}


async def test_what_was_there_before_the_viewer_is_never_left_out(
    services, opened, run_id, monkeypatch
):
    monkeypatch.setattr(pace, "BURST", 0)
    await write(services, TEXT * 10)
    async with opened("from=0") as socket:
        size = 0
        while size < len(TEXT) * 10:
            message = await asyncio.wait_for(socket.recv(), 5)
            assert isinstance(message, bytes)
            size += len(message) - 17


@pytest.mark.parametrize(
    "query", ["from=-1", "from=abc", "from=1000000000000000000000000", "tail=x"]
)
def test_a_socket_that_asks_for_nonsense_is_told(query):
    name, _, value = query.partition("=")
    with pytest.raises(Invalid) as caught:
        Wish.of({name: value})
    assert caught.value.field == name
