"""Read the settings once, at start: the environment wins over the file, the file over the defaults."""

from __future__ import annotations

import ipaddress
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from relay.errors import ConfigError, Fault
from relay.settings.models import Environment, Settings
from relay.settings.values import Secret

Role = Literal["web", "worker", "store", "all"]

SECTIONS = ("relay", "store", "sources", "portals", "targets")
_NAMED = ("sources", "portals", "targets")
_PLAIN = ("CONFIG", "DATA_DIR", "ADMIN_TOKEN", "ENCRYPTION_KEYS", "LOG_FORMAT")
_LATER_SECTIONS = ("retention", "alerts", "users")
_LATER_TARGETS = ("slack-app", "teams", "payroll-http", "payroll-file", "xero-uk", "email")
_TARGETS = ("slack", "webhook")

# Whose secrets a role has to hold; what it does not need it does not read.
_ROLE_SECTIONS: Mapping[Role, tuple[str, ...]] = {
    "web": ("store", "sources"),
    "worker": ("store", "portals", "targets"),
    "store": ("store",),
    "all": SECTIONS,
}


def load(environ: Mapping[str, str], path: Path | None = None, *, role: Role = "all") -> Settings:
    """The settings for a role, from `path` (or RELAY_CONFIG, or config/relay.toml where that exists) and `environ`.

    Raises ConfigError with every fault found, each with its path in the file or the name of the variable.
    """
    faults: list[Fault] = []
    path = _path(environ, path)
    body = _read(path, faults) if path else {}
    _overlay(body, environ, faults)
    return load_mapping(body, environ=environ, path=path, role=role, faults=faults)


def load_mapping(
    body: Mapping[str, Any],
    *,
    environ: Mapping[str, str],
    path: Path | None = None,
    role: Role = "all",
    faults: list[Fault] | None = None,
) -> Settings:
    """The settings from a mapping that has the file's shape; raises ConfigError like `load`."""
    faults = list(faults or ())
    body = {section: content for section, content in body.items() if _known(section, faults)}
    # An unset REDIS_URL means the embedded store, not a missing secret (design.md 5).
    store = body.get("store")
    if isinstance(store, Mapping) and store.get("url") == "env:REDIS_URL" and not environ.get("REDIS_URL"):
        body["store"] = {name: value for name, value in store.items() if name != "url"}
    elif environ.get("REDIS_URL") and not (isinstance(store, Mapping) and "url" in store):
        body["store"] = {**(store if isinstance(store, Mapping) else {}), "url": "env:REDIS_URL"}
    environment = _environment(environ, path, faults)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate({**body, "environment": environment})
    except ValidationError as error:
        faults.extend(_fault(one) for one in error.errors(include_url=False, include_input=False))
    if settings is not None:
        folder = path.parent if path else Path.cwd()
        for section in _ROLE_SECTIONS[role]:
            for where, secret in _secrets(getattr(settings, section), section):
                if problem := secret.resolve(environ, folder):
                    faults.append(Fault(where, problem))
        faults.extend(_across(settings, role))
    if faults or settings is None:
        raise ConfigError(faults)
    return settings


def schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    out = Settings.model_json_schema()
    out["properties"].pop("environment", None)
    out.get("$defs", {}).pop("Environment", None)
    return out


def shown(settings: Settings) -> dict[str, Any]:
    """The settings as they are in force, secrets as their references."""
    return dict(json.loads(settings.model_dump_json(exclude_none=True)))


def _path(environ: Mapping[str, str], path: Path | None) -> Path | None:
    if path is not None:
        return path
    if named := environ.get("RELAY_CONFIG"):
        return Path(named)
    usual = Path("config/relay.toml")
    return usual if usual.exists() else None


