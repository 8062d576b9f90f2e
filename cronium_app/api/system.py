"""Health, readiness, metrics, and the page that shows the API."""

import asyncio
import html
import json
import time
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest

from cronium_app.api.dependencies import ActorDep, ServicesDep
from cronium_app.services import Services
from cronium_app.store import meta
from cronium_app.store import runs as run_rows

router = APIRouter()
PROBE_KEY = "readiness_probe"
PROBE_TIMEOUT_S = 3.0
PROBE_EVERY_S = 1.0


@router.get("/healthz", include_in_schema=False)
@router.head("/healthz", include_in_schema=False)
async def healthz() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"ok": True})


@router.get("/readyz", include_in_schema=False)
@router.head("/readyz", include_in_schema=False)
async def readyz(request: Request, services: ServicesDep) -> JSONResponse:
    """200 when the database can be written and the scheduler runs. The engine is only told."""
    database = await _probe(request.app.state, services)
    scheduler = services.scheduler.healthy
    ready = database and scheduler
    body = {
        "ready": ready,
        "database": "up" if database else "down",
        "scheduler": "up" if scheduler else "down",
        "engine": services.orchestrator.engine_state().state,
    }
    return JSONResponse(body, 200 if ready else 503)


async def _probe(state: Any, services: Services) -> bool:
    """Whether a write succeeds. Strangers may ask, so at most one write a second."""
    last: tuple[float, bool] = getattr(state, "probe", (0.0, False))
    if time.monotonic() - last[0] < PROBE_EVERY_S:
        return last[1]
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S), services.db.write() as session:
            await meta.put(session, PROBE_KEY, services.clock.now().isoformat())
        good = True
    except Exception:  # noqa: BLE001 - whatever it is, the database cannot be written
        good = False
    state.probe = (time.monotonic(), good)
    return good


@router.get("/metrics", include_in_schema=False)
async def metrics(services: ServicesDep, _actor: ActorDep) -> Response:
    """For Prometheus. No names or ids: only counts."""
    async with services.db.read() as session:
        by_status = await run_rows.count_by_status(session)
    body = await asyncio.to_thread(_exposition, services, by_status)
    return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")


def _exposition(services: Services, by_status: dict[str, int]) -> bytes:
    registry = CollectorRegistry()
    engine = services.orchestrator.engine_state()
    runs = Gauge("cronium_runs", "Runs that have not ended", ["status"], registry=registry)
    for status, count in by_status.items():
        runs.labels(status).set(count)
    for name, text, value in (
        ("cronium_supervised_runs", "Running runs in this process", services.orchestrator.running_count),
        ("cronium_engine_up", "1 while the container engine answers", engine.state == "up"),
        ("cronium_slots", "Runs that may run at the same time", engine.slots),
        ("cronium_slots_free", "Slots without a run", engine.free_slots),
        ("cronium_scheduler_up", "1 while the scheduler looks", services.scheduler.healthy),
        ("cronium_loop_lag_p99_seconds", "Lateness of the event loop, last minute", services.loop_lag.p99),
        ("cronium_loop_lag_worst_seconds", "The same, its worst", services.loop_lag.worst),
    ):  # fmt: skip
        Gauge(name, text, registry=registry).set(value)
    ProcessCollector(registry=registry)
    return generate_latest(registry)


# --- the page that shows the API ------------------------------------------------------------------

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1c1f24;background:#fff}
code,pre{font:13px/1.5 ui-monospace,monospace}pre{overflow:auto;background:#f4f5f7;padding:.75rem}
summary{cursor:pointer;padding:.35rem 0}summary b{display:inline-block;width:4.5rem}
details{border-bottom:1px solid #e3e5e9}h2{margin-top:2.5rem}table{border-collapse:collapse}
td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#14161a}pre{background:#1d2026}
details{border-color:#2c3038}a{color:#8ab4ff}}
"""


@router.get("/api/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """Made here from the OpenAPI: nothing is loaded from elsewhere, nothing needs a script."""
    page = getattr(request.app.state, "docs_page", None)
    if page is None:
        page = request.app.state.docs_page = render(request.app.openapi())
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def render(spec: dict[str, Any]) -> str:
    """The OpenAPI as one plain page."""
    groups: dict[str, list[str]] = {}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(_operation(path, method, operation))
    schemas = "".join(
        f"<details id='{html.escape(name)}'><summary><code>{html.escape(name)}</code></summary>"
        f"<pre>{html.escape(json.dumps(schema, indent=2))}</pre></details>"
        for name, schema in sorted(spec["components"]["schemas"].items())
    )
    body = "".join(f"<h2>{html.escape(tag)}</h2>{''.join(ops)}" for tag, ops in groups.items())
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>Cronium API</title>"
        f"<style>{_STYLE}</style><h1>Cronium API</h1><p>{html.escape(spec['info']['description'])}"
        "</p><p><a href='/api/openapi.json'>openapi.json</a></p>"
        f"{body}<h2>Schemas</h2>{schemas}</html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{html.escape(item['name'])}</code></td><td>{item['in']}</td>"
        f"<td>{html.escape(item.get('description', ''))}</td></tr>"
        for item in operation.get("parameters", [])
    )
    content = operation.get("requestBody", {}).get("content", {})
    answers = {status: reply.get("content", {}) for status, reply in operation["responses"].items()}
    takes = f"<p>Body: {_link(content)}</p>" if content else ""
    gives = "".join(
        f"<li><code>{status}</code> {_link(reply)}</li>"
        for status, reply in answers.items()
        if status.startswith("2")
    )
    return (
        f"<details><summary><b>{method.upper()}</b><code>{html.escape(path)}</code></summary>"
        f"<p>{html.escape(operation.get('description', ''))}</p>"
        f"<table>{parameters}</table>{takes}<ul>{gives}</ul></details>"
    )


def _link(content: dict[str, Any]) -> str:
    for kind, media in content.items():
        name = str(media.get("schema", {}).get("$ref", "")).rpartition("/")[2]
        return f"<a href='#{html.escape(name)}'>{html.escape(name)}</a>" if name else kind
    return ""
