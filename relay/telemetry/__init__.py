"""What happened, told once: one log line and the counters of each happening, with secrets taken out.

    telemetry = Telemetry(log_format="json", level="info")
    telemetry.configure()
    telemetry.record(DeliveryAttempted(event=..., target=..., ...))

`happenings` are the frozen objects that the rest of the relay hands over, `logs` writes them, `metrics` counts them,
`redaction` is what every line passes. Nothing else of ours imports a logger or a metrics library.
"""

from relay.telemetry.happenings import (
    AuthorizationLost,
    DeliveryAttempted,
    DeliverySettled,
    EventDuplicate,
    EventEnriched,
    EventReceived,
    EventRouted,
    FeedLooked,
    FeedTrouble,
    Happening,
    LeaseReleased,
    OwnFault,
    PlandayCalled,
    Quarantined,
    ReplayProgress,
    ServiceStarted,
    ServiceStopping,
    StoreTrouble,
    TargetPaused,
    TargetResumed,
)
from relay.telemetry.metrics import CONTENT_TYPE, GAUGES, KNOWN_TYPES, Gauges
from relay.telemetry.redaction import REDACTED, Redactor, redact
from relay.telemetry.telemetry import Telemetry

__all__ = [
    "CONTENT_TYPE",
    "GAUGES",
    "KNOWN_TYPES",
    "REDACTED",
    "AuthorizationLost",
    "DeliveryAttempted",
    "DeliverySettled",
    "EventDuplicate",
    "EventEnriched",
    "EventReceived",
    "EventRouted",
    "FeedLooked",
    "FeedTrouble",
    "Gauges",
    "Happening",
    "LeaseReleased",
    "OwnFault",
    "PlandayCalled",
    "Quarantined",
    "Redactor",
    "ReplayProgress",
    "ServiceStarted",
    "ServiceStopping",
    "StoreTrouble",
    "TargetPaused",
    "TargetResumed",
    "Telemetry",
    "redact",
]
