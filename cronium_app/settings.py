"""Everything that can be set from outside: read once, typed, unknown names refused.

In order of precedence: command-line flag, `CRONIUM_*` variable, what `make up` remembered in
`.cronium.local` of the clone (host, port, data folder), the settings file, the default. The file
is TOML: `CRONIUM_CONFIG`, else `cronium.toml` in the data folder.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

PREFIX = "CRONIUM_"
FOREIGN = frozenset({"CRONIUM_URL", "CRONIUM_TOKEN", "CRONIUM_CONFIG"})  # of the CLI, and ours
ROOT = Path(__file__).resolve().parents[1]
REMEMBERED = {"HOST": "host", "PORT": "port", "DATA": "data_dir"}


class SettingsError(Exception):
    """The start cannot go on; the message is one sentence for the person who starts it."""


class Settings(BaseModel):
    """Not of pydantic-settings: `load_settings` merges the sources itself, so that it can refuse
    typos, and that library alone would be a tenth of a second of every command."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080  # 0: any free one
    data_dir: Path
    database_url: str = ""  # empty: SQLite in the data folder
    secret_key: SecretStr | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    base_image: str | None = None
    slots: Annotated[int, Field(ge=0, le=1000)] = 2 * (os.cpu_count() or 1)
    max_running: Annotated[int, Field(ge=1, le=100_000)] | None = None  # on all servers together
    builtin_agent: bool = True
    docker_socket: str | None = None  # None: DOCKER_HOST, else /var/run/docker.sock
    admin_email: str | None = None
    admin_password: SecretStr | None = None
    client_dir: Path = ROOT / ".web" / "build" / "client"
    public_url: str | None = None  # as people reach it, for links; None: what they used

    @field_validator("data_dir", "client_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite", "postgresql", "postgres:")):
            raise ValueError("the database must be SQLite or PostgreSQL")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @property
    def is_sqlite(self) -> bool:
        return not self.database_url or self.database_url.startswith("sqlite")

    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'cronium.db'}"

    @property
    def is_everywhere(self) -> bool:
        """It listens on every address of this machine."""
        return self.host in ("", "0.0.0.0", "::")

    def local_url(self, port: int) -> str:
        """Where a program on this machine finds the server; "everywhere" cannot be opened."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def people_url(self, port: int) -> str:
        """The beginning of links for people."""
        return (self.public_url or self.local_url(port)).rstrip("/")

    def process_environment(self) -> dict[str, str]:
        """What must be in `os.environ` before Reflex is imported to serve the built client."""
        return {
            "__REFLEX_SKIP_COMPILE": "1",  # no Node at run time
            "__REFLEX_MOUNT_FRONTEND_COMPILED_APP": "1",
            "REFLEX_ENV_MODE": "prod",
            "REFLEX_TELEMETRY_ENABLED": "false",
            "REFLEX_BACKEND_ONLY": "1",  # no symlinks in ./assets: the image may be read-only
            "REFLEX_WEB_WORKDIR": str(self.client_dir.parent.parent),
        }


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    root: Path = ROOT,
) -> Settings:
    """`flags` holds field names; None values do not count. Raises SettingsError."""
    env = os.environ if environ is None else environ
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    values = _remembered(root) | _variables(env) | given
    values.setdefault("data_dir", str(user_data_dir(env)))
    values = _file(Path(str(values["data_dir"])).expanduser(), env) | values
    try:
        return Settings(**cast("dict[str, Any]", values))
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def user_data_dir(environ: Mapping[str, str]) -> Path:
    """The data folder when nobody named one, after the XDG convention."""
    base = environ.get("XDG_DATA_HOME") or str(
        Path(environ.get("HOME") or str(Path.home())) / ".local" / "share"
    )
    return Path(base) / "cronium"


def _variables(environ: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name in FOREIGN:
            continue
        field = name.removeprefix(PREFIX).lower()
        if field not in Settings.model_fields or name != name.upper():
            raise SettingsError(f"There is no setting {name}; check its spelling or unset it.")
        if value != "":
            values[field] = value
    return values


def _remembered(root: Path) -> dict[str, object]:
    """KEY=VALUE lines that `make up` keeps in the clone."""
    try:
        text = (root / ".cronium.local").read_text()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {REMEMBERED[key.strip()]: value.strip() for key, value in pairs
            if key.strip() in REMEMBERED and value.strip()}  # fmt: skip


def _file(data_dir: Path, environ: Mapping[str, str]) -> dict[str, object]:
    named = environ.get("CRONIUM_CONFIG")
    path = Path(named).expanduser() if named else data_dir / "cronium.toml"
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if named:
            raise SettingsError(f"The settings file {path} (CRONIUM_CONFIG) is missing.") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}.") from None
    for key in values:
        if key not in Settings.model_fields:
            raise SettingsError(f"There is no setting {key!r} (in {path}); check its spelling.")
    return values


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    field = str(first["loc"][0])
    hidden = any(word in field for word in ("secret", "password", "url"))  # may hold a password
    shown = "" if hidden else f" ({first['input']!r})"
    return f"{PREFIX}{field.upper()}{shown} is not usable: {first['msg']}."
