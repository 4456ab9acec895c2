"""One plain HTTP call, for commands that talk to a receiver or to the simulator's controls."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from relay.errors import RelayError

# No proxy of the environment: what is called is on this machine or named by the operator.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_MOST = 4 * 1024 * 1024


class NoAnswer(RelayError):
    """Nobody answered at that address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and what came with it: JSON where it is that, else text."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


def call(
    method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None, timeout: float = 10.0
) -> Answer:
    """The answer, whatever its status. Raises NoAnswer."""
    if not url.startswith(("http://", "https://")):
        raise NoAnswer(f"{url} is no http:// or https:// address")
    try:
        request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))  # noqa: S310
        with _OPENER.open(request, timeout=timeout) as response:
            return Answer(response.status, _read(response.read(_MOST)))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _read(error.read(_MOST)))
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        why = reason.strerror if isinstance(reason, OSError) and reason.strerror else reason
        raise NoAnswer(f"no answer from {url}: {why}") from error


def _read(raw: bytes) -> Any:
    try:
        return pydantic_core.from_json(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
