"""Faults on request: which requests fail, how, and how often."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

KINDS = (
    "429-reset",
    "429-retry-after",
    "429-bare",
    "500",
    "503",
    "html",
    "empty",
    "truncated",
    "delay",
    "drop",
    "drop-after",
    "status",
)
# The work behind the request is still done: only the answer is late, broken or missing.
_WORK_DONE = {"delay", "truncated", "empty", "drop-after"}
# The scope key under which the server offers to close the connection.
DROP_KEY = "simulator.drop"

Sleep = Callable[[float], Awaitable[None]]


class UnknownFaultError(ValueError):
    """A fault description that means nothing."""


@dataclass
class Fault:
    """One planned failure; `count` is how many requests it still spoils (-1: all)."""

    path: str
    kind: str
    count: int = 1
    portal: int | None = None
    status: int = 500
    body: str = ""
    retry_after: str | None = None
    reset: int = 1
    seconds: float = 0.0

    @property
    def work_done(self) -> bool:
        """Whether the far side took the request although the caller cannot tell."""
        return self.kind in _WORK_DONE

    @classmethod
    def read(cls, described: dict[str, Any]) -> "Fault":
        """Build one from the control endpoint's JSON; `delay:2.5` is short for kind and seconds."""
        values = dict(described)
        kind, _, seconds = str(values.get("kind", "")).partition(":")
        try:
            if seconds:
                values["seconds"] = float(seconds)
            values["kind"] = kind
            fault = cls(**values)
            fault.count, fault.reset, fault.status = int(fault.count), int(fault.reset), int(fault.status)
            fault.seconds = float(fault.seconds)
        except (TypeError, ValueError) as error:
            raise UnknownFaultError(str(error)) from error
        if kind not in KINDS:
            raise UnknownFaultError(f"kind must be one of {', '.join(KINDS)}")
        if fault.retry_after is not None:
            fault.retry_after = str(fault.retry_after)
        return fault


class Faults:
    """The planned failures, oldest first."""

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep
        self.planned: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Plan one more."""
        self.planned.append(fault)

    def clear(self) -> None:
        """Plan nothing."""
        self.planned.clear()

    def take(self, path: str, *, portal: int | None = None) -> Fault | None:
        """The fault that this request must suffer, used up by one."""
        for fault in self.planned:
            if fnmatchcase(path, fault.path) and fault.portal in (None, portal):
                fault.count -= 1
                if fault.count == 0:
                    self.planned.remove(fault)
                return fault
        return None

    async def play(self, fault: Fault | None, request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
        """Answer as the fault says; without one, simply proceed."""
        if fault is None:
            return await proceed()
        if fault.seconds:
            await self._sleep(fault.seconds)
        if fault.kind == "drop":
            return await drop_connection(request)
        if not fault.work_done:
            return _refusal(fault)
        answer = await proceed()
        if fault.kind == "drop-after":
            return await drop_connection(request)
        if fault.kind == "empty":
            return Response(b"", status_code=answer.status_code, media_type="application/json")
        if fault.kind == "truncated":
            whole = bytes(answer.body)
            return Response(whole[: len(whole) // 2], status_code=answer.status_code, media_type="application/json")
        return answer


async def drop_connection(request: Request) -> Response:
    """Close the connection without an answer; in-process clients see what httpx raises for that."""
    drop = request.scope.get(DROP_KEY)
    if drop is None:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
    await drop()
    return Response()


def _refusal(fault: Fault) -> Response:
    if fault.kind == "html":
        return HTMLResponse("<html><body><h1>Server Error</h1></body></html>", status_code=fault.status)
    status = {"500": 500, "503": 503}.get(fault.kind, 429 if fault.kind.startswith("429") else fault.status)
    answer = Response(fault.body, status_code=status, media_type="text/plain" if fault.body else None)
    if fault.kind.startswith("429"):
        answer.headers["x-ratelimit-remaining"] = "0"
    if fault.kind in ("429-reset", "429-retry-after"):
        answer.headers["x-ratelimit-reset"] = str(fault.reset)
    wait = fault.retry_after
    if fault.kind == "429-retry-after":
        wait = wait or str(fault.reset)
    if wait is not None and fault.kind != "429-bare":
        answer.headers["retry-after"] = wait
    return answer
