"""Pictures for the documentation, taken from the real product.

    .venv/bin/python -m scripts.pictures          writes docs/img/*.png

Starts a server with a data folder of its own, writes an event, runs it in a real container and takes
what a browser shows. Needs the client, the job images, chromium, and the test requirements.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page, async_playwright

from bench.product import EMAIL, PASSWORD, Product, product
from scripts.console import ROOT

TARGET = ROOT / "docs" / "img"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

BACKUP = r"""
set -euo pipefail
note() { printf '\033[32m»\033[0m %s\n' "$1"; }

note "dumping postgres (4 databases)"
for db in analytics billing crm ledger; do
    sleep 0.6
    printf '  %-14s %4d MiB   \033[32mok\033[0m\n' "$db" "$((RANDOM % 900 + 100))"
    [ "$db" != billing ] || echo "warning: table sessions has no primary key" >&2
done
note "uploading to the archive"
for percent in 10 25 45 60 80; do
    sleep 1
    printf '  %3d %%\n' "$percent"
done
sleep 20
note "done"
cronium_output '{"databases": 4}'
"""

SYNC = """
import time

for page in range(1, 4):
    print(f"page {page} of 3, 100 invoices", flush=True)
    time.sleep(0.1)
"""


async def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    async with product() as cronium, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        run = await _prepare(cronium)
        for scheme in ("dark", "light"):
            context = await browser.new_context(
                viewport={"width": 1440, "height": 900}, color_scheme=scheme
            )
            await _sign_in(context, cronium)
            page = await context.new_page()
            for name, path, ready in _pages(run):
                await _take(page, cronium.url + path, ready, TARGET / f"{name}-{scheme}.png")
            await context.close()
        await cronium.call("POST", f"/api/v1/runs/{run['id']}/cancel")
        await browser.close()


def _pages(run: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        ("run", f"/runs/{run['id']}", "text=uploading to the archive"),
        ("events", "/events", ".row-link"),
        ("event", f"/events/{run['event_id']}", ".cm-content"),
        ("home", "/", "text=Running now"),
    ]


async def _prepare(cronium: Product) -> dict[str, Any]:
    """An installation that looks lived in, and a run in progress."""
    sync = await cronium.event(
        name="sync-invoices", runtime="python", script=SYNC, tags=["finance"]
    )
    backup = await cronium.event(
        name="nightly-backup", runtime="bash", script=BACKUP, tags=["prod", "backup"]
    )
    schedules = {
        sync: {"kind": "cron", "expression": "*/15 6-20 * * 1-5", "timezone": "Europe/Berlin"},
        backup: {"kind": "cron", "expression": "0 2 * * *", "timezone": "Europe/Berlin"},
    }
    for event, schedule in schedules.items():
        await cronium.call("POST", f"/api/v1/events/{event}/schedules", schedule, 201)
    for _ in range(6):
        await cronium.run(sync)
    return dict(await cronium.call("POST", f"/api/v1/events/{backup}/runs", {}, 201))


async def _sign_in(context: BrowserContext, cronium: Product) -> None:
    answer = await context.request.post(
        f"{cronium.url}/auth/login",
        data=json.dumps({"email": EMAIL, "password": PASSWORD}),
        headers={"Origin": cronium.url, "Content-Type": "application/json"},
    )
    if not answer.ok:
        raise RuntimeError(await answer.text())


async def _take(page: Page, url: str, ready: str, target: Path) -> None:
    await page.goto(url)
    await page.wait_for_selector(ready, timeout=30_000)
    await page.evaluate("document.fonts.ready")
    await page.screenshot(path=target)
    print(target.relative_to(ROOT))


if __name__ == "__main__":
    asyncio.run(main())
