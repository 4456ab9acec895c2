"""Counters and histograms of the happenings, in a registry of our own; every label has a bounded set of values."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from relay.catalog import TYPES
from relay.telemetry import happenings as happened
from relay.telemetry.redaction import redact

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "planday_relay_"
OTHER = "other"

# A type is the sender's word: what is not in the catalogue is "other".
KNOWN_TYPES = frozenset(TYPES)

# Gauges that are read from the store when somebody asks: name -> (what it says, its label, its labels or none).
GAUGES: Mapping[str, tuple[str, str | tuple[str, ...] | None]] = {
    "queue_depth": ("Work that waits, per queue: events, and deliveries per target.", "queue"),
    "oldest_pending_seconds": ("Age of the oldest delivery that waits, per target.", "target"),
    "dead_letters": ("Deliveries that are dead, per target.", "target"),
    "parked": ("Deliveries that wait for a person, per target.", "target"),
    "circuit_state": ("0 open for business, 1 held back, 2 paused, 3 left alone as it fails, per target.", "target"),
    "portal_authorised": ("1 the portal's token works, 0 it is dead; nothing before its first use.", "portal"),
    "planday_budget_left": ("Calls of Planday left, per portal and window (seconds).", ("portal", "window")),
    "planday_calls_recent": ("Calls of this minute and the one before, by what for.", ("portal", "purpose")),
    "incident": ("Open incidents, per kind (`relay alerts` lists them).", "kind"),
    "open_events": ("Accepted events that have work left.", None),
    "workers": ("Worker processes with a fresh heartbeat.", None),
    "store_bytes": ("Memory that the store uses.", None),
    "quarantine_bodies": ("Bodies in the quarantine: signed, but unreadable.", None),
}
Gauges = Mapping[str, float | Mapping[str, float] | Mapping[tuple[str, ...], float]]

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
_ENDS = frozenset({"delivered", "dead", "parked", "cancelled", "superseded"})
_VERSION = re.compile(r"\d+\.\d[\w.+-]{0,30}")
_LABEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

# `_created` series double the page and tell nothing that a restart does not.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Everything that is counted. Labels: names from the configuration, words of ours, types of the catalogue."""

    def __init__(self, *, types: Collection[str] = KNOWN_TYPES) -> None:
        self.registry = CollectorRegistry()
        self._types = frozenset(types)
        ProcessCollector(registry=self.registry)
        self._received = self._counter("events_received_total", "Events that came in.", "type", "result")
        self._refusals = self._counter("requests_refused_total", "Requests of senders that were refused.", "status")
        self._enrichment = self._histogram("event_enrichment_duration_seconds", "Enriching one event.", "state")
        self._endpoint = self._histogram("enrichment_duration_seconds", "One call of Planday.", "endpoint")
        self._planday = self._counter("planday_requests_total", "Calls of Planday.", "endpoint", "status_class")
        self._lost = self._counter("planday_authorizations_lost_total", "Tokens that stopped working.", "portal")
        self._looks = self._counter("feed_looks_total", "Looks of the change feed that came to their end.", "feed")
        self._found = self._counter("feed_events_total", "Events that the change feed made.", "feed")
        self._feed_trouble = self._counter("feed_trouble_total", "Looks that broke off.", "portal", "feed")
        self._routed = self._counter("events_routed_total", "Events that were routed.", "type", "result")
        self._duplicates = self._counter("events_duplicate_total", "Changes that came through both doors.", "type")
        self._attempts = self._counter("delivery_attempts_total", "Attempts.", "target", "status_class")
        self._outcomes = self._counter("delivery_outcomes_total", "What attempts came to.", "target", "outcome")
        self._duration = self._histogram("delivery_duration_seconds", "One attempt.", "target")
        self._lag = self._histogram("delivery_lag_seconds", "Accepted to delivered at the first attempt.", "target")
        self._deliveries = self._counter("deliveries_total", "Deliveries that came to an end.", "target", "outcome")
        self._replayed = self._counter("replay_items_total", "Replayed deliveries that came to an end.", "result")
        self._leases = self._counter("leases_released_total", "Work taken back from lost workers.", "kind")
        self._pauses = self._counter("target_pauses_total", "Pauses of targets.", "target")
        self._opened = self._counter("target_breaker_opened_total", "Times that a target was left alone.", "target")
        self._trouble = self._counter("store_trouble_total", "Times that the store could not be used.")
        self._quarantined = self._counter("quarantined_total", "Signed bodies that cannot be read.", "source")
        self._alerts = self._counter("alerts_total", "Events that told of incidents.", "type")
        self._faults = self._counter("own_faults_total", "Exceptions that nobody expected.")
        self._build = Gauge(f"{PREFIX}build_info", "What runs.", ("version", "role"), registry=self.registry)

    def count(self, happening: happened.Happening) -> None:
        """Count one happening. What is not counted has its numbers among the gauges."""
        match happening:
            case happened.DeliveryAttempted(target=target, outcome=outcome, state=state):
                self._attempts.labels(_name(target), status_class(happening.status)).inc()
                self._outcomes.labels(_name(target), _name(outcome)).inc()
                self._duration.labels(_name(target)).observe(happening.seconds)
                if happening.lag is not None and happening.attempt == 1 and state == "delivered":
                    self._lag.labels(_name(target)).observe(happening.lag)
                self._ended(target, state, happening.replay)
            case happened.DeliverySettled(target=target, state=state):
                self._ended(target, state, None)
            case happened.EventReceived(result=result):
                self._received.labels(self._type(happening.type), _name(result)).inc()
                if result == "refused":
                    self._refusals.labels(str(happening.status or "none")).inc()
            case happened.EventEnriched(state=state, seconds=seconds):
                self._enrichment.labels(_name(state)).observe(seconds)
            case happened.EventRouted(unrouted=unrouted):
                self._routed.labels(self._type(happening.type), "unrouted" if unrouted else "routed").inc()
            case happened.EventDuplicate():
                self._duplicates.labels(self._type(happening.type)).inc()
            case happened.PlandayCalled(endpoint=endpoint, status=status):
                self._planday.labels(_name(endpoint), status_class(status)).inc()
                self._endpoint.labels(_name(endpoint)).observe(happening.seconds)
            case happened.AuthorizationLost(portal=portal):
                self._lost.labels(_name(portal)).inc()
            case happened.FeedLooked(feed=feed, events=events):
                self._looks.labels(_name(feed)).inc()
                self._found.labels(_name(feed)).inc(events)
            case happened.FeedTrouble(portal=portal, feed=feed):
                self._feed_trouble.labels(_name(portal), _name(feed)).inc()
            case happened.LeaseReleased(kind=kind, count=count):
                self._leases.labels(_name(kind)).inc(count)
            case happened.TargetPaused(target=target):
                self._pauses.labels(_name(target)).inc()
            case happened.TargetFailing(target=target):
                self._opened.labels(_name(target)).inc()
            case happened.StoreTrouble():
                self._trouble.inc()
            case happened.Quarantined(source=source):
                self._quarantined.labels(_name(source)).inc()
            case happened.IncidentTold(type=type_):
                self._alerts.labels(self._type(type_)).inc()
            case happened.OwnFault():
                self._faults.inc()
            case happened.ServiceStarted(role=role, version=version):
                self._build.labels(version if _VERSION.fullmatch(version) else OTHER, _name(role)).set(1)
            case _:
                pass

    def render(self, gauges: Gauges) -> bytes:
        """The page for /metrics, with gauges that the caller has just read from the store."""
        handed = CollectorRegistry()
        handed.register(_Handed(gauges))
        return generate_latest(self.registry) + generate_latest(handed)

    def _ended(self, target: str, state: str, replay: str | None) -> None:
        if state in _ENDS:
            self._deliveries.labels(_name(target), state).inc()
            if replay is not None:
                self._replayed.labels(state).inc()

    def _type(self, type_: str) -> str:
        return type_ if type_ in self._types else OTHER

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, says, labels, registry=self.registry)

    def _histogram(self, name: str, says: str, *labels: str) -> Histogram:
        return Histogram(PREFIX + name, says, labels, registry=self.registry, buckets=_FAST)


class _Handed(Collector):
    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for name, value in self._gauges.items():
            says, labels = GAUGES[name]
            several = (labels,) if isinstance(labels, str) else labels or ()
            family = GaugeMetricFamily(PREFIX + name, says, labels=several)
            rows: Iterable[tuple[str | tuple[str, ...], float]]
            rows = value.items() if isinstance(value, Mapping) else (((), value),)
            for of, number in rows:
                family.add_metric([_name(one) for one in ((of,) if isinstance(of, str) else of)], number)
            yield family


def status_class(status: int | None) -> str:
    """`2xx` for 204; `none` when there was no answer."""
    return f"{status // 100}xx" if status is not None and 100 <= status < 600 else "none"


@lru_cache(maxsize=1024)
def _name(name: str) -> str:
    """A name from the configuration or a word of ours; anything else (a path, a number of somebody) is "other"."""
    return name if _LABEL.fullmatch(name) and redact(name) == name else OTHER
