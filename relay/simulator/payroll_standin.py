"""A stand-in for a payroll endpoint that checks signatures and counts what reaches it, how often."""

import json
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from relay.simulator.clock import Clock
from relay.simulator.faults import Faults
from relay.simulator.times import exact_stamp

# "whsec_" + base64 of 32 known bytes; a development value.
PAYROLL_SECRET = "whsec_c2ltdWxhdG9yLXBheXJvbGwtc2VjcmV0LTAwMDAwMDE="
_KEPT = 20000


@dataclass
class Received:
    """One request, whatever became of it."""

    at: str
    name: str
    key: str | None
    status: int | None
    accepted: bool
    repeated: bool
    verdict: str
    headers: dict[str, str]
    body: Any


class PayrollStandin:
    """`POST /payroll/{name}`."""

    def __init__(self, *, clock: Clock, faults: Faults, secret: str) -> None:
        self._clock = clock
        self._faults = faults
        self._default_secret = secret
        self._secrets: dict[str, str] = {}
        self.clear()

    def clear(self) -> None:
        """Forget every request; the secrets stay."""
        self.received: deque[Received] = deque(maxlen=_KEPT)
        self.requests: Counter[str] = Counter()
        self.keys: dict[str, Counter[str]] = {}

    def set_secret(self, name: str | None, secret: str) -> None:
        """Expect signatures by this secret, for one endpoint or for all that have none of their own."""
        Webhook(secret)
        if name is None:
            self._default_secret = secret
        else:
            self._secrets[name] = secret

    async def __call__(self, request: Request) -> Response:
        """Verify, record, and answer as planned."""
        name = request.path_params["name"]
        self.requests[name] += 1
        fault = self._faults.take(request.url.path)
        if fault is not None and fault.kind == "drop":
            return await self._faults.play(fault, request, _never)
        raw = await request.body()
        key = request.headers.get("idempotency-key")
        status, verdict = self._judge(name, raw, dict(request.headers), key)
        accepted = status == 202 and (fault is None or fault.work_done)
        known = self.keys.setdefault(name, Counter())
        repeated = key is not None and known[key] > 0
        if accepted and key is not None:
            known[key] += 1
        entry = Received(
            at=exact_stamp(self._clock.now()),
            name=name,
            key=key,
            status=status,
            accepted=accepted,
            repeated=repeated,
            verdict=verdict,
            headers=dict(request.headers),
            body=_parsed(raw),
        )
        self.received.append(entry)

        async def proceed() -> Response:
            return JSONResponse({"status": verdict, "repeated": repeated}, status_code=status)

        response = await self._faults.play(fault, request, proceed)
        entry.status = None if fault and fault.kind == "drop-after" else response.status_code
        return response

    def as_dict(self, *, name: str | None = None) -> dict[str, Any]:
        """Counts and requests, of one endpoint or of all."""
        chosen = [name] if name is not None else list(self.requests)
        keys: Counter[str] = Counter()
        for one in chosen:
            keys.update(self.keys.get(one, {}))
        rows = [entry for entry in self.received if name in (None, entry.name)]
        return {
            "requests": sum(self.requests[one] for one in chosen),
            "accepted": keys.total(),
            "uniqueKeys": sum(len(+self.keys.get(one, Counter())) for one in chosen),
            "keys": dict(+keys),
            "received": [asdict(entry) for entry in rows],
        }

    def _judge(self, name: str, raw: bytes, headers: dict[str, str], key: str | None) -> tuple[int, str]:
        try:
            # json_parse off: a signature is about bytes, and so is the first question.
            Webhook(self._secrets.get(name, self._default_secret)).verify(raw, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):
            return 401, "bad signature"
        if not key:
            return 400, "no idempotency-key"
        return (202, "accepted") if isinstance(_parsed(raw), dict) else (400, "not a JSON object")


async def _never() -> Response:
    raise AssertionError("a dropped request goes no further")


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
