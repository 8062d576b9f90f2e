"""Searching against the plainest oracle (line by line), and queries that mean harm."""

import asyncio
import re
import threading
import time

import pytest
import re2
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.protocol import Segment
from cronium_app.domain.ids import new_id
from cronium_app.logs import search as searching
from cronium_app.logs.files import LogStore, SearchBusy
from cronium_app.logs.search import QueryError, matcher, search
from cronium_app.logs.seek import Reader
from tests.logs.test_seek import pieces, starts, written


@pytest.fixture
def log_of(tmp_path):
    def make(data: bytes) -> Reader:
        path, log = written(tmp_path, [(1, data, 0)])
        return Reader(path, len(log))

    return make


def lines_of(log: bytes) -> list[tuple[int, bytes]]:
    begins = starts(log)
    return [
        (at, log[at:end].removesuffix(b"\n"))
        for at, end in zip(begins, [*begins[1:], len(log)], strict=False)
    ]


def oracle(log: bytes, words: str, *, regex: bool, case: bool) -> list[tuple[int, int]]:
    """(line, offset of the match), each line by itself."""
    options = re2.Options()
    options.literal, options.case_sensitive, options.log_errors = not regex, case, False
    compiled = re2.compile(words, options)
    found = []
    for number, (at, line) in enumerate(lines_of(log), 1):
        if match := compiled.search(line):
            found.append((number, at + match.start()))
    return found


