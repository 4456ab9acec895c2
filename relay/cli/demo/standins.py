"""The simulator as the demo's director sees it: makes changes, spoils answers, looks at what arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pydantic_core

from relay.cli import http
from relay.errors import RelayError
from relay.events import event_id

SOURCE, PAYROLL = "planday", "hours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that was done in a portal, and the event that announces it."""

    portal: int
    type: str
    at: datetime
    event: str
    """The id of the event that a sender posts of it; empty where nobody does."""
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request at a stand-in. `accepted` is false where it was told to refuse."""

    where: str
    at: datetime
    accepted: bool
    status: int | None
    body: Mapping[str, Any]
    headers: Mapping[str, str]


class Standins:
    """The control endpoint, and what reached the stand-ins so far."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.slack: list[Arrival] = []
        self.payroll: list[Arrival] = []

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """One call; raises RelayError when it is refused."""
        raw = None if body is None else pydantic_core.to_json(body)
        headers = {"content-type": "application/json"}
        answer = await asyncio.to_thread(
            http.call, method, f"{self._url}/control{path}", body=raw, headers=headers if raw else None
        )
        if not answer.ok:
            raise RelayError(f"the simulator refused {path}: {answer.body}")
        return answer.body

    async def act(self, portal: int, entity: str, action: str, fields: Mapping[str, Any]) -> Change:
        """Change something in a portal, as its people would."""
        done = await self.control("POST", f"/portals/{portal}/{entity}/{action}", dict(fields))
        change = done["change"]
        return Change(
            portal=portal,
            type=change["type"],
            at=datetime.fromisoformat(change["at"]),
            event=event_id(SOURCE, done["eventId"]) if done["eventId"] else "",
            record=done["entity"],
        )

    async def refuse(self, *, kind: str, count: int, status: int = 500, body: str = "") -> None:
        """Let the payroll stand-in answer with an error."""
        fault = {"path": f"/payroll/{PAYROLL}", "kind": kind, "count": count, "status": status, "body": body}
        await self.control("POST", "/faults", fault)

    async def repair(self) -> None:
        await self.control("DELETE", "/faults")

    async def aim(self, url: str | None) -> None:
        """Where the sender posts its events; None: nowhere, so that changes are silent."""
        await self.control("POST", "/emitter", {"url": url})

    async def look(self) -> None:
        """Read what has arrived."""
        slack, payroll = await asyncio.gather(
            self.control("GET", "/slack"), self.control("GET", f"/payroll?name={PAYROLL}")
        )
        self.slack = [
            Arrival(
                where="Slack",
                at=datetime.fromisoformat(post["at"]),
                accepted=post["accepted"],
                status=post["status"],
                body=post["payload"] or {},
                headers={},
            )
            for post in slack["messages"]
        ]
        self.payroll = [
            Arrival(
                where="payroll",
                at=datetime.fromisoformat(one["at"]),
                accepted=one["accepted"],
                status=one["status"],
                body=one["body"] if isinstance(one["body"], dict) else {},
                headers=one["headers"],
            )
            for one in payroll["received"]
        ]
