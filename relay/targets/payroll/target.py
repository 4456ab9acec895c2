"""A payroll system by HTTP: each record one line, sent once, corrected when it changes, taken back when it ends.

What the target has stands in the ledger: claimed before sending, settled after. An unknown outcome leaves the claim,
and what comes after it waits for a person wherever guessing could pay twice.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from relay.errors import AddressRefused, ConfigError, Fault, NotSent, StoreError, Unrenderable
from relay.events import Outcome, idempotency_key, rfc3339
from relay.settings import PayrollHttpTarget
from relay.settings.values import is_reference
from relay.targets import masking
from relay.targets.answers import Verdict, named
from relay.targets.base import (
    USER_AGENT,
    Common,
    Preview,
    Result,
    Sending,
    Target,
    Transport,
    address,
    essentials,
    ours,
    policy_of,
    transport_of,
)
from relay.targets.ledger import Became, Standing
from relay.targets.payroll import bodies
from relay.targets.payroll.credentials import ClientCredentials, Credential, ssl_context
from relay.targets.payroll.lines import Row, counts, rows
from relay.targets.payroll.mapping import FieldMap
from relay.targets.payroll.values import Value, pack, unpack

# What the relay tells of itself, tests included.
_OF_RELAY = "relay."
_BECAME: Mapping[Outcome, Became] = {
    Outcome.DELIVERED: "taken",
    Outcome.REJECTED: "refused",
    Outcome.RETRY: "unsent",
    Outcome.TARGET_BROKEN: "unsent",
}
_ATTRIBUTES = ("id", "type", "time", "relayorigin", "correlationid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What an event means for the payroll system: which line, and what it shall have of it (None: nothing)."""

    key: str
    content: Mapping[str, Value] | None
    visible: Mapping[str, Any]
    zone: str | None


