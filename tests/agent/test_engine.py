"""One job from Start to Finished, in real containers: what it sees, what it may, how it ends."""

import asyncio
import errno
import hashlib
import json
import time

import pytest
from harness import config, connected, engine_and_server, make_job, nothing_held, running

from agent import engine as engine_module
from agent.engine import Engine
from agent.jobs import Phase, Reason

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images"), pytest.mark.timeout(240)]


@pytest.fixture
async def pair(tmp_path):
    async with engine_and_server(tmp_path) as both:
        yield both


@pytest.fixture
async def server(pair):
    return pair[1]


SCRIPTS = {
    "python": "import cronium, sys\nprint('out', cronium.input('k'))\n"
    "print('err', file=sys.stderr)\ncronium.output('answer', 42)\n"
    "cronium.output({'list': [1, None, 'é']})\ncronium.set_condition('good')\n"
    "cronium.setCondition('bad', False)\nassert cronium.event()['attempt'] == 1\n"
    "assert cronium.input('none', 5) == 5\nsys.exit(7)",
    "node": "const cronium = require('cronium')\nconsole.log('out', cronium.input('k'))\n"
    "console.error('err')\ncronium.output('answer', 42)\n"
    "cronium.output({list: [1, null, 'é']})\ncronium.setCondition('good')\n"
    "cronium.set_condition('bad', false)\nif (cronium.event().attempt !== 1) throw 1\n"
    "if (cronium.input('none', 5) !== 5) throw 2\nprocess.exit(7)",
    "bash": 'set -eu\necho out "$(cronium_input k)"\necho err >&2\n'
    'cronium_output --json answer 42\ncronium_output \'{"list": [1, null, "é"]}\'\n'
    "cronium_set_condition good\ncronium_set_condition bad false\n"
    'cronium_event | grep -q \'"attempt":1\'\n[ "$(cronium_input none 5)" = 5 ]\nexit 7',
}


@pytest.mark.parametrize("runtime", SCRIPTS)
async def test_a_job_runs_and_reports(server, runtime):
    job = make_job(SCRIPTS[runtime], runtime, inputs=json.dumps({"k": "v"}).encode())
    record = await server.run_job(job)
    end = record.outcome
    assert (record.stdout, record.stderr) == (b"out v\n", b"err\n")
    assert (end.reason, end.exit_code, end.detail) == (Reason.EXITED, 7, "")
    assert json.loads(end.outputs) == {"answer": 42, "list": [1, None, "é"]}
    assert json.loads(end.conditions) == {"good": True, "bad": False}
    assert end.outputs_complete
    assert record.accepted == 1
    phases = {one.phase: one for one in record.progress}
    assert list(phases) == ["setup", "execution", "cleanup"]
    assert phases[Phase.EXECUTION].image_digest == end.image_digest != ""
    assert phases[Phase.EXECUTION].container_id
    assert end.setup_s > 0
    assert end.execution_s >= 0
    assert end.cleanup_s >= 0
    assert len(record.finished) == 1


async def test_an_es_module_can_import_the_helper(server):
    script = "import cronium from 'cronium'\nimport { output } from 'cronium'\n"
    record = await server.run_job(make_job(script + "await 0; output(cronium.input())", "node"))
    assert record.outcome.outputs == b"{}", record.stderr


LIVE = {
    "python": "import time\nfor i in range(3):\n    print('line', i)\n    time.sleep(0.5)",
    "node": "let i = 0\nconst t = setInterval(() => { console.log('line', i++)\n"
    "if (i == 3) clearInterval(t) }, 500)",
    "bash": "for i in 0 1 2; do echo line $i; sleep 0.5; done",
}


@pytest.mark.parametrize("runtime", LIVE)
async def test_each_line_arrives_when_it_is_printed(server, runtime):
    record = await server.run_job(make_job(LIVE[runtime], runtime))
    assert record.stdout == b"line 0\nline 1\nline 2\n"
    log, times = b"", []
    for at, data in record.arrivals:
        times += [at] * data.count(b"\n")
        log += data
    assert times[1] - times[0] > 0.3
    assert times[2] - times[1] > 0.3


