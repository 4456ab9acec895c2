"""Which targets take an event by the rules of now although no delivery to them was made, and with what data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic_core

from relay.replay.kept import can_be_read, is_whole, was_cut
from relay.routing import Router, matches
from relay.settings import Portal, Target
from relay.store.choosing import Candidate
from relay.store.plans import Item


class Missing:
    """Judges by what is kept of an event. Where that cannot say, its re-reading will."""

    def __init__(self, targets: Mapping[str, Target], portals: Mapping[str, Portal], *, reread: bool) -> None:
        self._targets = targets
        self._reread = reread
        self._readable = frozenset(portal.id for portal in portals.values())
        self._fields = {name: target.field_list() for name, target in targets.items()}
        self._strict = {name: Router({name: target}) for name, target in targets.items()}
        # What holds whatever was cut, and what holds although Planday's part was not read.
        self._cut = {name: Router({name: _without(target, ("when", "changed"))}) for name, target in targets.items()}
        names = ("when", "changed", "departments", "employee_groups")
        self._unread = {name: Router({name: _without(target, names)}) for name, target in targets.items()}
        self.unclear: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()

    def of(self, candidate: Candidate, envelope: bytes) -> list[Item]:
        """The items that this event gives, one per target that lacks it."""
        found = pydantic_core.from_json(envelope)
        return [
            item
            for name in self._targets
            if name not in candidate.targets and (item := self._item(candidate, found, name)) is not None
        ]

    def may_take(self, candidate: Candidate) -> bool:
        """Whether some target that lacks it takes events of its type, so that its envelope is worth a look."""
        return any(self._is_of(candidate, name) for name in self._targets if name not in candidate.targets)

    def _is_of(self, candidate: Candidate, target: str) -> bool:
        return any(matches(pattern, candidate.type) for pattern in self._targets[target].events)

    def _item(self, candidate: Candidate, envelope: Mapping[str, Any], target: str) -> Item | None:
        if not self._is_of(candidate, target):
            return None
        entity = str(envelope.get("subject", "")).partition("/")[0]
        readable = can_be_read(entity, candidate.type) and int(envelope["portalid"]) in self._readable
        whole = is_whole(envelope)
        cut = readable and was_cut(envelope, self._fields[target])
        must = readable and (cut or (self._targets[target].require_complete and not whole))
        takes = bool(self._strict[target].route(envelope).matched)
        if not takes:
            loose = self._unread if not whole else self._cut if cut else None
            if loose is None or not readable or not loose[target].route(envelope).matched:
                return None
            must = True
            self.unclear[target] += 1
        elif must:
            self.cut[target] += 1
        data = "reread" if must or (self._reread and readable) else "first"
        return Item(candidate.at, candidate.sequence, candidate.event, target, _state(candidate), data)


def _state(candidate: Candidate) -> str:
    return "unrouted" if candidate.state == "unrouted" else "missing"


def _without(target: Target, names: Sequence[str]) -> Target:
    return target.model_copy(update={name: None if name == "when" else () for name in names})
