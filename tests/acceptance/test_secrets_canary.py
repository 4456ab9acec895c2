"""No secret and nothing personal where it must not be, after a whole run: Redis, logs, metrics, API, targets.

The simulator puts markers into every personal field, MARKER-D to MARKER-H by class (planday-api.md 10); the settings
hold a secret of every kind; a target repeats whatever it is sent in its answers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from relay.store.client import command
from tests.acceptance.harness import Relay, eventually, whsec
from tests.acceptance.sender import thin
from tests.acceptance.sink import Arrival, Sink

BISTRO, HARBOUR = 4100001, 4100002
SHIFT, IDA, PUNCH, REQUEST = 70010045, 910233, 8800123, 66012
MARKER = re.compile(r"MARKER-([A-Z])")

CHANGES = (
    ("shift", "edit", {"id": SHIFT, "departmentId": 4102}),
    ("shift", "assign", {"id": SHIFT, "employeeId": IDA}),
    ("shift", "approve", {"id": SHIFT}),
    ("employee", "create", {"firstName": "Nova", "lastName": "Newcomer"}),
    ("employee", "edit", {"id": IDA, "jobTitle": "Chef"}),
    ("employee", "deactivate", {"id": 910236}),
    ("punchclock_entry", "end", {"id": PUNCH}),
    ("punchclock_entry", "approve", {"id": PUNCH}),
    ("absence_request", "create", {"employeeId": IDA, "start": "2026-12-01", "note": "MARKER-H-note"}),
    ("absence_request", "approve", {"id": REQUEST}),
    ("shift", "delete", {"id": 70010042}),
)


def token() -> str:
    return secrets.token_urlsafe(24)


def make(folder: Path, sink: Sink) -> Relay:
    """A relay with a secret of every kind that the settings know."""
    standin = {"allow_http": True, "allow_networks": ["127.0.0.0/8"]}
    relay = Relay(
        folder,
        sink,
        portals={"bistro": BISTRO, "harbour": HARBOUR},
        target={
            "url": "env:HOOKS_URL",
            "signing_secret": ["env:HOOKS_SECRET", "env:HOOKS_OLD_SECRET"],
            "retry": {"schedule": ["100ms"], "timeout": "5s"},
        },
        tables={
            "sources.planday": {"secrets": ["env:SOURCE_SECRET", "env:SOURCE_OLD_SECRET"]},
            "sources.hub": {
                "verify": "hmac-sha256",
                "secrets": ["env:HUB_SECRET"],
                "header": "x-hub-signature-256",
                "prefix": "sha256=",
            },
            "sources.bridge": {"verify": "token", "secrets": ["env:BRIDGE_TOKEN"], "header": "x-bridge-token"},
            "sources.script": {"verify": "basic", "secrets": ["env:SCRIPT_PASSWORD"]},
            "targets.chat": {
                **standin,
                "type": "slack",
                "url": "env:CHAT_URL",
                "events": ["planday.*"],
                "rate": {"per_second": 100, "concurrency": 5},
            },
            "targets.wages": {
                **standin,
                "type": "webhook",
                "url": f"{relay_simulator_placeholder}/payroll/wages",
                "signing_secret": "env:WAGES_SECRET",
                "events": ["planday.*"],
                "fields": ["class:A", "class:B", "class:E"],
            },
        },
    )
    return relay
