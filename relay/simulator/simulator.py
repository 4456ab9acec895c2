"""Everything the simulator holds, in one object that tests may also use directly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import httpx

from relay.simulator import absence, history, hr, payroll, portal, punchclock, schedule_days, scheduling
from relay.simulator.actions import perform
from relay.simulator.api import Api
from relay.simulator.budget import Budget
from relay.simulator.clock import Clock
from relay.simulator.consent import Consent
from relay.simulator.deeds import ActionError, Stage
from relay.simulator.faults import Faults, Sleep
from relay.simulator.identity import (
    CLIENT_ID,
    DEFAULT_SCOPES,
    OTHER_CLIENT_ID,
    REFRESH_TOKENS,
    Authorisation,
    Identity,
)
from relay.simulator.limits import RateLimits
from relay.simulator.pay_office import PayOffice
from relay.simulator.payroll_standin import PAYROLL_SECRET, PayrollStandin
from relay.simulator.relay_event_emitter import EMIT_SECRET, RelayEventEmitter
from relay.simulator.request_log import RequestLog
from relay.simulator.settings import Settings
from relay.simulator.slack_standin import SlackStandin
from relay.simulator.state import Change, Portal, Record
from relay.simulator.world import build_world

if TYPE_CHECKING:
    from relay.simulator.life import Life

ENDPOINTS = [
    endpoint
    for module in (portal, hr, scheduling, schedule_days, punchclock, absence, payroll, history)
    for endpoint in module.ENDPOINTS
]
_COPIED = (
    "departmentId",
    "employeeId",
    "employeeGroupId",
    "positionId",
    "shiftTypeId",
    "startDateTime",
    "endDateTime",
    "status",
)
# What a row that comes and one that goes between two pages is, per list.
_BETWEEN_PAGES = {
    "/scheduling/v1.0/shifts": ("shift", "create", "delete"),
    "/hr/v1.0/employees": ("employee", "create", "deactivate"),
}


class Simulator:
    """Two portals, their identity server, the stand-ins and the emitter."""

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        client_id: str = CLIENT_ID,
        refresh_tokens: Mapping[int, str] = REFRESH_TOKENS,
        emit_to: str | None = None,
        emit_secret: str = EMIT_SECRET,
        payroll_secret: str = PAYROLL_SECRET,
        sleep: Sleep = asyncio.sleep,
        emit_transport: httpx.AsyncBaseTransport | None = None,
        scopes: frozenset[str] = DEFAULT_SCOPES,
        redirect_uris: Sequence[str] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.clock = clock or Clock()
        self._settings_at_start = Settings(**self.settings.as_dict())
        self._client_id = client_id
        self._refresh_tokens = dict(refresh_tokens)
        self._scopes = scopes
        self.portals: dict[int, Portal] = build_world()
        self.changes: list[Change] = []
        # The portals that live; and what to do between two pages of a list.
        self.lives: list[Life] = []
        self.between_pages: list[Callable[[str, int], None]] = []
        self.identity = Identity(
            clock=self.clock,
            settings=self.settings,
            client_ids=frozenset({client_id, OTHER_CLIENT_ID}),
            authorisations=self._first_authorisations(),
        )
        self.consent = Consent(
            identity=self.identity,
            settings=self.settings,
            portals=lambda: self.portals,
            redirect_uris=redirect_uris,
        )
        self.budget = Budget(clock=self.clock, settings=self.settings)
        self.limits = RateLimits(clock=self.clock, settings=self.settings)
        self.faults = Faults(sleep=sleep)
        self.log = RequestLog(clock=self.clock)
        self.emitter = RelayEventEmitter(url=emit_to, secret=emit_secret, sleep=sleep, transport=emit_transport)
        self.slack = SlackStandin(clock=self.clock, settings=self.settings, faults=self.faults)
        self.payroll = PayrollStandin(clock=self.clock, faults=self.faults, secret=payroll_secret)
        self.pay_office = PayOffice(clock=self.clock, faults=self.faults)
        self.api = Api(
            endpoints=ENDPOINTS,
            portals=lambda portal_id: self.portals[portal_id],
            identity=self.identity,
            limits=self.limits,
            faults=self.faults,
            log=self.log,
            settings=self.settings,
            clock=self.clock,
            budget=self.budget,
            changes=self.changes,
            between_pages=self._between_pages,
        )

    def act(self, portal_id: int, entity: str, action: str, **fields: Any) -> tuple[Change, Record, str | None]:
        """Do something in a portal: the change, the record now, and the id of the event that announces it."""
        if portal_id not in self.portals:
            raise ActionError(f"there is no portal {portal_id}")
        stage = Stage(portal=self.portals[portal_id], clock=self.clock, settings=self.settings)
        change, record = perform(stage, entity=entity, action=action, fields=fields, sequence=len(self.changes) + 1)
        self.changes.append(change)
        return change, record, self.emitter.emit(change)

    def authorisation(self, portal_id: int) -> Authorisation:
        """The app's authorisation on a portal."""
        if portal_id not in self.identity.authorisations:
            raise ActionError(f"there is no portal {portal_id}")
        return self.identity.authorisations[portal_id]

    def reset(self) -> None:
        """Start over: world, tokens, counters, logs, faults, switches and clock."""
        self.settings.restore(self._settings_at_start)
        self.clock.rewind()
        self.portals = build_world()
        self.changes.clear()
        self.identity.authorisations = self._first_authorisations()
        self.identity.access_tokens.clear()
        self.identity.codes.clear()
        self.limits.clear()
        self.budget.clear()
        self.faults.clear()
        self.log.clear()
        self.emitter.clear()
        self.slack.clear()
        self.payroll.clear()
        self.pay_office.clear()
        for life in self.lives:
            life.begin()

    def state(self) -> dict[str, Any]:
        """Everything a test may want to compare with."""
        return {
            "now": self.clock.now().isoformat(),
            "changes": len(self.changes),
            "budget": self.budget.report() | self.log.totals(),
            "portals": {
                # What punches still hide is no content of its own.
                str(key): asdict(replace(one, late_punches={})) | {"hidden_employees": sorted(one.hidden_employees)}
                for key, one in self.portals.items()
            },
            "authorisations": {
                str(key): {
                    "clientId": one.client_id,
                    "refreshToken": one.refresh_token,
                    "scopes": sorted(one.scopes),
                    "fate": one.fate,
                }
                for key, one in self.identity.authorisations.items()
            },
        }

    def _between_pages(self, path: str, portal_id: int, first: Record) -> None:
        entity, comes, goes = _BETWEEN_PAGES.get(path, (None, "", ""))
        if entity is not None and self.settings.insert_between_pages:
            # Whoever pages by offset now sees one row twice: the order of rows is promised nowhere.
            self.settings.insert_between_pages = False
            kept = {} if entity == "employee" else {name: first[name] for name in _COPIED}
            self.act(portal_id, entity, comes, **kept, id=first["id"] - 1)
        elif entity is not None and self.settings.delete_between_pages:
            # And now one row not at all.
            self.settings.delete_between_pages = False
            self.act(portal_id, entity, goes, id=first["id"])
        for meddle in self.between_pages:
            meddle(path, portal_id)

    def _first_authorisations(self) -> dict[int, Authorisation]:
        return {
            portal_id: Authorisation(portal_id, self._client_id, token, scopes=self._scopes)
            for portal_id, token in self._refresh_tokens.items()
        }
