"""A sender of our own: signs with the standardwebhooks library, posts over raw sockets, comes again until a 2xx."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

PORTAL = 4100009  # not configured in these tests: accepted and routed without asking Planday


def thin(name: str, subject: str, *, type_: str = "planday.shift.published", **more: Any) -> dict[str, Any]:
    """A thin event, as any sender may post it."""
    source = f"urn:planday:portal:{more.pop('portal', PORTAL)}"
    return {"specversion": "1.0", "id": name, "type": type_, "source": source, "subject": subject, **more}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one post."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Sender:
    """Counts what became of every post; `acked` holds what was promised, by our event id.

    `refused`: there was no connection to be had. `cut_off`: sent, and the connection ended without an answer.
    """

    port: int
    secret: str
    path: str = "/in/planday"
    statuses: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    cut_off: int = 0
    acked: dict[str, float] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)

    def request(self, event: Mapping[str, Any]) -> bytes:
        """A whole signed HTTP request."""
        body = json.dumps(event)
        now = datetime.now(UTC)
        signature = Webhook(self.secret).sign(event["id"], now, body)
        content = body.encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\nwebhook-id: {event['id']}\r\n"
            f"webhook-timestamp: {int(now.timestamp())}\r\nwebhook-signature: {signature}\r\n\r\n"
        )
        return head.encode() + content

    async def send(
        self,
        events: Iterable[Mapping[str, Any]],
        *,
        connections: int = 8,
        pause: float = 0.0,
        patience: float = 60.0,
    ) -> None:
        """Post all, each again until it is accepted; raises TimeoutError after `patience` seconds.

        Each connection has one post under way, and rests for `pause` seconds after it.
        """
        waiting = iter(events)

        async def one() -> None:
            line = _Line(self.port)
            try:
                for event in waiting:
                    await self._insist(line, event)
                    if pause:
                        await asyncio.sleep(pause)
            finally:
                await line.close()

        async with asyncio.timeout(patience), asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(one())

    async def post(self, event: Mapping[str, Any]) -> Answer:
        """Post once, on a connection of its own, and give back what was answered."""
        line = _Line(self.port)
        try:
            answer = await line.ask(self.request(event))
        finally:
            await line.close()
        self._note(answer)
        return answer

    async def _insist(self, line: _Line, event: Mapping[str, Any]) -> None:
        while True:
            began = time.monotonic()
            try:
                answer = await line.ask(self.request(event))
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.cut_off += line.asked
                self.refused += not line.asked
                await line.close()
                await asyncio.sleep(0.02)
                continue
            self.times.append(time.monotonic() - began)
            self._note(answer)
            if answer.status == 202:
                return
            if answer.status not in (429, 503):
                raise AssertionError(f"{event['id']}: {answer.status} {answer.body!r}")
            await asyncio.sleep(0.05)

    def _note(self, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        if answer.status == 202:
            for one in answer.json["events"]:
                self.acked.setdefault(one["id"], time.monotonic())


class _Line:
    """One kept connection, opened again when it broke."""

    def __init__(self, port: int, *, patience: float = 10.0) -> None:
        self._port = port
        self._patience = patience
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.asked = False

    async def ask(self, request: bytes) -> Answer:
        self.asked = False
        async with asyncio.timeout(self._patience):
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(request)
            self.asked = True
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *fields = head.rstrip("\r\n").split("\r\n")
            pairs = (entry.partition(":") for entry in fields)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return Answer(int(first.split(" ")[1]), headers, body)

    async def close(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
