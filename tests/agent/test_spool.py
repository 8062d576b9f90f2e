"""The spool keeps exactly the bytes it acknowledged, whatever a crash leaves behind."""

import errno
import hashlib
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import spool as spool_module
from agent.protocol import MAX_LOG_BYTES
from agent.spool import Spool

PIECES = [(1, 1000, b"out 1\n"), (2, 1001, b"err\xff\n"), (1, 1060, b"out 2\n")]
WHOLE = b"out 1\nerr\xff\nout 2\n"


@pytest.fixture
def spool(tmp_path):
    one = Spool(tmp_path / "s")
    yield one
    one.close()


def test_reads_from_any_offset(spool):
    spool.append(PIECES)
    for offset in range(len(WHOLE) + 1):
        data, segments = spool.read(offset)
        assert data == WHOLE[offset:]
        assert sum(segment.length for segment in segments) == len(data)
    assert [segment.stream for segment in spool.read(0)[1]] == [1, 2, 1]
    assert spool.read(8)[1][0].stream == 2
    assert spool.read(8)[1][0].time_ms == 1001
    assert spool.streams == {1: 12, 2: 5}
    assert spool.digest() == hashlib.sha256(WHOLE).hexdigest()


def test_reads_beyond_the_end_as_nothing(spool):
    spool.append(PIECES)
    assert spool.read(len(WHOLE)) == (b"", [])
    assert spool.read(10**9) == (b"", [])


def test_limits_bytes_and_segments_of_one_read(spool):
    spool.append([(1 + number % 2, 0, b"x") for number in range(5000)])
    data, segments = spool.read(0)
    assert len(data) == len(segments) == 4096
    spool.append([(1, 0, b"y" * (MAX_LOG_BYTES + 10))])
    assert len(spool.read(5000)[0]) == MAX_LOG_BYTES
    assert len(spool.read(5000 + MAX_LOG_BYTES)[0]) == 10


def test_reopens_as_it_was(tmp_path):
    first = Spool(tmp_path / "s")
    first.append(PIECES)
    first.close()
    again = Spool(tmp_path / "s")
    assert (again.length, again.streams) == (len(WHOLE), {1: 12, 2: 5})
    assert again.digest() == hashlib.sha256(WHOLE).hexdigest()
    again.append([(1, 2000, b"more")])
    assert again.read(0)[0] == WHOLE + b"more"
    again.close()


@pytest.mark.parametrize("name", ["log", "index"])
def test_torn_at_every_byte_it_keeps_a_whole_prefix(tmp_path, name):
    first = Spool(tmp_path / "s")
    for piece in PIECES:
        first.append([piece])
    first.close()
    ends = {0, 6, 11, 17}
    for size in range((tmp_path / "s" / name).stat().st_size + 1):
        shutil.copytree(tmp_path / "s", tmp_path / "t")
        os.truncate(tmp_path / "t" / name, size)
        torn = Spool(tmp_path / "t")
        assert torn.length in ends
        assert torn.read(0)[0] == WHOLE[: torn.length]
        assert sum(torn.streams.values()) == torn.length
        assert torn.digest() == hashlib.sha256(WHOLE[: torn.length]).hexdigest()
        torn.append([(1, 0, b"on")])
        assert torn.read(0)[0] == WHOLE[: torn.length - 2] + b"on"
        torn.close()
        shutil.rmtree(tmp_path / "t")


def test_bytes_that_changed_on_disk_are_cut_off(tmp_path):
    first = Spool(tmp_path / "s")
    for piece in PIECES:
        first.append([piece])
    first.close()
    data = bytearray((tmp_path / "s" / "log").read_bytes())
    data[8] ^= 1
    (tmp_path / "s" / "log").write_bytes(data)
    assert Spool(tmp_path / "s").length == 6


def test_a_full_disk_leaves_the_files_as_they_were(spool, monkeypatch):
    spool.append(PIECES)
    real = os.write
    calls = []

    def failing(fd, data):
        calls.append(fd)
        if len(calls) == 1:
            return real(fd, bytes(data)[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool_module.os, "write", failing)
    with pytest.raises(OSError, match="No space"):
        spool.append([(1, 0, b"too much")])
    monkeypatch.undo()
    assert spool.read(0)[0] == WHOLE
    spool.append([(2, 0, b"now")])
    assert spool.read(0)[0] == WHOLE + b"now"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from([1, 2]), st.integers(0, 2**40), st.binary(min_size=1)),
            min_size=1,
            max_size=5,
        ),
        max_size=8,
    ),
    st.integers(0, 400),
    st.integers(1, 100),
)
def test_any_window_equals_the_bytes(tmp_path_factory, batches, offset, limit):
    one = Spool(tmp_path_factory.mktemp("spool"))
    for batch in batches:
        one.append(batch)
    whole = b"".join(piece[2] for batch in batches for piece in batch)
    data, segments = one.read(offset, limit)
    assert data == whole[offset : offset + limit]
    assert sum(segment.length for segment in segments) == len(data)
    one.close()


def test_closing_waits_for_what_is_being_written(tmp_path, monkeypatch):
    """A number of a file that was closed may be another file's the next moment."""
    spool = Spool(tmp_path / "a")
    writing, go_on = threading.Event(), threading.Event()
    real = os.write

    def slowly(fd, data):
        writing.set()
        assert go_on.wait(10)
        return real(fd, data)

    monkeypatch.setattr(spool_module.os, "write", slowly)
    with ThreadPoolExecutor(2) as pool:
        appending = pool.submit(spool.append, [(1, 1, b"late")])
        assert writing.wait(10)
        closing = pool.submit(spool.close)
        with pytest.raises(TimeoutError):
            closing.result(0.1)
        go_on.set()
        appending.result(10)
        closing.result(10)
    assert (tmp_path / "a" / "log").read_bytes() == b"late"


def test_a_closed_spool_writes_and_reads_nothing(tmp_path):
    spool = Spool(tmp_path / "a")
    spool.append([(1, 1, b"x")])
    spool.close()
    spool.close()
    with pytest.raises(ValueError, match="closed"):
        spool.append([(1, 1, b"y")])
    with pytest.raises(ValueError, match="closed"):
        spool.sync()
    assert spool.read(0) == (b"", [])
