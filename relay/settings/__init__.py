"""Settings: one TOML file and the environment, checked whole at start, every fault with its path."""

from relay.settings.alerts import Alerts
from relay.settings.chat import ChatTarget, Digest, EmailTarget, SlackAppTarget, SlackTarget, TeamsTarget
from relay.settings.load import ROLES, USUAL_PATH, Role, for_portal, load, load_mapping, revealed, schema, shown
from relay.settings.models import Environment, Portal, Relay, Settings, Store
from relay.settings.payroll import MapField, PayrollAuth, PayrollBody, PayrollTls
from relay.settings.retention import Retention
from relay.settings.sources import Source
from relay.settings.target import BaseTarget, Rate, Retry
from relay.settings.targets import PayrollHttpTarget, Target, WebhookTarget
from relay.settings.users import Access, User, UserRole
from relay.settings.values import Address, Secret, Text

__all__ = [
    "ROLES",
    "USUAL_PATH",
    "Access",
    "Address",
    "Alerts",
    "BaseTarget",
    "ChatTarget",
    "Digest",
    "EmailTarget",
    "Environment",
    "MapField",
    "PayrollAuth",
    "PayrollBody",
    "PayrollHttpTarget",
    "PayrollTls",
    "Portal",
    "Rate",
    "Relay",
    "Retention",
    "Retry",
    "Role",
    "Secret",
    "Settings",
    "SlackAppTarget",
    "SlackTarget",
    "Source",
    "Store",
    "Target",
    "TeamsTarget",
    "Text",
    "User",
    "UserRole",
    "WebhookTarget",
    "for_portal",
    "load",
    "load_mapping",
    "revealed",
    "schema",
    "shown",
]
