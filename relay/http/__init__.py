"""Outgoing HTTP: httpx's requests and answers over aiohttp's pool, behind a guard against forbidden addresses.

`guard` decides, without I/O, which URLs and addresses a target may reach. `transport` sends one request and says
what became of it: an answer, `NotSent` (the far side cannot have it whole) or `Unanswered` (it may have been acted on).
"""

from relay.http.guard import AddressPolicy
from relay.http.transport import MAX_ANSWER, OutgoingTransport

__all__ = ["MAX_ANSWER", "AddressPolicy", "OutgoingTransport"]