def _read(path: Path, faults: list[Fault]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        faults.append(Fault(str(path), "there is no such file; copy config/relay.example.toml or set RELAY_CONFIG"))
    except (OSError, UnicodeDecodeError) as error:
        faults.append(Fault(str(path), f"cannot be read: {type(error).__name__}"))
    except tomllib.TOMLDecodeError as error:
        faults.append(Fault(str(path), f"not TOML: {error}"))
    return {}


def _overlay(body: dict[str, Any], environ: Mapping[str, str], faults: list[Fault]) -> None:
    for variable, text in environ.items():
        if not variable.startswith("RELAY_"):
            continue
        rest = variable.removeprefix("RELAY_")
        if rest in _PLAIN:
            continue
        parts = [part.lower() for part in rest.split("__")]
        if len(parts) < 2 or parts[0] not in SECTIONS:
            faults.append(
                Fault(variable, f"no setting of that name; sections are {', '.join(SECTIONS)}, as in RELAY_RELAY__PORT")
            )
            continue
        if parts[0] in _NAMED and len(parts) < 3:
            faults.append(Fault(variable, f"names no setting: write RELAY_{parts[0].upper()}__NAME__KEY"))
            continue
        if parts[0] in _NAMED:
            parts[1] = parts[1].replace("_", "-")
        place: Any = body
        for part in parts[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                faults.append(Fault(variable, f"{part} is not a section"))
                break
        else:
            place[parts[-1]] = _value(text)
    if "PORT" in environ:
        relay = body.setdefault("relay", {})
        if isinstance(relay, dict):
            relay["port"] = _value(environ["PORT"])


def _value(text: str) -> Any:
    """A TOML value where the text is one (number, list, true), else the text itself."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _known(section: str, faults: list[Fault]) -> bool:
    if section in SECTIONS:
        return True
    later = (
        "is not built yet in this release: take it out" if section in _LATER_SECTIONS else "there is no such section"
    )
    faults.append(Fault(section, f"{later}; sections are {', '.join(SECTIONS)}"))
    return False


def _environment(environ: Mapping[str, str], path: Path | None, faults: list[Fault]) -> Environment:
    log_format = environ.get("RELAY_LOG_FORMAT", "text")
    if log_format not in ("json", "text"):
        faults.append(Fault("RELAY_LOG_FORMAT", f'is {log_format!r}, but must be "json" or "text"'))
    token = environ.get("RELAY_ADMIN_TOKEN")
    if token is not None and len(token) < 16:
        faults.append(Fault("RELAY_ADMIN_TOKEN", "is shorter than 16 characters: make one with `openssl rand -hex 24`"))
    keys = environ.get("RELAY_ENCRYPTION_KEYS")
    return Environment(
        data_dir=Path(environ.get("RELAY_DATA_DIR", ".relay")),
        admin_token=Secret("env:RELAY_ADMIN_TOKEN", value=token) if token else None,
        encryption_keys=Secret("env:RELAY_ENCRYPTION_KEYS", value=keys) if keys else None,
        log_format="json" if log_format == "json" else "text",
        config_path=path,
    )


def _fault(error: Mapping[str, Any]) -> Fault:
    """One fault of pydantic's, in the words of the file: its path, without the tags of unions."""
    loc = [str(part) for part in error["loc"] if part != "[key]"]
    if len(loc) > 3 and loc[0] == "targets" and loc[2] in _TARGETS:
        del loc[2]
    where = ".".join(loc)
    message = str(error["msg"]).removeprefix("Value error, ")
    match error["type"]:
        case "extra_forbidden":
            message = "there is no such setting"
        case "missing":
            message = "is missing"
        case "union_tag_not_found":
            where, message = f"{where}.type", f"is missing; a target's type is one of {', '.join(_TARGETS)}"
        case "union_tag_invalid":
            tag = str(error.get("ctx", {}).get("tag", ""))
            later = "is not built yet in this release" if tag in _LATER_TARGETS else "is no type of target"
            where, message = f"{where}.type", f"{tag!r} {later}; there are {', '.join(_TARGETS)}"
    return Fault(where, message)


def _secrets(node: Any, where: str) -> Iterator[tuple[str, Secret]]:
    if isinstance(node, Secret):
        yield where, node
    elif isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from _secrets(getattr(node, name), f"{where}.{name}")
    elif isinstance(node, Mapping):
        for name, inner in node.items():
            yield from _secrets(inner, f"{where}.{name}")
    elif isinstance(node, tuple):
        for index, inner in enumerate(node):
            yield from _secrets(inner, f"{where}.{index}" if len(node) > 1 else where)


def _across(settings: Settings, role: Role) -> Iterator[Fault]:
    """Faults that only show when several settings are seen together."""
    seen: dict[int, str] = {}
    for name, portal in settings.portals.items():
        if portal.id in seen:
            yield Fault(f"portals.{name}.id", f"is the id of portals.{seen[portal.id]} too")
        seen.setdefault(portal.id, name)
        if portal.feeds:
            yield Fault(f"portals.{name}.feeds", "polling is not built yet in this release: leave it out or write []")
    for name, target in settings.targets.items():
        if target.retry.timeout >= settings.relay.shutdown_grace:
            yield Fault(
                f"targets.{name}.retry.timeout",
                f"{target.retry.timeout:g}s must be below relay.shutdown_grace ({settings.relay.shutdown_grace:g}s), "
                "or a stopping worker would cut off what is on the wire",
            )
    environment = settings.environment
    if role in ("web", "all") and environment.admin_token is None and not _is_loopback(settings.relay.bind):
        yield Fault("relay.bind", f"{settings.relay.bind} is not loopback: set RELAY_ADMIN_TOKEN, or bind 127.0.0.1")
    if role in ("worker", "all") and settings.store.url and settings.portals and environment.encryption_keys is None:
        yield Fault(
            "RELAY_ENCRYPTION_KEYS",
            "is needed with a Redis of your own, since renewed Planday tokens are stored there encrypted: "
            "make one with `openssl rand -base64 32 | tr '+/' '-_'`",
        )


def _is_loopback(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError:
        return bind == "localhost"
