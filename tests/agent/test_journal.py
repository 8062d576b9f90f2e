"""A record counts once it is on the disk; a torn tail never hides what came before it."""

import asyncio
import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import make_job

from agent import journal as journal_module
from agent.jobs import Outcome, Reason
from agent.journal import (
    Begun,
    Cleared,
    Displaced,
    Dropped,
    Ended,
    Journal,
    JournalState,
    Placed,
    Stopping,
    Taken,
    pack,
    unpack,
)


@pytest.fixture
def disk():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def story(job):
    key = {"attempt_id": job.attempt_id, "epoch": job.epoch}
    return [
        Taken(**key, job=job, at_ms=1),
        Placed(**key, container_id="c", nonce="n", image_digest="sha256:0"),
        Begun(**key, at_ms=2, elapsed_s=3.0, boot="b", setup_s=0.5),
        Stopping(**key, reason=Reason.CANCELLED_BY_USER, grace_s=1.0),
        Ended(**key, outcome=Outcome(reason=Reason.EXITED, exit_code=0), complete=True),
        Cleared(**key),
        Dropped(**key),
    ]


def reduced(records) -> JournalState:
    state = JournalState()
    for record in records:
        state.apply(record)
    return state


def shape(state: JournalState):
    return state.entries, state.tombstones


async def test_what_was_appended_is_there_after_a_restart(tmp_path, disk):
    job = make_job(b"\xff\0script", env={"A": "secret"})
    first = Journal(tmp_path / "journal", disk)
    for record in story(job)[:5]:
        await first.append(record)
    await first.close()
    again = Journal(tmp_path / "journal", disk)
    entry = again.state.entries[job.attempt_id]
    assert entry.job == job
    assert entry.placed is not None
    assert entry.stopping is not None
    assert entry.ended is not None
    assert not entry.cleared
    await again.close()
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


async def test_torn_at_every_byte_it_keeps_the_whole_records(tmp_path, disk, monkeypatch):
    for slow in ("fsync", "fdatasync"):
        monkeypatch.setattr(journal_module.os, slow, lambda fd: None)
    path = tmp_path / "journal"
    first = Journal(path, disk)
    records = story(make_job("x"))
    for record in records:
        await first.append(record)
    await first.close()
    data = path.read_bytes()
    ends = [len(data) - sum(len(pack(one)) for one in records[at:]) for at in range(8)]
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        torn = Journal(path, disk)
        whole = sum(end <= size for end in ends[1:])
        assert shape(torn.state) == shape(reduced(records[:whole]))
        # What is appended after a tear is found again.
        await torn.append(Dropped(attempt_id="later", epoch=1))
        await torn.close()
        again = Journal(path, disk)
        assert "later" in again.state.tombstones
        await again.close()


def test_a_flipped_bit_ends_the_reading():
    good = pack(Dropped(attempt_id="a", epoch=1))
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1
        records, used = unpack(good + bytes(bad))
        assert used == len(good)
        assert len(records) == 1


def test_the_shortest_records_of_a_state_give_the_same_state():
    job = make_job("x")
    for count in range(8):
        state = reduced(story(job)[:count])
        assert shape(reduced(state.records())) == shape(state)


def test_records_of_an_older_epoch_change_nothing():
    job = make_job("x", epoch=2)
    state = reduced(
        [
            story(job)[0],
            Stopping(attempt_id=job.attempt_id, epoch=1, reason=Reason.REPLACED, grace_s=0),
            Dropped(attempt_id=job.attempt_id, epoch=1),
        ]
    )
    assert state.entries[job.attempt_id].stopping is None


def test_a_displaced_attempt_has_no_container():
    job = make_job("x")
    state = reduced([*story(job)[:3], Displaced(attempt_id=job.attempt_id, epoch=1)])
    entry = state.entries[job.attempt_id]
    assert entry.placed is None
    assert entry.begun is None


