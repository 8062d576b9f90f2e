"""From a run's revision to the job that is handed out. Pure."""

from agent.jobs import Job, Limits
from cronium_app.domain.clock import rfc3339
from cronium_app.domain.events import EventContent
from cronium_app.store.tables import Attempt, Run


def limits_of(content: EventContent) -> Limits:
    return Limits(
        setup_s=content.setup_timeout_s,
        execution_s=content.timeout_s,
        cleanup_s=content.cleanup_timeout_s,
        stop_grace_s=content.stop_grace_s,
        memory_mb=content.memory_mb,
        work_mb=content.work_mb,
        cpus=content.cpus,
        pids=content.pids,
    )


def build_job(run: Run, attempt: Attempt, content: EventContent, timezone: str) -> Job:
    """`timezone` becomes the job's TZ."""
    return Job(
        run_id=str(run.id),
        attempt_id=str(attempt.id),
        attempt=attempt.number,
        epoch=attempt.epoch,
        event_name=run.event_name,
        runtime=content.runtime,
        script=content.script.encode(),
        image=content.resolved_image(),
        env=content.env,
        network=content.network,
        timezone=timezone,
        inputs=run.inputs.encode(),
        context=_context(run, attempt),
        limits=limits_of(content),
    )


def _context(run: Run, attempt: Attempt) -> dict[str, str]:
    context = {
        "run_id": str(run.id),
        "event_id": str(run.event_id),
        "event": run.event_name,
        "revision": str(run.revision),
        "attempt": str(attempt.number),
        "trigger": run.trigger,
        "triggered_by": run.triggered_by_name,
        "created_at": rfc3339(run.created_at),
    }
    if run.fire_time is not None:
        context["fire_time"] = rfc3339(run.fire_time)
    return context
