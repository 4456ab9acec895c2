"""Any HTTP endpoint: the enriched envelope as a CloudEvent in JSON, signed by Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from collections.abc import Iterable

import httpx
import pydantic_core

from relay.errors import ConfigError, Fault, RelayError, Unrenderable
from relay.events import Outcome, idempotency_key
from relay.settings import WebhookTarget
from relay.signing import Signer
from relay.targets.answers import Verdict
from relay.targets.base import Common, Preview, Result, Sending, Target, Transport

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
ABORT_HEADER, ABORT = "webhook-delivery", "abort-message"


class Webhook(Target):
    """A signed POST of what the target may have of the envelope."""

    kind = "webhook"

    def __init__(
        self, name: str, settings: WebhookTarget, *, common: Common, transport: Transport | None = None
    ) -> None:
        self._configured = self._secrets = tuple(secret.reveal() for secret in settings.signing_secret)
        self._signing = common.signing
        try:
            self._signer = Signer(self._secrets)
        except ConfigError as error:
            where = f"targets.{name}.signing_secret"
            raise ConfigError([Fault(where, f"{fault.message}") for fault in error.faults]) from None
        super().__init__(name, settings, common=common, transport=transport)

    def secrets(self) -> Iterable[str]:
        ours = (*self._secrets, *self._configured)
        return (*super().secrets(), *ours, *(secret.removeprefix("whsec_") for secret in ours))

    async def send(self, sending: Sending) -> Result:
        """One attempt, whatever comes of it; raises nothing but a cancellation."""
        try:
            await self._renew()
        except RelayError as error:
            return Result(outcome=Outcome.RETRY, reason=f"not sent: it is not known which secret signs: {error}")
        return await super().send(sending)

    async def foresee(self, sending: Sending) -> Preview:
        await self._renew()
        return await super().foresee(sending)

    async def _renew(self) -> None:
        """Sign by what signs now: a rotation needs no restart."""
        if self._signing is not None and (now := await self._signing.of(self.name)) != self._secrets:
            self._secrets, self._signer = now, Signer(now)

    def body(self, sending: Sending) -> bytes:
        visible = self.fields.apply(sending.envelope)
        # An attribute that is null does not exist (CloudEvents JSON format 2.2), and NaN is not JSON.
        known = {name: value for name, value in visible.items() if value is not None}
        try:
            return pydantic_core.to_json(known, inf_nan_mode="null")
        except pydantic_core.PydanticSerializationError:
            raise Unrenderable("the event holds something that JSON cannot express") from None

    def headers(self, sending: Sending, body: bytes) -> dict[str, str]:
        # What shall be taken as new must be new to receivers that go by the message's id, too.
        message = f"{sending.event_id}_{sending.salt}" if sending.salt else sending.event_id
        try:
            signature = self._signer.sign(message_id=message, at=sending.now, body=body)
        except ValueError:
            raise Unrenderable("the event's id cannot be signed") from None
        return {
            "content-type": CONTENT_TYPE,
            "webhook-id": message,
            "webhook-timestamp": str(int(sending.now)),
            "webhook-signature": signature,
            "idempotency-key": idempotency_key(sending.event_id, self.name, sending.salt),
            "planday-relay-attempt": str(sending.attempt),
            **({"planday-relay-replay": sending.replay} if sending.replay is not None else {}),
        }

    def judge(self, response: httpx.Response, *, now: float) -> Verdict:
        verdict = super().judge(response, now=now)
        aborts = response.headers.get(ABORT_HEADER, "").strip().lower() == ABORT
        if aborts and verdict.outcome is not Outcome.DELIVERED:
            return Verdict(
                Outcome.REJECTED, f"the target asks not to be sent this message again ({response.status_code})"
            )
        return verdict
