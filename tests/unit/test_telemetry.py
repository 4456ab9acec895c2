"""What happened is told once, counted with bounded labels, and never tells a secret or somebody's data."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay import telemetry as told
from relay.errors import StoreUnavailable
from relay.telemetry import REDACTED, Redactor, Telemetry, redact
from relay.telemetry.logs import QUIET, LogFormat
from relay.telemetry.redaction import LONGEST_TEXT, is_denied

EVENT = "evt_0123456789abcdef0123456789abcdef"
Make = Callable[..., tuple[Telemetry, io.StringIO]]

ATTEMPT = told.DeliveryAttempted(
    event=EVENT,
    target="hours",
    type="planday.punchclock_entry.approved",
    attempt=3,
    outcome="retry",
    state="waiting",
    seconds=0.02134,
    status=503,
    reason="payroll.example: answered 503",
    again_at=1793000000.0,
)


@pytest.fixture
def make() -> Iterator[Make]:
    """A configured Telemetry and what it writes; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}

    def making(log_format: LogFormat = "json", *, level: Any = "info", role: str = "") -> tuple[Telemetry, io.StringIO]:
        root.handlers.clear()  # pytest's own handlers would choke on what is logged wrongly here on purpose
        out = io.StringIO()
        telemetry = Telemetry(log_format=log_format, level=level, role=role)
        telemetry.configure(out)
        return telemetry, out

    yield making
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def samples(telemetry: Telemetry, **gauges: Any) -> dict[str, float]:
    """Every sample of the page as `name{label=value}`, without the process's own."""
    page = telemetry.render(gauges).decode()
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("planday_relay_")
    }


def test_a_happening_is_one_json_line_with_every_decision(make: Make) -> None:
    """The wide line of an attempt holds all that was decided, as values a machine can read."""
    telemetry, out = make(role="worker")
    telemetry.record(ATTEMPT)
    (line,) = lines(out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("at"))
    assert line == {
        "level": "warning",
        "role": "worker",
        "event": "delivery.attempted",
        "event_id": EVENT,
        "target": "hours",
        "type": "planday.punchclock_entry.approved",
        "attempt": 3,
        "outcome": "retry",
        "state": "waiting",
        "seconds": 0.0213,
        "status": 503,
        "reason": "payroll.example: answered 503",
        "again_at": "2026-10-26T07:33:20.000Z",
    }


def test_text_is_one_readable_line_without_colour(make: Make) -> None:
    """No escape codes where no person's terminal is; values with spaces in quotes."""
    telemetry, out = make("text", role="worker")
    telemetry.record(ATTEMPT)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} worker warning delivery\.attempted  event_id=evt_\w+ target=hours type=\S+ attempt=3 "
        r'outcome=retry state=waiting seconds=0\.0213 status=503 reason="payroll.example: answered 503" again_at=\S+\n',
        out.getvalue(),
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_and_no_color_wins(
    make: Make, monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool
) -> None:
    """A terminal gets colour unless NO_COLOR is set."""
    monkeypatch.setenv("NO_COLOR", no_color)
    telemetry, _ = make("text")
    terminal = Terminal()
    telemetry.configure(terminal)
    telemetry.record(ATTEMPT)
    assert ("\x1b[33m" in terminal.getvalue()) is coloured


@pytest.mark.parametrize("log_format", get_args(LogFormat))
def test_no_value_can_fake_a_line_or_reach_the_terminal(make: Make, log_format: LogFormat) -> None:
    """Line breaks and escape sequences in what somebody sent stay inside their value."""
    telemetry, out = make(log_format)
    telemetry.record(told.Quarantined(source="planday", reason="bad\n12:00 info all well\x1b[2J\x9b31m\u2028x"))
    assert len(out.getvalue().splitlines()) == 1 or log_format == "json"
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()
    assert "\x9b" not in out.getvalue() or log_format == "json"


