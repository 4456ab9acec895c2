"""Sends prepared requests over kept connections as fast as answers come, or at a steady rate; raw asyncio streams."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

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


def requests(
    run: str, count: int, *, portal: int, secret: str, records: Sequence[int] = range(1, 501), size: int = 1024
) -> list[tuple[str, bytes]]:
    """Sender's ids and whole signed HTTP requests of `size` bytes, over these records in turn.

    Events of one type about a record that did not change are one change to the relay, so each turn has its type.
    """
    pairs = []
    for number in range(count):
        turn, place = divmod(number, len(records))
        name = f"{run}-{number}"
        content = body(name, f"planday.shift.changed-{run}-{turn}", portal, f"shift/{records[place]}", size=size)
        pairs.append((name, _signed(content, secret=secret, message_id=name)))
    return pairs


def body(name: str, type_: str, portal: int, subject: str, *, size: int = 1024) -> bytes:
    """One event, filled up to `size` bytes."""
    event = {
        "specversion": "1.0",
        "type": type_,
        "source": f"urn:planday:portal:{portal}",
        "subject": subject,
        "id": name,
        "time": rfc3339(time.time()),
        "data": {"filler": ""},
    }
    event["data"] = {"filler": "x" * max(size - len(json.dumps(event)), 0)}
    return json.dumps(event).encode()


def _signed(content: bytes, *, secret: str, message_id: str) -> bytes:
    now = datetime.now(UTC)
    signature = Webhook(secret).sign(message_id, now, content.decode())
    head = (
        "POST /in/bench HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\nwebhook-id: {message_id}\r\n"
        f"webhook-timestamp: {int(now.timestamp())}\r\nwebhook-signature: {signature}\r\n\r\n"
    )
    return head.encode() + content


async def flood(port: int, pairs: Sequence[tuple[str, bytes]], *, connections: int) -> Outcome:
    """Send all, over so many connections, each with one request under way."""
    outcome = Outcome()
    waiting = iter(pairs)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for _, content in waiting:
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


async def steady(port: int, pairs: Sequence[tuple[str, bytes]], *, per_second: float) -> Outcome:
    """Send (id, request) pairs at a steady rate; `sent_at` says when each was sent (wall clock)."""
    outcome = Outcome()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    for number, (name, content) in enumerate(pairs):
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
