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
from relay.settings import faults as plain
from relay.settings.environ import MAKE_KEY, SECTIONS, environment, overlay
from relay.settings.models import Environment, Settings
from relay.settings.values import Secret, Text, duration, is_reference, unreadable

Role = Literal["web", "worker", "store", "all"]

# Whose secrets a role has to hold; what it does not need it does not read.
ROLES: Mapping[Role, tuple[str, ...]] = {
    "web": ("store", "sources", "users"),
    "worker": ("store", "portals", "targets", "alerts"),
    "store": ("store",),
    "all": SECTIONS,
}

_REDIS_URLS = ("redis://", "rediss://", "unix://")
USUAL_PATH = Path("config/relay.toml")


def load(environ: Mapping[str, str], path: Path | None = None, *, role: Role = "all") -> Settings:
    """The settings for a role, from `path` (or RELAY_CONFIG, or config/relay.toml where that exists) and `environ`.

    Raises ConfigError with every fault found, each with its path in the file or the name of the variable.
    """
    faults: list[Fault] = []
    path = _path(environ, path)
    body = _read(path, faults) if path else {}
    unreadable = bool(faults)
    origins = overlay(body, environ, faults)
    if unreadable:  # what the variables complete is not there, so that nothing sensible can be said about it
        raise ConfigError(faults)
    return load_mapping(body, environ=environ, path=path, role=role, faults=faults, origins=origins)


def load_mapping(
    body: Mapping[str, Any],
    *,
    environ: Mapping[str, str],
    path: Path | None = None,
    role: Role = "all",
    faults: list[Fault] | None = None,
    origins: Mapping[str, str] | None = None,
) -> Settings:
    """The settings from a mapping that has the file's shape; raises ConfigError like `load`.

    What is sound is checked through to its secrets even where the rest is not, so that one start shows all faults.
    """
    faults, origins = list(faults or ()), origins or {}
    faults += [plain.unknown_section(section, SECTIONS) for section in body if section not in SECTIONS]
    body = _with_redis_url({section: content for section, content in body.items() if section in SECTIONS}, environ)
    settings, broken = _validated(body, environment(environ, path, faults), faults, origins)
    folder = path.parent if path else Path.cwd()
    sections = ROLES[role]
    secrets = [found for section in sections for found in _secrets(getattr(settings, section), section)]
    secrets += [found for section in sections for found in _references(broken.get(section), section)]
    for where, secret in secrets:
        if problem := secret.resolve(environ, folder):
            faults.append(Fault(plain.where(where, origins), problem))
    faults += _across(settings, role, is_redis_named="url" in _mapping(body.get("store")))
    if faults:
        raise ConfigError(faults)
    return settings


def for_portal(settings: Settings, name: str, environ: Mapping[str, str]) -> Settings:
    """Settings of the role "store" with this portal alone, whose secrets are read too; what others have is not needed.

    Raises ConfigError. The portal must be there.
    """
    path = settings.environment.config_path
    portal, folder = settings.portals[name], path.parent if path else Path.cwd()
    faults = [
        Fault(where, problem)
        for where, secret in _secrets(portal, f"portals.{name}")
        if (problem := secret.resolve(environ, folder))
    ]
    faults += _without_keys(settings, is_redis_named=settings.store.url is not None)
    if faults:
        raise ConfigError(faults)
    return settings.model_copy(update={"portals": {name: portal}})


def schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    out = Settings.model_json_schema()
    out["properties"].pop("environment", None)
    out.get("$defs", {}).pop("Environment", None)
    return out


def shown(settings: Settings) -> dict[str, Any]:
    """The settings as they are in force, secrets as their references."""
    return dict(json.loads(settings.model_dump_json(exclude_none=True)))


def revealed(settings: Settings) -> tuple[str, ...]:
    """Every secret that this role has read, so that no log line shows one (`Telemetry.hide`)."""
    own = settings.environment
    found = [secret for section in SECTIONS for _, secret in _secrets(getattr(settings, section), section)]
    values = [secret.reveal() for secret in found if secret.resolved and not isinstance(secret, Text)]
    values += [own.admin_token.reveal()] if own.admin_token else []
    values += own.encryption_keys.reveal().split(",") if own.encryption_keys else []
    return tuple(values)


def _path(environ: Mapping[str, str], path: Path | None) -> Path | None:
    if path is not None:
        return path.absolute()
    if named := environ.get("RELAY_CONFIG"):
        return Path(named).absolute()
    return USUAL_PATH.absolute() if USUAL_PATH.exists() else None


