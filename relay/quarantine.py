"""What lies in the quarantine is read again, or dropped, by a person's decision.

Only bodies whose signature was good get there, so that nothing has to be proven a second time: what is read now is what
its source sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.envelope import parse
from relay.errors import BadEnvelope, Fault, InboundError, RefusedError
from relay.pipeline import Intake, Outside
from relay.settings import Source
from relay.store.audit import Audit
from relay.store.shelf import Quarantined, Shelf
from relay.store.work import Accepted

_ALL = 1_000_000
_NOT_WHOLE = (
    "it is not there as it was sent (too long, not UTF-8, or it mentions a person who was erased) and cannot be read: "
    "let the sender send it again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """What became of one kept body: the events that it was accepted as, or `error`: what is still wrong with it.

    `faults` are that in detail, each with a pointer into the body.
    """

    id: str
    source: str
    events: tuple[Accepted, ...] = ()
    error: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def ok(self) -> bool:
        """It was accepted, and has left the quarantine."""
        return not self.error


class Quarantine:
    """Decisions about kept bodies. Each raises StoreError."""

    def __init__(
        self, *, shelf: Shelf, intake: Intake, sources: Mapping[str, Source], audit: Audit, outside: Outside
    ) -> None:
        self._shelf = shelf
        self._intake = intake
        self._sources = sources
        self._audit = audit
        self._outside = outside

    async def retry(self, id_: str, *, by: str) -> Reread:
        """Read one body by what its source's settings say now, and accept it, as if it had been sent again.

        Raises NotFoundError, and BacklogFull; then it stays where it is.
        """
        found = await self._reread(await self._shelf.quarantined_one(id_), by=by)
        if found.ok:
            await self._shelf.unshelve([id_])
        return found

    async def retry_all(self, *, by: str, source: str | None = None) -> list[Reread]:
        """The same for all, or for all of one source, the oldest first. Raises BacklogFull when there is no more room.

        Whatever ends it, what was accepted until then has left the quarantine, and nothing comes in twice.
        """
        found: dict[str, Reread] = {}
        try:
            for one in await self._kept(source):
                found[one.id] = await self._reread(one, by=by)
        finally:
            await self._shelf.unshelve([one.id for one in found.values() if one.ok])
        return list(found.values())

    async def drop(self, id_: str, *, by: str, reason: str) -> None:
        """Forget one body for good. Raises NotFoundError, and RefusedError without a reason."""
        await self._drop([await self._shelf.quarantined_one(id_)], by=by, reason=reason)

    async def drop_all(self, *, by: str, reason: str, source: str | None = None) -> int:
        """Forget all, or all of one source; how many. Raises RefusedError without a reason."""
        return await self._drop(await self._kept(source), by=by, reason=reason)

    async def _kept(self, source: str | None) -> list[Quarantined]:
        kept = await self._shelf.quarantined(limit=_ALL)
        return [one for one in reversed(kept) if source in (None, one.source)]

    async def _drop(self, kept: list[Quarantined], *, by: str, reason: str) -> int:
        if not reason:
            raise RefusedError("dropping needs a reason: what is dropped cannot be read again. Nothing was changed")
        dropped = await self._shelf.unshelve([one.id for one in kept])
        for one in kept:
            await self._note("quarantine.drop", one, by=by, reason=reason, result="dropped")
        return dropped

    async def _reread(self, one: Quarantined, *, by: str) -> Reread:
        try:
            source = self._sources.get(one.source)
            if source is None:
                raise RefusedError(f"its source, {one.source}, is not in the configuration any more")
            if not one.whole:
                raise RefusedError(_NOT_WHOLE)
            # A body that names no id gets the same ones however often it is read.
            fresh = (f"{one.id}:{number}" for number in range(_ALL))
            events = parse(
                one.body.encode(),
                content_type=one.content_type or None,
                source_name=one.source,
                source=source,
                webhook_id=one.webhook_id,
                now=self._outside.clock(),
                fresh_id=lambda: next(fresh),
            )
        except (InboundError, RefusedError) as error:
            faults = error.faults if isinstance(error, BadEnvelope) else ()
            await self._note("quarantine.retry", one, by=by, result="still unreadable")
            return Reread(id=one.id, source=one.source, error=str(error), faults=tuple(faults))
        accepted = await self._intake.accept(events)
        known = sum(event.duplicate for event in accepted)
        result = f"{len(accepted)} accepted" + (f", {known} of them known already" if known else "")
        await self._note("quarantine.retry", one, by=by, result=result)
        return Reread(id=one.id, source=one.source, events=tuple(accepted))

    async def _note(self, act: str, one: Quarantined, *, by: str, result: str, reason: str = "") -> None:
        on = f"{one.id} of {one.source}"
        await self._audit.record(by=by, act=act, on=on, reason=reason, result=result, now=self._outside.clock())
