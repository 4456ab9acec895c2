"""Sends prepared requests over kept connections as fast as answers come, or at a steady rate; raw asyncio streams."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from standardwebhooks import Webhook

from relay.events import rfc3339


@dataclass(slots=True)
class Outcome:
    """What the far side answered, and how long each answer took (seconds)."""

    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    sent_at: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return sum(self.statuses.values()) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.times)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def body(number: int, *, portal: int, subject: str, run: str, turn: int = 0, size: int = 1024) -> bytes:
    """One event, filled up to `size` bytes.

    Events of one type about a record that did not change are one change to the relay, so each `turn` has its type.
    """
    event = {
        "specversion": "1.0",
        "type": f"planday.shift.changed-{run}-{turn}",
        "source": f"urn:planday:portal:{portal}",
        "subject": subject,
        "id": f"{run}-{number}",
        "time": rfc3339(time.time()),
        "data": {"filler": ""},
    }
    event["data"] = {"filler": "x" * max(size - len(json.dumps(event)), 0)}
    return json.dumps(event).encode()


def request(path: str, content: bytes, *, secret: str, message_id: str) -> bytes:
    """A whole signed HTTP request."""
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    signature = Webhook(secret).sign(message_id, now, content.decode())
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\nwebhook-id: {message_id}\r\n"
        f"webhook-timestamp: {int(now.timestamp())}\r\nwebhook-signature: {signature}\r\n\r\n"
    )
    return head.encode() + content


async def flood(port: int, requests: Sequence[bytes], *, connections: int) -> Outcome:
    """Send all, over so many connections, each with one request under way."""
    outcome = Outcome()
    waiting = iter(requests)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for content in waiting:
                began = time.perf_counter()
                writer.write(content)
                outcome.statuses[await _answer(reader)] += 1
                outcome.times.append(time.perf_counter() - began)
        finally:
            writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    outcome.seconds = time.perf_counter() - began
    return outcome


async def steady(port: int, requests: Sequence[tuple[str, bytes]], *, per_second: float) -> Outcome:
    """Send (id, request) pairs at a steady rate; `sent_at` says when each was sent (wall clock)."""
    outcome = Outcome()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    for number, (name, content) in enumerate(requests):
        await asyncio.sleep(max(began + number / per_second - time.perf_counter(), 0))
        outcome.sent_at[name] = time.time()
        writer.write(content)
        outcome.statuses[await _answer(reader)] += 1
    outcome.seconds = time.perf_counter() - began
    writer.close()
    return outcome


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return status
