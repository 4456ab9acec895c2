"""The wiring: opens everything a process needs and closes it in reverse."""

from __future__ import annotations

from relay.alerts.incidents import Incident
from relay.erase import Order
from relay.quarantine import Reread
from relay.replay import PlanRequest
from relay.services.opening import loop_factory, open_services, store_url
from relay.services.services import Services
from relay.store.following import Following
from relay.store.paging import Page
from relay.store.reading import DeliveryFilter, DeliveryRow, EventFilter
from relay.store.rotation import Rotation
from relay.store.shelf import Quarantined
from relay.store.work import Accepted

# What entrances need to ask and to read answers; the rest of those rooms is not theirs.
__all__ = [
    "Accepted",
    "DeliveryFilter",
    "DeliveryRow",
    "EventFilter",
    "Following",
    "Incident",
    "Order",
    "Page",
    "PlanRequest",
    "Quarantined",
    "Reread",
    "Rotation",
    "Services",
    "loop_factory",
    "open_services",
    "store_url",
]
