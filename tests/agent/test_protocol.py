"""Every message survives the codec; nothing that arrives can do more than be refused."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import protocol
from agent.jobs import Job, Limits, Outcome, Phase, Reason
from agent.protocol import (
    MAX_FRAME_BYTES,
    Accepted,
    FinishAck,
    Finished,
    Forget,
    Heartbeat,
    Held,
    Hello,
    ImageState,
    LogAck,
    LogChunk,
    Progress,
    ProtocolError,
    Refused,
    Resume,
    Segment,
    Start,
    Stop,
    Welcome,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number = st.integers(0, 2**53)
seconds = st.floats(0, 1e9)
maybe_seconds = st.none() | seconds

limits = st.builds(Limits, setup_s=seconds, memory_mb=number, cpus=seconds)
jobs = st.builds(
    Job,
    run_id=text,
    attempt_id=text,
    attempt=number,
    epoch=number,
    event_name=text,
    runtime=st.sampled_from(["python", "node", "bash"]),
    script=st.binary(max_size=50),
    image=text,
    env=st.dictionaries(text, text, max_size=3),
    network=st.booleans(),
    timezone=text,
    inputs=st.binary(max_size=20),
    context=st.dictionaries(text, text, max_size=2),
    limits=limits,
)
outcomes = st.builds(
    Outcome,
    reason=st.sampled_from(Reason),
    exit_code=st.none() | st.integers(-1, 255),
    signal=st.none() | st.integers(1, 64),
    detail=text,
    timed_out_phase=st.none() | st.sampled_from(Phase),
    outputs=st.binary(max_size=20),
    setup_s=maybe_seconds,
    log_length=number,
    permanent=st.booleans(),
)
key = {"attempt_id": text, "epoch": number}
from_agent = st.one_of(
    st.builds(
        Hello,
        agent_id=text,
        name=text,
        version=text,
        slots=number,
        holding=st.lists(
            st.builds(
                Held,
                run_id=text,
                **key,
                state=st.sampled_from(["accepted", "running", "finished"]),
                log_length=number,
            ),
            max_size=2,
        ),
    ),
    st.builds(
        Heartbeat,
        free_slots=number,
        engine=st.sampled_from(["up", "down"]),
        images=st.lists(
            st.builds(ImageState, image=text, state=st.just("ready"), percent=st.none() | number),
            max_size=2,
        ),
    ),
    st.builds(Accepted, **key),
    st.builds(Refused, **key, why=st.sampled_from(["no_slot", "draining", "stale"]), detail=text),
    st.builds(Progress, **key, phase=st.sampled_from(Phase), time_ms=number, text=text),
    st.builds(
        LogChunk,
        **key,
        offset=number,
        crc32=st.integers(0, 2**32 - 1),
        data=st.binary(max_size=50),
        segments=st.lists(
            st.builds(Segment, stream=st.sampled_from([1, 2]), length=number, time_ms=number),
            max_size=3,
        ),
    ),
    st.builds(Finished, **key, outcome=outcomes),
)
from_server = st.one_of(
    st.builds(Welcome, server_version=text, server_id=text),
    st.builds(Start, job=jobs),
    st.builds(Resume, **key, offset=number),
    st.builds(Forget, **key),
    st.builds(Stop, **key, grace_s=seconds, why=text),
    st.builds(LogAck, **key, offset=number, again=st.booleans()),
    st.builds(FinishAck, **key),
)


@given(from_agent)
def test_what_an_agent_says_is_understood(message):
    assert protocol.decode_from_agent(protocol.encode(message)) == message


@given(from_server)
def test_what_a_server_says_is_understood(message):
    assert protocol.decode_from_server(protocol.encode(message)) == message


decoders = pytest.mark.parametrize(
    "decode", [protocol.decode_from_agent, protocol.decode_from_server]
)


@decoders
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(decode, data):
    with pytest.raises(ProtocolError):
        decode(data)


@decoders
@settings(max_examples=300)
@given(from_agent | from_server, st.data())
def test_a_damaged_frame_is_understood_or_refused(decode, message, data):
    frame = bytearray(protocol.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frame)))
    try:
        understood = decode(bytes(frame[:cut]))
    except ProtocolError:
        return
    # It is a message of that side, whole: said again, it is the same. (Frames, not messages, are
    # compared: a damaged number may have become NaN.)
    again = protocol.encode(understood)
    assert protocol.encode(decode(again)) == again


@given(from_agent, st.data())
def test_a_frame_that_was_cut_off_is_refused(message, data):
    frame = protocol.encode(message)
    with pytest.raises(ProtocolError):
        protocol.decode_from_agent(frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(from_agent, from_server)
def test_what_the_other_side_says_is_refused(said_by_agent, said_by_server):
    with pytest.raises(ProtocolError):
        protocol.decode_from_agent(protocol.encode(said_by_server))
    with pytest.raises(ProtocolError):
        protocol.decode_from_server(protocol.encode(said_by_agent))


@decoders
@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"type": "Nonsense"},
        {"type": "FinishAck", "attempt_id": "a"},
        {"type": "FinishAck", "attempt_id": "a", "epoch": 1, "more": 1},
        {"type": "Accepted", "attempt_id": "a", "epoch": "1"},
        {"type": "Accepted", "attempt_id": "a", "epoch": 1.5},
        {"type": "Accepted", "attempt_id": None, "epoch": 1},
    ],
)
def test_wrong_shapes_are_refused(decode, value):
    with pytest.raises(ProtocolError):
        decode(msgspec.msgpack.encode(value))


@decoders
def test_deep_nesting_is_refused(decode):
    with pytest.raises(ProtocolError):
        decode(b"\x91" * 1_000_000 + b"\xc0")


@decoders
def test_a_frame_too_long_is_refused_unread(decode):
    with pytest.raises(ProtocolError, match="longer"):
        decode(b"\0" * (MAX_FRAME_BYTES + 1))


def test_a_message_too_large_is_not_sent():
    with pytest.raises(ProtocolError, match="larger"):
        protocol.encode(Refused(attempt_id="a", epoch=1, why="stale", detail="x" * MAX_FRAME_BYTES))


def test_one_side_does_not_understand_the_others_messages():
    with pytest.raises(ProtocolError):
        protocol.decode_from_server(protocol.encode(Accepted(attempt_id="a", epoch=1)))
    with pytest.raises(ProtocolError):
        protocol.decode_from_agent(protocol.encode(FinishAck(attempt_id="a", epoch=1)))