@pytest.mark.parametrize(
    ("happening", "level"),
    [
        (told.EventReceived(source="s", result="new", type="planday.shift.updated", event=EVENT), "info"),
        (told.EventReceived(source="s", result="refused", status=401), "warning"),
        (told.EventEnriched(event=EVENT, portal=1, state="complete", seconds=0.1), "debug"),
        (told.EventEnriched(event=EVENT, portal=1, state="partial", seconds=0.1, missing="employee"), "info"),
        (told.EventRouted(event=EVENT, type="t", targets=("a", "b")), "info"),
        (dataclasses.replace(ATTEMPT, outcome="delivered", state="delivered"), "info"),
        (ATTEMPT, "warning"),
        (dataclasses.replace(ATTEMPT, state="dead"), "error"),
        (told.DeliverySettled(event=EVENT, target="hours", state="superseded"), "info"),
        (told.DeliverySettled(event=EVENT, target="hours", state="parked"), "warning"),
        (told.PlandayCalled(portal="bistro", endpoint="shift", status=200, seconds=0.1), "debug"),
        (told.PlandayCalled(portal="bistro", endpoint="shift", seconds=0.1), "warning"),
        (told.AuthorizationLost(portal="bistro"), "error"),
        (told.StoreTrouble(reason="no answer"), "error"),
        (told.TargetResumed(target="hours", reason="fixed", by="anna"), "info"),
    ],
)
def test_how_loud_each_happening_is(make: Make, happening: told.Happening, level: str) -> None:
    """What needs a person is an error, what may need one a warning, the routine is quiet."""
    telemetry, out = make(level="debug")
    telemetry.record(happening)
    assert lines(out)[0]["level"] == level


def test_the_level_silences_lines_but_not_counters(make: Make) -> None:
    """What is not logged is still counted."""
    telemetry, out = make(level="error")
    telemetry.record(ATTEMPT)
    assert out.getvalue() == ""
    assert samples(telemetry)["planday_relay_delivery_attempts_total{status_class=5xx}{target=hours}"] == 1


def test_the_context_is_on_every_line_within(make: Make) -> None:
    """Ours and a library's, and gone afterwards."""
    telemetry, out = make()
    with telemetry.context(event_id=EVENT, delivery=f"{EVENT}:hours"):
        telemetry.record(told.StoreTrouble(reason="slow"))
        logging.getLogger("a.dependency").warning("hm")
    telemetry.record(told.StoreTrouble(reason="slow"))
    first, second, third = lines(out)
    assert first["event_id"] == second["event_id"] == EVENT
    assert second["delivery"] == f"{EVENT}:hours"
    assert second["logger"] == "a.dependency"
    assert "event_id" not in third


