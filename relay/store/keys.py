"""Every Redis key, named once: what it holds, what type it has, how long it lives.

The scripts in scripts/*.lua build the same names from the prefix they are given; tests/unit/test_keys.py
holds the two together. Nothing here has a hash tag: Redis Cluster is refused at start.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of all keys below one prefix."""

    prefix: str = "relay:"

    # The record ------------------------------------------------------------------------------

    def event(self, event: str) -> str:
        """Hash of small fields: one event's state, lease and place. No expiry while work is left."""
        return f"{self.prefix}e:{event}"

    def body(self, event: str) -> str:
        """String of JSON lines: the accepted event and, once it is routed, its envelope and each target's refusal.

        Apart from the hash, which stays small enough for Redis to pack: that is a kilobyte less per event.
        """
        return f"{self.prefix}b:{event}"

    def own_body(self, event: str, target: str) -> str:
        """String (JSON): the envelope of one delivery that was read anew; otherwise it is the event's."""
        return f"{self.prefix}b:{event}:{target}"

    def delivery(self, event: str, target: str) -> str:
        """Hash of small fields: one event with one target."""
        return f"{self.prefix}d:{event}:{target}"

    def attempts(self, event: str, target: str) -> str:
        """List of JSON: the attempts of one delivery, oldest first, bounded."""
        return f"{self.prefix}a:{event}:{target}"

    def entity(self, lane: str) -> str:
        """Hash: per (portal, entity, id) last sequence, claimed version, what each target has, or may have, of it."""
        return f"{self.prefix}n:{lane}"

    # Work --------------------------------------------------------------------------------------

    def event_lane(self, lane: str) -> str:
        """List of event ids: accepted events of one entity in order; the head is the one being worked on."""
        return f"{self.prefix}le:{lane}"

    def delivery_lane(self, lane: str, target: str) -> str:
        """List of event ids: deliveries of one entity to one target in order; the head is the one being worked on."""
        return f"{self.prefix}ld:{target}:{lane}"

    @property
    def portals(self) -> str:
        """Set: the id of every portal that ever had an event."""
        return f"{self.prefix}portals"

    def due_events(self, portal: int | str) -> str:
        """Sorted set: event id -> due time in ms, heads of one portal's event lanes that nobody works on."""
        return f"{self.prefix}due:e:{portal}"

    def due_deliveries(self, target: str) -> str:
        """Sorted set: event id -> due time in ms, heads of one target's lanes that nobody works on."""
        return f"{self.prefix}due:t:{target}"

    def due_replays(self, target: str) -> str:
        """Sorted set: event id -> due time in ms, the same for what a replay opened: served after what is new."""
        return f"{self.prefix}due:r:{target}"

    @property
    def leased_events(self) -> str:
        """Sorted set: event id -> lease end in ms."""
        return f"{self.prefix}lease:e"

    def leased_deliveries(self, target: str) -> str:
        """Sorted set: event id -> lease end in ms; its size is the target's concurrency now."""
        return f"{self.prefix}lease:t:{target}"

    @property
    def open(self) -> str:
        """Sorted set: event id -> accepted ms, every event that has work left."""
        return f"{self.prefix}open"

    @property
    def targets(self) -> str:
        """Set: every target name that ever had a delivery."""
        return f"{self.prefix}targets"

    @property
    def wake(self) -> str:
        """List, bounded: a hint for blocked drains that something is due. Never trusted."""
        return f"{self.prefix}wake"

    @property
    def drains(self) -> str:
        """Sorted set: drain token -> end of its heartbeat in ms."""
        return f"{self.prefix}drains"

    @property
    def workers(self) -> str:
        """Sorted set: worker incarnation -> end of its heartbeat in ms."""
        return f"{self.prefix}workers"

    @property
    def served(self) -> str:
        """Sorted set: target name -> time in ms until which some worker serves it."""
        return f"{self.prefix}served"

    # Targets -----------------------------------------------------------------------------------

    def target(self, target: str) -> str:
        """Hash: a target's pause (by whom, why, since), its hold (ms) after a Retry-After, its breaker, and when a
        shared rate let it through last (ms)."""
        return f"{self.prefix}t:{target}"

    def signing(self, target: str) -> str:
        """String (JSON): the signing secrets that rotate-secret made for a target, encrypted."""
        return f"{self.prefix}sig:{target}"

    def rate(self, limiter: str) -> str:
        """String: theoretical arrival time in ms of one limiter (GCRA). Expires by itself."""
        return f"{self.prefix}rate:{limiter}"

    # Indexes for people ------------------------------------------------------------------------

    @property
    def events(self) -> str:
        """Sorted set: event id -> accepted ms, all events."""
        return f"{self.prefix}ix:e"

    def events_in(self, state: str) -> str:
        """Sorted set: event id -> accepted ms, events in one of the states that people look for."""
        return f"{self.prefix}ix:e:{state}"

    def deliveries_in(self, target: str, state: str) -> str:
        """Sorted set: event id -> accepted ms, one target's deliveries in one state."""
        return f"{self.prefix}ix:d:{target}:{state}"

    def events_of(self, portal: int | str, employee: str) -> str:
        """Sorted set: event id -> accepted ms, the events in which an employee occurs."""
        return f"{self.prefix}ix:p:{portal}:{employee}"

    def entity_events(self, lane: str) -> str:
        """Sorted set: event id -> accepted ms, all events of one entity."""
        return f"{self.prefix}ix:n:{lane}"

    @property
    def counters(self) -> str:
        """Hash: totals since the beginning, such as accepted and duplicate."""
        return f"{self.prefix}count"

    # Beside the line ---------------------------------------------------------------------------

    @property
    def quarantine(self) -> str:
        """List of JSON, bounded, newest first: bodies that were signed but unreadable."""
        return f"{self.prefix}quarantine"

    def plan(self, plan: str) -> str:
        """Hash: a replay plan, its counts and progress."""
        return f"{self.prefix}plan:{plan}"

    def plan_items(self, plan: str) -> str:
        """List of "event:target:state:data": what a replay plan opens again, fixed when it was made."""
        return f"{self.prefix}plan:{plan}:items"

    def plan_draft(self, plan: str, target: str) -> str:
        """Sorted set: the items to one target of a plan that is being made, by accepted ms; expires."""
        return f"{self.prefix}plan:{plan}:draft:{target}"

    def plan_lock(self, plan: str) -> str:
        """String: who runs a replay plan now; expires."""
        return f"{self.prefix}plan:{plan}:lock"

    @property
    def plans(self) -> str:
        """Sorted set: plan id -> made at, ms."""
        return f"{self.prefix}plans"

    @property
    def plans_running(self) -> str:
        """Set: the ids of replay plans that were started and have not ended."""
        return f"{self.prefix}plans:running"

    def errand(self, errand: str) -> str:
        """List with one JSON: a worker's answer to something that only it can do; expires."""
        return f"{self.prefix}errand:{errand}"

    def consent(self, state: str) -> str:
        """String (JSON), used once: which portal an administrator is about to authorise; expires. By a hash."""
        return f"{self.prefix}consent:{state}"

    @property
    def format(self) -> str:
        """String: the version of this data format."""
        return f"{self.prefix}format"

    # Retention, erasure, audit -------------------------------------------------------------------

    @property
    def audit(self) -> str:
        """List of JSON, oldest first: every act of a person or a token. Only retention takes entries away."""
        return f"{self.prefix}audit"

    @property
    def retention(self) -> str:
        """Hash: how far the removal of parts of events has come, in ms of acceptance."""
        return f"{self.prefix}retention"

    def retention_late(self, part: str) -> str:
        """Set of event ids: passed by the removal of a part while they still had work left."""
        return f"{self.prefix}retention:late:{part}"

    @property
    def erased(self) -> str:
        """Hash: keyed hash of (portal, employee) -> when that person was erased, in ms. The tombstones."""
        return f"{self.prefix}erased"

    @property
    def erased_key(self) -> str:
        """String: the key of these hashes, encrypted."""
        return f"{self.prefix}erasedkey"

    def erasure(self, erasure: str) -> str:
        """Hash of JSON: one erasure, its progress and result; whom it is about only while it runs, and encrypted."""
        return f"{self.prefix}erasure:{erasure}"

    @property
    def erasures(self) -> str:
        """Sorted set: erasure id -> begun at, ms."""
        return f"{self.prefix}erasures"

    # Access ------------------------------------------------------------------------------------

    def session(self, session: str) -> str:
        """Hash: one sign-in to the dashboard, by a hash of its secret id. Expires."""
        return f"{self.prefix}ses:{session}"

    @property
    def sessions(self) -> str:
        """Sorted set: hash of a session's id -> its latest end in ms."""
        return f"{self.prefix}sessions"

    @property
    def tokens(self) -> str:
        """Hash: name of an API token -> its record (JSON) with a hash of its secret."""
        return f"{self.prefix}tokens"

    def sign_ins(self, who: str) -> str:
        """Hash: tries to sign in of one account or address, and when they are forgotten (ms). Expires."""
        return f"{self.prefix}try:{who}"

    # Alerts ------------------------------------------------------------------------------------

    @property
    def alerts(self) -> str:
        """Hash: incident -> its record (JSON), from its beginning to its end."""
        return f"{self.prefix}alerts"

    @property
    def told(self) -> str:
        """Sorted set, bounded: id of an event that told of an incident -> when, in ms."""
        return f"{self.prefix}alerts:told"

    @property
    def turns(self) -> str:
        """Hash: what one of all workers does every so often -> when the next turn is, in ms."""
        return f"{self.prefix}alerts:turns"

    @property
    def seen_workers(self) -> str:
        """Hash: worker incarnation -> when it was first seen alive, in ms."""
        return f"{self.prefix}alerts:workers"

    # What chat targets have ----------------------------------------------------------------------

    def thread(self, target: str, record: str) -> str:
        """String: the message that began what a target was told of a record, by a hash of its name. Expires."""
        return f"{self.prefix}th:{target}:{record}"

    # What payroll targets have -------------------------------------------------------------------

    def ledger(self, target: str, line: str) -> str:
        """Hash: what one payroll target was sent of one line, both by keyed hashes; amounts encrypted. Expires."""
        return f"{self.prefix}lg:{target}:{line}"

    def ledger_of(self, portal: int | str, employee: str) -> str:
        """Set of "target:line": the lines of one person whose content is kept, encrypted. Expires."""
        return f"{self.prefix}lgp:{portal}:{employee}"

    @property
    def ledger_key(self) -> str:
        """String: the key of the ledger's hashes and amounts, encrypted. Without it nobody knows what was sent."""
        return f"{self.prefix}lgkey"

    # The change feed ---------------------------------------------------------------------------

    def feed_mark(self, portal: int, feed: str) -> str:
        """Hash: how far one feed of one portal has come, and when it looks next."""
        return f"{self.prefix}fm:{portal}:{feed}"

    def snapshots(self, portal: int, kind: str) -> str:
        """Hash: record id -> its version, when it was read (ms) and what is kept of it, in three lines."""
        return f"{self.prefix}fs:{portal}:{kind}"

    def snapshot_days(self, portal: int, kind: str) -> str:
        """Sorted set: record id -> the day it belongs to (ordinal, 0 for none)."""
        return f"{self.prefix}fx:{portal}:{kind}"

    # arq ---------------------------------------------------------------------------------------

    @property
    def queue(self) -> str:
        """arq's queue: the only name of arq's that can carry our prefix."""
        return f"{self.prefix}arq:queue"

    # Planday -----------------------------------------------------------------------------------

    def planday_limit(self, scope: str) -> str:
        """Hash: one shared budget (a portal or a client id): counts per window and the live policy."""
        return f"{self.prefix}pd:limit:{scope}"

    def planday_cache(self, portal: int, kind: str, record: str) -> str:
        """String (JSON): one parsed Planday record with the time it was read; expires."""
        return f"{self.prefix}pd:cache:{portal}:{kind}:{record}"

    def planday_lock(self, name: str) -> str:
        """String: owner of a short lock shared by processes; expires."""
        return f"{self.prefix}pd:lock:{name}"

    def planday_token(self, portal: int) -> str:
        """Hash: a portal's refresh and access token, encrypted, and the state of its authorisation."""
        return f"{self.prefix}pd:token:{portal}"
