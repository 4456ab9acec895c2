"""Errands: what only a worker can do, because only it holds the secrets; another process asks, some worker answers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pydantic_core

from relay import jobs
from relay.catalog import CATALOG, nearest
from relay.catalog.samples import sample
from relay.composing import sample_envelope
from relay.consent import link
from relay.erase import Erasures, Order
from relay.errors import NotFoundError, RefusedError, RelayError, Unrenderable
from relay.planday.enrich import Planday
from relay.planday.ports import Cipher
from relay.settings import Settings
from relay.store.audit import Audit
from relay.store.cipher import Seal, sealed
from relay.store.client import command, connect
from relay.store.keys import Keys
from relay.store.reading import Reading
from relay.store.rotation import SigningSecrets
from relay.store.store import Store
from relay.targets import Preview, Sending, Target

_LIFE = 60
PATIENCE = 25.0
"""How long whoever asks waits for an answer, in seconds."""


@dataclass(slots=True, kw_only=True)
class Errands:
    """Asks for errands and runs them; `targets`, `planday` and `signing` are there in a worker only."""

    settings: Settings
    url: str
    keys: Keys
    jobs: jobs.Jobs
    arq: Any
    store: Store
    clock: Callable[[], float]
    audit: Audit
    erasures: Erasures
    cipher: Cipher
    planday: Planday | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    signing: SigningSecrets | None = None

    async def ask(self, kind: str, name: str, *, by: str, secret: str | None = None) -> dict[str, Any]:
        """Have a worker test a target, check or connect a portal; raises RefusedError when none answers in time.

        `secret` goes beside the job, for a minute and one reader; a portal's token goes encrypted. The secret in the
        answer to a rotation comes closed with a key that only this call has. So neither stands readable in the store.
        """
        errand, seal = secrets.token_hex(8), Seal() if kind == "rotate" else None
        if seal is not None:
            secret = seal.public
        if kind == "token" and secret is not None:
            secret = self.cipher.encrypt(secret)
        if secret is not None:
            await command(self.store.client, "SET", f"{self.keys.errand(errand)}:in", secret, "EX", _LIFE)
        await jobs.enqueue(self.arq, self.jobs, jobs.ERRAND, errand, kind, name, by)
        client = connect(self.url, socket_timeout=PATIENCE + 5, max_connections=1)
        try:
            answer = await command(client, "BLPOP", self.keys.errand(errand), PATIENCE)
        finally:
            await client.aclose()
        if answer is None:
            raise RefusedError(f"no worker answered within {PATIENCE:g} s: is one running? Nothing was changed")
        told = dict(pydantic_core.from_json(answer[1]))
        if seal is not None and (closed := told.get("secret")):
            told["secret"] = seal.open(closed)
        return told

    async def run(self, errand: str, kind: str, name: str, by: str) -> None:
        """Do an errand and leave its answer for whoever waits."""
        try:
            match kind:
                case "target":
                    answer = await self.test_target(name, by=by)
                case "connect":
                    redirect_uri, _, code = (await self._handed(errand)).partition("\n")
                    answer = await self.connect_portal(name, code, redirect_uri=redirect_uri, by=by)
                case "token":
                    handed = await self._handed(errand)
                    token = self.cipher.decrypt(handed) if handed else None
                    if token is None:
                        raise RefusedError("the token came too late to a worker, or this process has other keys")
                    await self.set_token(name, token, by=by)
                    answer = {"ok": True, "portal": name}
                case "link":
                    redirect_uri, _, state = (await self._handed(errand)).partition("\n")
                    portal = self.settings.portals[name]
                    answer = {"ok": True, "link": link(portal, state=state, redirect_uri=redirect_uri)}
                case "preview":
                    target, _, what = name.partition(" ")
                    answer = await self.preview(target, what, by=by)
                case "rotate":
                    target, _, action = name.partition(" ")
                    answer = await self.rotate_secret(target, action, by=by, reader=await self._handed(errand))
                case "erase":
                    answer = await self.erase(name, pydantic_core.from_json(await self._handed(errand) or "{}"), by=by)
                case _:
                    answer = await self.check_portal(name)
        except RelayError as error:
            answer = {"ok": False, "error": str(error), "missing": isinstance(error, NotFoundError)}
        key = self.keys.errand(errand)
        await command(self.store.client, "RPUSH", key, pydantic_core.to_json(answer))
        await command(self.store.client, "EXPIRE", key, _LIFE)

    async def _handed(self, errand: str) -> str:
        """What was put beside the job for this one reader; empty when it came too late."""
        handed: bytes | None = await command(self.store.client, "GETDEL", f"{self.keys.errand(errand)}:in")
        return (handed or b"").decode()

    async def _note(self, act: str, on: str, *, by: str, result: str) -> None:
        await self.audit.record(by=by, act=act, on=on, result=result, now=self.clock())

    async def erase(self, portal: str, wanted: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        """Show what an erasure would do, or begin it; some worker's timer carries it out. Raises RefusedError."""
        if "employee" not in wanted:
            raise RefusedError("the request came too late to a worker: ask again. Nothing was changed")
        order = Order(
            portal=portal,
            portal_id=self.settings.portals[portal].id,
            employee=str(wanted["employee"]),
            by=by,
            reason=str(wanted.get("reason", "")),
            cancel_parked=bool(wanted.get("cancel_parked")),
        )
        if wanted.get("dry_run"):
            return {"ok": True, "plan": await self.erasures.plan(order)}
        return {"ok": True, "erasure": await self.erasures.begin(order)}

    async def test_target(self, name: str, *, by: str) -> dict[str, Any]:
        """Send a `relay.test` event to one target, past all queues, and say what came of it."""
        target = self._target(name)
        now = self.clock()
        envelope = sample_envelope(now, portal=next((one.id for one in self.settings.portals.values()), 1))
        sending = Sending(event_id=envelope["id"], target=name, attempt=1, envelope=envelope, now=now)
        preview = target.preview(sending)
        result = await target.send(sending)
        await self._note("targets.test", name, by=by, result=result.outcome.value)
        return {
            "ok": result.outcome == "delivered",
            "target": name,
            "outcome": result.outcome.value,
            "reason": result.reason,
            "status": result.status,
            "message": preview.message,
            "request": {
                "method": preview.method,
                "url": preview.url,
                "headers": dict(preview.headers),
                "body": preview.body,
            },
            "answer": {"headers": dict(result.response_headers), "excerpt": result.excerpt},
        }

    async def rotate_secret(self, name: str, action: str, *, by: str, reader: str | None = None) -> dict[str, Any]:
        """Begin, finish or abort the rotation of a target's signing secret; only the beginning answers with a secret.

        `reader` is the public half of the seal that the secret is closed with, None where it stays in this process.
        Raises NotFoundError, and RefusedError where that cannot be done now.
        """
        target = self._target(name)
        if self.signing is None or target.kind != "webhook":
            raise RefusedError(
                f"{name} is of type {target.kind}: only what a webhook target gets is signed by a secret"
            )
        if action == "begin" and reader == "":
            raise RefusedError("the request came too late to a worker: ask again. Nothing was changed")
        secret: str | None = None
        match action:
            case "begin":
                secret = await self.signing.begin(name, by=by)
                state = "under way"
            case "finish":
                await self.signing.finish(name)
                state = "finished"
            case _:
                await self.signing.abort(name)
                state = "aborted"
        act = "targets.rotate-secret" if action == "begin" else f"targets.rotate-secret --{action}"
        await self._note(act, name, by=by, result=state)
        closed = sealed(secret, reader) if secret and reader else secret
        return {"ok": True, "target": name, "action": action, "state": state, "secret": closed}

    async def preview(self, name: str, what: str, *, by: str) -> dict[str, Any]:
        """What would be sent of an event, or of "sample:TYPE", to one target now; nothing is sent.

        Raises NotFoundError, and RefusedError for an event that is not enriched yet.
        """
        target = self._target(name)
        envelope = await self._shown(name, what)
        sending = Sending(event_id=envelope["id"], target=name, attempt=1, envelope=envelope, now=self.clock())
        try:
            seen = await target.foresee(sending)
        except Unrenderable as error:
            seen = Preview(method="", url="", headers={}, body="", standing="refused", note=str(error))
        await self._note("targets.preview", f"{name} {what}", by=by, result=seen.standing or "shown")
        request = {"method": seen.method, "url": seen.url, "headers": dict(seen.headers), "body": seen.body}
        return {
            "ok": bool(seen.method),
            "target": name,
            "event": envelope["id"],
            "type": envelope["type"],
            "standing": seen.standing,
            "note": seen.note,
            "message": seen.message,
            "request": request if seen.method else None,
        }

    async def _shown(self, target: str, what: str) -> Mapping[str, Any]:
        """The envelope that a target would get of an event: its delivery's own, or the event's."""
        kind = what.removeprefix("sample:")
        if kind != what:
            if kind not in CATALOG:
                near = ", ".join(nearest(kind))
                raise NotFoundError(f"there is no type {kind}" + (f"; near it: {near}" if near else ""))
            return sample(kind)
        record = await Reading(self.store.client, self.keys).event(what)
        own = await command(self.store.client, "GET", self.keys.own_body(what, target))
        envelope = record.envelope if own is None else pydantic_core.from_json(own)
        if envelope is None:
            raise RefusedError(f"{what} is {record.state.value} and not enriched, so that there is nothing to show yet")
        return dict(envelope)

    async def check_portal(self, name: str) -> dict[str, Any]:
        """Ask Planday whether a portal's authorisation works and what it may read.

        `error` says that the configured token does not work though the stored one does.
        """
        found = await self.portal_side(name).check(name)
        answer = {
            "feeds": list(self.settings.portals[name].feeds),
            "ok": not found.missing and found.problem is None,
            **asdict(found),
            "missing": list(found.missing),
            "note": found.note,
        }
        return answer if found.problem is None else {**answer, "error": f"portal {name}: {found.problem}"}

    async def connect_portal(self, name: str, code: str, *, redirect_uri: str, by: str) -> dict[str, Any]:
        """Take what an administrator agreed to. Raises AuthorizationLost, WrongPortal, PlandayUnavailable."""
        await self.portal_side(name).connect(name, code, redirect_uri=redirect_uri)
        await self._note("portals.connect", name, by=by, result="connected")
        return {"ok": True, "portal": name}

    async def set_token(self, name: str, refresh_token: str, *, by: str) -> None:
        """Take a token that an operator entered. Raises AuthorizationLost, WrongPortal, PlandayUnavailable."""
        await self.portal_side(name).set_token(name, refresh_token)
        await self._note("portals.set-token", name, by=by, result="taken")

    def portal_side(self, name: str) -> Planday:
        """Planday, for a portal that is configured. Raises NotFoundError."""
        if self.planday is None or name not in self.settings.portals:
            raise NotFoundError(f"there is no portal {name}; there are {', '.join(self.settings.portals) or 'none'}")
        return self.planday

    def _target(self, name: str) -> Target:
        target = self.targets.get(name)
        if target is None:
            raise NotFoundError(f"there is no target {name}; there are {', '.join(self.targets) or 'none'}")
        return target
