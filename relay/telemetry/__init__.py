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
    Erased,
    EventDuplicate,
    EventEnriched,
    EventReceived,
    EventRouted,
    FeedLooked,
    FeedTrouble,
    Happening,
    HeartbeatFailed,
    IncidentTold,
    LeaseReleased,
    OwnFault,
    PlandayCalled,
    Quarantined,
    ReplayProgress,
    ServiceStarted,
    ServiceStopping,
    StoreTrouble,
    TargetFailing,
    TargetPaused,
    TargetRecovered,
    TargetResumed,
    Trimmed,
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
    "Erased",
    "EventDuplicate",
    "EventEnriched",
    "EventReceived",
    "EventRouted",
    "FeedLooked",
    "FeedTrouble",
    "Gauges",
    "Happening",
    "HeartbeatFailed",
    "IncidentTold",
    "LeaseReleased",
    "OwnFault",
    "PlandayCalled",
    "Quarantined",
    "Redactor",
    "ReplayProgress",
    "ServiceStarted",
    "ServiceStopping",
    "StoreTrouble",
    "TargetFailing",
    "TargetPaused",
    "TargetRecovered",
    "TargetResumed",
    "Telemetry",
    "Trimmed",
    "redact",
]