def test_counters_of_a_whole_life() -> None:
    """Names and labels are those that dashboards are built on (libraries-ux-security.md 3.2)."""
    telemetry = Telemetry()
    for happening in (
        told.ServiceStarted(role="worker", version="0.1.0"),
        told.EventReceived(source="planday", result="new", type="planday.shift.updated", event=EVENT),
        told.EventReceived(source="planday", result="duplicate", type="planday.shift.updated", event=EVENT),
        told.EventReceived(source="planday", result="refused", status=401),
        told.PlandayCalled(portal="bistro", endpoint="shift", status=200, seconds=0.2),
        told.PlandayCalled(portal="bistro", endpoint="shift", seconds=5.0),
        told.EventEnriched(event=EVENT, portal=1, state="complete", seconds=0.3),
        told.EventRouted(event=EVENT, type="planday.shift.updated", targets=("hours",)),
        told.EventRouted(event=EVENT, type="planday.shift.updated", targets=(), unrouted=True),
        told.EventDuplicate(event=EVENT, type="planday.shift.updated"),
        ATTEMPT,
        dataclasses.replace(ATTEMPT, outcome="delivered", state="delivered", status=204, replay="pln_1"),
        dataclasses.replace(ATTEMPT, outcome="delivered", state="delivered", status=204, attempt=1, lag=0.04),
        told.DeliverySettled(event=EVENT, target="hours", state="cancelled", by="anna"),
        told.LeaseReleased(kind="delivery", count=3),
        told.TargetPaused(target="hours", reason="401", by="relay"),
        told.AuthorizationLost(portal="bistro"),
        told.StoreTrouble(reason="x"),
        told.Quarantined(source="planday", reason="not JSON"),
        told.ReplayProgress(plan="pln_1", done=1, total=2),
        told.OwnFault(where="process", error=ValueError("x")),
        told.ServiceStopping(role="worker", version="0.1.0"),
    ):
        telemetry.metrics.count(happening)
    page = samples(telemetry, queue_depth={"events": 3, "hours": 2}, open_events=5, dead_letters={"hours": 1})
    for name, value in {
        "build_info{role=worker}{version=0.1.0}": 1,
        "events_received_total{result=new}{type=planday.shift.updated}": 1,
        "events_received_total{result=duplicate}{type=planday.shift.updated}": 1,
        "events_received_total{result=refused}{type=other}": 1,
        "requests_refused_total{status=401}": 1,
        "planday_requests_total{endpoint=shift}{status_class=2xx}": 1,
        "planday_requests_total{endpoint=shift}{status_class=none}": 1,
        "enrichment_duration_seconds_count{endpoint=shift}": 2,
        "event_enrichment_duration_seconds_count{state=complete}": 1,
        "events_routed_total{result=routed}{type=planday.shift.updated}": 1,
        "events_routed_total{result=unrouted}{type=planday.shift.updated}": 1,
        "events_duplicate_total{type=planday.shift.updated}": 1,
        "delivery_attempts_total{status_class=5xx}{target=hours}": 1,
        "delivery_attempts_total{status_class=2xx}{target=hours}": 2,
        "delivery_outcomes_total{outcome=retry}{target=hours}": 1,
        "delivery_duration_seconds_count{target=hours}": 3,
        "delivery_lag_seconds_count{target=hours}": 1,
        "deliveries_total{outcome=delivered}{target=hours}": 2,
        "deliveries_total{outcome=cancelled}{target=hours}": 1,
        "replay_items_total{result=delivered}": 1,
        "leases_released_total{kind=delivery}": 3,
        "target_pauses_total{target=hours}": 1,
        "planday_authorizations_lost_total{portal=bistro}": 1,
        "store_trouble_total": 1,
        "quarantined_total{source=planday}": 1,
        "own_faults_total": 1,
        "queue_depth{queue=events}": 3,
        "queue_depth{queue=hours}": 2,
        "open_events": 5,
        "dead_letters{target=hours}": 1,
    }.items():
        assert page[f"planday_relay_{name}"] == value, name


def test_labels_are_bounded() -> None:
    """What a sender makes up, an id or a path never becomes a label."""
    telemetry = Telemetry()
    for number in range(50):
        telemetry.metrics.count(told.EventReceived(source=f"s{number}", result="new", type=f"made.up.{number}"))
        telemetry.metrics.count(told.PlandayCalled(portal="b", endpoint=f"/shifts/{number}", status=200, seconds=0.1))
    page = samples(telemetry, dead_letters={"Not a name!": 1})
    assert page["planday_relay_events_received_total{result=new}{type=other}"] == 50
    assert page["planday_relay_planday_requests_total{endpoint=other}{status_class=2xx}"] == 50
    assert page["planday_relay_dead_letters{target=other}"] == 1
    assert not any("made" in name or "/" in name for name in page)


