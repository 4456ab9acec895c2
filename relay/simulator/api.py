"""The simulated Planday API as a catalogue of reads and the layers every request passes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from starlette.requests import Request
from starlette.responses import Response

from relay.simulator.answers import BadParameterError, Page, Params, problem
from relay.simulator.budget import Budget
from relay.simulator.clock import Clock
from relay.simulator.faults import Faults
from relay.simulator.identity import Authorisation, Identity
from relay.simulator.limits import RateLimits
from relay.simulator.request_log import RequestLog
from relay.simulator.settings import Settings
from relay.simulator.state import Change, Portal, Record


@dataclass(frozen=True)
class Read:
    """What a handler may look at."""

    portal: Portal
    params: Params
    settings: Settings
    scopes: frozenset[str]
    clock: Clock
    ids: dict[str, int]
    changes: Sequence[Change]


@dataclass(frozen=True)
class Endpoint:
    """One documented read."""

    path: str
    handler: Callable[[Read], Response]
    scope: str | None
    params: frozenset[str] = frozenset()
    # The parameter a careful client always sends on a list.
    limit: str | None = None
    # The only parameters that are documented to be repeated.
    repeatable: frozenset[str] = frozenset()
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        object.__setattr__(self, "pattern", re.compile(pattern, re.IGNORECASE))

    def matches_exactly(self, path: str) -> bool:
        """Whether the path is written as in the spec, casing included."""
        return re.fullmatch(self.pattern.pattern, path) is not None


def names(text: str) -> frozenset[str]:
    """A set of names from one readable string."""
    return frozenset(text.split())


class Api:
    """Answers `/{domain}/v1.0/...` for every portal."""

    def __init__(
        self,
        *,
        endpoints: Sequence[Endpoint],
        portals: Callable[[int], Portal],
        identity: Identity,
        limits: RateLimits,
        faults: Faults,
        log: RequestLog,
        settings: Settings,
        clock: Clock,
        budget: Budget,
        changes: Sequence[Change],
        between_pages: Callable[[str, int, Record], None],
    ) -> None:
        self._endpoints = endpoints
        self._portals = portals
        self._identity = identity
        self._limits = limits
        self._faults = faults
        self._log = log
        self._settings = settings
        self._clock = clock
        self._budget = budget
        self._changes = changes
        self._between_pages = between_pages

    async def __call__(self, request: Request) -> Response:
        """Log, count, spoil, admit, read: in that order."""
        endpoint, ids = self._find(request.url.path)
        token = self._identity.holder(request.headers.get("authorization", ""))
        client = request.headers.get("x-clientid")
        seen = self._log.open(
            method=request.method,
            path=request.url.path,
            query=request.url.query,
            endpoint=endpoint.path if endpoint else "unknown",
            unexpected=_oddities(endpoint, request),
        )
        seen.portal_id, seen.client_id = (token.portal_id if token else None), client
        allowance = self._limits.count(
            portal=str(token.portal_id) if token else "unknown",
            client=client if client in self._identity.client_ids else "unknown",
        )
        self._budget.spend(portal=seen.portal_id, client=client, endpoint=seen.endpoint, allowed=allowance.allowed)
        fault = self._faults.take(request.url.path, portal=seen.portal_id)
        seen.fault = fault.kind if fault else None

        async def proceed() -> Response:
            if not allowance.allowed:
                return Response(status_code=429)
            authorisation = self._identity.admit(token, client_id=client)
            if authorisation is None:
                return Response(status_code=401)
            return self._read(endpoint, ids, authorisation, request)

        answer = await self._faults.play(fault, request, proceed)
        for name, value in allowance.headers.items():
            if fault is None or fault.kind != "429-bare" or name != "x-ratelimit-reset":
                answer.headers.setdefault(name, value)
        self._log.close(seen, status=None if fault and fault.kind.startswith("drop") else answer.status_code)
        return answer

    def _find(self, path: str) -> tuple[Endpoint | None, dict[str, str]]:
        # `v1` is a live alias of `v1.0`.
        known = re.sub(r"^/(\w+)/v1/", r"/\1/v1.0/", path, flags=re.IGNORECASE)
        for endpoint in self._endpoints:
            match = endpoint.pattern.fullmatch(known)
            if match:
                return endpoint, match.groupdict()
        return None, {}

    def _read(
        self, endpoint: Endpoint | None, ids: dict[str, str], authorisation: Authorisation, request: Request
    ) -> Response:
        if endpoint is None:
            return problem(404, "Not Found")
        if request.method != "GET" or (endpoint.scope is not None and endpoint.scope not in authorisation.scopes):
            return Response(status_code=403)
        try:
            answer = endpoint.handler(
                Read(
                    portal=self._portals(authorisation.portal_id),
                    params=Params(request.query_params),
                    settings=self._settings_for(endpoint),
                    scopes=authorisation.scopes,
                    clock=self._clock,
                    ids=_whole_numbers(ids),
                    changes=self._changes,
                )
            )
            if isinstance(answer, Page) and answer.before_next is not None:
                self._between_pages(endpoint.path, authorisation.portal_id, answer.before_next)
            return answer
        except BadParameterError as error:
            return problem(400, "One or more validation errors occurred.", errors={error.name: [str(error)]})

    def _settings_for(self, endpoint: Endpoint) -> Settings:
        # Every API may treat nulls in its own way.
        nulls = self._settings.nulls_of(endpoint.path.split("/")[1])
        return replace(self._settings, nulls=nulls)


def _whole_numbers(ids: dict[str, str]) -> dict[str, int]:
    try:
        return {name: int(text) for name, text in ids.items()}
    except ValueError as error:
        raise BadParameterError(next(iter(ids)), "The id must be a whole number.") from error


def _oddities(endpoint: Endpoint | None, request: Request) -> list[str]:
    if endpoint is None:
        return ["unknown path"]
    found: list[str] = []
    if request.method != "GET":
        found.append(f"write: {request.method}")
    if not endpoint.matches_exactly(request.url.path):
        found.append("path casing or version differs from the spec")
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        found.append("body on GET")
    sent = [name for name, _ in request.query_params.multi_items()]
    spelled = {name.lower(): name for name in endpoint.params}
    for name in dict.fromkeys(sent):
        if name in ("special", "searchQuery"):
            found.append(f"{name} sent")
        elif name.lower() not in spelled:
            found.append(f"undocumented parameter: {name}")
        elif name not in endpoint.params:
            found.append(f"parameter casing: {name}")
        if sent.count(name) > 1 and name not in endpoint.repeatable:
            found.append(f"repeated parameter: {name}")
    if endpoint.limit is not None and endpoint.limit not in sent:
        found.append(f"missing {endpoint.limit}")
    return found
