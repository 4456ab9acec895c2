"""Posts planday-relay's OWN thin events after a control action.

This is no Planday feature: Planday documents no webhooks for data changes. It stands for whoever may push one day
(a bridge, a customer's script), and speaks the inbound contract of planday-relay.
"""

import asyncio
import ipaddress
import json
import uuid
from collections import deque
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from relay.simulator.faults import Sleep
from relay.simulator.state import Change

# "whsec_" + base64 of 32 known bytes; a development value like the tokens.
EMIT_SECRET = "whsec_c2ltdWxhdG9yLWVtaXR0ZXItc2VjcmV0LTAwMDAwMDE="
_ATTEMPTS = 30
_LONGEST_WAIT = 5.0


class NotLoopbackError(ValueError):
    """The simulator never sends anything off this machine."""


@dataclass
class Mischief:
    """What goes wrong on the way: how many of the next events each trick spoils, and a delay in seconds."""

    duplicate: int = 0
    reorder: int = 0
    drop: int = 0
    delay: float = 0.0


@dataclass(frozen=True)
class Emission:
    """One event that left, or gave up."""

    id: str
    type: str
    subject: str
    status: int | None
    attempts: int


class RelayEventEmitter:
    """A queue and one task that empties it in order, trying again while the receiver is away."""

    def __init__(
        self,
        *,
        url: str | None,
        secret: str,
        sleep: Sleep = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.mischief = Mischief()
        self.sent: deque[Emission] = deque(maxlen=5000)
        self.lost: list[Emission] = []
        self.dropped: list[str] = []
        self._sleep = sleep
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._waiting: deque[dict[str, Any]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.aim(url, secret=secret)

    def aim(self, url: str | None, *, secret: str | None = None) -> None:
        """Choose the receiver; None stops emitting."""
        if url is not None and not _on_this_machine(httpx.URL(url).host):
            raise NotLoopbackError(f"{httpx.URL(url).host} is not this machine")
        self.url = url
        if secret is not None:
            self._webhook = Webhook(secret)

    def change_mischief(self, values: dict[str, Any]) -> None:
        """Set some of the tricks."""
        known = {field.name for field in fields(Mischief)}
        for name, value in values.items():
            if name not in known or not isinstance(value, int | float):
                raise ValueError(f"no trick called {name}, or not a number")
            setattr(self.mischief, name, value)

    def emit(self, change: Change) -> str | None:
        """Queue the event that announces a change; returns its id."""
        if self.url is None or change.type is None:
            return None
        event = envelope(change)
        for _ in range(2 if self._spend("duplicate") else 1):
            self._waiting.append(event)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return str(event["id"])

    async def flush(self) -> None:
        """Wait until everything queued has left or given up."""
        if self._task is not None:
            await self._task
        await self._run(hold=False)

    async def aclose(self) -> None:
        """Stop, leaving what is still queued."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def clear(self) -> None:
        """Forget what happened and what is queued."""
        self.mischief = Mischief()
        self.sent.clear()
        self.lost.clear()
        self.dropped.clear()
        self._waiting.clear()

    def as_dict(self) -> dict[str, Any]:
        """The emitter for the control endpoint; never its secret."""
        return {
            "url": self.url,
            **asdict(self.mischief),
            "waiting": len(self._waiting),
            "sent": [asdict(emission) for emission in self.sent],
            "lost": [asdict(emission) for emission in self.lost],
            "dropped": self.dropped,
        }

    def _spend(self, trick: str) -> bool:
        left = getattr(self.mischief, trick)
        if left > 0:
            setattr(self.mischief, trick, left - 1)
        return bool(left)

    async def _run(self, *, hold: bool = True) -> None:
        while self._waiting:
            if self.mischief.reorder and len(self._waiting) == 1 and hold:
                # Kept back until another can overtake it, or a flush.
                return
            if self.mischief.reorder and len(self._waiting) > 1:
                self._spend("reorder")
                self._waiting[0], self._waiting[1] = self._waiting[1], self._waiting[0]
            event = self._waiting.popleft()
            if self._spend("drop"):
                self.dropped.append(event["id"])
                continue
            if self.mischief.delay:
                await self._sleep(self.mischief.delay)
            await self._deliver(event)

    async def _deliver(self, event: dict[str, Any]) -> None:
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        status = None
        for attempt in range(1, _ATTEMPTS + 1):
            status, wait = await self._post(event["id"], body, attempt)
            if wait is None:
                break
            await self._sleep(wait)
        emission = Emission(event["id"], event["type"], event["subject"], status, attempt)
        if status is not None and 200 <= status < 300:
            self.sent.append(emission)
        else:
            self.lost.append(emission)

    async def _post(self, event_id: str, body: str, attempt: int) -> tuple[int | None, float | None]:
        """One try: the status, and how long to wait before the next (None: no next)."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=10, trust_env=False, transport=self._transport)
        # Signed by the machine's clock even when the simulated one has moved: the receiver checks real time.
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/cloudevents+json",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(event_id, now, body),
        }
        backoff = min(0.1 * 2 ** (attempt - 1), _LONGEST_WAIT)
        try:
            answer = await self._client.post(self.url or "", content=body.encode(), headers=headers)
        except httpx.TransportError:
            return None, backoff
        if answer.status_code != 429 and answer.status_code < 500:
            return answer.status_code, None
        asked = answer.headers.get("retry-after", "")
        return answer.status_code, min(float(asked), _LONGEST_WAIT) if asked.isdigit() else backoff


def envelope(change: Change) -> dict[str, Any]:
    """The thin CloudEvent: what happened to what, and nothing about the content."""
    return {
        "specversion": "1.0",
        "id": f"sim-{uuid.uuid4()}",
        "type": change.type,
        "source": f"urn:planday:portal:{change.portal_id}",
        "subject": f"{change.entity}/{change.id}",
        "time": change.at,
        "portalid": str(change.portal_id),
    }


def _on_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