def test_two_of_them_do_not_share_counters() -> None:
    """Each has a registry of its own, so that tests and processes do not see each other's numbers."""
    first, second = Telemetry(), Telemetry()
    first.record(told.StoreTrouble(reason="x"))
    assert samples(first)["planday_relay_store_trouble_total"] == 1
    assert samples(second)["planday_relay_store_trouble_total"] == 0
    assert b"_created" not in first.render()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://hooks.slack.com/services/T0/B0/xyzzy", "https://hooks.slack.com/[redacted]"),
        ("hooks.slack.com/services/T0/B0/xyzzy is gone", "hooks.slack.com/[redacted] is gone"),
        ("at https://a.example:8443/p?sig=abc, then", "at https://a.example:8443/[redacted] then"),
        ("https://u:p@a.example/", "https://[redacted]"),
        ("redis://:pa/ss@host:6379/0", "redis://[redacted]"),
        ("listening on http://127.0.0.1:8000.", "listening on http://127.0.0.1:8000."),
        ("see http://[::1]:8000/x", "see http://[::1]:8000/[redacted]"),
        ("key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!", "key [redacted]!"),
        ("xoxb-1234-abcd xapp-1-A", "[redacted] [redacted]"),
        ("Authorization: Bearer abc.def", "Authorization [redacted]"),
        ("{'authorization': 'Bearer abc', 'a': 1}", "{'authorization [redacted], 'a': 1}"),
        ("sent bearer abcdefgh.ijk", "sent bearer [redacted]"),
        ("Cookie: a=b; c=d", "Cookie [redacted]"),
        ("refresh_token=abc&grant=x", "refresh_token=[redacted]&grant=x"),
        ('{"password": "hunter2", "n": 1}', '{"password"=[redacted], "n": 1}'),
        ("sig=xyz", "sig=[redacted]"),
        ("refresh_token: the environment variable X is not set", None),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_1", "[redacted]"),
        ("to ida.testrup@bistro.example now", "to [redacted] now"),
        ("call +45 12 34 56 78 or +4512345678", "call [redacted] or [redacted]"),
        ("cpr 010190-1234.", "cpr [redacted]."),
        (
            "cpr 0101901234, pnr 900101-1234 or 19900101-1234, 199001011234",
            "cpr [redacted], pnr [redacted] or [redacted], [redacted]",
        ),
        ("fnr 01019012345 and 010190 12345 and 41019012345", "fnr [redacted] and [redacted] and [redacted]"),
        ("iban DK50 0040 0440 1162 43", "iban [redacted]"),
        # What must stay readable: ids, times, versions, numbers of ours.
        (EVENT, None),
        (f"{EVENT}:ops-slack", None),
        ("rly_0101901234abcdef0101901234abcdef", None),
        ("2026-10-24T20:00:00.000Z", None),
        ("2026-10-24T20:00:00+02:00", None),
        ("epoch 1793000000 and 1793000000.123 and 1793000000123", None),
        ("4100001:shift:70010045", None),
        ("0190a1b2-0101-7012-8123-010190123456", None),
        ("planday-relay 0.1.0 on Python 3.11.7", None),
        ("the target's address or credential is wrong", None),
        ("attempt 3 of 11 failed and the target asked for 60 s", None),
    ],
)
def test_what_a_value_looks_like_decides(text: str, kept: str | None) -> None:
    """Secrets and personal numbers go, everything else stays as it is (None: unchanged)."""
    assert redact(text) == (text if kept is None else kept)


@pytest.mark.parametrize(
    "key",
    [
        *("authorization", "Set-Cookie", "refresh_token", "clientSecret", "api_url", "ssn", "cprNumber", "cellPhone"),
        *("bank_account", "firstName", "webhook-signature", "X-Api-Key", "salaryIdentifier", "note", "password"),
        "email",
    ],
)
def test_a_denied_key_empties_its_value(key: str) -> None:
    """Whatever the value looks like, also below another key and when it is no text."""
    redactor = Redactor()
    assert redactor.fields({key: "plain"}) == {key: REDACTED}
    assert redactor.value({"a": [{key: {"b": 1}}]}) == {"a": [{key: REDACTED}]}
    assert redactor.fields({key: 101901234}) == {key: REDACTED}


def test_keys_of_our_own_lines_are_not_denied() -> None:
    """No field of a happening has a name that would empty it."""
    for name in told.__all__:
        kind = getattr(told, name)
        if dataclasses.is_dataclass(kind):
            assert not [one.name for one in dataclasses.fields(kind) if is_denied(one.name)]


def test_hidden_values_are_masked_wherever_they_stand(make: Make) -> None:
    """Opaque secrets that no pattern knows; too short ones would blot out ordinary words."""
    telemetry, out = make()
    telemetry.hide("opaque-without-any-shape", "opaque-without", "abc")
    telemetry.record(told.StoreTrouble(reason="x opaque-without-any-shape y opaque-without z abc"))
    logging.getLogger("lib").warning("got %s", "opaque-without-any-shape")
    first, second = lines(out)
    assert first["reason"] == "x [redacted] y [redacted] z abc"
    assert second["event"] == "got [redacted]"


