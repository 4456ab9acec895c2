"""Settings: one TOML file and the environment, checked whole at start, every fault with its path."""

from relay.settings.load import load, load_mapping, schema, shown
from relay.settings.models import (
    Portal,
    Rate,
    Relay,
    Retry,
    Settings,
    SlackTarget,
    Source,
    Store,
    Target,
    WebhookTarget,
)
from relay.settings.values import Secret

__all__ = [
    "Portal",
    "Rate",
    "Relay",
    "Retry",
    "Secret",
    "Settings",
    "SlackTarget",
    "Source",
    "Store",
    "Target",
    "WebhookTarget",
    "load",
    "load_mapping",
    "schema",
    "shown",
]