class PayrollHttp(Target):
    """One line per record by POST or PUT."""

    kind = "payroll-http"
    settings: PayrollHttpTarget

    def __init__(
        self, name: str, settings: PayrollHttpTarget, *, common: Common, transport: Transport | None = None
    ) -> None:
        faults: list[Fault] = []
        tls: ssl.SSLContext | None = None
        token_url: httpx.URL | None = None
        try:
            tls = ssl_context(name, settings.tls)
        except ConfigError as error:
            faults += error.faults
        try:
            self._map = FieldMap(name, settings, settings.field_list())
        except ConfigError as error:
            faults += error.faults
        try:
            if settings.auth.token_url is not None:
                where = f"targets.{name}.auth.token_url"
                token_url = address(where, settings.auth.token_url.reveal(), policy_of(settings))
        except ConfigError as error:
            faults += error.faults
        try:
            super().__init__(name, settings, common=common, transport=transport or transport_of(settings, tls=tls))
        except ConfigError as error:
            faults += error.faults
        if faults:
            raise ConfigError(faults)
        self.method = settings.method
        self._ledger = common.ledger
        self._extra = {header: value.reveal() for header, value in settings.headers.items()}
        self._token_url = token_url
        self._token_transport: Transport | None = None
        self._credential = Credential(settings.auth)
        if token_url is not None:
            self._token_transport = transport_of(settings, tls=tls)
            self._credential = ClientCredentials(
                settings.auth, url=token_url, transport=self._token_transport, timeout=settings.retry.timeout
            )

    def secrets(self) -> Iterable[str]:
        hidden = (value.reveal() for value in self.settings.headers.values() if is_reference(value.reference))
        return (*super().secrets(), *self._credential.secrets(), *hidden)

    def addresses(self) -> tuple[httpx.URL, ...]:
        return (*super().addresses(), *((self._token_url,) if self._token_url is not None else ()))

    def judge(self, response: httpx.Response, *, now: float) -> Verdict:
        if not self.dedupes and response.status_code in self.settings.unknown_statuses:
            shown = named(response.status_code)
            return Verdict(Outcome.UNKNOWN, f"the target failed, and may have taken the line all the same ({shown})")
        return super().judge(response, now=now)

    # What would be sent to a target that has nothing yet ------------------------------------------

    def body(self, sending: Sending) -> bytes:
        line = self._line(sending)
        return self._body(line, self._rows(line, None, sending), None, sending)

    def headers(self, sending: Sending, body: bytes) -> dict[str, str]:
        return {**self._headers(self._line(sending), sending), **self._credential.shown()}

    # What is sent, by what the ledger says -----------------------------------------------------------

    async def send(self, sending: Sending) -> Result:
        """One attempt, whatever comes of it; raises nothing but a cancellation."""
        try:
            line = self._line(sending)
        except Unrenderable as error:
            return Result(outcome=Outcome.REJECTED, reason=f"no line can be made of this event: {error}")
        except Exception as fault:
            return Result(outcome=Outcome.RETRY, reason=ours("making the line", fault))
        try:
            standing = await self._claim(line, sending)
        except StoreError as error:
            return Result(
                outcome=Outcome.RETRY, reason=f"not sent: the ledger cannot say what was sent before: {error}"
            )
        if standing.answer != "go":
            return self._not_now(standing, sending)
        result, became = await self._send_claimed(line, standing, sending)
        if became is not None:
            assert self._ledger is not None
            # A claim that cannot be settled stays: by how its delivery ends, the next one knows what became of it.
            with contextlib.suppress(StoreError):
                await self._ledger.settle(
                    self.name,
                    line.key,
                    token=standing.token,
                    became=became,
                    now=sending.now,
                    days=self.settings.ledger_days,
                )
        return result

    async def foresee(self, sending: Sending) -> Preview:
        line = self._line(sending)
        standing = await self._claim(line, sending, look=True)
        held = self._not_now(standing, sending) if standing.answer != "go" else self._held(standing, line, sending)
        if held is not None:
            answer = standing.answer if standing.answer != "go" else "held"
            note = held.reason.replace("was sent", "would be sent", 1)
            return Preview(method="", url="", headers={}, body="", standing=answer, note=note)
        made = self._rows(line, standing, sending)
        body = self._body(line, made, standing, sending)
        request = self._request({**self._headers(line, sending), **self._credential.shown()}, body)
        note = {
            "new": "the target has nothing of this line yet",
            "correction": f"the target has this line with other content, by {standing.event}",
            "reversal": f"the target has this line, by {standing.event}; it is taken back",
        }[made[-1].kind]
        encoding = self.settings.body.encoding if self.settings.body.format == "csv" else "utf-8"
        return Preview(
            method=request.method,
            url=masking.url(request.url),
            headers=masking.headers(request.headers, known=self.secrets()),
            body=body.decode(encoding),
            standing=made[-1].kind,
            note=note,
        )

    async def aclose(self) -> None:
        await super().aclose()
        if self._token_transport is not None:
            await self._token_transport.aclose()

    async def _send_claimed(self, line: Line, standing: Standing, sending: Sending) -> tuple[Result, Became | None]:
        """The request of a claimed line, and what became of the claim; None where nobody knows."""
        if (held := self._held(standing, line, sending)) is not None:
            return held, "unsent"
        try:
            body = self._body(line, self._rows(line, standing, sending), standing, sending)
        except Unrenderable as error:
            reason = f"no line can be made of this event: {error}"
            return Result(outcome=Outcome.REJECTED, reason=reason), "unsent"
        except Exception as fault:
            return Result(outcome=Outcome.RETRY, reason=ours("making the line", fault)), "unsent"
        for again in (True, False):
            try:
                credential = await self._credential.headers(now=sending.now)
            except AddressRefused as error:
                reason = f"not sent, the address of the token server is refused: {error}"
                return Result(outcome=Outcome.TARGET_BROKEN, reason=reason), "unsent"
            except NotSent as error:
                outcome = Outcome.TARGET_BROKEN if error.permanent else Outcome.RETRY
                return Result(outcome=outcome, reason=f"not sent: {error}"), "unsent"
            request = self._request({**self._headers(line, sending), **credential}, body)
            kept = masking.sent_headers(request.headers, known=self.secrets())
            result = await self.exchange(request, sending, kept=kept)
            # 401 says that it was not taken: once more, with a token that was not fetched before.
            if not (again and result.status == httpx.codes.UNAUTHORIZED and self._credential.refused()):
                break
        return result, _BECAME.get(result.outcome)

    async def _claim(self, line: Line, sending: Sending, *, look: bool = False) -> Standing:
        if self._ledger is None:
            raise StoreError("this process has no ledger")
        envelope = sending.envelope
        employee = str(envelope.get("employeeid") or "")
        return await self._ledger.claim(
            self.name,
            line.key,
            content=None if line.content is None else pack(line.content),
            event=sending.event_id,
            idempotency_key=idempotency_key(sending.event_id, self.name, sending.salt),
            read_at=_read_at(envelope, sending.now),
            now=sending.now,
            days=self.settings.ledger_days,
            person=(str(envelope.get("portalid")), employee) if employee else None,
            anew=bool(sending.salt),
            released=sending.released,
            dedupes=self.dedupes,
            look=look,
        )

    def _not_now(self, standing: Standing, sending: Sending) -> Result:
        """Why a line is not sent that the ledger does not let go."""
        by = f"{standing.event} ({rfc3339(standing.at)})" if standing.at is not None else standing.event
        match standing.answer:
            case "same":
                reason = f"nothing was sent: the target has this line with this content already, by {by}"
                return Result(outcome=Outcome.DELIVERED, reason=reason)
            case "nothing":
                reason = "nothing was sent: the target has nothing of this line, and is to have nothing"
                return Result(outcome=Outcome.DELIVERED, reason=reason)
            case "older":
                reason = f"nothing was sent: the target has a newer state of this line, by {by}"
                return Result(outcome=Outcome.REJECTED, reason=reason)
            case "busy":
                reason = f"not sent: {by} is about the same line and is {standing.state}: it comes first"
                return Result(outcome=Outcome.RETRY, reason=reason)
        if standing.event == sending.event_id:
            reason = (
                "nothing was sent: an earlier attempt may have been taken; look there, then `relay deliveries cancel` "
                "if it was, `relay deliveries release` if not"
            )
        else:
            reason = (
                f"nothing was sent: nobody knows whether the target has what {by} sent of this line; look there, then "
                f"`relay deliveries cancel {standing.event}` if it has, `relay deliveries release` here if not"
            )
        return Result(outcome=Outcome.HELD, reason=reason)

    def _held(self, standing: Standing, line: Line, sending: Sending) -> Result | None:
        """Why a line that might go must wait for a person."""
        if sending.salt:
            return None
        policy = self.settings.corrections
        if policy == "hold" and standing.sent and not sending.released:
            reason = (
                f"nothing was sent: the target has this line by {standing.event}, and what changes it is to be decided "
                "by a person: `relay deliveries release` sends it, `relay deliveries cancel` drops it"
            )
            return Result(outcome=Outcome.HELD, reason=reason)
        if policy == "delta" and standing.there and standing.content is None:
            reason = (
                "nothing was sent: what the target has of this line was erased with the person, so that no difference "
                "can be made; correct it by hand there, then `relay deliveries cancel`"
            )
            return Result(outcome=Outcome.HELD, reason=reason)
        return None

    def _line(self, sending: Sending) -> Line:
        """What this event means. Raises Unrenderable."""
        essentials(sending.envelope)
        if str(sending.envelope["type"]).startswith(_OF_RELAY):
            raise Unrenderable("what the relay tells of itself is no pay; `relay targets preview` shows real lines")
        data = sending.envelope.get("data") or {}
        visible = self.fields.apply(sending.envelope)
        zone, content = _zone(data), None
        if counts(sending.envelope, approved_only=self.settings.approved_only):
            if data.get("object") is None:
                raise Unrenderable("the record that it is about is not known")
            content = self._map.content(visible, zone=zone)
        return Line(key=self._map.key(visible), content=content, visible=visible, zone=zone)

    def _rows(self, line: Line, standing: Standing | None, sending: Sending) -> tuple[Row, ...]:
        """Raises Unrenderable."""
        known = standing.content if standing is not None and standing.there and not sending.salt else None
        was = unpack(known) if known is not None else None
        if line.content is None and was is None:
            was = self._map.content(line.visible, zone=line.zone)
        return rows(
            line.content,
            was,
            key=line.key,
            sent=0 if standing is None else standing.sent,
            amounts=self.settings.amounts,
            differences=self.settings.corrections == "delta",
            anew=bool(sending.salt),
        )

    def _body(self, line: Line, made: tuple[Row, ...], standing: Standing | None, sending: Sending) -> bytes:
        """Raises Unrenderable."""
        envelope = sending.envelope
        sequence = str(envelope.get("sequence", ""))
        facts = {
            **{name: envelope.get(name) for name in _ATTRIBUTES},
            "sequence": sequence,
            "line": {
                "version": 1 if standing is None else standing.sent + 1,
                "event": sending.event_id,
                "sequence": int(sequence) if sequence.isdigit() else None,
                "idempotency_key": idempotency_key(sending.event_id, self.name, sending.salt),
            },
        }
        written = [self._map.write(row, facts, zone=line.zone) for row in made]
        return bodies.render(written, self._map.names, self.settings.body)

    def _headers(self, line: Line, sending: Sending) -> dict[str, str]:
        named_key = {self.settings.line_key_header: line.key} if self.settings.line_key_header else {}
        return {
            "content-type": bodies.content_type(self.settings.body),
            **self._extra,
            **named_key,
            "idempotency-key": idempotency_key(sending.event_id, self.name, sending.salt),
            "planday-relay-attempt": str(sending.attempt),
            **({"planday-relay-replay": sending.replay} if sending.replay is not None else {}),
        }

    def _request(self, headers: Mapping[str, str], body: bytes) -> httpx.Request:
        return httpx.Request(self.method, self.url, headers={"user-agent": USER_AGENT, **headers}, content=body)


def _zone(data: Mapping[str, Any]) -> str | None:
    """The record's own time zone, or its portal's."""
    for record in (data.get("object"), (data.get("related") or {}).get("portal")):
        zone = record.get("timeZone") if isinstance(record, Mapping) else None
        if isinstance(zone, str) and zone:
            return zone
    return None


def _read_at(envelope: Mapping[str, Any], now: float) -> float:
    """When Planday was read for this event, in seconds."""
    text = ((envelope.get("data") or {}).get("enrichment") or {}).get("fetched_at")
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else now
    except ValueError:
        return now
