"""A stand-in for a payroll system that books lines: bearer, basic or OAuth2, JSON or CSV, and its own totals.

`/paylines/replace/{name}` keeps the last line of each key; `/paylines/add/{name}` adds up whatever comes, repeats
included, so that a line that is sent twice shows in the totals.
"""

import base64
import csv
import io
import json
import secrets
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from relay.simulator.clock import Clock
from relay.simulator.faults import Faults
from relay.simulator.identity import read_form

# Development values.
PAY_TOKEN = "simulator-pay-token"
PAY_USER, PAY_PASSWORD = "relay", "simulator-pay-password"
PAY_CLIENT, PAY_SECRET = "simulator-pay-client", "simulator-pay-secret"
_TOKEN_LIFE = 3600


class UnreadableLinesError(ValueError):
    """A body that is no list of lines."""


@dataclass
class Book:
    """One endpoint's lines: each row as it came, the last of each key, and which requests (by their idempotency key)
    brought how many."""

    rows: list[dict[str, str]] = field(default_factory=list)
    log: list[tuple[str, int]] = field(default_factory=list)
    by_key: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: Counter[str] = field(default_factory=Counter)
    requests: int = 0


class PayOffice:
    """`POST` or `PUT /paylines/{mode}/{name}`, and `POST /paylines/token`."""

    def __init__(self, *, clock: Clock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self.clear()

    def clear(self) -> None:
        """Forget every line and every token."""
        self.books: dict[tuple[str, str], Book] = {}
        self.tokens: dict[str, float] = {}

    async def __call__(self, request: Request) -> Response:
        """Book the lines, and answer as planned."""
        mode, name = request.path_params["mode"], request.path_params["name"]
        fault = self._faults.take(request.url.path)
        raw = await request.body()
        if mode not in ("replace", "add"):
            return JSONResponse({"error": "the mode is replace or add"}, status_code=404)
        book = self.books.setdefault((mode, name), Book())
        book.requests += 1
        if not self._known(request.headers.get("authorization", "")):
            answer: Response = JSONResponse({"error": "who are you?"}, status_code=401)
        elif fault is not None and not fault.work_done:
            answer = Response(status_code=500)  # not shown: the fault has its own answer
        else:
            answer = self._booked(book, raw, request)

        async def proceed() -> Response:
            return answer

        return await self._faults.play(fault, request, proceed)

    async def token(self, request: Request) -> Response:
        """OAuth2 client credentials, the id and secret in the form or by basic authentication."""
        fault = self._faults.take(request.url.path)
        form = await read_form(request) or {}
        given = request.headers.get("authorization", "")
        known = given == _basic(PAY_CLIENT, PAY_SECRET) or (
            form.get("client_id") == PAY_CLIENT and form.get("client_secret") == PAY_SECRET
        )

        async def proceed() -> Response:
            if form.get("grant_type") != "client_credentials":
                return JSONResponse({"error": "unsupported_grant_type"}, status_code=400)
            if not known:
                return JSONResponse({"error": "invalid_client"}, status_code=401)
            token = secrets.token_hex(16)
            self.tokens[token] = self._clock.now().timestamp() + _TOKEN_LIFE
            return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": _TOKEN_LIFE})

        return await self._faults.play(fault, request, proceed)

    def totals(self, mode: str, name: str, *, amount: str = "amount", by: str = "employee") -> dict[str, Decimal]:
        """What each person gets by these lines; a sum of zero is left out."""
        book = self.books.get((mode, name), Book())
        rows = book.by_key.values() if mode == "replace" else book.rows
        found: dict[str, Decimal] = {}
        for row in rows:
            found[row[by]] = found.get(row[by], Decimal(0)) + _number(row[amount])
        return {person: total for person, total in found.items() if total}

    def as_dict(self, *, name: str | None = None) -> dict[str, Any]:
        """Every endpoint's lines."""
        return {
            f"{mode}/{one}": {
                "requests": book.requests,
                "lines": book.rows,
                "repeatedKeys": {key: count for key, count in book.keys.items() if count > 1},
            }
            for (mode, one), book in self.books.items()
            if name in (None, one)
        }

    def _booked(self, book: Book, raw: bytes, request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        try:
            rows = _csv_rows(raw, content_type) if content_type.startswith("text/csv") else _json_rows(raw)
        except UnreadableLinesError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        for row in rows:
            book.rows.append(row)
            book.by_key[row["key"]] = row
            book.keys[row["key"]] += 1
        book.log.append((request.headers.get("idempotency-key", ""), len(rows)))
        return JSONResponse({"booked": len(rows)}, status_code=201)

    def _known(self, given: str) -> bool:
        if given in (f"Bearer {PAY_TOKEN}", _basic(PAY_USER, PAY_PASSWORD)):
            return True
        return self.tokens.get(given.removeprefix("Bearer "), 0.0) > self._clock.now().timestamp()


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _json_rows(raw: bytes) -> list[dict[str, str]]:
    """An object, or the first list of objects in it; numbers keep their digits."""
    try:
        body = json.loads(raw, parse_float=str, parse_int=str)
    except ValueError:
        raise UnreadableLinesError("not JSON") from None
    rows = _list_in(body) or [body]
    return [_row(_flat(row)) for row in rows]


def _list_in(body: Any) -> list[Any] | None:
    if isinstance(body, list):
        return body
    if isinstance(body, dict):
        for inner in body.values():
            if (found := _list_in(inner)) is not None:
                return found
    return None


def _flat(row: Any, before: str = "") -> dict[str, str]:
    if not isinstance(row, dict):
        raise UnreadableLinesError("a line is an object")
    found: dict[str, str] = {}
    for name, value in row.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: str(value)}
    return found


def _csv_rows(raw: bytes, content_type: str) -> list[dict[str, str]]:
    charset = content_type.partition("charset=")[2] or "utf-8"
    try:
        text = raw.decode("utf-8-sig" if charset == "utf-8" else charset)
    except (UnicodeDecodeError, LookupError):
        raise UnreadableLinesError("not in its character set") from None
    return [_row(row) for row in csv.DictReader(io.StringIO(text), delimiter=";")]


def _row(row: dict[str, str]) -> dict[str, str]:
    for name in ("key", "employee", "amount"):
        if not row.get(name):
            raise UnreadableLinesError(f"a line needs {name}")
    _number(row["amount"])
    return row


def _number(text: str) -> Decimal:
    try:
        return Decimal(text.replace(",", "."))
    except InvalidOperation:
        raise UnreadableLinesError("an amount is a number") from None