async def test_many_appends_share_an_fsync(tmp_path, disk, monkeypatch):
    calls = []
    real = os.fdatasync
    monkeypatch.setattr(journal_module.os, "fdatasync", lambda fd: (calls.append(fd), real(fd)))
    one = Journal(tmp_path / "journal", disk)
    await asyncio.gather(
        *(one.append(Dropped(attempt_id=str(number), epoch=1)) for number in range(200))
    )
    await one.close()
    assert len(calls) <= 3


async def test_it_is_compacted_and_loses_nothing(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(journal_module, "_COMPACT_ABOVE", 2000)
    path = tmp_path / "journal"
    one = Journal(path, disk)
    jobs = [make_job(b"x" * 200) for _ in range(60)]
    for job in jobs:
        await asyncio.gather(*(one.append(record) for record in story(job)))
    kept = make_job("kept")
    for record in story(kept)[:3]:
        await one.append(record)
    await one.close()
    assert path.stat().st_size < 15_000
    again = Journal(path, disk)
    assert list(again.state.entries) == [kept.attempt_id]
    assert again.state.entries[kept.attempt_id].begun is not None
    assert len(again.state.tombstones) == 60
    await again.close()


async def test_a_refusing_disk_is_reported_and_later_records_count(tmp_path, disk, monkeypatch):
    path = tmp_path / "journal"
    one = Journal(path, disk)
    real = os.write

    def half(fd, data):
        real(fd, bytes(data)[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_module.os, "write", half)
    with pytest.raises(OSError, match="No space"):
        await one.append(Dropped(attempt_id="lost", epoch=1))
    monkeypatch.undo()
    await one.append(Dropped(attempt_id="kept", epoch=1))
    await one.close()
    again = Journal(path, disk)
    assert list(again.state.tombstones) == ["kept"]
    await again.close()


async def test_what_follows_a_compaction_that_failed_half_way_is_not_lost(
    tmp_path, disk, monkeypatch
):
    """Renamed, but the folder not synced: what is written next has to be in the new file, and
    counts only when the folder is on the disk too."""
    path = tmp_path / "journal"
    one = Journal(path, disk)
    monkeypatch.setattr(journal_module, "_COMPACT_ABOVE", 2000)
    refusing = True
    real = os.fsync

    def fsync(fd):
        if refusing and stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(journal_module.os, "fsync", fsync)
    await one.append(story(make_job(b"x" * 3000))[0])
    with pytest.raises(OSError, match="Input/output"):
        await one.append(Dropped(attempt_id="refused", epoch=1))
    refusing = False
    await one.append(Dropped(attempt_id="later", epoch=1))
    await one.close()
    again = Journal(path, disk)
    assert len(again.state.entries) == 1
    assert "later" in again.state.tombstones
    await again.close()


async def test_half_a_record_that_cannot_be_cut_off_hides_nothing(tmp_path, disk, monkeypatch):
    """The disk refuses, and refuses the cutting back too: nothing counts until that is done."""
    path = tmp_path / "journal"
    one = Journal(path, disk)
    real = os.write

    def half(fd, data):
        real(fd, bytes(data)[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "ftruncate", refuse)
        with monkeypatch.context() as deeper:
            deeper.setattr(journal_module.os, "write", half)
            with pytest.raises(OSError, match="No space"):
                await one.append(Dropped(attempt_id="lost", epoch=1))
        with pytest.raises(OSError, match="Input/output"):
            await one.append(Dropped(attempt_id="refused", epoch=1))
    await one.append(Dropped(attempt_id="kept", epoch=1))
    await one.close()
    again = Journal(path, disk)
    assert list(again.state.tombstones) == ["kept"]
    await again.close()


async def test_a_foreign_file_is_not_overwritten(tmp_path, disk):
    (tmp_path / "journal").write_bytes(b"something else entirely")
    with pytest.raises(ValueError, match="no journal"):
        Journal(tmp_path / "journal", disk)
    assert (tmp_path / "journal").read_bytes() == b"something else entirely"