TRACEBACKS = {
    "python": ("\n\nraise ValueError('here')\n", b'File "/job/script.py", line 3'),
    "node": ("\n\nthrow new Error('here')\n", b"/job/script.js:3"),
    "bash": ("\n\nno-such-command\n", b"script.sh: line 3: no-such-command"),
}


@pytest.mark.parametrize("runtime", TRACEBACKS)
async def test_errors_name_the_users_own_lines(server, runtime):
    script, expected = TRACEBACKS[runtime]
    record = await server.run_job(make_job(script, runtime))
    assert expected in record.stderr
    assert record.outcome.exit_code == {"python": 1, "node": 1, "bash": 127}[runtime]


@pytest.mark.parametrize("code", [0, 1, 125, 126, 127, 255])
async def test_exit_codes_are_the_scripts_own(server, code):
    record = await server.run_job(make_job(f"exit {code}"))
    assert (record.outcome.reason, record.outcome.exit_code) == (Reason.EXITED, code)


@pytest.mark.parametrize(("signal", "code"), [("KILL", 137), ("SEGV", 139), ("TERM", 143)])
async def test_a_script_that_dies_of_a_signal_adds_no_noise(server, signal, code):
    record = await server.run_job(make_job(f"echo before; kill -{signal} $$"))
    assert (record.outcome.reason, record.outcome.exit_code) == (Reason.EXITED, code)
    assert record.outcome.signal == code - 128
    assert (record.stdout, record.stderr) == (b"before\n", b"")


HOSTILE = {
    "PLAIN": "value",
    "EMPTY": "",
    "QUOTES": "'\"`$(touch /tmp/pwned)` '\\'' \\",
    "LINES": "one\ntwo\r\n\n",
    "CONTROL": "".join(map(chr, range(1, 32))) + "\x7f",
    "UNICODE": "äöü ā 漢字 🎉 \u2028 \u0081\u0088",
    "IFS": "abc",
    "I": "x",
    "cr_i": "/bin/false",
    "cr_n": "x",
    "PS4": "$(id)",
    "LONG": "x" * 100_000,
}


@pytest.mark.parametrize("runtime", ["python", "node", "bash"])
async def test_environment_arrives_byte_for_byte(server, runtime):
    names = json.dumps(sorted(HOSTILE))
    script = {
        "python": f"import os, cronium\ncronium.output({{k: os.environ[k] for k in {names}}})",
        "node": f"const v = {{}}\nfor (const k of {names}) v[k] = process.env[k]\n"
        "require('cronium').output(v)",
        "bash": f"for k in {' '.join(sorted(HOSTILE))}; do IFS=' '; done\n"
        'cronium_output PLAIN "$PLAIN"; cronium_output QUOTES "$QUOTES"\n'
        'cronium_output LINES "$LINES"; cronium_output UNICODE "$UNICODE"\n'
        'cronium_output CONTROL "$CONTROL"; cronium_output EMPTY "$EMPTY"',
    }[runtime]
    record = await server.run_job(make_job(script, runtime, env=HOSTILE))
    got = json.loads(record.outcome.outputs)
    assert record.outcome.exit_code == 0, record.stderr
    assert got == {name: HOSTILE[name] for name in got}
    assert len(got) == (6 if runtime == "bash" else len(HOSTILE))


async def test_neither_script_nor_environment_shows_in_the_containers_settings(pair):
    engine, server = pair
    job = make_job("echo script-s3cret; sleep 30", env={"TOKEN": "env-s3cret"})
    record = await server.start(job)
    await server.until(lambda: record.log)
    container = engine.containers._container(record.progress[-1].container_id)
    shown = json.dumps(await container.show())
    assert "s3cret" not in shown
    assert "s3cret" not in json.dumps(
        await container.docker._query_json(f"containers/{container.id}/top")
    )
    await server.stop(job, 0)
    await server.until(lambda: record.complete)