def _read(path: Path, faults: list[Fault]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        faults.append(Fault(str(path), f"{unreadable(error)}; copy config/relay.example.toml or set RELAY_CONFIG"))
    except tomllib.TOMLDecodeError as error:
        faults.append(Fault(str(path), f"is not TOML: {error}"))
    except RecursionError:
        faults.append(Fault(str(path), "is nested too deep to be read"))
    except (OSError, ValueError) as error:
        faults.append(Fault(str(path), unreadable(error)))
    return {}


def _with_redis_url(body: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """An unset REDIS_URL means the embedded store, a set one the Redis it names (design.md 5)."""
    store = body.get("store", {})
    if not isinstance(store, Mapping):
        return body
    if store.get("url") == "env:REDIS_URL" and not environ.get("REDIS_URL"):
        return {**body, "store": {name: value for name, value in store.items() if name != "url"}}
    if environ.get("REDIS_URL") and "url" not in store:
        return {**body, "store": {**store, "url": "env:REDIS_URL"}}
    return body


def _validated(
    body: dict[str, Any], own: Environment, faults: list[Fault], origins: Mapping[str, str]
) -> tuple[Settings, dict[str, Any]]:
    """The settings made of what is sound, and the tables that are not."""
    broken: dict[str, Any] = {}
    while True:
        try:
            return Settings.model_validate({**body, "environment": own}), broken
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            for one in found:
                if not _is_only_emptied(one["type"], one["loc"], [other["loc"] for other in found]):
                    faults.append(plain.fault(one, origins))
                body = _set_aside(body, broken, [str(part) for part in one["loc"]])


def _is_only_emptied(kind: str, place: tuple[Any, ...], places: list[tuple[Any, ...]]) -> bool:
    """Whether a list counts as too short only because of entries that have a fault of their own."""
    return kind == "too_short" and any(other[: len(place)] == place and other != place for other in places)


def _set_aside(body: dict[str, Any], broken: dict[str, Any], place: list[str]) -> dict[str, Any]:
    """`body` without the named table, or the single key of a plain section, that a fault stands in."""
    section, name = place[0], place[1] if len(place) > 1 else None
    content = body.get(section)
    if isinstance(content, Mapping) and name in content:
        broken[section] = {**_mapping(broken.get(section)), name: content[name]}
        return {**body, section: {key: value for key, value in content.items() if key != name}}
    if name is not None and name in _mapping(broken.get(section)):
        return body  # a second fault in what was set aside for the first
    broken[section] = content
    return {key: value for key, value in body.items() if key != section}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


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


def _references(node: Any, where: str) -> Iterator[tuple[str, Secret]]:
    """The references in a table that no model could be made of."""
    if isinstance(node, str) and is_reference(node):
        yield where, Secret(node)
    elif isinstance(node, Mapping):
        for name, inner in node.items():
            yield from _references(inner, f"{where}.{name}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _references(inner, f"{where}.{index}" if len(node) > 1 else where)


def _across(settings: Settings, role: Role, *, is_redis_named: bool) -> Iterator[Fault]:
    """Faults that only show when several settings are seen together."""
    seen: dict[int, str] = {}
    for name, portal in settings.portals.items():
        if portal.id in seen:
            yield Fault(f"portals.{name}.id", f"is the id of portals.{seen[portal.id]} too")
        seen.setdefault(portal.id, name)
    if "feed" in settings.sources:
        yield Fault("sources.feed", "is the name under which the change feed's own events stand: choose another")
    for name, target in settings.targets.items():
        if target.retry.timeout >= settings.relay.shutdown_grace:
            yield Fault(
                f"targets.{name}.retry.timeout",
                f"must be below relay.shutdown_grace ({duration(settings.relay.shutdown_grace)}), "
                "or a stopping worker would cut off what is on the wire",
            )
    redis = settings.store.url
    if redis is not None and redis.resolved and not redis.reveal().startswith(_REDIS_URLS):
        yield Fault("store.url", f"what {redis.reference} holds is no Redis URL: it starts with redis:// or rediss://")
    own = settings.environment
    is_guarded = own.admin_token is not None or settings.users
    if role in ("web", "all") and not is_guarded and not _is_loopback(settings.relay.bind):
        yield Fault("relay.bind", "is not a loopback address: set RELAY_ADMIN_TOKEN or add a user, or bind 127.0.0.1")
    if (settings.access.proxy_header is None) != (not settings.access.proxy_from):
        yield Fault("access", "proxy_header and proxy_from go together: the header, and the addresses it is taken from")
    if role in ("worker", "all"):
        yield from _without_keys(settings, is_redis_named=is_redis_named)


def _without_keys(settings: Settings, *, is_redis_named: bool) -> Iterator[Fault]:
    if is_redis_named and settings.portals and settings.environment.encryption_keys is None:
        why = "is needed with a Redis of your own, since renewed Planday tokens are stored there encrypted"
        yield Fault("RELAY_ENCRYPTION_KEYS", f"{why}: {MAKE_KEY}")


def _is_loopback(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError:
        return bind == "localhost"
