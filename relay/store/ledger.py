"""What each payroll target was sent of each line, so that nothing is paid twice; claimed before sending, settled after.

Lines and their content stand here as keyed hashes, so that the ledger still protects after a person was erased; the
content last sent is kept encrypted beside it, for as long as the person is. The key of both is random, made once and
kept in the store, encrypted with the environment's keys: exchanging those loses nothing, losing them stops sending.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis.asyncio as aioredis

from relay.errors import StoreUnfit
from relay.store.cipher import FernetCipher, new_key
from relay.store.client import Scripts, command, translated
from relay.store.keys import Keys
from relay.store.store import ms

Answer = Literal["go", "same", "nothing", "older", "busy", "unsure"]
Became = Literal["taken", "refused", "unsent"]
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the ledger says of a line; `answer` is explained in scripts/ledger_claim.lua.

    `event` is who sent it last, or whose outcome is open, `at` when (seconds), `state` where that delivery stands.
    `there`: the target has something of the line. `content` is that, None where it is not kept any more. `sent` counts
    the sendings; `token` proves a claim.
    """

    answer: Answer
    event: str = ""
    at: float | None = None
    sent: int = 0
    there: bool = False
    content: str | None = None
    state: str = ""
    token: str = ""


class Ledger:
    """The ledgers of all payroll targets. Raises StoreError when the store does not answer."""

    def __init__(self, client: aioredis.Redis, keys: Keys, *, cipher: FernetCipher) -> None:
        """`cipher` opens the ledger's own key."""
        self._client = client
        self._keys = keys
        self._cipher = cipher
        self._scripts = Scripts(client)
        self._own: _Own | None = None

    async def claim(
        self,
        target: str,
        line: str,
        *,
        content: str | None,
        event: str,
        idempotency_key: str,
        read_at: float,
        now: float,
        days: int,
        person: tuple[str, str] | None = None,
        anew: bool = False,
        released: bool = False,
        dedupes: bool = False,
        look: bool = False,
    ) -> Standing:
        """Ask what the target has of a line, and mark it as being sent if the answer is "go".

        `content` None: the target shall have nothing. `read_at` is when Planday was read (seconds): an older state
        never replaces a newer one. `person` (portal, employee) is by whom the kept content is found again. `anew`: a
        person wants it sent whatever is there; `released`: a person let this delivery go. `look` marks nothing.
        """
        own = await self._key()
        token = secrets.token_hex(8)
        found: list[Any] = await self._scripts.call(
            "ledger_claim",
            self._keys.prefix,
            ms(now),
            target,
            own.hash("line", f"{target}\0{line}"),
            "-" if content is None else own.hash("content", content),
            event,
            idempotency_key,
            token,
            "" if content is None else own.cipher.encrypt(content),
            ms(read_at),
            days * _DAY_MS,
            int(anew),
            int(released),
            int(dedupes),
            "" if person is None else ":".join(person),
            int(look),
        )
        answer, by, at, sent, there, kept, state = found
        return Standing(
            answer=cast("Answer", answer.decode()),
            event=by.decode(),
            at=float(at) / 1000 if at else None,
            sent=sent,
            there=bool(there),
            content=own.cipher.decrypt(kept.decode()) if kept else None,
            state=state.decode(),
            token=token,
        )

    async def settle(self, target: str, line: str, *, token: str, became: Became, now: float, days: int) -> None:
        """Say what became of a claim: taken, refused, or not sent this time; of an unknown outcome nothing is said."""
        own = await self._key()
        args = (target, own.hash("line", f"{target}\0{line}"), token, became, days * _DAY_MS)
        await self._scripts.call("ledger_settle", self._keys.prefix, ms(now), *args)

    async def forget(self, portal: int | str, employee: str) -> int:
        """Drop the kept content of a person's lines; that they were sent stays known. The answer is how many."""
        index = self._keys.ledger_of(portal, employee)
        members = await command(self._client, "SMEMBERS", index)
        with translated():
            pipe = self._client.pipeline(transaction=True)
            for member in members:
                target, _, line = member.decode().rpartition(":")
                pipe.hdel(self._keys.ledger(target, line), "x", "px")
            pipe.delete(index)
            await pipe.execute()
        return len(members)

    async def _key(self) -> _Own:
        """The ledger's own key, made by whoever needs it first. Raises StoreUnfit where none of our keys opens it."""
        if self._own is not None:
            return self._own
        name = self._keys.ledger_key
        stored = await command(self._client, "GET", name)
        if stored is None:
            await command(self._client, "SET", name, self._cipher.encrypt(new_key()), "NX")
            stored = await command(self._client, "GET", name)
        opened = self._cipher.decrypt(stored.decode())
        if opened is None:
            raise StoreUnfit(
                "the ledger of what payroll was sent cannot be read: its key was encrypted with a key that is not in "
                "RELAY_ENCRYPTION_KEYS any more; put that one back as the last of the list"
            )
        # From now on under the first of our keys, so that an old one can go.
        await command(self._client, "SET", name, self._cipher.encrypt(opened), "XX")
        self._own = _Own(opened)
        return self._own


class _Own:
    """The ledger's own key, for hashes and for content."""

    def __init__(self, text: str) -> None:
        self.cipher = FernetCipher.from_text(text, where="the ledger's key")
        self._hash_key = hashlib.blake2b(b"planday-relay ledger", key=text.encode()[:64]).digest()

    def hash(self, use: str, text: str) -> str:
        """A keyed hash; each use has hashes of its own."""
        return hashlib.blake2b(text.encode(), key=self._hash_key, person=use.encode(), digest_size=16).hexdigest()