@pytest.mark.parametrize(
    ("env", "word"),
    [
        ({"A-B": "x"}, "name"),
        ({"": "x"}, "name"),
        ({"1A": "x"}, "name"),
        ({"ä": "x"}, "name"),
        ({"A": "x\0y"}, "NUL"),
        ({"A": "x" * 131072}, "longer"),
        ({f"A{n}": "x" * 100_000 for n in range(6)}, "together"),
        ({"OPTIND": "x"}, "shell"),
    ],
)
async def test_an_impossible_environment_is_refused_with_a_sentence(server, env, word):
    record = await server.run_job(make_job("true", env=env))
    assert record.refused[0].why == "invalid"
    assert word in record.refused[0].detail
    assert not record.accepted


async def test_hardening_seen_from_inside(server):
    script = r"""
import os, cronium, socket, ctypes
status = dict(l.split(":", 1) for l in open("/proc/self/status").read().splitlines())
def tried(what):
    try:
        what()
    except OSError as error:
        return error.strerror
    return "allowed"
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
cronium.output({
    "caps": [status[k].strip() for k in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")],
    "nnp": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(),
    "ids": [os.getuid(), os.getgid(), os.getgroups()], "cwd": os.getcwd(), "home": os.environ["HOME"],
    "root": tried(lambda: open("/usr/x", "w")), "etc": tried(lambda: open("/etc/x", "w")),
    "docker": [os.path.exists(p) for p in ("/var/run/docker.sock", "/run/docker.sock")],
    "unshare": tried(lambda: call(272, 0x10000000)), "mount": tried(lambda: call(165, b"x", b"/tmp", b"tmpfs", 0, 0)),
    "bpf": tried(lambda: call(321, 0, 0, 0)), "keyctl": tried(lambda: call(250, 0, -3, 1)),
    "sysrq": tried(lambda: open("/proc/sysrq-trigger", "w")),
    "setuid": tried(lambda: os.setuid(0)), "chown": tried(lambda: os.chown("/job", 0, 0)),
    "work": tried(lambda: open("/job/x", "w")), "tmp": tried(lambda: open("/tmp/x", "w")),
    "mode": oct(os.stat("/job").st_mode & 0o7777), "pids": open("/proc/1/comm").read().strip(),
    "network": tried(lambda: socket.create_connection(("1.1.1.1", 53), 2)),
    "interfaces": sorted(os.listdir("/sys/class/net")), "stdin": os.read(0, 1).decode(),
    "tini": "TINI_KILL_PROCESS_GROUP" in os.environ,
    "suid": "nosuid" in [l for l in open("/proc/mounts") if l.split()[1] == "/job"][0],
})
"""
    record = await server.run_job(make_job(script, "python"))
    got = json.loads(record.outcome.outputs)
    assert got.pop("network") in ("Network is unreachable", "Network unreachable"), record.stderr
    assert got.pop("sysrq") in ("Read-only file system", "No such file or directory")
    assert got == {
        "caps": ["0000000000000000"] * 5,
        "nnp": "1",
        "seccomp": "2",
        "ids": [1000, 1000, [1000]],
        "cwd": "/job",
        "home": "/job",
        "root": "Read-only file system",
        "etc": "Read-only file system",
        "docker": [False, False],
        "unshare": "Operation not permitted",
        "mount": "Operation not permitted",
        "bpf": "Operation not permitted",
        "keyctl": "Operation not permitted",
        "setuid": "Operation not permitted",
        "chown": "Operation not permitted",
        "work": "allowed",
        "tmp": "allowed",
        "mode": "0o700",
        "pids": "docker-init",
        "interfaces": ["lo"],
        "stdin": "",
        "tini": False,
        "suid": True,
    }


async def test_a_network_is_there_when_asked_for(server):
    record = await server.run_job(make_job("ls /sys/class/net", network=True))
    assert record.stdout.split() == [b"eth0", b"lo"]


async def test_time_zone_is_the_jobs(server):
    record = await server.run_job(make_job("date +%Z", timezone="Asia/Kolkata"))
    assert record.stdout == b"IST\n"


