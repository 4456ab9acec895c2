"""Targets: one file per kind, all with the same parts (base.py), and the table of kinds.

To add a kind: its settings in relay/settings/targets.py (chat.py for what people read), a file like webhook.py here, a
line in KINDS, a line in the contract test (tests/integration/test_targets_contract.py), a section in docs/targets.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.errors import ConfigError, Fault
from relay.messages import Messages
from relay.targets.answers import Verdict
from relay.targets.base import Common, Preview, Result, Sending, Settings, Target, Transport
from relay.targets.email import Email
from relay.targets.ledger import Ledger
from relay.targets.payroll import PayrollHttp
from relay.targets.rotation import SigningSecrets
from relay.targets.slack import Slack
from relay.targets.slack_app import SlackApp
from relay.targets.teams import Teams
from relay.targets.threads import Threads
from relay.targets.webhook import Webhook

KINDS: Mapping[str, type[Target]] = {kind.kind: kind for kind in (Webhook, Slack, SlackApp, Teams, Email, PayrollHttp)}

__all__ = [
    "KINDS",
    "Ledger",
    "Preview",
    "Result",
    "Sending",
    "Settings",
    "SigningSecrets",
    "Target",
    "Threads",
    "Transport",
    "Verdict",
    "build",
    "build_all",
]


def build(
    name: str,
    settings: Settings,
    *,
    messages: Messages,
    public_url: str | None = None,
    ledger: Ledger | None = None,
    threads: Threads | None = None,
    signing: SigningSecrets | None = None,
    transport: Transport | None = None,
) -> Target:
    """One target from its settings, with its secrets resolved; raises ConfigError if it can never work.

    Without a `ledger` a payroll target can be checked and previewed, and sends nothing; without `threads` a
    Slack app posts each message by itself; without `signing` the configured secrets sign.
    """
    common = Common(messages=messages, public_url=public_url, ledger=ledger, threads=threads, signing=signing)
    return KINDS[settings.type](name, settings, common=common, transport=transport)


def build_all(
    settings: Mapping[str, Settings],
    *,
    messages: Messages,
    public_url: str | None = None,
    ledger: Ledger | None = None,
    threads: Threads | None = None,
    signing: SigningSecrets | None = None,
) -> dict[str, Target]:
    """All targets; raises one ConfigError with the faults of every one."""
    common = Common(messages=messages, public_url=public_url, ledger=ledger, threads=threads, signing=signing)
    built: dict[str, Target] = {}
    faults: list[Fault] = []
    for name, one in settings.items():
        try:
            built[name] = KINDS[one.type](name, one, common=common)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return built