def test_long_texts_are_cut_and_odd_values_named() -> None:
    """Nothing makes a line without bound, and a foreign object is told by its type only."""
    redactor = Redactor()
    assert len(redactor.text("a" * 100_000)) < LONGEST_TEXT + 20
    assert redactor.value(object()) == "(object)"
    assert redactor.value(b"secret") == "(bytes)"
    assert redactor.value(1793000000) == 1793000000
    deep: list[Any] = []
    deep.append(deep)
    assert "(list)" in str(redactor.value(deep))


def test_many_odd_characters_are_not_slow() -> None:
    """The patterns stay linear on what was made to hurt them."""
    for text in ("a" * 4000, "a.-" * 1300, "token" * 800, "1" * 4000, "@" * 4000, "+1 " * 1300, "x@y." * 1000):
        redact(text)


SECRETS = {
    "slack": "https://hooks.slack.com/services/T00CANARY/B00CANARY/canarycanarycanary",
    "azure": "https://prod.logic.azure.com/workflows/canary1/triggers?sp=x&sig=canarysig",
    "whsec": "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5",
    "slack token": "xoxb-9999-canary",
    "bearer": "Bearer canary.canary.canary",
    "jwt": "eyJhbGciOiJub25lIn0.eyJjYW5hcnkiOjF9.c2ln",
    "redis": "redis://canaryuser:canarypass@redis.internal:6379/0",
    "query": "refresh_token=canaryrefresh",
    "opaque": "Zq8opaquecanary5W",
    "cpr": "150585-4321",
    "cpr plain": "1505854321",
    "personnummer": "19850515-4321",
    "norway": "15058543210",
    "email": "canary.person@bistro.example",
    "phone": "+4599887766",
    "iban": "DK5000400440116243",
}
PERSONAL = "Canaria Testrup-Canary"
CANARIES = re.compile(
    r"canary|Canaria|5854321|585-4321|15-4321|15058543210|99887766|0040044011|eyJjYW5|Y2FuYXJ5|c2ln", re.IGNORECASE
)


def happenings_with(text: str) -> list[told.Happening]:
    """Every happening there is, with `text` in every field that can hold one."""
    made: list[told.Happening] = []
    for name in told.__all__:
        kind = getattr(told, name)
        if isinstance(kind, type) and issubclass(kind, told.Happening) and kind is not told.Happening:
            values: dict[str, Any] = {}
            for one in dataclasses.fields(kind):
                match one.type:
                    case "tuple[str, ...]":
                        values[one.name] = (text,)
                    case "BaseException":
                        values[one.name] = ValueError(text)
                    case "int" | "int | None":
                        values[one.name] = 3
                    case "float" | "float | None":
                        values[one.name] = 0.5
                    case "bool":
                        values[one.name] = True
                    case _:
                        values[one.name] = text
            made.append(kind(**values))
    return made


def raise_with(text: str, depth: int = 2) -> None:
    """An exception whose locals, text, cause, note and group all hold the secret."""
    local = {"secret": text}
    if depth:
        try:
            raise_with(text, depth - 1)
        except Exception as error:
            error.add_note(text)
            raise StoreUnavailable(f"the store at {text}") from error
    raise ExceptionGroup(text, [KeyError(local["secret"]), ValueError(text), OSError(111, text, text)])


def log_everything(telemetry: Telemetry, text: str) -> None:
    """All the ways in which a text can come into a log of this process."""
    for happening in happenings_with(text):
        telemetry.record(happening)
    try:
        raise_with(text)
    except StoreUnavailable as error:
        telemetry.record(told.OwnFault(where="process", error=error))
        for name in ("a.dependency", "uvicorn.error", "asyncio"):
            logging.getLogger(name).exception("it failed\nfuture: <Task exception=%r>", error)
    for name in ("httpx", "httpcore.connection", "aiohttp.client", "uvicorn.access", "arq.worker", "redis"):
        logging.getLogger(name).info("HTTP Request: POST %s", text)
        logging.getLogger(name).warning("trouble with %s", text, extra={"token": text})
    logging.getLogger("a.dependency").error("broken %d arguments", text)
    logging.getLogger("a.dependency").error({"url": text}, stack_info=True)
    warnings.warn(f"careful with {text}", UserWarning, stacklevel=1)
    with telemetry.context(delivery=text):
        telemetry.record(ATTEMPT)


