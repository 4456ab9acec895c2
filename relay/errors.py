"""Every error of ours, one tree; foreign errors are translated at the edge where they arise.

RelayError
├── ConfigError            settings cannot be used; carries every fault with its path
├── NotFoundError          something was asked for by a name or id that does not exist
├── RefusedError           an operator's request makes no sense in the present state
├── InboundError           a sender's request is not accepted (web/problems.py has the status of each)
│   ├── NoSuchSource
│   ├── BadSignature
│   ├── BodyTooLarge
│   ├── UnsupportedMedia
│   ├── NotJson
│   └── BadEnvelope        carries a pointer to each fault
├── StoreError             the store cannot do what is asked
│   ├── StoreUnavailable   no answer in time, refused writes, or the connection broke
│   │   └── StoreFull      no room for new events
│   ├── StoreUnfit         this Redis must not be used (persistence, eviction, version, data format)
│   └── BacklogFull        more events wait than the backlog limit allows
├── SendError              an outgoing call did not bring a usable answer
│   ├── NotSent            the far side cannot have the whole request
│   │   └── AddressRefused the guard refused the address
│   └── Unanswered         the request was sent, no usable answer came
│       └── AnswerTooLarge
├── Unrenderable           a message or a body cannot be made from this event
└── PlandayError           Planday's API or identity server
    ├── PlandayUnavailable 429, 5xx, network: later
    │   └── BudgetSpent    our own share of the rate limit is used up for now
    ├── AuthorizationLost  the portal's token is dead: a person must authorise again
    ├── ScopeMissing       403: the app lacks a scope
    ├── RecordGone         404, or 400 on a read by id
    │   └── RecordErased   it is of a person who was erased here
    └── WrongPortal        the token belongs to another portal
"""

from __future__ import annotations

from dataclasses import dataclass


class RelayError(Exception):
    """Base of all. `permanent` says that trying again unchanged cannot help; `retry_after` is in seconds."""

    permanent = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, with the place where it stands: a config path or a JSON pointer."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ConfigError(RelayError):
    """The settings cannot be used. All faults are collected, so that one start shows all of them."""

    permanent = True

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in faults))


class NotFoundError(RelayError):
    """No event, delivery, target, portal or plan of that name."""

    permanent = True


class RefusedError(RelayError):
    """What was asked cannot be done in the present state; the message says why and what can be done instead."""

    permanent = True


class InboundError(RelayError):
    """A sender's request is refused; nothing of it is stored."""

    permanent = True


class NoSuchSource(InboundError):
    """The path names no configured source."""


class BadSignature(InboundError):
    """The request is not proven to come from the source. The text never says which check failed."""


class BodyTooLarge(InboundError):
    """More bytes arrived than the source's limit."""


class UnsupportedMedia(InboundError):
    """The content type is none that the receiver reads."""


class NotJson(InboundError):
    """The body is not JSON."""


class BadEnvelope(InboundError):
    """The JSON is not an event of ours. Each fault carries a JSON pointer into the body."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in faults))


class StoreError(RelayError):
    """The store cannot do what is asked."""


class StoreUnavailable(StoreError):
    """Redis did not answer within its limit, refused a write, or the connection broke on the way."""

    retry_after = 5.0


class StoreFull(StoreUnavailable):
    """Redis has no room for new events; what was accepted is worked on, and senders are asked to come back."""

    retry_after = 60.0


class StoreUnfit(StoreError):
    """This Redis, or the data in it, must not be used by this release; the message says what to change."""

    permanent = True


class BacklogFull(StoreError):
    """More accepted events wait than `relay.backlog_limit`; senders are asked to come back."""

    retry_after = 30.0


class SendError(RelayError):
    """An outgoing call brought no usable answer. Texts name a host at most, never a path or a query."""


class NotSent(SendError):
    """The far side cannot have the whole request: refused, unresolved, TLS failed, broke before its end."""


class AddressRefused(NotSent):
    """The guard refused the address or the URL before anything was sent."""

    permanent = True


class Unanswered(SendError):
    """The whole request was handed over and no usable answer came: it may or may not have been acted on."""


class AnswerTooLarge(Unanswered):
    """The answer was larger than the caller can take."""


class Unrenderable(RelayError):
    """A message or body cannot be made from this event; sending it again unchanged cannot help."""

    permanent = True


class PlandayError(RelayError):
    """Planday's API or identity server answered with an error, or not at all."""


class PlandayUnavailable(PlandayError):
    """429, 5xx, or no answer: worth asking again, after `retry_after` seconds where that is known."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BudgetSpent(PlandayUnavailable):
    """Our own share of Planday's rate limit is used up for now: no call was made, and nothing is wrong."""


class AuthorizationLost(PlandayError):
    """The portal's token no longer works; an administrator has to authorise the app again."""

    permanent = True


class ScopeMissing(PlandayError):
    """The app was created without a scope that this read needs."""

    permanent = True

    def __init__(self, message: str, *, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class RecordGone(PlandayError):
    """The record does not exist (404), or is one that Planday refuses to show (400)."""

    permanent = True


class RecordErased(RecordGone):
    """The record is of a person who was erased here: whatever Planday has of it is not taken in."""


class WrongPortal(PlandayError):
    """The token works, but for another portal than the configured one."""

    permanent = True
