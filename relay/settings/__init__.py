"""Settings: one TOML file and the environment, checked whole at start, every fault with its path."""

from relay.settings.load import ROLES, USUAL_PATH, Role, load, load_mapping, revealed, schema, shown
from relay.settings.models import Environment, Portal, Relay, Settings, Store
from relay.settings.sources import Source
from relay.settings.targets import Rate, Retry, SlackTarget, Target, WebhookTarget
from relay.settings.values import Address, Secret, Text

__all__ = [
    "ROLES",
    "USUAL_PATH",
    "Address",
    "Environment",
    "Portal",
    "Rate",
    "Relay",
    "Retry",
    "Role",
    "Secret",
    "Settings",
    "SlackTarget",
    "Source",
    "Store",
    "Target",
    "Text",
    "WebhookTarget",
    "load",
    "load_mapping",
    "revealed",
    "schema",
    "shown",
]