# --- limits ---


async def test_a_full_work_folder_is_no_memory_matter(server):
    script = "head -c 500000000 /dev/zero >/job/big; echo code $?"
    record = await server.run_job(make_job(script, limits={"memory_mb": 32, "work_mb": 200}))
    assert b"No space left on device" in record.stderr
    assert record.stdout == b"code 1\n"
    assert record.outcome.reason is Reason.EXITED
    assert not record.outcome.oom_warning


async def test_a_full_work_folder_still_lets_results_out(server):
    script = "head -c 100000000 /dev/zero >/job/big; cronium_output a 1"
    record = await server.run_job(make_job(script, limits={"work_mb": 16}))
    assert record.outcome.outputs == b'{"a":"1"}'


async def test_too_many_files_are_refused_by_the_folder(server):
    script = "cd /job; i=0; while : >f$i; do i=$((i+1)); done; echo $i"
    record = await server.run_job(make_job(script, limits={"work_mb": 1}))
    assert b"No space left on device" in record.stderr
    assert int(record.stdout) < 5000


HOG = "x = []\nwhile True: x.append(bytearray(10_000_000))"


async def test_too_much_memory_is_an_oom_kill(server):
    record = await server.run_job(make_job(HOG, "python", limits={"memory_mb": 64}))
    assert (record.outcome.reason, record.outcome.exit_code) == (Reason.OOM_KILLED, 137)
    assert "64 MB" in record.outcome.detail


async def test_a_killed_child_is_a_warning(server):
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {HOG!r}])\nsys.exit(3)"
    record = await server.run_job(make_job(script, "python", limits={"memory_mb": 64}))
    assert (record.outcome.reason, record.outcome.exit_code) == (Reason.EXITED, 3)
    assert record.outcome.oom_warning
    assert "memory ran out" in record.outcome.detail


async def test_processes_are_limited(server):
    script = (
        "import os, time\nn = 0\ntry:\n    while n < 100:\n        if os.fork() == 0:\n"
        "            time.sleep(60)\n        n += 1\nexcept BlockingIOError as e:\n"
        "    print(n, e.strerror)"
    )
    record = await server.run_job(make_job(script, "python", limits={"pids": 32}))
    assert record.stdout == b"29 Resource temporarily unavailable\n"


async def test_execution_time_is_limited(server):
    limits = {"execution_s": 0.5, "stop_grace_s": 5}
    record = await server.run_job(make_job("echo on; exec sleep 60", limits=limits))
    end = record.outcome
    assert (end.reason, end.timed_out_phase, end.exit_code) == (
        Reason.TIMED_OUT,
        Phase.EXECUTION,
        143,
    )
    assert record.stdout == b"on\n"
    assert end.detail == "The script took longer than 0.5 s."
    assert 0.4 < end.execution_s < 5


async def test_setup_time_is_limited(pair):
    engine, server = pair
    waiting = asyncio.Event()

    async def never(image, on_progress=None):
        waiting.set()
        await asyncio.Event().wait()

    engine.images.ensure = never
    record = await server.run_job(make_job("true", limits={"setup_s": 0.2}))
    end = record.outcome
    assert waiting.is_set()
    assert (end.reason, end.timed_out_phase, end.exit_code) == (Reason.TIMED_OUT, Phase.SETUP, None)
    assert end.setup_s >= 0.2


async def test_output_is_limited(server):
    job = make_job("yes | head -c 20000000; sleep 60", limits={"log_mb": 2})
    record = await server.run_job(job)
    assert record.outcome.reason is Reason.LOG_LIMIT
    assert record.outcome.detail == "It wrote more than 2 MB of output."


# --- stop ---


async def stopped(server, script, grace_s=10.0, ready=b"ready\n", **changes):
    job = make_job(script, **changes)
    record = await server.start(job)
    await server.until(lambda: ready in record.log)
    began = time.perf_counter()
    await server.stop(job, grace_s)
    await server.until(lambda: record.complete)
    return record, time.perf_counter() - began