@pytest.mark.parametrize("log_format", get_args(LogFormat))
@pytest.mark.parametrize("kind", SECRETS)
def test_no_canary_comes_out(make: Make, capsys: pytest.CaptureFixture[str], log_format: LogFormat, kind: str) -> None:
    """A secret of any kind, through every happening, exception and library logger: in no line, no label, nor stderr."""
    telemetry, out = make(log_format, level="debug", role="worker")
    telemetry.hide(SECRETS["opaque"])
    text = SECRETS[kind]
    for shape in (text, f"because of {text}.", f"'{text}'", f'{{"x": "{text}"}}', f"a={text}&b=c"):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            log_everything(telemetry, shape)
    written = out.getvalue() + telemetry.render().decode() + "".join(capsys.readouterr())
    assert len(written) > 1000
    hit = CANARIES.search(written)
    assert hit is None, written[max(0, hit.start() - 200) : hit.end() + 50]


@pytest.mark.parametrize("log_format", get_args(LogFormat))
def test_no_name_comes_out_through_an_exception(make: Make, log_format: LogFormat) -> None:
    """No pattern knows a name: so texts of foreign exceptions are left out, and locals and reprs too."""
    telemetry, out = make(log_format)
    try:
        int(PERSONAL)
    except ValueError as error:
        telemetry.record(told.OwnFault(where="process", error=error, event=EVENT))
        logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: %r", error, exc_info=error)
    assert CANARIES.search(out.getvalue()) is None
    assert "ValueError" in out.getvalue()
    assert "test_telemetry.py" in out.getvalue()


def test_texts_that_help_are_shown(make: Make) -> None:
    """Errors of ours, of the machine and of the code keep their text: they hold nobody's data."""
    telemetry, out = make()
    for error in (StoreUnavailable("no answer within 2 s"), TypeError("f() takes 1"), ConnectionRefusedError(111, "x")):
        telemetry.record(told.OwnFault(where="x", error=error))
    told_texts = [line["exception"] for line in lines(out)]
    assert told_texts == [
        "relay.errors.StoreUnavailable: no answer within 2 s",
        "TypeError: f() takes 1",
        "ConnectionRefusedError: Connection refused",
    ]


def test_an_exception_in_a_task_is_told_without_its_text(make: Make) -> None:
    """The loop's own report, as it really comes, goes through our handler like all else."""
    _, out = make()

    async def main() -> None:
        async def fails() -> None:
            raise ValueError(PERSONAL)

        task = asyncio.ensure_future(fails())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_exception_handler(
            {"message": "Task exception was never retrieved", "exception": task.exception(), "future": task}
        )

    asyncio.run(main())
    (line,) = lines(out)
    assert line["event"] == "Task exception was never retrieved"
    assert CANARIES.search(out.getvalue()) is None


def test_handlers_of_libraries_are_taken_out(make: Make) -> None:
    """A handler that uvicorn or arq put in place would write past the redaction."""
    foreign = io.StringIO()
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(foreign))
    logging.getLogger().addHandler(logging.StreamHandler(foreign))
    _, out = make()
    logging.getLogger("uvicorn.error").warning("to ida@bistro.example")
    assert foreign.getvalue() == ""
    assert [line["event"] for line in lines(out)] == ["to [redacted]"]


def test_configuring_twice_writes_once(make: Make) -> None:
    """The second call replaces the first."""
    telemetry, out = make()
    telemetry.configure(out)
    telemetry.record(ATTEMPT)
    assert len(lines(out)) == 1


def test_a_stderr_that_is_gone_stops_nobody(make: Make) -> None:
    """A line that cannot be written is lost, and the work goes on."""
    telemetry, _ = make()
    gone = io.StringIO()
    telemetry.configure(gone)
    gone.close()
    telemetry.record(ATTEMPT)
    assert samples(telemetry)["planday_relay_delivery_attempts_total{status_class=5xx}{target=hours}"] == 1
