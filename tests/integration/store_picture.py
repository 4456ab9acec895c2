"""All that stands in a store at one moment, and a plain model of a breaker, for tests that check the whole of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from relay.store.work import BreakerPolicy, Verdict

BUSY = ("sending", "parked")
ON_ITS_WAY = ("waiting", "sending")

DUMP = """
local out = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local kind = redis.call('TYPE', key).ok
  local read = {hash = {'HGETALL', key}, list = {'LRANGE', key, 0, -1}, zset = {'ZRANGE', key, 0, -1}}
  if read[kind] then out[#out + 1] = {key, kind, redis.call(unpack(read[kind]))} end
end
return out
"""

Key = tuple[str, str]


class Picture:
    """Read from what DUMP answers."""

    def __init__(self, dump: Sequence[tuple[bytes, bytes, list[bytes]]], prefix: str) -> None:
        self.hashes: dict[str, dict[str, str]] = defaultdict(dict)
        self.events: dict[str, dict[str, str]] = {}
        self.deliveries: dict[Key, dict[str, str]] = {}
        self.lists: dict[str, list[str]] = defaultdict(list)
        self.sets: dict[str, set[str]] = defaultdict(set)
        for key, kind, content in sorted(dump):
            name, members = key.decode().removeprefix(prefix), [one.decode() for one in content]
            if kind == b"list":
                self.lists[name] = members
            elif kind == b"zset":
                self.sets[name] = set(members)
            else:
                fields = self.hashes[name] = dict(zip(members[::2], members[1::2], strict=True))
                if name.startswith("e:"):
                    self.events[name[2:]] = fields
                elif name.startswith("d:"):
                    id_, target = name[2:].split(":")
                    self.deliveries[id_, target] = fields

    def of(self, field: str, value: str) -> set[str]:
        """The events of which a field has a value."""
        return {id_ for id_, one in self.events.items() if one[field] == value}

    def lane(self, key: Key) -> list[str]:
        """What is open of the same record to the same target."""
        id_, target = key
        return self.lists[f"ld:{target}:{self.events[id_]['lane']}"]

    def in_order(self, key: Key) -> bool:
        """Whether what is still to be sent stands oldest first, behind a head that cannot be moved."""
        ids, target = self.lane(key), key[1]
        busy = [one for one in ids[:1] if self.deliveries[one, target]["st"] in BUSY]
        free = [int(self.events[one]["seq"]) for one in ids[len(busy) :]]
        return free == sorted(free)

    def gives_way(self, key: Key) -> bool:
        """Whether an older one of its type, which nobody forced, waits in its lane."""
        (id_, target), me = key, self.events[key[0]]
        return any(
            self.events[one]["ty"] == me["ty"]
            and int(self.events[one]["seq"]) < int(me["seq"])
            and self.deliveries[one, target]["st"] == "waiting"
            and "force" not in self.deliveries[one, target]
            for one in self.lane((id_, target))
        )

    def plan_agrees(self, plan: str, target: str, opened: int) -> bool:
        """Whether a plan's counts are what is on its way, and, with what has ended, all that it opened."""
        fields = self.hashes[f"plan:{plan}"]
        out = int(fields.get(f"out:{target}", 0))
        ended = sum(int(count) for name, count in fields.items() if name.startswith(f"end:{target}:"))
        of_plan = [one for (_, to), one in self.deliveries.items() if to == target and one.get("rp") == plan]
        return out == sum(one["st"] in ON_ITS_WAY for one in of_plan) and out + ended == opened


class Breaker:
    """What docs/decisions/0015 says of a breaker, without the samples."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self.reset()

    def reset(self) -> None:
        self.state, self.probe, self.until = "", "", 0.0
        self._fails = self._trips = 0

    def room(self, *, now: float, leased: bool) -> float:
        """How many may be claimed now; `leased`: its probe is still under way."""
        if not self.state:
            return float("inf")
        return 0 if leased or (self.state == "open" and self.until > now) else 1

    def claimed(self, id_: str) -> None:
        if self.state:
            self.state, self.probe = "half", id_

    def judged(self, id_: str, verdict: Verdict, *, now: float) -> None:
        if not self.state:
            self._fails = {"good": 0, "bad": self._fails + 1}.get(verdict, self._fails)
            if self._fails >= self._policy.failures:
                self._open(now, 0)
        elif self.state == "half" and self.probe == id_:
            if verdict == "good":
                self.reset()
            elif verdict == "unsent":
                self.probe = ""
            else:
                self._open(now, self._trips + (verdict == "bad"))

    def _open(self, now: float, trips: int) -> None:
        wait = min(self._policy.wait * 2**trips, self._policy.longest)
        self.state, self.probe, self.until = "open", "", now + wait
        self._fails, self._trips = 0, trips

    def agrees(self, kept: Mapping[str, str]) -> bool:
        """Whether the store's own record says the same."""
        until = float(kept["until"]) / 1000 if self.state == "open" else self.until
        return (kept.get("brk", ""), kept.get("probe", "")) == (self.state, self.probe) and until == self.until
