"""When the relay tells that something is wrong with itself, and the heartbeat that tells when it cannot."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from relay.settings.base import Section
from relay.settings.values import Address, Duration, Network, within


class Alerts(Section):
    """When `relay.*` events are made, and the dead man's heartbeat."""

    failing_after: Annotated[Duration, within("0s", "5m")] = Field(default="1m", validate_default=True)
    """A target that fails, so that nothing is sent to it any more, is told after so long."""
    worker_after: Annotated[Duration, within("0s", "1h")] = Field(default="1m", validate_default=True)
    """A worker that vanished without leave and was not replaced is told after so long."""
    feed_after: Annotated[Duration, within("0s", "1d")] = Field(default="3m", validate_default=True)
    """A feed that cannot read Planday is told after so long."""
    backlog_after: Annotated[Duration, within("1m", "7d")] = Field(default="15m", validate_default=True)
    """Work that is due but has waited so long, with no other incident to explain it, is told."""
    quarantine_count: int = Field(default=10, ge=1)
    """So many unreadable bodies within `quarantine_window` are told."""
    quarantine_window: Annotated[Duration, within("1m", "1d")] = Field(default="10m", validate_default=True)
    """See `quarantine_count`."""
    calm: Annotated[Duration, within("0s", "1d")] = Field(default="5m", validate_default=True)
    """An incident is over when its fault has stayed away for so long; what comes back before is the same incident."""
    again_after: Annotated[Duration, within("1m", "30d")] = Field(default="1h", validate_default=True)
    """Dead or parked deliveries that become more are told again, but not before so long after the last time; each time
    it is twice as long, up to a day."""
    heartbeat_url: Address | None = None
    """Called by GET while all is well; a service that watches it tells you when it falls silent. The URL is a
    credential, so give a reference."""
    heartbeat_fail_url: Address | None = None
    """Called instead while a critical incident is open, or one that no target took; without it there is silence."""
    heartbeat_every: Annotated[Duration, within("10s", "1h")] = Field(default="1m", validate_default=True)
    """How often, over all workers together."""
    heartbeat_allow_networks: tuple[Network, ...] = ()
    """Networks in CIDR form that the address guard lets through for the heartbeat."""
    heartbeat_allow_http: bool = False
    """Allow http:// (and port 80) for the heartbeat."""

    @model_validator(mode="after")
    def _fail_needs_url(self) -> Alerts:
        if self.heartbeat_fail_url is not None and self.heartbeat_url is None:
            raise ValueError("heartbeat_fail_url without heartbeat_url: nothing would call either")
        return self
