"""What the environment says: RELAY_SECTION__KEY over the file, and the few names that stand for themselves."""

from __future__ import annotations

import base64
import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay.errors import Fault
from relay.settings.models import Environment
from relay.settings.values import Secret

SECTIONS = ("relay", "store", "sources", "portals", "targets", "alerts", "retention", "access", "users")
NAMED = ("sources", "portals", "targets", "users")
PLAIN = (
    *("RELAY_CONFIG", "RELAY_DATA_DIR", "RELAY_ADMIN_TOKEN", "RELAY_ENCRYPTION_KEYS", "RELAY_LOG_FORMAT"),
    "RELAY_ENV",  # sets nothing here: "production" keeps demo and simulator from starting
)
PREFIX = "RELAY_"

# Kubernetes puts these beside a container when a Service is called `relay`: RELAY_PORT=tcp://..., RELAY_SERVICE_HOST.
_OF_KUBERNETES = re.compile(r"RELAY_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_SHORTEST_TOKEN = 16


def overlay(body: dict[str, Any], environ: Mapping[str, str], faults: list[Fault]) -> dict[str, str]:
    """Put the environment's settings over the file's; returns which variable each path came from.

    An empty variable counts as unset. In the names of sources, portals and targets `_` stands for `-`.
    """
    origins: dict[str, str] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in PLAIN or not text or _is_of_kubernetes(variable, text):
            continue
        path = variable.removeprefix(PREFIX).lower().split("__")
        if problem := _problem(path, variable):
            faults.append(Fault(variable, problem))
            continue
        if path[0] in NAMED:
            path[1] = path[1].replace("_", "-")
        _put(body, path, _value(text), variable, faults)
        origins[".".join(path)] = variable
    if environ.get("PORT"):
        _put(body, ["relay", "port"], environ["PORT"], "PORT", faults)
        origins["relay.port"] = "PORT"
    return origins


def environment(environ: Mapping[str, str], path: Path | None, faults: list[Fault]) -> Environment:
    """What comes from the environment alone."""
    log_format = environ.get("RELAY_LOG_FORMAT") or "text"
    if log_format not in ("json", "text"):
        faults.append(Fault("RELAY_LOG_FORMAT", 'must be "json" or "text"'))
    token = environ.get("RELAY_ADMIN_TOKEN")
    if token and len(token) < _SHORTEST_TOKEN:
        remedy = "make one with `openssl rand -hex 24`"
        faults.append(Fault("RELAY_ADMIN_TOKEN", f"is shorter than {_SHORTEST_TOKEN} characters: {remedy}"))
    keys = environ.get("RELAY_ENCRYPTION_KEYS")
    if keys and not all(map(_is_key, keys.split(","))):
        faults.append(Fault("RELAY_ENCRYPTION_KEYS", f"is not a list of keys with commas between: {MAKE_KEY}"))
    return Environment(
        data_dir=Path(environ.get("RELAY_DATA_DIR") or ".relay").absolute(),
        admin_token=Secret("env:RELAY_ADMIN_TOKEN", value=token) if token else None,
        encryption_keys=Secret("env:RELAY_ENCRYPTION_KEYS", value=keys) if keys else None,
        log_format="json" if log_format == "json" else "text",
        config_path=path,
    )


MAKE_KEY = "make one with `openssl rand -base64 32 | tr '+/' '-_'`"


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.strip(), altchars=b"-_", validate=True)) == 32
    except ValueError:
        return False


def _is_of_kubernetes(variable: str, text: str) -> bool:
    return _OF_KUBERNETES.fullmatch(variable) is not None or (variable == "RELAY_PORT" and "://" in text)


def _problem(path: list[str], variable: str) -> str | None:
    if variable == "RELAY_PORT":
        return "no setting of that name: write PORT or RELAY_RELAY__PORT"
    if len(path) < 2 or path[0] not in SECTIONS:
        if close := difflib.get_close_matches(variable, PLAIN, n=1, cutoff=0.8):
            return f"no setting of that name; did you mean {close[0]}?"
        return f"no setting of that name; sections are {', '.join(SECTIONS)}, as in RELAY_RELAY__LOG_LEVEL"
    if path[0] in NAMED and len(path) < 3:
        return f"names no setting: write RELAY_{path[0].upper()}__NAME__KEY"
    return None if all(path) else "has an empty part"


def _put(body: dict[str, Any], path: list[str], value: Any, variable: str, faults: list[Fault]) -> None:
    place: Any = body
    for depth, part in enumerate(path[:-1], 1):
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            faults.append(Fault(variable, f"{'.'.join(path[:depth])} is not a section"))
            return
    place[path[-1]] = value


def _value(text: str) -> Any:
    """Lists, tables and quoted texts as TOML writes them; all else is text, of which numbers and flags are made."""
    if text[0] not in "[{\"'":
        return text
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        return text