async def test_stop_reaches_the_scripts_own_trap(server):
    record, took = await stopped(
        server, "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    )
    assert record.stdout == b"ready\nbye\n"
    end = record.outcome
    assert (end.reason, end.exit_code, end.stopped) == (Reason.CANCELLED_BY_USER, 9, True)
    assert took < 5


@pytest.mark.parametrize(
    ("runtime", "script"),
    [
        ("bash", "echo ready; sleep 60"),
        ("python", "import time; print('ready'); time.sleep(60)"),
        ("node", "console.log('ready'); setTimeout(() => {}, 60000)"),
    ],
)
async def test_stop_ends_a_plain_script_at_once(server, runtime, script):
    record, took = await stopped(server, script, runtime=runtime)
    assert (record.outcome.reason, record.outcome.exit_code) == (Reason.CANCELLED_BY_USER, 143)
    assert took < 5


NASTY = {
    "ignores": "trap '' TERM; echo ready; while :; do sleep 1; done",
    "setsid": "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 300' &) ; (setsid sleep 300 &)\n"
    "echo ready; while :; do sleep 1; done",
    "fork bomb": "trap '' TERM; echo ready; f() { f & f & wait; }; f",
}


@pytest.mark.parametrize("kind", NASTY)
async def test_what_does_not_listen_is_killed_after_the_grace(pair, kind):
    engine, server = pair
    record, took = await stopped(server, NASTY[kind], grace_s=1.0, limits={"pids": 64})
    end = record.outcome
    assert (end.reason, end.exit_code) == (Reason.CANCELLED_BY_USER, 137)
    assert "killed" in end.detail
    assert 1.0 <= took < 8
    await nothing_held(engine)
    assert await engine.containers.list_own() == []


async def test_what_a_script_leaves_behind_ends_with_it(server):
    script = (
        "(setsid sh -c 'while :; do echo noise; done' &); sleep 0.2; cronium_output a 1; exit 4"
    )
    record = await server.run_job(make_job(script))
    assert record.outcome.exit_code == 4
    assert record.outcome.outputs == b'{"a":"1"}'
    assert set(record.stdout.split()) == {b"noise"}


async def test_stop_during_setup(pair):
    engine, server = pair
    waiting = asyncio.Event()

    async def never(image, on_progress=None):
        waiting.set()
        await asyncio.Event().wait()

    engine.images.ensure = never
    job = make_job("true")
    record = await server.start(job)
    await waiting.wait()
    await server.stop(job)
    await server.until(lambda: record.complete)
    assert (record.outcome.reason, record.outcome.exit_code) == (Reason.CANCELLED_BY_USER, None)
    assert await engine.containers.list_own() == []


async def test_stop_of_what_is_not_held(server):
    job = make_job("true")
    await server.stop(job)
    record = server.of(job.attempt_id)
    await server.until(lambda: record.refused)
    assert record.refused[0].why == "stale"


async def test_a_second_stop_changes_nothing(server):
    job = make_job("trap 'sleep 0.5; exit 9' TERM; echo ready; while :; do sleep 0.1; done")
    record = await server.start(job)
    await server.until(lambda: record.log)
    for _ in range(5):
        await server.stop(job, 5)
    await server.until(lambda: record.complete)
    assert record.outcome.exit_code == 9
    assert len(record.finished) == 1


# --- results ---


async def test_results_too_large_are_announced(server):
    script = "import cronium\ncronium.output('big', 'x' * 2_500_000)\ncronium.set_condition('ok')"
    record = await server.run_job(make_job(script, "python"))
    end = record.outcome
    assert (end.exit_code, end.outputs, end.outputs_complete) == (0, b"{}", False)
    assert end.conditions == b'{"ok":true}'
    assert end.detail == "The outputs are larger than 1 MB and were not kept."


async def test_results_near_the_limit_arrive(server):
    script = "import cronium\ncronium.output('big', 'x' * 999_000)\nprint('end')"
    record = await server.run_job(make_job(script, "python"))
    assert len(json.loads(record.outcome.outputs)["big"]) == 999_000
    assert record.stdout == b"end\n"


async def test_results_that_are_not_json_are_announced(server):
    record = await server.run_job(
        make_job("echo nonsense >>/run/cronium/outputs; cronium_output a 1")
    )
    assert record.outcome.outputs == b'{"a":"1"}'
    assert not record.outcome.outputs_complete
    assert "not JSON" in record.outcome.detail


async def test_large_inputs_arrive_whole(server):
    text = "é'\"\n" * 150_000
    inputs = json.dumps({"text": text}).encode()[:1_000_000]
    inputs = json.dumps({"text": text[:140_000]}, ensure_ascii=False).encode()
    script = (
        "import cronium, hashlib\nprint(hashlib.sha256(cronium.input('text').encode()).hexdigest())"
    )
    record = await server.run_job(make_job(script, "python", inputs=inputs))
    assert record.stdout.decode().strip() == hashlib.sha256(text[:140_000].encode()).hexdigest()


async def test_the_largest_script_runs(server):
    script = b"#" * (1024 * 1024 - 20) + b"\necho end"
    record = await server.run_job(make_job(script))
    assert record.stdout == b"end\n"


async def test_a_script_of_odd_bytes_is_run_as_it_is(server):
    script = b"\xef\xbb\xbf" * 0 + b"printf '\xff\xfe\xc3\xa9\x81'\r\n"
    record = await server.run_job(make_job(script))
    assert record.stdout.startswith(b"\xff\xfe\xc3\xa9\x81")


# --- bytes ---


BYTES = {
    "binary on both": "head -c 3000000 /dev/urandom >/job/a; head -c 3000000 /dev/urandom >/job/b\n"
    "cat /job/a & cat /job/b >&2; wait",
    "no final newline": "printf abc >/job/a; printf def >/job/b; cat /job/a; cat /job/b >&2",
    "10 MB line": "head -c 10000000 /dev/zero | tr '\\0' x >/job/a; : >/job/b; cat /job/a",
    "split utf-8": "yes é漢🎉 | head -c 70001 >/job/a; : >/job/b\ndd if=/job/a bs=7 status=none",
    "record separators": "head -c 300000 /dev/zero | tr '\\0' '\\036' >/job/a; : >/job/b; cat /job/a",
    "many short lines": "seq 1 300000 >/job/a; : >/job/b; cat /job/a",
    "nothing": ": >/job/a; : >/job/b",
}
SUMS = "\ncronium_output a $(sha256sum </job/a | cut -c1-64); cronium_output b $(sha256sum </job/b | cut -c1-64)"


@pytest.mark.parametrize("kind", BYTES)
async def test_every_byte_arrives(server, kind):
    record = await server.run_job(make_job(BYTES[kind] + SUMS))
    told = json.loads(record.outcome.outputs)
    assert hashlib.sha256(record.stdout).hexdigest() == told["a"]
    assert hashlib.sha256(record.stderr).hexdigest() == told["b"]
    assert record.outcome.stdout_bytes == len(record.stdout)


# --- the conversation ---


async def test_a_duplicate_start_runs_once(server):
    job = make_job("echo once; sleep 0.3")
    record = await server.start(job)
    await server.start(job)
    await server.until(lambda: record.complete)
    assert record.accepted == 2
    assert record.stdout == b"once\n"
    # Acknowledged and forgotten: the same job handed out once more is refused.
    await server.until(lambda: server.heartbeats[-1].free_slots == 8)
    await asyncio.sleep(0.3)
    await server.start(job)
    await server.until(lambda: record.refused)
    assert record.refused[0].why == "stale"


async def test_slots_are_kept_and_told_at_once(tmp_path):
    async with engine_and_server(tmp_path, slots=1) as (_, server):
        job = make_job("sleep 60")
        await server.start(job)
        await server.until(lambda: server.heartbeats[-1].free_slots == 0, 2)
        second = await server.run_job(make_job("true"))
        assert second.refused[0].why == "no_slot"
        await server.stop(job, 0)
        await server.until(lambda: server.heartbeats[-1].free_slots == 1, 4)


async def test_a_job_with_a_newer_epoch_takes_the_place_of_the_older(pair):
    engine, server = pair
    old = make_job("echo old; sleep 60")
    record = await server.start(old)
    await server.until(lambda: record.log)
    server.known.clear()  # a new epoch has a log of its own
    server.acknowledge = False
    new = make_job("echo new; exit 5", attempt_id=old.attempt_id, epoch=2)
    for _ in range(3):  # came more than once
        await server.start(new)
    record = server.of(old.attempt_id)
    await server.until(lambda: record.complete and record.accepted == 3)
    assert (record.stdout, record.outcome.exit_code) == (b"new\n", 5)
    late = make_job("true", attempt_id=old.attempt_id, epoch=1)
    await server.start(late)
    await server.until(lambda: record.refused)
    assert record.refused[0].why == "stale"
    assert [found.epoch for found in await engine.containers.list_own() if found.epoch == 1] == []


async def test_forget_ends_a_running_job_and_leaves_nothing(pair, tmp_path):
    from agent.protocol import Forget

    engine, server = pair
    job = make_job("echo on; sleep 60")
    record = await server.start(job)
    await server.until(lambda: record.log)
    await server.send(Forget(attempt_id=job.attempt_id, epoch=job.epoch))
    await nothing_held(engine)
    assert await engine.containers.list_own() == []
    assert list((tmp_path / "spool").iterdir()) == []


async def test_after_the_acknowledgement_nothing_is_left(pair, tmp_path):
    engine, server = pair
    await server.run_job(make_job("echo hi"))
    await nothing_held(engine)
    assert await engine.containers.list_own() == []
    assert list((tmp_path / "spool").iterdir()) == []


async def test_an_unknown_image_is_explained(server):
    job = make_job("true", image="localhost:1/no/such:image")
    record = await server.run_job(job)
    assert record.outcome.reason is Reason.IMAGE_UNAVAILABLE
    assert record.outcome.detail


@pytest.mark.parametrize("image", ["../containers/json?all=1", "a b", "-v", "ALPINE"])
async def test_a_name_that_is_no_image_never_reaches_the_engine(server, image):
    record = await server.run_job(make_job("true", image=image))
    assert record.outcome.reason is Reason.IMAGE_UNAVAILABLE
    assert record.outcome.permanent


async def test_an_engine_can_be_run_again(tmp_path):
    engine = Engine(config(tmp_path))
    for _ in range(2):
        async with running(engine), connected(engine) as server:
            await server.until(lambda s=server: s.heartbeats[-1].engine == "up")
            record = await server.run_job(make_job("echo hi"))
            assert record.stdout == b"hi\n"
            await nothing_held(engine)


async def test_a_disk_that_cannot_be_looked_at_takes_no_jobs_and_ends_nothing(
    tmp_path, monkeypatch
):
    def refuse(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(engine_module, "_WATCH_S", 0.1)
    async with engine_and_server(tmp_path) as (_, server):
        with monkeypatch.context() as patch:
            patch.setattr(engine_module.shutil, "disk_usage", refuse)
            await server.until(lambda: server.heartbeats[-1].degraded)
            assert "cannot be used" in server.heartbeats[-1].degraded
            assert server.heartbeats[-1].free_slots == 0
        await server.until(lambda: not server.heartbeats[-1].degraded)
        record = await server.run_job(make_job("echo hi"))
        assert record.stdout == b"hi\n"


async def test_a_full_disk_is_said_and_offers_no_slot(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "_MIN_FREE_BYTES", 1 << 62)
    async with engine_and_server(tmp_path) as (_, server):
        await server.until(lambda: server.heartbeats[-1].degraded)
        beat = server.heartbeats[-1]
        assert (beat.engine, beat.free_slots) == ("up", 0)
        assert beat.degraded == beat.engine_detail
        assert beat.degraded.startswith("The disk of this agent is nearly full")
        record = await server.run_job(make_job("true"))
        assert (record.refused[0].why, record.refused[0].detail) == ("no_slot", beat.degraded)
