"""Lines on stderr, JSON for machines or text for people; every line, ours or a library's, is redacted on its way."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import structlog

from relay.telemetry.exceptions import describe
from relay.telemetry.happenings import Level
from relay.telemetry.redaction import Redactor

Line = MutableMapping[str, Any]
LogFormat = Literal["json", "text"]

# They print whole URLs, query strings, job arguments or commands below this level.
QUIET = ("httpx", "httpcore", "aiohttp", "uvicorn.access", "arq", "redis", "asyncio")
# They bring handlers of their own, which would write past our redaction.
_WITH_HANDLERS = ("uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi", "arq", "arq.worker")

_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31;1"}


class Handler(logging.StreamHandler[TextIO]):
    """To stderr as it is at the moment of writing. A line that cannot be written is named, never printed raw."""

    def __init__(self, stream: TextIO | None = None, *, log_format: LogFormat = "text", role: str = "") -> None:
        logging.Handler.__init__(self)
        self._stream = stream
        self._role = role
        self._render = _rendering(log_format, self.stream)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return self._stream or sys.stderr

    def tell(self, level: Level, title: str, fields: Mapping[str, Any]) -> None:
        """One line of ours, its fields redacted already.

        It is written without the library's record, which would cost more than the line: a busy receiver writes
        thousands a second.
        """
        line: dict[str, Any] = {"at": time.time(), "level": level}
        if self._role:
            line["role"] = self._role
        line["event"] = title
        line |= structlog.contextvars.get_contextvars()
        line |= fields
        try:
            text = self._render(None, "", line) + "\n"
            with self.lock or nullcontext():
                self.stream.write(text)
                self.stream.flush()
        except Exception as error:
            self._say(f"a log line of {title} could not be written: {type(error).__name__}\n")

    def _say(self, text: str) -> None:
        with suppress(OSError, ValueError):  # stderr itself is gone
            self.stream.write(text)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        # The library's version would print the message and its arguments unredacted.
        error = sys.exc_info()[0]
        where = f"{record.name} in {os.path.basename(record.pathname)}:{record.lineno}"  # noqa: PTH119 - a name
        self._say(f"a log line of {where} could not be written: {error.__name__ if error else '?'}\n")


def install(
    *, redactor: Redactor, log_format: LogFormat, level: str, role: str, stream: TextIO | None = None
) -> Handler:
    """Send everything that is logged in this process through one handler of ours."""
    handler = Handler(stream, log_format=log_format, role=role)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, _foreign, _redacting(redactor)],
            processors=[_stamped(role), _rendering(log_format, handler.stream)],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, Handler) or type(old) is logging.StreamHandler:
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _WITH_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
    logging.captureWarnings(True)
    return handler


def _redacting(redactor: Redactor) -> Callable[[Any, str, Line], Line]:
    def redacting(_logger: Any, _method: str, line: Line) -> Line:
        kept = {name: value for name, value in line.items() if name.startswith("_")}
        return {**redactor.fields({name: value for name, value in line.items() if name not in kept}), **kept}

    return redacting


def _foreign(_logger: Any, _method: str, line: Line) -> Line:
    """A library's line: its first line only, since what follows is as a rule the `repr` of something."""
    text = str(line.get("event", ""))
    line["event"] = text.splitlines()[0] if text else ""
    line["logger"] = line["_record"].name
    error = line.pop("exc_info", None)
    error = error[1] if isinstance(error, tuple) else error
    if isinstance(error, BaseException):
        line["exception"] = describe(error)
    line.pop("stack_info", None)
    return line


def _stamped(role: str) -> Callable[[Any, str, Line], Line]:
    def stamped(_logger: Any, _method: str, line: Line) -> Line:
        record: logging.LogRecord = line.pop("_record")
        line.pop("_from_structlog", None)
        head: Line = {"at": record.created, "level": record.levelname.lower()}
        if role:
            head["role"] = role
        return {**head, "event": line.pop("event", ""), **line}

    return stamped


def _rendering(log_format: LogFormat, stream: TextIO) -> Callable[[Any, str, Line], str]:
    if log_format == "json":
        return _as_json
    colour = stream.isatty() and not os.environ.get("NO_COLOR")
    return _Text(colour=colour)


def rfc3339(at: float) -> str:
    """An instant as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _as_json(_logger: Any, _method: str, line: Line) -> str:
    line["at"] = rfc3339(line["at"])
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=lambda value: type(value).__name__)


class _Text:
    """`12:04:05.123 worker info    delivery.attempted  target=hours outcome=delivered`, an exception below it."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, _logger: Any, _method: str, line: Line) -> str:
        at = datetime.fromtimestamp(line.pop("at"), UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        level, role, title = line.pop("level"), line.pop("role", ""), _shown(line.pop("event"), bare=True)
        exception = line.pop("exception", None)
        fields = " ".join(f"{self._in('2', name + '=')}{_shown(value)}" for name, value in line.items())
        head = [self._in("2", at), f"{role:<6}"] if role else [self._in("2", at)]
        head.append(self._in(_COLOURS.get(level, "0"), f"{level:<7}"))
        text = f"{' '.join(head)} {self._in('1', f'{title:<19}')} {fields}".rstrip()
        if exception is not None:
            text += "".join(f"\n    {_printable(one)}" for one in str(exception).splitlines())
        return text

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _shown(value: Any, *, bare: bool = False) -> str:
    match value:
        case str():
            plain = _printable(value)
            return plain if bare or (plain and not set(plain) & set(' "=')) else json.dumps(plain, ensure_ascii=False)
        case float():
            return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
        case list() | tuple():
            return ",".join(_shown(one) for one in value) or "-"
        case dict():
            return json.dumps(value, ensure_ascii=True, default=lambda inner: type(inner).__name__)
    return str(value)


def _printable(text: str) -> str:
    """No control character reaches a terminal: neither a line break that fakes a line, nor an escape sequence."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
