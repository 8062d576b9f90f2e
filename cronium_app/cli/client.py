"""Speaks HTTP to a server: where it is, with which token, and what its answers mean."""

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cronium_app.cli.errors import REFUSED, UNREACHABLE, CliError

HEADER = 17  # of a log frame: offset, time, stream


def config_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "cronium" / "config.toml"


def save_config(url: str, token: str) -> Path:
    """Readable by its owner alone."""
    path = config_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"url = {json.dumps(url)}\ntoken = {json.dumps(token)}\n")
    fresh.replace(path)
    return path


class Client:
    def __init__(self, url: str, token: str) -> None:
        import httpx2

        self._errors = httpx2.HTTPError
        self.url, self.token = url.rstrip("/"), token
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx2.Timeout(30, read=None),
        )

    @classmethod
    def configured(cls) -> "Client":
        """From CRONIUM_URL and CRONIUM_TOKEN, else from the file that `cronium login` wrote."""
        kept = _kept()
        url = os.environ.get("CRONIUM_URL") or kept.get("url", "")
        token = os.environ.get("CRONIUM_TOKEN") or kept.get("token", "")
        if not url or not token:
            raise CliError(
                "Which server? Run `cronium login URL`, or set CRONIUM_URL and CRONIUM_TOKEN."
            )
        return cls(url, token)

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON answer, None for an empty one. Raises CliError."""
        answer = self._request(method, path, body, query)
        return answer.json() if answer.content else None

    def log(self, run_id: str, offset: int) -> bytes:
        return self._request("GET", f"/api/v1/runs/{run_id}/log", None, {"offset": offset}).content

    def follow(self, run_id: str, offset: int) -> Iterator[tuple[int, bytes]]:
        """(stream, bytes) from the offset on until the log ends, over lost connections."""
        from websockets.exceptions import ConnectionClosed, InvalidStatus
        from websockets.sync.client import connect

        scheme = "wss" if self.url.startswith("https") else "ws"
        base = f"{scheme}://{urlsplit(self.url).netloc}/api/v1/runs/{run_id}/log/ws"
        failures = 0
        while True:
            try:
                with connect(
                    f"{base}?from={offset}&skip=0",
                    additional_headers={"Authorization": f"Bearer {self.token}"},
                    max_size=None,
                ) as socket:
                    for message in socket:
                        failures = 0
                        if isinstance(message, str):
                            return
                        at = int.from_bytes(message[:8], "big")
                        data = message[HEADER:][max(0, offset - at) :]
                        offset += len(data)
                        yield message[16], data
                    raise CliError("The server closed the log.", REFUSED)
            except InvalidStatus as error:
                self.call("GET", f"/api/v1/runs/{run_id}")  # says in words what is wrong
                raise CliError(f"The server refused the log ({error}).", REFUSED) from None
            except (ConnectionClosed, OSError) as error:
                failures += 1
                if failures > 5:
                    raise CliError(f"The connection is lost: {error}", UNREACHABLE) from None

    def _request(self, method: str, path: str, body: Any, query: dict[str, Any]) -> Any:
        given = {key: value for key, value in query.items() if value is not None}
        try:
            answer = self._http.request(method, path, json=body, params=given)
        except self._errors as error:
            raise CliError(f"No server answers at {self.url}: {error}", UNREACHABLE) from None
        if answer.is_error:
            raise CliError(_sentence(answer), REFUSED)
        return answer


def _sentence(answer: Any) -> str:
    try:
        body = answer.json()
        where = f"{body['field']}: " if body.get("field") else ""
        return f"{where}{body['message']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"The server answered {answer.status_code}."


def _kept() -> dict[str, str]:
    try:
        return tomllib.loads(config_path().read_text())
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CliError(f"{config_path()} cannot be read: {error}") from None