QUERIES = st.sampled_from(
    [
        ("line", False), ("X", False), ("ä", False), ("Ä", False), (".", False), ("y" * 9, False),
        ("^", True), ("$", True), ("^$", True), ("x|y", True), ("[^a]", True), (r"\s", True),
        (r"\w+$", True), ("^l.*e$", True), ("(?s).+", True), (".", True), ("y{3,9}$", True),
        (r"\bline\b", True), ("ä+", True), ("(?i)LINE", True), ("x*", True),
    ]
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")  # of large examples
@settings(deadline=None, max_examples=150)
@given(pieces, QUERIES, st.booleans(), st.integers(1, 5))
def test_hits_are_those_of_every_line_by_itself(tmp_path_factory, parts, query, case, limit):
    """Lines that fit into a block; a longer one goes by in pieces, see `_piece_of_line`."""
    whole = b"".join(part[1] for part in parts)
    assume(all(len(line) < searching.FIRST_BLOCK for line in whole.split(b"\n")))
    agrees(tmp_path_factory.mktemp("search"), parts, query, case, limit)


short = st.lists(st.tuples(st.sampled_from((1, 2)), st.binary(min_size=1, max_size=40) | st.just(b"line\n"), st.just(9)), max_size=20)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(short, QUERIES, st.integers(50, 500))
def test_it_does_not_matter_where_the_blocks_end(tmp_path_factory, parts, query, limit):
    """Blocks of 1 kB, no line as long as one."""
    sizes = {"FIRST_BLOCK": 1024, "LEAST_BLOCK": 1024, "MOST_BLOCK": 1024}
    with pytest.MonkeyPatch.context() as patch:
        for name, size in sizes.items():
            patch.setattr(searching, name, size)
        agrees(
            tmp_path_factory.mktemp("search"), ([*parts, (1, b"\n", 0)]) * 9, query, False, limit
        )


def agrees(folder, parts, query, case, limit) -> None:
    words, regex = query
    path, log = written(folder, parts)
    wanted = oracle(log, words, regex=regex, case=case)
    find = matcher(words, regex=regex, case=case)
    got, at = [], 0
    with Reader(path, len(log)) as reader:
        for _ in range(len(wanted) + 2):
            found = search(reader, find, start=at, limit=limit)
            got += [(hit.line, hit.offset) for hit in found.hits]
            if found.next is None:
                break
            assert found.stopped == "limit"
            at = found.next
    assert got == wanted


@pytest.mark.parametrize("size", [100_000, 300_000, 3_000_000])
def test_a_hit_anywhere_in_a_long_line_is_found(log_of, size):
    for at in (0, size // 3, size - 6):
        data = b"before\n" + b"x" * at + b"needle" + b"y" * (size - at - 6) + b"\nneedle again\n"
        with log_of(data) as reader:
            hits = search(reader, matcher("needle")).hits
            assert [(hit.line, hit.offset) for hit in hits] == [(2, 7 + at), (3, 8 + size)]
            ends = search(reader, matcher("y$", regex=True)).hits
            assert [hit.offset for hit in ends] == ([6 + size] if size - at > 6 else [])
            assert [h.line for h in search(reader, matcher("^x", regex=True)).hits] == (
                [2] if at else []
            )


def test_a_snippet_shows_the_match_with_its_surroundings(log_of):
    with log_of(b"a" * 500 + "ä needle ü".encode() + b"b" * 500 + b"\r\nneedle\r\n") as reader:
        first, second = search(reader, matcher("NEEDLE")).hits
    assert "ä needle ü" in first.snippet
    assert len(first.snippet) < 300
    assert second.snippet == "needle"
    assert (first.length, second.line) == (6, 2)


def test_it_stops_at_its_time_and_goes_on_where_it_was(log_of, monkeypatch):
    with log_of(b"needle\n" + b"hay\n" * 1_000_000 + b"needle\n") as reader:
        find = matcher("needle")
        none = search(reader, find, seconds=0)
        assert (none.stopped, none.next, none.hits) == ("time", 0, [])
        now = iter(range(10_000))
        monkeypatch.setattr(searching.time, "monotonic", lambda: next(now))
        first = search(reader, find, seconds=10)
        assert (first.stopped, len(first.hits)) == ("time", 1)
        assert first.next
        monkeypatch.undo()
        rest = search(reader, find, start=first.next)
        assert (rest.stopped, rest.next) == (None, None)
        assert [hit.line for hit in rest.hits] == [1_000_002]


def test_one_who_left_is_searched_for_no_longer(log_of):
    gone = threading.Event()
    gone.set()
    with log_of(b"needle\n") as reader:
        assert search(reader, matcher("needle"), gone=gone).stopped == "time"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("(", "bracket"), ("a{2000}", "1000"), (r"(a)\1", "back-ref"), ("(?<=a)b", "look"),
        ("\\", "backslash"), ("[a", "not closed"), ("*a", "repeat"), ("a**", "repetitions"),
        (r"\Afoo", "^ and $"), (r"foo\z", "^ and $"), ("(?-m)^a", "^ and $"), (r"\C", "^ and $"),
        ("((((a{0,100}){0,100}){0,100}){0,100})", "large"), (r"(?i)\pL{1,90}", "large"),
        ("\ud800", "half a character"), ("x" * 10_000, "at most"), ("a\nb", "one line"), ("", "Say"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_for_is_said(words, says):
    with pytest.raises(QueryError) as caught:
        matcher(words, regex=True)
    message = str(caught.value)
    assert says in message or "large" in message
    assert re.fullmatch(r"[A-Z].*\.", message)
    if len(words) > 3:
        assert words not in message


def test_words_are_words(log_of):
    with log_of(b"a.b (x)* \\A \x00 \xe2\x82\xac \xff end\n") as reader:
        for words in ("a.b", "(x)*", "\\A", "\x00", "\u20ac", "END"):
            assert len(search(reader, matcher(words)).hits) == 1, words
        assert search(reader, matcher("END", case=True)).hits == []
        assert search(reader, matcher("axb")).hits == []
        assert len(search(reader, matcher(r"\x00", regex=True)).hits) == 1


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(x+x+)+y", r"(\w+\s?)*zz", "(.*){1,50}q", "(a|a)*b", "(a?){250}a{250}"]
)
def test_no_expression_takes_for_ever(log_of, pattern):
    """Each of them would keep a backtracking matcher busy until the end of the universe."""
    find = matcher(pattern, regex=True)
    with log_of((b"a" * 80 + b"!\n") * 20_000) as reader:
        begun = time.process_time()
        search(reader, find, seconds=0.3)
        assert time.process_time() - begun < 6


async def test_searches_wait_for_each_other_and_stop_when_cancelled(tmp_path):
    logs = LogStore(tmp_path)
    log = new_id()
    await logs.open(log)
    await logs.append(log, 0, b"hay\n", [Segment(1, 4, 0)])
    go = threading.Event()

    def slow(data: bytes, start: int, end: int) -> None:
        go.wait(5)

    running = [asyncio.create_task(logs.search(log, slow)) for _ in range(18)]
    await asyncio.sleep(0)
    with pytest.raises(SearchBusy):
        await logs.search(log, slow)
    async with asyncio.timeout(3):  # writing and reading go on
        assert await logs.append(log, 4, b"more\n", [Segment(1, 5, 0)]) == 9
        assert await logs.locate(log, 2) == 4
    for task in running[2:]:
        task.cancel()
    go.set()
    await asyncio.gather(*running, return_exceptions=True)
    assert (await logs.search(log, matcher("hay"))).hits[0].line == 1
    logs.close()


async def test_no_log_has_no_hits(tmp_path):
    logs = LogStore(tmp_path)
    assert (await logs.search(new_id(), matcher("x"))).hits == []
    assert await logs.locate(new_id(), 1) is None
    assert (await logs.place_of_line(new_id(), 5)).line == 1
    logs.close()
