"""The one object that the relay tells what happens."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import Any, TextIO

import prometheus_client
import structlog

from relay.telemetry import logs
from relay.telemetry.exceptions import describe
from relay.telemetry.happenings import Happening, Level
from relay.telemetry.metrics import KNOWN_TYPES, Gauges, Metrics
from relay.telemetry.redaction import Redactor

_LEVELS: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Telemetry:
    """One log line and the counters of each happening. Nothing that it is told makes it raise."""

    def __init__(
        self,
        *,
        log_format: logs.LogFormat = "text",
        level: Level = "info",
        role: str = "",
        types: Collection[str] = KNOWN_TYPES,
    ) -> None:
        self._format: logs.LogFormat = log_format
        self._level = level
        self._role = role
        self._redactor = Redactor()
        self._handler: logs.Handler | None = None
        self._keys: dict[type[Happening], tuple[tuple[str, str], ...]] = {}
        self.metrics = Metrics(types=types)

    def configure(self, stream: TextIO | None = None) -> None:
        """Send all logging of this process, libraries included, through our handler to stderr.

        Start uvicorn with `log_config=None`, or it puts handlers of its own in the way.
        """
        self._handler = logs.install(
            redactor=self._redactor, log_format=self._format, level=self._level, role=self._role, stream=stream
        )

    def hide(self, *secrets: str) -> None:
        """Mask these values in every line from now on: for opaque secrets, which no pattern can know."""
        self._redactor.hide(*secrets)

    def context(self, **names: str) -> AbstractContextManager[Any]:
        """Put names such as `event_id` and `delivery` on every line within, a library's too."""
        return structlog.contextvars.bound_contextvars(
            **{key: self._redactor.text(name) for key, name in names.items()}
        )

    def record(self, happening: Happening) -> None:
        """Tell one happening: count it and, once `configure` was called, write its line."""
        self.metrics.count(happening)
        level = happening.level
        if self._handler is not None and _LEVELS[level] >= _LEVELS[self._level]:
            self._handler.tell(level, happening.title, self._fields(happening))

    def render(self, gauges: Gauges | None = None) -> bytes:
        """The page for /metrics (`CONTENT_TYPE`), with gauges just read from the store (their names: `GAUGES`)."""
        return self.metrics.render(gauges or {})

    def expose(self, port: int) -> Callable[[], None]:
        """Show this process's counters on a loopback port until the answer is called. Raises OSError."""
        server, thread = prometheus_client.start_http_server(port, addr="127.0.0.1", registry=self.metrics.registry)

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return close

    def _fields(self, happening: Happening) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, key in self._keys_of(type(happening)):
            value = getattr(happening, name)
            if isinstance(value, str):
                if value:
                    shown[key] = self._redactor.text(value)
            elif isinstance(value, float):
                shown[key] = logs.rfc3339(value) if name.endswith("_at") else round(value, 4)
            elif isinstance(value, BaseException):
                shown[key] = self._redactor.text(describe(value))
            elif value not in (None, False, ()):
                shown[key] = self._redactor.value(value)
        return shown

    def _keys_of(self, kind: type[Happening]) -> tuple[tuple[str, str], ...]:
        """Each field and its key in a line; structlog keeps the title under `event`, so an event's id is `event_id`."""
        keys = self._keys.get(kind)
        if keys is None:
            renamed = {"event": "event_id", "error": "exception"}
            keys = self._keys[kind] = tuple((one.name, renamed.get(one.name, one.name)) for one in fields(kind))
        return keys
