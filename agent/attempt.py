"""One attempt, from the promise to run it until nothing of it is left on this host.

Steps: find the image, make a container, journal it, deliver, read, enforce the limits, judge,
report, remove. Cancelling `run` *detaches*: the container goes on, and the next engine adopts it
from the journal by the same path.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from agent import runtime
from agent.clock import boot_id, elapsed_s, now_ms
from agent.containers import (
    KIND_JOB,
    LABEL_ATTEMPT,
    LABEL_EPOCH,
    LABEL_KIND,
    LABEL_RUN,
    MAX_VOLUMES,
    Attachment,
    Containers,
    ContainerState,
    EngineDown,
    EngineRefused,
    NameTaken,
    Profile,
)
from agent.images import ImageProgress, ImageStore, ImageUnavailable
from agent.jobs import Job, Outcome, Phase, Reason
from agent.journal import (
    Begun,
    Cleared,
    Displaced,
    Dropped,
    Ended,
    Entry,
    Journal,
    Placed,
    Stopping,
)
from agent.protocol import Held, Progress
from agent.pump import Pump
from agent.reader import Reader
from agent.spool import Spool
from agent.verdict import (
    Seen,
    Verdict,
    is_decided,
    judge,
    not_delivered,
    read_reports,
    timed_out_sentence,
)

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_DELIVERIES = 3
_EOF_PATIENCE_S = 3.0
_PROVISIONAL_AFTER_S = 1.0  # the status does not wait longer than this for a large log
_RETRY_S = 1.0
_NAME_PAUSES_S = (0.0, 0.1, 0.3, 1.0, 3.0, 5.0)
_KILL_AGAIN_S = 2.0
_NOTHING_SHA256 = hashlib.sha256().hexdigest()


class _UnusableImage(Exception):
    """The image asks for what no job gets; the message is one sentence for the user."""


class Host(Protocol):
    """What an attempt needs of the engine it runs in."""

    containers: Containers
    images: ImageStore
    journal: Journal
    disk: ThreadPoolExecutor
    cpu_count: int

    async def engine_up(self) -> None:
        """Returns when the container engine answers."""
        ...

    def engine_failed(self) -> None:
        """It did not answer just now: `engine_up` waits until it does."""
        ...

    def log_grew(self, attempt: "Attempt") -> None: ...

    def progressed(self, attempt: "Attempt") -> None: ...

    def ended(self, attempt: "Attempt") -> None:
        """`attempt.outcome` is set (again)."""
        ...


class Attempt:
    """`entry` is its state on disk; the rest can be rebuilt from that and from the container."""

    def __init__(self, host: Host, entry: Entry, folder: Path, taken: asyncio.Future[None]) -> None:
        self._host = host
        self._folder = folder
        self._taken = taken  # done when the promise is on the disk
        self.entry = entry
        self.job: Job = entry.job
        self.spool: Spool | None = None
        self.outcome: Outcome | None = entry.ended.outcome if entry.ended else None
        self.final = entry.ended is not None and entry.ended.complete
        self.busy = self.outcome is None  # takes a slot
        self.progress: Progress | None = None
        self.cleared = asyncio.Event()
        if entry.cleared:
            self.cleared.set()
        self._stop_wanted = asyncio.Event()
        if entry.stopping is not None:
            self._stop_wanted.set()
        self._trailer_seen = asyncio.Event()
        self._trailer_at: float | None = None
        self._setup_spent = 0.0  # by earlier tries
        self._setup_since: float | None = None  # the one that goes on now
        # A wish from before a restart was signalled then, or will be as soon as we look.
        self._signalled = entry.stopping is not None
        self._killed = False
        self._engine_restarted = False
        self._adopted = False
        self._log_limit_hit = False
        self._deliveries = 0
        self._delivery: asyncio.Task[None] | None = None
        self._pump: Pump | None = None
        self._side_steps: set[asyncio.Future[None]] = set()

    # --- what others ask ---

    @property
    def id(self) -> str:
        return self.job.attempt_id

    @property
    def epoch(self) -> int:
        return self.job.epoch

    @property
    def held(self) -> Held:
        ended = "running" if self.entry.begun is not None else "accepted"
        return Held(
            run_id=self.job.run_id,
            attempt_id=self.id,
            epoch=self.epoch,
            state="finished" if self.outcome is not None else ended,
            log_length=self.spool.length if self.spool is not None else 0,
        )

    async def stop(self, reason: Reason, grace_s: float, phase: Phase | None = None) -> None:
        """Ends it: signal, grace, kill. The first wish counts; it survives a restart."""
        if self.entry.stopping is not None or self.outcome is not None:
            return
        wish = self._record(Stopping, reason=reason, grace_s=grace_s, phase=phase)
        try:
            await self._host.journal.append(wish)
        except OSError:
            _log.exception("attempt %s: the wish to stop is not on disk", self.id)
        self._stop_wanted.set()

    async def taken(self) -> None:
        """Returns when the promise to run it is on the disk. Raises OSError."""
        await asyncio.shield(self._taken)

    async def drop(self) -> None:
        """Forgets it on disk. Its container has to be gone."""
        await self._host.journal.append(Dropped(attempt_id=self.id, epoch=self.epoch))
        spool, self.spool = self.spool, None
        if spool is not None:
            await self._on_disk(spool.close)  # a thread may still write for a cancelled task
        await self._on_disk(Spool.remove, self._folder)

    def close(self) -> None:
        """After `run` has returned or was cancelled and the disk threads are idle."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None

    # --- the path ---

    async def run(self) -> None:
        try:
            await self._run()
        except Exception:  # noqa: BLE001 - whatever it is: it fails this run, and only this one
            _log.exception("attempt %s: a bug of ours ends it", self.id)
            await self._crashed()

    async def _run(self) -> None:
        spool: Spool = await self._on_disk(Spool, self._folder)
        self.spool = spool
        self._pump = Pump(spool, self._host.disk, self._log_grew)
        self._host.log_grew(self)  # somebody may have asked for it before it was open
        pumping = asyncio.create_task(self._pump.run(), name=f"pump {self.id}")
        try:
            await _beside(self._steps(), pumping)
        finally:
            await _cancel(pumping, self._delivery)

    async def _steps(self) -> None:
        while not self.final:
            try:
                await self._go_on()
            except EngineDown as error:
                _log.warning("attempt %s: %s", self.id, error)
                self._engine_restarted = self.entry.begun is not None
                self._host.engine_failed()
        await self.clear()

    async def _go_on(self) -> None:
        """One try to get from what is known to an outcome. Raises EngineDown."""
        if self.entry.placed is None and not await self._may_set_up():
            await self._end_unstarted(self._why_stopped())
            return
        await self._host.engine_up()
        attachment: Attachment | None = None
        if self.entry.placed is None:
            attachment = await self._set_up()
            if attachment is None:
                return
        else:
            state = await self._host.containers.inspect(self._placed.container_id)
            if state is None:
                await self._lost()
                return
            if state.status == "created":
                await self._displace()
                return
            self._adopted = True
            await self._note_begun(state)
        await self._follow(attachment)

    # --- setup ---

    async def _may_set_up(self) -> bool:
        """Waits for the engine, which is no part of the setup and has no limit; False as soon as
        somebody wants it to end: nothing of it ever started, so no engine is needed for that."""
        up = asyncio.create_task(self._host.engine_up())
        stop = asyncio.create_task(self._stop_wanted.wait())
        try:
            await asyncio.wait({up, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(up, stop)
        return not self._stop_wanted.is_set()

    async def _set_up(self) -> Attachment | None:
        """None: it ended before anything ran."""
        left = self.job.limits.setup_s - self._setup_spent
        self._setup_since = elapsed_s()
        placing = asyncio.create_task(self._place(), name=f"set up {self.id}")
        stop = asyncio.create_task(self._stop_wanted.wait())
        try:
            await asyncio.wait({placing, stop}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if placing.done():
                return await self._placed_or_ended(placing)
            if not stop.done():
                await self.stop(Reason.TIMED_OUT, 0, Phase.SETUP)
        finally:
            await _cancel(placing, stop)
            self._setup_spent = self._setup_s(elapsed_s())
            self._setup_since = None
        await self._remove_containers()
        await self._end_unstarted(self._why_stopped())
        return None

    async def _placed_or_ended(self, placing: "asyncio.Task[Attachment]") -> Attachment | None:
        try:
            return placing.result()
        except ImageUnavailable as error:
            reason, permanent = Reason.IMAGE_UNAVAILABLE, error.permanent
            verdict = Verdict(reason=reason, exit_code=None, detail=str(error), permanent=permanent)
        except _UnusableImage as error:
            verdict = Verdict(reason=Reason.BAD_IMAGE, exit_code=None, detail=str(error))
        except EngineRefused as error:
            verdict = _refused(self.job, error)
        await self._remove_containers()
        await self._end_unstarted(verdict)
        return None

    async def _place(self) -> Attachment:
        """A container that runs and gets its job.

        Raises ImageUnavailable, _UnusableImage, EngineRefused, EngineDown.
        """
        self._show(Phase.SETUP, "")
        image = await self._host.images.ensure(self.job.image, self._show_image)
        containers = self._host.containers
        volumes = await containers.volumes(image)
        if len(volumes) > MAX_VOLUMES:
            raise _UnusableImage(
                f"The image {self.job.image} declares {len(volumes)} volumes; "
                f"{MAX_VOLUMES} are allowed."
            )
        container_id = await self._create(image, volumes)
        attachment = await containers.attach(container_id)
        try:
            nonce = secrets.token_hex(16)
            placed = self._record(
                Placed, container_id=container_id, nonce=nonce, image_digest=image
            )
            await self.taken()
            # It starts while this goes to the disk; the first byte of the job comes after.
            starting = asyncio.create_task(containers.start(container_id))
            try:
                await self._host.journal.append(placed)
                self._delivery = asyncio.create_task(
                    self._deliver(attachment, runtime.payload(self.job, nonce))
                )
                await starting
            finally:
                await _cancel(starting)
        except BaseException:
            await attachment.close()
            raise
        self._deliveries += 1
        self._begin(now_ms(), elapsed_s())
        return attachment

    async def _create(self, image: str, volumes: tuple[str, ...]) -> str:
        profile = _profile(self.job, image, volumes, self._host.cpu_count)
        labels = {
            LABEL_RUN: self.job.run_id,
            LABEL_ATTEMPT: self.id,
            LABEL_EPOCH: str(self.epoch),
            LABEL_KIND: KIND_JOB,
        }
        for pause_s in _NAME_PAUSES_S:
            with suppress(NameTaken):
                return await self._host.containers.create(profile, self._name, labels)
            # The journal knows of no delivery to it, so its job never ran.
            await self._remove_containers()
            # Nothing to remove: the engine may still be making it for a request that was cut off.
            await asyncio.sleep(pause_s)
        raise EngineRefused(409, f"There is a container called {self._name} that is not ours.")

    async def _deliver(self, attachment: Attachment, data: bytes) -> None:
        try:
            await attachment.deliver(data)
        except EngineDown:
            _log.info("attempt %s: the delivery broke off", self.id)  # exit 125: delivered anew

    def _begin(self, at_ms: int, elapsed: float) -> None:
        begun = self._record(
            Begun,
            at_ms=at_ms,
            elapsed_s=elapsed,
            boot=boot_id(),
            setup_s=self._setup_s(elapsed),
        )
        self._soon(self._host.journal.append(begun))
        self._show(Phase.EXECUTION, "")

    def _setup_s(self, until: float) -> float:
        if self._setup_since is None:
            return self._setup_spent
        return self._setup_spent + max(0.0, until - self._setup_since)

    async def _note_begun(self, state: ContainerState) -> None:
        """After a restart between start and its record: the engine knows when it started."""
        if self.entry.begun is None:
            started = state.started_ms if state.started_ms is not None else now_ms()
            self._begin(started, elapsed_s() - max(0, now_ms() - started) / 1000)
        else:
            self._show(Phase.EXECUTION, "")

    # --- execution ---

    async def _follow(self, attachment: Attachment | None) -> None:
        """Reads and guards the container until it is gone. Raises EngineDown."""
        placed = self._placed
        reader = Reader(
            self._host.containers,
            placed.container_id,
            placed.nonce,
            self._opened,
            self._opened_pump,
            self._saw_trailer,
        )
        reading = asyncio.create_task(reader.run(attachment), name=f"read {self.id}")
        guarding = asyncio.create_task(self._guard(placed.container_id), name=f"guard {self.id}")
        try:
            code, state = await _beside(self._exit(placed.container_id), guarding)
            exited_at = elapsed_s()
            await _cancel(guarding)
            if state is None:
                await self._lost()
                return
            if state.running:
                return  # looked at too early: once more
            await self._settle(reader, reading, code, state, exited_at)
        finally:
            await _cancel(reading, guarding)

    async def _exit(self, container_id: str) -> tuple[int, ContainerState | None]:
        """(exit code, state) once it has ended; no state: it is gone. Raises EngineDown."""
        containers = self._host.containers
        try:
            return await containers.wait(container_id), await containers.inspect(container_id)
        except EngineRefused as error:
            if error.status != 404:
                raise
            return -1, None

    async def _settle(
        self,
        reader: Reader,
        reading: "asyncio.Task[None]",
        code: int,
        state: ContainerState,
        exited_at: float,
    ) -> None:
        whole = asyncio.create_task(self._read_to_end(reader, reading), name=f"rest {self.id}")
        try:
            done, _ = await asyncio.wait({whole}, timeout=_PROVISIONAL_AFTER_S)
            if not done and is_decided(self._seen(reader, code, state)):
                self._report(reader, code, state, exited_at, final=False)
            await whole
        finally:
            await _cancel(whole)
        seen = self._seen(reader, code, state)
        if not_delivered(seen) and seen.stop_reason is None and self._deliveries < _DELIVERIES:
            await self._displace()
            return
        self._report(reader, code, state, exited_at, final=True)

    async def _read_to_end(self, reader: Reader, reading: "asyncio.Task[None]") -> None:
        """Until every byte the container wrote is in the spool. Raises EngineDown."""
        if reader.attached:
            with suppress(TimeoutError):
                async with asyncio.timeout(_EOF_PATIENCE_S):
                    await reader.attachment_ended.wait()
        whole = reader.whole
        await _cancel(reading)
        if not whole:
            try:
                await reader.read_log(follow=False)
            except EngineRefused as error:
                _log.warning("attempt %s: its log cannot be read: %s", self.id, error)
        await reader.finish()

    async def _guard(self, container_id: str) -> None:
        """Ends the container when its time is over or somebody wants it to end."""
        while True:
            with suppress(EngineRefused):
                try:
                    await self._guard_once(container_id)
                except EngineDown:
                    self._host.engine_failed()
                    await self._host.engine_up()
            await asyncio.sleep(_RETRY_S)

    async def _guard_once(self, container_id: str) -> None:
        phase = await self._until_it_has_to_end()
        if phase is not None:
            await self.stop(Reason.TIMED_OUT, self.job.limits.stop_grace_s, phase)
        stopping = self.entry.stopping
        grace_s = stopping.grace_s if stopping is not None else 0.0
        if not self._killed and phase is not Phase.CLEANUP:
            self._signalled = True
            await self._host.containers.signal(container_id, "TERM")
            await asyncio.sleep(grace_s)
        self._killed = True
        self._signalled = True
        while True:
            await self._host.containers.signal(container_id, "KILL")
            await asyncio.sleep(_KILL_AGAIN_S)

    async def _until_it_has_to_end(self) -> Phase | None:
        """None: somebody wants it; else the phase whose time is over."""
        stop = asyncio.create_task(self._stop_wanted.wait())
        trailer = asyncio.create_task(self._trailer_seen.wait())
        try:
            await asyncio.wait(
                {stop, trailer},
                timeout=self._execution_left(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if stop.done():
                return None
            if not trailer.done():
                return Phase.EXECUTION
            await asyncio.wait({stop}, timeout=self.job.limits.cleanup_s)
            return None if stop.done() else Phase.CLEANUP
        finally:
            await _cancel(stop, trailer)

    def _execution_left(self) -> float:
        begun = self.entry.begun
        if begun is None:
            return self.job.limits.execution_s
        if begun.boot == boot_id():
            spent = elapsed_s() - begun.elapsed_s
        else:
            spent = (now_ms() - begun.at_ms) / 1000
        return max(0.0, self.job.limits.execution_s - spent)

    def _saw_trailer(self) -> None:
        if not self._trailer_seen.is_set():
            self._trailer_seen.set()
            self._trailer_at = elapsed_s()
            self._show(Phase.CLEANUP, "")

    def _log_grew(self) -> None:
        self._host.log_grew(self)
        if self._opened.length > self.job.limits.log_mb << 20 and not self._log_limit_hit:
            self._log_limit_hit = True
            self._soon(self.stop(Reason.LOG_LIMIT, 0.0))

    # --- the end ---

    def _seen(self, reader: Reader, code: int, state: ContainerState) -> Seen:
        stopping = self.entry.stopping
        if not self._signalled:
            stopping = None  # a stop that came too late to be signalled did not end it
        return Seen(
            exit_code=state.exit_code if code < 0 else code,
            oom_killed=state.oom_killed,
            start_error=state.error,
            trailer=reader.trailer,
            stop_reason=stopping.reason if stopping is not None else None,
            stop_phase=stopping.phase if stopping is not None else None,
            grace_s=stopping.grace_s if stopping is not None else 0.0,
            killed_by_us=self._killed,
            engine_restarted=self._engine_restarted,
        )

    def _report(
        self, reader: Reader, code: int, state: ContainerState, exited_at: float, *, final: bool
    ) -> None:
        """Sets the outcome. Not final: the log and what comes at its end are still being read."""
        seen = self._seen(reader, code, state)
        verdict = judge(self.job, seen)
        reports = read_reports(reader.trailer)
        ran = verdict.reason in (Reason.EXITED,)
        execution_s, cleanup_s = self._durations(state, exited_at)
        detail = verdict.detail
        if reports.complaint and (ran or reader.trailer is not None) and final:
            detail = f"{detail} {reports.complaint}".strip()
        spool = self._opened
        self._end(
            Outcome(
                reason=verdict.reason,
                exit_code=verdict.exit_code,
                signal=_signal(verdict.exit_code),
                detail=detail,
                timed_out_phase=verdict.phase,
                stopped=seen.stop_reason is not None,
                oom_warning=verdict.oom_warning,
                outputs=reports.outputs,
                outputs_complete=not reports.complaint,
                conditions=reports.conditions,
                setup_s=self.entry.begun.setup_s if self.entry.begun else None,
                execution_s=execution_s,
                cleanup_s=cleanup_s,
                image_digest=self._placed.image_digest,
                log_length=spool.length,
                log_sha256=spool.digest() if final else "",
                stdout_bytes=spool.streams[1],
                stderr_bytes=spool.streams[2],
                permanent=verdict.permanent,
            ),
            final=final,
        )

    def _durations(self, state: ContainerState, exited_at: float) -> tuple[float, float]:
        """(execution, cleanup). After a restart the engine's own times stand in."""
        begun = self.entry.begun
        if begun is None:
            return 0.0, 0.0
        if self._engine_restarted or self._adopted or begun.boot != boot_id():
            finished = state.finished_ms if state.finished_ms is not None else now_ms()
            return max(0, finished - begun.at_ms) / 1000, 0.0
        trailer_at = self._trailer_at if self._trailer_at is not None else exited_at
        return max(0.0, trailer_at - begun.elapsed_s), max(0.0, exited_at - trailer_at)

    async def _lost(self) -> None:
        await self._opened_pump.drain()
        if self.outcome is not None:
            self._end(self._cut_short(self.outcome), final=True)
            return
        stopping = self.entry.stopping
        reason = Reason.LOST if stopping is None else stopping.reason
        spool = self._opened
        self._end(
            Outcome(
                reason=reason,
                detail="Its container was removed by someone else before its end could be seen.",
                stopped=stopping is not None,
                outputs_complete=False,
                setup_s=self.entry.begun.setup_s if self.entry.begun else None,
                image_digest=self._placed.image_digest,
                log_length=spool.length,
                log_sha256=spool.digest(),
                stdout_bytes=spool.streams[1],
                stderr_bytes=spool.streams[2],
                permanent=False,
            ),
            final=True,
        )

    def _cut_short(self, known: Outcome) -> Outcome:
        """How it ended was known and stays true; the rest of its log will never come."""
        spool = self.spool
        return msgspec.structs.replace(
            known,
            detail=f"{known.detail} The rest of its log was lost.".strip(),
            outputs_complete=False,
            log_length=spool.length if spool is not None else 0,
            log_sha256=spool.digest() if spool is not None else _NOTHING_SHA256,
            stdout_bytes=spool.streams[1] if spool is not None else 0,
            stderr_bytes=spool.streams[2] if spool is not None else 0,
        )

    def _why_stopped(self) -> Verdict:
        stopping = self.entry.stopping
        if stopping is None:
            return Verdict(reason=Reason.NOT_STARTED, exit_code=None, permanent=False)
        detail = ""
        if stopping.phase is not None:
            detail = timed_out_sentence(self.job, stopping.phase)
        return Verdict(reason=stopping.reason, exit_code=None, detail=detail, phase=stopping.phase)

    async def _end_unstarted(self, verdict: Verdict) -> None:
        spool = self._opened
        self._end(
            Outcome(
                reason=verdict.reason,
                detail=verdict.detail,
                timed_out_phase=verdict.phase,
                stopped=verdict.reason in (Reason.CANCELLED_BY_USER, Reason.REPLACED),
                setup_s=self._setup_spent,
                log_length=spool.length,
                log_sha256=spool.digest(),
                permanent=verdict.permanent,
            ),
            final=True,
        )

    def _end(self, outcome: Outcome, *, final: bool) -> None:
        self.outcome = outcome
        self.final = final
        self.busy = False
        if not final:
            ended = self._record(Ended, outcome=outcome, complete=False)
            self._soon(self._host.journal.append(ended))
        self._host.ended(self)

    async def clear(self) -> None:
        """Makes the outcome durable, then removes the container, verified. Retries for ever."""
        if self.entry.cleared:
            return
        if self.outcome is not None and (self.entry.ended is None or not self.entry.ended.complete):
            await self._retried(self._on_disk, self._opened.sync)
            ended = self._record(Ended, outcome=self.outcome, complete=True)
            await self._retried(self._host.journal.append, ended)
        await self._remove_containers()
        await self._retried(self._host.journal.append, self._record(Cleared))
        self.cleared.set()

    async def _displace(self) -> None:
        """Its container never ran the job: the next try makes another one."""
        await self._remove_containers()
        await self._host.journal.append(self._record(Displaced))

    async def remove_now(self) -> None:
        """Kills and removes whatever runs for it; `run` must have ended."""
        await self._remove_containers()

    async def _remove_containers(self) -> None:
        """By the journal's id and by name; waits for the engine as long as it takes."""
        delay = _RETRY_S
        while True:
            try:
                await self._host.engine_up()
                if self.entry.placed is not None:
                    await self._host.containers.remove(self.entry.placed.container_id)
                named = await self._host.containers.owned_id(self._name)
                if named is not None:
                    await self._host.containers.remove(named[0])
            except EngineDown:
                self._host.engine_failed()
            except EngineRefused as error:
                _log.warning("attempt %s: its container stays for now: %s", self.id, error)
                self._show(Phase.CLEANUP, f"its container cannot be removed yet: {error}")
                await asyncio.sleep(delay)
                delay = min(delay * 2, 30.0)
            else:
                return

    async def _crashed(self) -> None:
        if self.outcome is None:
            self._end(
                Outcome(
                    reason=Reason.CRASHED,
                    detail="A fault inside Cronium ended it; the server's log has the details.",
                    outputs_complete=False,
                    log_length=self.spool.length if self.spool else 0,
                    log_sha256=self.spool.digest() if self.spool else _NOTHING_SHA256,
                    permanent=False,
                ),
                final=True,
            )
        elif not self.final:
            self._end(self._cut_short(self.outcome), final=True)
        try:
            await self.clear()
        except Exception:  # noqa: BLE001 - a bug must not keep others waiting for `cleared`
            _log.exception("attempt %s could not be cleared", self.id)
            self.cleared.set()

    # --- small things ---

    @property
    def _name(self) -> str:
        return f"cr-{self.id}-{self.epoch}"

    @property
    def _placed(self) -> Placed:
        if self.entry.placed is None:
            raise RuntimeError("no container yet")
        return self.entry.placed

    @property
    def _opened(self) -> Spool:
        if self.spool is None:
            raise RuntimeError("no spool yet")
        return self.spool

    @property
    def _opened_pump(self) -> Pump:
        if self._pump is None:
            raise RuntimeError("no pump yet")
        return self._pump

    def _record(self, kind: Callable[..., Any], **values: Any) -> Any:
        return kind(attempt_id=self.id, epoch=self.epoch, **values)

    def _soon(self, step: Awaitable[None]) -> None:
        """For records whose loss costs only precision. The journal waits for them at its close."""
        task = asyncio.ensure_future(step)
        self._side_steps.add(task)
        task.add_done_callback(self._side_steps.discard)
        task.add_done_callback(_hear)

    async def _retried(self, step: Callable[..., Awaitable[Any]], *args: Any) -> None:
        while True:
            try:
                await step(*args)
            except OSError:
                _log.exception("attempt %s: the disk refuses; trying again", self.id)
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _on_disk(self, step: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._host.disk, step, *args)

    def _show_image(self, progress: ImageProgress) -> None:
        self._show(Phase.SETUP, progress.text if progress.state in ("building", "pulling") else "")

    def _show(self, phase: Phase, text: str) -> None:
        placed = self.entry.placed
        self.progress = Progress(
            attempt_id=self.id,
            epoch=self.epoch,
            phase=phase,
            time_ms=now_ms(),
            text=text,
            image_digest=placed.image_digest if placed else "",
            container_id=placed.container_id if placed else "",
        )
        self._host.progressed(self)


def _profile(job: Job, image: str, volumes: tuple[str, ...], cpu_count: int) -> Profile:
    limits = job.limits
    return Profile(
        image=image,
        network=job.network,
        memory_mb=limits.memory_mb,
        work_mb=limits.work_mb,
        tmp_mb=limits.tmp_mb,
        # More than the machine has is an error to the engine, and no limit to anybody else.
        cpus=min(limits.cpus, float(cpu_count)),
        pids=limits.pids,
        volumes=volumes,
    )


def _refused(job: Job, error: EngineRefused) -> Verdict:
    text = str(error)
    if "executable file not found" in text or "no such file or directory" in text:
        return Verdict(
            reason=Reason.BAD_IMAGE,
            exit_code=None,
            detail=f"The image {job.image} has no usable /bin/sh, which every job needs.",
        )
    return Verdict(
        reason=Reason.NOT_STARTED,
        exit_code=None,
        detail=f"The container engine refused: {text[:500]}",
        permanent=error.status == 400,
    )


def _signal(exit_code: int | None) -> int | None:
    return exit_code - 128 if exit_code is not None and 128 < exit_code < 160 else None


async def _beside(step: Coroutine[Any, Any, _T], helper: "asyncio.Task[None]") -> _T:
    """What `step` gives. `helper` works for it until cancelled: should it end before, waiting on
    would be for ever, so that is raised."""
    main = asyncio.create_task(step)
    try:
        await asyncio.wait({main, helper}, return_when=asyncio.FIRST_COMPLETED)
        if not main.done():
            helper.result()
            raise RuntimeError(f"{helper.get_name()} ended")
    finally:
        if not main.done():
            await _cancel(main)
    return main.result()


async def _cancel(*tasks: "asyncio.Task[Any] | None") -> None:
    waiting = [task for task in tasks if task is not None]
    for task in waiting:
        task.cancel()
    if waiting:
        await asyncio.gather(*waiting, return_exceptions=True)


def _hear(task: "asyncio.Future[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.warning("a journal record was not written: %s", task.exception())
