"""A payroll target's settings and bodies: every fault named at once, and each body to the byte."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from relay.catalog.samples import sample
from relay.errors import ConfigError, Unrenderable
from relay.messages import Messages
from relay.settings import load_mapping
from relay.targets import Sending, Target, build_all

ENVIRON = {"T": "t0ken-canary-1", "P": "passw0rd-canary", "C": "secret-canary-2", "H": "header-canary-3"}
PLAIN: dict[str, Any] = {
    "type": "payroll-http",
    "url": "https://pay.example/lines",
    "events": ["planday.payroll_line.*"],
    "fields": ["class:A", "class:B", "class:E", "data.related.employee.salaryIdentifier"],
    "map": {
        "employee.number": {"from": "data.object.employeeId", "width": 8, "fill": "0", "align": "right"},
        "code": {"from": "data.object.salaryCode", "table": {"1100": "N100"}},
        "date": {"from": "data.object.start", "convert": "date", "format": "%d-%m-%Y"},
        "hours": {"from": "data.object.start", "to": "data.object.end", "convert": "hours"},
        "amount": {"from": "data.object.salary", "convert": "decimal", "places": 2},
        "currency": {"value": "DKK"},
        "note": {"from": "data.object.name", "required": False},
        "line": {"from": "line.key"},
        "kind": {"from": "line.kind"},
    },
    "amounts": ["hours", "amount"],
}
LINE = "planday.payroll_line.created"


def made(**changes: Any) -> Target:
    settings = load_mapping({"targets": {"pay": {**PLAIN, **changes}}}, environ=ENVIRON)
    return build_all(settings.targets, messages=Messages())["pay"]


def mapped(**fields: Any) -> dict[str, Any]:
    return {**PLAIN["map"], **fields}


def sending(type_: str = LINE, *, record: Mapping[str, Any] | None = None) -> Sending:
    envelope = sample(type_)
    if record is not None:
        envelope["data"]["object"] = {**envelope["data"]["object"], **record}
    return Sending(event_id="evt_1", target="pay", attempt=2, envelope=envelope, now=1_790_000_000.0)


def faults(**changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        made(**changes)
    return [str(fault).removeprefix("targets.pay.") for fault in caught.value.faults]


def test_json_keeps_every_digit() -> None:
    """One object, nested by dots, in the order of the map; 9.50 hours of the night when the clock was set back."""
    body = made().body(sending())
    assert body.decode() == (
        '{"employee":{"number":"00910233"},"code":"N100","date":"24-10-2026","hours":8.50,"amount":1487.50,'
        '"currency":"DKK","line":"4100001:payroll_line/70010045","kind":"new"}'
    )
    assert json.loads(body, parse_float=Decimal)["amount"] == Decimal("1487.5")


def test_json_as_a_list() -> None:
    """Under a name, nested by dots; numbers as text and with a comma where that is asked for."""
    field = {"from": "data.object.salary", "convert": "decimal", "places": 2, "comma": True}
    body = made(body={"list": "batch.lines"}, map={"amount": field}, amounts=["amount"]).body(sending())
    assert body.decode() == '{"batch":{"lines":[{"amount":"1487,50"}]}}'


def test_csv_with_decimal_commas() -> None:
    """A header, a delimiter, Windows line ends; text in its character set."""
    body = {"format": "csv", "comma": True, "encoding": "iso-8859-1"}
    text = made(body=body, map=mapped(note={"value": "Køkken; aften"})).body(sending()).decode("iso-8859-1")
    assert text == (
        "employee.number;code;date;hours;amount;currency;note;line;kind\r\n"
        '00910233;N100;24-10-2026;8,50;1487,50;DKK;"Køkken; aften";4100001:payroll_line/70010045;new\r\n'
    )


@pytest.mark.parametrize("start", ["=1+1", "+1", "-x", "@SUM(A1)", "\tx"])
def test_no_text_becomes_a_formula(start: str) -> None:
    """A cell that a spreadsheet would calculate is marked as text; a negative amount is a number."""
    target = made(
        body={"format": "csv", "header": False, "comma": True},
        map={"note": {"from": "data.object.name"}, "amount": PLAIN["map"]["amount"]},
        amounts=["amount"],
    )
    cell = target.body(sending(record={"name": start, "salary": -35})).decode().split(";")
    assert cell == [f"'{start}", "-35,00\r\n"]


def test_what_a_character_set_does_not_have_is_refused() -> None:
    """By the name of the field, never by the character."""
    with pytest.raises(Unrenderable, match="note holds a character that iso-8859-1 does not have"):
        made(body={"format": "csv", "encoding": "iso-8859-1"}, map=mapped(note={"value": "Łódź"})).body(sending())


def test_a_missing_value_is_named() -> None:
    """Every field that fails, in one answer; what was there is not repeated."""
    with pytest.raises(Unrenderable) as caught:
        made().body(sending(record={"salary": None, "salaryCode": "9999", "start": None}))
    assert str(caught.value) == (
        "code (data.object.salaryCode) has a value that its table does not have; "
        "date (data.object.start) has no value; hours (data.object.start) has no value; "
        "amount (data.object.salary) has no value"
    )


def test_a_default_stands_in() -> None:
    """Where the source has nothing."""
    field = {"from": "data.object.salary", "convert": "decimal", "places": 2, "default": "0"}
    body = made(map={"amount": field}, amounts=["amount"]).body(sending(record={"salary": None}))
    assert body == b'{"amount":0.00}'


def test_only_what_fields_lets_through_can_be_mapped() -> None:
    """The list is applied before the map; a map that needs more does not start."""
    assert faults(fields=["class:A"]) == [
        'map.employee.number.from: `fields` does not let it through: add "data.object.employeeId"',
        'map.code.from: `fields` does not let it through: add "data.object.salaryCode"',
        'map.amount.from: `fields` does not let it through: add "data.object.salary"',
        'map.note.from: `fields` does not let it through: add "data.object.name"',
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fields": []}, "fields: must not be empty"),
        ({"map": {}}, "map: must not be empty"),
        ({"map": mapped(x={"from": "data.object.ssn"})}, "map.x.from: class F never leaves the worker"),
        ({"map": mapped(x={"from": "data.object.nothing"})}, "map.x.from: no record has a field 'nothing'"),
        ({"map": mapped(x={"from": "data.object"})}, "map.x.from: a path goes to a field of a record"),
        ({"map": mapped(x={"from": "data.changes.before.salary"})}, "map.x.from: what was before"),
        ({"map": mapped(x={"from": "line.nothing"})}, "map.x.from: a line has key"),
        ({"map": mapped(x={"from": "hours"})}, "map.x.from: a path starts with"),
        ({"map": mapped(x={"from": "data.object.salary", "convert": "money"})}, "map.x.convert: must be one of"),
        ({"map": mapped(x={"from": "data.object.salary", "places": 2})}, 'map.x: the converter "text" has no places'),
        ({"map": mapped(x={"from": "data.object.salary", "value": "1"})}, "map.x: needs `from` or `value`"),
        ({"map": mapped(x={"value": 7.5})}, "map.x.value: must be a text, a whole number"),
        ({"map": mapped(x={"value": "a", "case": "upper"})}, "map.x: a constant is written as it is"),
        ({"map": mapped(x={"from": "data.object.start", "convert": "date", "format": "%B"})}, "map.x.format: %B"),
        ({"map": mapped(x={"from": "data.object.salary", "convert": "decimal", "step": "no"})}, "map.x.step: must be"),
        (
            {"map": mapped(x={"from": "data.object.salary", "convert": "decimal", "default": "none"})},
            "map.x.default: is not a number",
        ),
        ({"map": mapped(**{"employee": {"value": "a"}})}, 'map: "employee" is a field, so that "employee.number"'),
        ({"amounts": ["pay"]}, 'amounts: "map" has no field "pay"'),
        ({"amounts": ["code"]}, 'amounts: "code" is no amount'),
        ({"line_key": ["sequence"]}, "line_key: sequence is another one with every event"),
        ({"line_key_header": "content-type"}, "line_key_header: content-type is set by the relay"),
        ({"headers": {"authorization": "x"}}, "headers: authorization is set by the relay"),
        ({"corrections": "delta"}, 'body.list: corrections = "delta" needs a list, or CSV'),
        ({"corrections": "delta", "amounts": [], "body": {"format": "csv"}}, "amounts: corrections = "),
        ({"amounts": [], "map": {"a": {"value": 1}}}, "amounts: a line that is taken back would look like any other"),
        ({"body": {"format": "csv", "list": "x"}}, "body: `list` is for JSON"),
        ({"body": {"format": "csv", "delimiter": ",", "comma": True}}, "body: decimal commas need another"),
        ({"body": {"delimiter": "::"}}, "body.delimiter: must be one of"),
        ({"auth": {"type": "basic", "username": "u"}}, 'auth: "basic" needs password'),
        ({"auth": {"type": "bearer", "token": "env:T", "scope": "x"}}, 'auth: "bearer" has no scope'),
        ({"auth": {"type": "oauth2", "token_url": "http://a.example", "client_id": "c", "client_secret": "env:C"}},
         "auth.token_url: "),
        ({"tls": {"certificate": "env:T"}}, "tls: `certificate` and `key` go together"),
        ({"tls": {"certificate": "env:T", "key": "env:P"}}, "tls.certificate: certificate and key are not in PEM"),
        ({"tls": {"ca": "env:T"}}, "tls.ca: holds no certificate in PEM"),
        ({"ledger_days": 30}, "ledger_days: must be at least 90"),
    ],
)  # fmt: skip
def test_what_can_never_work_is_found_at_start(changes: dict[str, Any], told: str) -> None:
    """With its path; a secret in the wrong place is not repeated."""
    found = faults(**changes)
    assert any(one.startswith(told) for one in found), found
    assert "canary" not in str(found)


def test_all_faults_are_told_at_once() -> None:
    """One start shows every one of them, whatever part they stand in."""
    found = faults(
        url="https://10.0.0.1/x",
        map=mapped(x={"from": "line.nothing"}, y={"from": "data.object.nothing"}),
        tls={"ca": "env:T"},
        amounts=["pay"],
    )
    assert [one.partition(":")[0] for one in found] == ["tls.ca", "map.x.from", "map.y.from", "amounts", "url"]


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "bearer", "token": "env:T"}, "authorization", "Bearer t0ken-canary-1"),
        (
            {"type": "basic", "username": "relay", "password": "env:P"},
            "authorization",
            "Basic cmVsYXk6cGFzc3cwcmQtY2FuYXJ5",
        ),
        ({"type": "header", "header": "x-api-key", "token": "env:T"}, "x-api-key", "t0ken-canary-1"),
    ],
)
def test_credentials_are_sent_and_never_shown(auth: dict[str, Any], header: str, value: str) -> None:
    """In their header, and in no preview."""
    target = made(auth=auth, headers={"x-tenant": "env:H", "x-unit": "7"}, line_key_header="x-line")
    request = target.prepare(sending())
    assert request.headers[header] == value
    assert request.headers["x-tenant"] == "header-canary-3"
    assert request.headers["x-line"] == "4100001:payroll_line/70010045"
    assert request.headers["idempotency-key"].startswith("rly_")
    shown = target.preview(sending())
    assert (shown.headers["x-unit"], shown.headers["x-tenant"]) == ("7", "***")
    assert "canary" not in str(shown)
    assert value not in str(shown)


def test_the_key_stays_whatever_is_sent_again() -> None:
    """Another attempt has the same key; only a person's salt makes another."""
    target = made()
    first, again = (target.prepare(replace(sending(), attempt=number)) for number in (1, 7))
    salted = target.prepare(replace(sending(), salt="x"))
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
    assert salted.headers["idempotency-key"] != first.headers["idempotency-key"]


def test_a_line_that_ends_is_taken_back_by_what_it_was() -> None:
    """The record is gone: its fields are those that were before, its amounts zero."""
    body = json.loads(made().body(sending("planday.payroll_line.reversed")), parse_float=Decimal)
    assert (body["kind"], body["code"], body["amount"], body["hours"]) == ("reversal", "N100", 0, 0)


def test_the_examples_of_the_page_work() -> None:
    """docs/payroll.md is where people begin: both targets start, and make a line of the sample."""
    page = (Path(__file__).parents[2] / "docs/payroll.md").read_text(encoding="utf-8")
    bodies = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    assert len(bodies) == 2
    for body in bodies:
        for target in body["targets"].values():
            target.pop("tls", None)  # names files that are not here
        environ = {"PAYROLL_CLIENT_SECRET": "x", "LOEN_PASSWORD": "y"}
        (made_,) = build_all(load_mapping(body, environ=environ).targets, messages=Messages()).values()
        line = sending()
        line.envelope["data"]["related"]["employee"]["salaryIdentifier"] = "233"
        line.envelope["data"]["object"]["shiftDuration"] = "07:30:00"
        assert made_.body(line)
