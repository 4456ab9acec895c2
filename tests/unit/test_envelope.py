"""envelope: every inbound body is either events, all of them, or an InboundError that says what is wrong where."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.envelope import DEEPEST_DATA, MOST_EVENTS, MOST_FAULTS, check_map, parse, quarantinable
from relay.errors import BadEnvelope, BadSignature, BodyTooLarge, InboundError, NoSuchSource, NotJson, UnsupportedMedia
from relay.events import Event, Origin, event_id
from relay.settings import Source

NOW = 1_790_000_000.25
PLAIN = Source(verify="none")
THIN = {"type": "planday.shift.updated", "subject": "shift/70010045", "portalid": 4100001}


def counted() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"fresh-{next(numbers)}"


def read(
    content: Any,
    *,
    content_type: str | None = "application/json",
    source: Source = PLAIN,
    webhook_id: str | None = None,
) -> list[Event]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse(
        body,
        content_type=content_type,
        source_name="planday",
        source=source,
        webhook_id=webhook_id,
        now=NOW,
        fresh_id=counted(),
    )


def faults(content: Any, **settings: Any) -> list[tuple[str, str]]:
    with pytest.raises(BadEnvelope) as caught:
        read(content, **settings)
    assert quarantinable(caught.value)
    return [(fault.where, fault.message) for fault in caught.value.faults]


def one(**changed: Any) -> Event:
    (event,) = read({**THIN, **changed})
    return event


# What is read ---------------------------------------------------------------------------------------------------


def test_a_thin_event() -> None:
    """The least that works; what is absent gets its default."""
    assert read(THIN, webhook_id="msg_1") == [
        Event(
            id=event_id("planday", "msg_1"),
            source="planday",
            sender_id="msg_1",
            type="planday.shift.updated",
            portal=4100001,
            entity="shift",
            entity_id="70010045",
            received_at=NOW,
        )
    ]


def test_everything_at_once() -> None:
    """Data is kept whole, foreign attributes as text, ours are not taken from a sender."""
    data = {"æ": [1, 2.5, None, True, {"x": "☃"}], "big": 123456789012345678901234567890}
    (event,) = read(
        {
            "specversion": "1.0",
            "id": "e-1",
            "source": "urn:planday:portal:9223372036854775807",
            "type": "planday.shift.published",
            "subject": "shift/AB_c-9",
            "time": "2026-03-01T08:00:00.5+01:00",
            "datacontenttype": "application/json",
            "dataschema": "urn:x",
            "data": data,
            "traceparent": "00-ab",
            "attempt": 3,
            "final": False,
            "nothing": None,
            "relayorigin": "test",
            "relayother": [1],
            "sequence": "17",
            "departmentid": {"not": "even text"},
            "timestamp": "2026-03-01T07:00:00Z",
        },
        webhook_id="not used",
    )
    assert event == Event(
        id=event_id("planday", "e-1"),
        source="planday",
        sender_id="e-1",
        type="planday.shift.published",
        portal=2**63 - 1,
        entity="shift",
        entity_id="AB_c-9",
        received_at=NOW,
        time="2026-03-01T07:00:00.5Z",
        origin=Origin.TEST,
        received=data,
        extensions={"traceparent": "00-ab", "attempt": "3", "final": "false"},
    )
    assert Event.from_json(event.to_json()) == event


@pytest.mark.parametrize(
    ("content_type", "content", "events"),
    [
        ("application/json", THIN, 1),
        ("application/json", [THIN, THIN], 2),
        ("Application/JSON ; charset=UTF-8", THIN, 1),
        ('application/json; charset="utf-8"; profile=x', THIN, 1),
        ("application/cloudevents+json", THIN, 1),
        ("application/cloudevents+json; charset=utf8", THIN, 1),
        ("application/cloudevents-batch+json", [THIN], 1),
        ("application/cloudevents-batch+json;charset=utf-8", [THIN] * MOST_EVENTS, MOST_EVENTS),
        ("application/json", b"\xef\xbb\xbf" + json.dumps(THIN).encode(), 1),
        ("application/json", b"\r\n " + json.dumps(THIN).encode() + b"\t\n", 1),
    ],
)
def test_content_types(content_type: str, content: Any, events: int) -> None:
    """Three types, one event or a batch; a byte order mark and white space around it do no harm."""
    assert len(read(content, content_type=content_type)) == events


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/xml",
        "application/jsonp",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
        "application/json; charset=",
        "application/json; charset=utf-8; charset=latin1",
        "application/cloudevents",
        "json",
        "*/*",
    ],
)
def test_other_content_types_are_refused(content_type: str | None) -> None:
    """415, before the body is looked at."""
    with pytest.raises(UnsupportedMedia) as caught:
        read(b"\xff", content_type=content_type)
    assert quarantinable(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\x00",
        b"{",
        b"nonsense",
        b"{'type': 1}",
        b'{"type": 1,}',
        b'{"a": 1} x',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 01}',
        b'"\xff"',
        b'{"\xc3": 1}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\x01"}',
        b"1" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":[' * 50_000,
        json.dumps(THIN).encode("utf-16"),
        b"type=planday.shift.updated",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_json(body: bytes) -> None:
    """400: bad UTF-8, what JSON does not know, numbers of thousands of digits, and nesting without end."""
    with pytest.raises(NotJson) as caught:
        read(body)
    assert quarantinable(caught.value)
    assert len(str(caught.value)) < 200


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    """As in JavaScript, Python and .NET; docs/sending.md says so."""
    body = b'{"type":"a.b","type":"planday.shift.updated","subject":"shift/1","portalid":1}'
    assert read(body)[0].type == "planday.shift.updated"


@pytest.mark.parametrize(
    ("content", "content_type", "message"),
    [
        ([], "application/json", "1 to 100 events, this one has 0"),
        ([], "application/cloudevents-batch+json", "1 to 100 events, this one has 0"),
        ([THIN] * 101, "application/json", "1 to 100 events, this one has 101"),
        ([THIN], "application/cloudevents+json", "holds one event"),
        (THIN, "application/cloudevents-batch+json", "holds a list"),
        (None, "application/json", "an event is an object"),
        (True, "application/json", "an event is an object"),
        (7, "application/json", "an event is an object"),
        ("text", "application/cloudevents+json", "an event is an object"),
    ],
)
def test_what_is_json_but_no_event(content: Any, content_type: str, message: str) -> None:
    """422 with a fault at the whole body."""
    ((where, text),) = faults(content, content_type=content_type)
    assert where == ""
    assert message in text


# Attributes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["a.b", "A-1.b_2", "planday.shift.updated", "x." + "y" * 126, "relay.test", "relayed.x", "com.example.1.2"]
)
def test_types(value: str) -> None:
    """Known to us or not."""
    assert one(type=value).type == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "shift",
        ".",
        "a.",
        ".a",
        "a..b",
        "1.a",
        "a b.c",
        "a.ø",
        "a.b\n",
        "x." + "y" * 127,
        1,
        True,
        ["a.b"],
        "relay.delivery.failed",
        "relay.test.x",
        "Relay.test",
        "RELAY.x",
    ],
)
def test_bad_types(value: Any) -> None:
    """Ours (`relay.`) included, but for `relay.test`."""
    assert [where for where, _ in faults({**THIN, "type": value})] == ["/type"]


@pytest.mark.parametrize("value", ["shift/1", "punchclock_entry/a-B_9", "a" * 63 + "/" + "1" * 64, "s2/-"])
def test_subjects(value: str) -> None:
    """entity/id."""
    assert one(subject=value).subject == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "shift",
        "shift/",
        "/1",
        "Shift/1",
        "shift/1/2",
        "shift/1 ",
        "shift/ø",
        "2s/1",
        "_s/1",
        "shift/1\n",
        "a" * 65 + "/1",
        "s/" + "1" * 65,
        "a" * 64 + "/" + "1" * 64,
        "shift/1:2",
        "shift\x00/1",
        7,
        {"shift": 1},
    ],
)
def test_bad_subjects(value: Any) -> None:
    """Parts go into keys and lanes, so nothing but plain characters."""
    assert [where for where, _ in faults({**THIN, "subject": value})] == ["/subject"]


@pytest.mark.parametrize(
    ("parts", "portal"),
    [
        ({"source": "urn:planday:portal:1"}, 1),
        ({"portalid": 1}, 1),
        ({"portalid": "4100001"}, 4100001),
        ({"source": "urn:planday:portal:7", "portalid": 7}, 7),
        ({"source": "urn:planday:portal:7", "portalid": "7"}, 7),
        ({"source": "https://sender.example", "portalid": 7}, 7),
        ({"source": None, "portalid": 7}, 7),
        ({"portalid": 2**63 - 1}, 2**63 - 1),
    ],
)
def test_portals(parts: dict[str, Any], portal: int) -> None:
    """By `source`, by `portalid`, or by both when they agree."""
    (event,) = read({"type": "a.b", "subject": "shift/1", **parts})
    assert event.portal == portal


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ({}, "/source"),
        ({"source": "https://sender.example"}, "/source"),
        ({"source": "urn:planday:portal:"}, "/source"),
        ({"source": "urn:planday:portal:0"}, "/source"),
        ({"source": "urn:planday:portal:x", "portalid": 7}, "/source"),
        ({"source": 7, "portalid": 7}, "/source"),
        ({"source": "urn:planday:portal:7", "portalid": 8}, "/portalid"),
        ({"portalid": 0}, "/portalid"),
        ({"portalid": -1}, "/portalid"),
        ({"portalid": 2**63}, "/portalid"),
        ({"portalid": str(2**63)}, "/portalid"),
        ({"portalid": 10**400}, "/portalid"),
        ({"portalid": 7.0}, "/portalid"),
        ({"portalid": True}, "/portalid"),
        ({"portalid": "007"}, "/portalid"),
        ({"portalid": "+7"}, "/portalid"),
        ({"portalid": "7 "}, "/portalid"),
        ({"portalid": "\u0667"}, "/portalid"),
        ({"portalid": ""}, "/portalid"),
        ({"portalid": [7]}, "/portalid"),
    ],
)
def test_bad_portals(parts: dict[str, Any], place: str) -> None:
    """Missing, malformed, out of range, or in disagreement."""
    assert [where for where, _ in faults({"type": "a.b", "subject": "shift/1", **parts})] == [place]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        ("2026-03-01T08:00:00Z", "2026-03-01T08:00:00Z"),
        ("2026-03-01t08:00:00z", "2026-03-01T08:00:00Z"),
        ("2026-03-01T08:00:00+01:00", "2026-03-01T07:00:00Z"),
        ("2026-03-01T00:30:00-00:00", "2026-03-01T00:30:00Z"),
        ("2026-02-28T23:30:00-05:30", "2026-03-01T05:00:00Z"),
        ("2026-03-01T08:00:00.120000Z", "2026-03-01T08:00:00.12Z"),
        ("2026-03-01T08:00:00.123456789Z", "2026-03-01T08:00:00.123456Z"),
        ("2026-03-01T08:00:00.000Z", "2026-03-01T08:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
    ],
)
def test_times(value: str | None, kept: str | None) -> None:
    """RFC 3339 with an offset, kept in UTC with what decimals it has, six at most."""
    assert one(time=value).time == kept


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "2026-03-01",
        "2026-03-01T08:00:00",
        "2026-03-01 08:00:00Z",
        "2026-03-01T08:00Z",
        "20260301T080000Z",
        "2026-02-29T08:00:00Z",
        "2026-13-01T08:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T08:00:60Z",
        "2026-03-01T08:00:00+24:00",
        "2026-03-01T08:00:00+01:60",
        "2026-03-01T08:00:00+0100",
        "2026-03-01T08:00:00.Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:59:59+01:00",
        "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "+12026-03-01T08:00:00Z",
        "2026-03-01T08:00:00Z\n",
        "٢٠٢٦-03-01T08:00:00Z",
        "2026-03-01T08:00:00." + "1" * 99 + "Z",
        1772352000,
        True,
        ["2026-03-01T08:00:00Z"],
    ],
)
def test_bad_times(value: Any) -> None:
    """A fault, never a guess at a zone."""
    assert [where for where, _ in faults({**THIN, "time": value})] == ["/time"]


@pytest.mark.parametrize("value", ["x", "ø" * 256, "a.b:c/d", " ", "evt_1"])
def test_ids(value: str) -> None:
    """Any text; our own id is a hash of it, so that none of it becomes a header."""
    event = one(id=value)
    assert event.sender_id == value
    assert event.id == event_id("planday", value)


@pytest.mark.parametrize("value", ["", "x" * 257, "a\nb", "a\x00", "a\x7f", "a\x85", 7, 1.5, False, ["x"], {}])
def test_bad_ids(value: Any) -> None:
    """Empty, too long, with control characters, or no text."""
    assert [where for where, _ in faults({**THIN, "id": value}, webhook_id="msg_1")] == ["/id"]


@pytest.mark.parametrize("value", ["", "x" * 300, "a\x00b"])
def test_a_bad_webhook_id_is_a_fault_only_when_it_is_needed(value: str) -> None:
    """Sources that are not signed by Standard Webhooks may send any header."""
    assert read({**THIN, "id": "e-1"}, webhook_id=value)[0].sender_id == "e-1"
    ((where, text),) = faults(THIN, webhook_id=value)
    assert where == "/id"
    assert "webhook-id header" in text


def test_where_the_id_comes_from() -> None:
    """The event's own, else the header's (with the place in a batch, also of a batch of one), else a fresh one."""
    own = {**THIN, "id": "e-1"}
    assert [event.sender_id for event in read(THIN, webhook_id="msg_1")] == ["msg_1"]
    assert [event.sender_id for event in read([THIN], webhook_id="msg_1")] == ["msg_1:0"]
    assert [event.sender_id for event in read([own, THIN, own], webhook_id="msg_1")] == ["e-1", "msg_1:1", "e-1"]
    assert [event.sender_id for event in read([THIN, own, THIN])] == ["fresh-1", "e-1", "fresh-2"]
    assert [event.sender_id for event in read({**THIN, "id": None})] == ["fresh-1"]


def test_two_sources_do_not_share_ids() -> None:
    """The same id from two sources is two events."""
    first = one(id="e-1")
    (second,) = parse(
        json.dumps({**THIN, "id": "e-1"}).encode(),
        content_type="application/json",
        source_name="other",
        source=PLAIN,
        webhook_id=None,
        now=NOW,
        fresh_id=counted(),
    )
    assert first.id != second.id


@pytest.mark.parametrize(
    ("type_", "value", "origin"),
    [
        ("planday.shift.updated", None, Origin.NATIVE),
        ("planday.shift.updated", "native", Origin.NATIVE),
        ("planday.shift.updated", "derived", Origin.NATIVE),
        ("planday.shift.updated", "replay", Origin.NATIVE),
        ("planday.shift.updated", "test", Origin.TEST),
        ("relay.test", None, Origin.TEST),
        ("relay.test", "native", Origin.TEST),
    ],
)
def test_origins(type_: str, value: str | None, origin: Origin) -> None:
    """A sender may say that it is a test, and nothing else: what is derived or replayed, we know ourselves."""
    assert one(type=type_, relayorigin=value).origin == origin


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("specversion", "0.3", "/specversion"),
        ("specversion", 1.0, "/specversion"),
        ("specversion", ["1.0"], "/specversion"),
        ("datacontenttype", "text/plain", "/datacontenttype"),
        ("datacontenttype", {}, "/datacontenttype"),
        ("data_base64", "AAAA", "/data_base64"),
        ("relayorigin", "elsewhere", "/relayorigin"),
        ("relayorigin", 1, "/relayorigin"),
        ("relayorigin", [], "/relayorigin"),
        ("portalId", 1, "/portalId"),
        ("shift_id", 1, "/shift_id"),
        ("X", "1", "/X"),
        ("a" * 21, "1", "/" + "a" * 21),
        ("a" * 41, "1", ""),
        ("", "1", ""),
        ("a/b", "1", ""),
        ("a~b", "1", ""),
        ("a\nb", "1", ""),
        ("ø", "1", ""),
        ("ext", "x" * 257, "/ext"),
        ("ext", "a\nb", "/ext"),
        ("ext", 1.5, "/ext"),
        ("ext", 2**31, "/ext"),
        ("ext", -(2**31) - 1, "/ext"),
        ("ext", [], "/ext"),
        ("ext", {"a": 1}, "/ext"),
    ],
)
def test_other_faults(name: str, value: Any, place: str) -> None:
    """Each with its pointer; a name that could be anything is not repeated, the pointer stops before it."""
    ((where, text),) = faults({**THIN, name: value})
    assert where == place
    assert "\n" not in text


@pytest.mark.parametrize("value", ["", "x" * 256, 0, -(2**31), 2**31 - 1, True])
def test_extension_values(value: Any) -> None:
    """Kept as text."""
    expected = str(value).lower() if isinstance(value, bool) else str(value)
    assert one(ext=value).extensions == {"ext": expected}


def test_at_most_twenty_extensions() -> None:
    """Twenty are kept, one more is a fault."""
    twenty = {f"ext{number}": "x" for number in range(20)}
    assert len(one(**twenty).extensions) == 20
    assert faults({**THIN, **twenty, "another": "x"}) == [("", "has more than 20 extension attributes")]


def nested(depth: int, kind: str) -> bytes:
    opened, closed = (b"[", b"]") if kind == "list" else (b'{"a":', b"}")
    return opened * depth + b"1" + closed * depth


@pytest.mark.parametrize("kind", ["list", "object"])
def test_depth_of_data(kind: str) -> None:
    """What is accepted survives the store and an envelope around it; what is deeper is a fault, not a later crash."""

    def body(depth: int) -> bytes:
        return json.dumps(THIN).encode()[:-1] + b', "data": ' + nested(depth, kind) + b"}"

    (event,) = read(body(DEEPEST_DATA))
    assert Event.from_json(event.to_json()) == event
    for depth in (DEEPEST_DATA + 1, 150):
        ((where, _),) = faults(body(depth))
        assert where == "/data"
    with pytest.raises(NotJson):
        read(body(100_000))


@pytest.mark.parametrize("number", ["1e400", "-1e999", "9" * 309 + ".0", "1" * 300 + "e50"])
def test_a_number_that_no_double_can_hold(number: str) -> None:
    """It would go out as null or as Infinity, which is not JSON."""
    body = json.dumps(THIN).encode()[:-1] + f', "data": {{"a": [{number}]}}}}'.encode()
    assert [where for where, _ in faults(body)] == ["/data"]


@pytest.mark.parametrize("data", [None, 0, False, "", [], {}, "text", [[]], {"a": None}, 10**4000, 1e308, "\x00"])
def test_data_is_kept_whole(data: Any) -> None:
    """Any JSON, empty values included."""
    event = one(data=data)
    assert event.received == data
    assert type(event.received) is type(data)
    assert Event.from_json(event.to_json()).received == data


# Batches --------------------------------------------------------------------------------------------------------


def test_one_bad_member_refuses_the_batch_and_every_fault_is_named() -> None:
    """All or none, with the member's place in each pointer."""
    found = faults([THIN, {**THIN, "subject": "x", "time": "y"}, 7, {}, THIN, {**THIN, "bad_name": 1}])
    assert [where for where, _ in found] == [
        "/1/subject",
        "/1/time",
        "/2",
        "/3/type",
        "/3/subject",
        "/3/source",
        "/5/bad_name",
    ]


@pytest.mark.parametrize("content", [[{}] * 100, {f"_{number}": 1 for number in range(5000)}])
def test_the_list_of_faults_is_bounded(content: Any) -> None:
    """However much is wrong, the answer stays small."""
    assert len(faults(content)) == MOST_FAULTS


def test_no_value_of_the_sender_stands_in_a_fault() -> None:
    """Values may be personal, and an error text may reach a log."""
    marker = "Ærlig Hansen"
    body = dict.fromkeys(("type", "subject", "source", "portalid", "time", "specversion", "relayorigin"), marker)
    body |= {
        "id": f"{marker}\n",
        "datacontenttype": marker,
        "ext": marker + "\n",
        marker: marker,
        "data_base64": marker,
    }
    found = faults(body)
    assert len(found) == 11
    assert marker not in repr(found)


def test_what_is_worth_quarantine() -> None:
    """Proven but unreadable: yes. Not proven, or not read at all: no."""
    assert all(quarantinable(error) for error in (NotJson("x"), BadEnvelope([]), UnsupportedMedia("x")))
    assert not any(quarantinable(error) for error in (BadSignature("x"), NoSuchSource("x"), BodyTooLarge("x")))


# Maps -----------------------------------------------------------------------------------------------------------


def mapping(**expressions: str) -> Source:
    basis = {"type": "'planday.shift.updated'", "subject": "['shift', shift.id]", "portalid": "company"}
    return Source.model_validate({"verify": "none", "map": {**basis, **expressions}})


FOREIGN = {"id": 7, "shift": {"id": 42, "name": "Anna"}, "company": 9, "at": "2026-03-01T08:00:00Z", "event": "abc-1"}


def test_a_map_makes_our_shape_of_another() -> None:
    """Numbers become text where text is needed; nothing that is not mapped is read."""
    (event,) = read(FOREIGN, source=mapping(), webhook_id="msg_1")
    assert (event.type, event.subject, event.portal) == ("planday.shift.updated", "shift/42", 9)
    assert (event.sender_id, event.time, event.received, event.extensions) == ("msg_1", None, None, {})

    (event,) = read(FOREIGN, source=mapping(id="id", time="at", data="shift"))
    assert (event.sender_id, event.time, event.received) == ("7", "2026-03-01T08:00:00Z", FOREIGN["shift"])

    events = read([FOREIGN, FOREIGN], source=mapping(subject="join('/', ['shift', to_string(shift.id)])"))
    assert [(event.subject, event.sender_id) for event in events] == [("shift/42", "fresh-1"), ("shift/42", "fresh-2")]


@pytest.mark.parametrize(
    ("expressions", "message"),
    [
        ({"type": "nothing"}, "map.type finds nothing"),
        ({"subject": "shift.nothing"}, "map.subject finds nothing"),
        ({"portalid": "nothing"}, "map.portalid finds nothing"),
        ({"subject": "['shift', nothing]"}, "map.subject is not entity/id"),
        ({"subject": "['shift', `true`]"}, "map.subject is not entity/id"),
        ({"subject": "['shift']"}, "map.subject is not entity/id"),
        ({"subject": "['a', 'b', 'c']"}, "map.subject is not entity/id"),
        ({"subject": "shift"}, "map.subject is not entity/id"),
        ({"subject": "shift.id"}, "map.subject is not entity/id"),
        ({"type": "id"}, "map.type is not words"),
        ({"type": "'relay.target.paused'"}, "map.type types that start with relay."),
        ({"portalid": "shift.name"}, "map.portalid is not a portal's number"),
        ({"time": "id"}, "map.time is not RFC 3339"),
        ({"id": "shift"}, "map.id is not a string"),
        ({"id": "`true`"}, "map.id is not a string"),
        ({"id": '`""`'}, "map.id is not a string"),
        ({"type": "join('.', shift)"}, "map.type cannot be evaluated"),
        ({"id": "abs(event)"}, "map.id cannot be evaluated"),
        ({"data": "&shift"}, "map.data cannot be evaluated"),
        ({"data": "[to_number('1e999')]"}, "map.data cannot be evaluated"),
        ({"data": "to_number('nan')"}, "map.data cannot be evaluated"),
        ({"data": "[" * 100 + "@" + "]" * 100}, "map.data is nested deeper"),
        ({"data": "shift[::0]"}, None),
        ({"data": "event[::0]"}, None),
        ({"data": "[id][::0]"}, "map.data cannot be evaluated"),
    ],
)
def test_a_map_that_does_not_fit_the_body(expressions: dict[str, str], message: str | None) -> None:
    """422 that names the entry of the map, never a 500."""
    if message is None:
        assert read(FOREIGN, source=mapping(**expressions))[0].received is None
        return
    ((where, text),) = faults([FOREIGN], source=mapping(**expressions))
    assert where == "/0"
    assert text.startswith(message)


@pytest.mark.parametrize("content", [None, 7, "x", {}, [7], [None, []], {"shift": [1]}, {"shift": {"id": {}}}])
def test_a_map_meets_any_json(content: Any) -> None:
    """Whatever the body is."""
    assert faults(content, source=mapping())


def test_check_map() -> None:
    """What a map lacks is found at start."""
    assert check_map(PLAIN) == []
    assert check_map(mapping()) == []
    lacking = Source.model_validate({"verify": "none", "map": {"type": "'a.b'"}})
    assert [fault.where for fault in check_map(lacking)] == ["map.subject", "map.portalid"]
    assert [text for _, text in faults({}, source=lacking)] == [
        "map.subject finds nothing in this body",
        "map.portalid finds nothing in this body",
    ]


# Whatever comes -------------------------------------------------------------------------------------------------

NAMES = st.sampled_from([*THIN, "id", "source", "time", "data", "specversion", "datacontenttype", "relayorigin", "ext"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS | st.sampled_from([*THIN.values(), "urn:planday:portal:1", "2026-03-01T08:00:00Z", "1.0", "test"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=8),
    max_leaves=20,
)
MEMBERS = st.dictionaries(NAMES | st.text(max_size=5), VALUES, max_size=12).map(lambda more: {**THIN, **more})
SHAPES = st.sampled_from([PLAIN, mapping(), mapping(id="id", time="time", data="@", type="type", subject="subject")])
TYPES = st.sampled_from(["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"])


def outcome(body: bytes, source: Source, content_type: str | None, webhook_id: str | None) -> None:
    try:
        events = read(body, source=source, content_type=content_type, webhook_id=webhook_id)
    except InboundError as error:
        refusal: InboundError = error
    else:
        assert events
        for event in events:
            assert Event.from_json(event.to_json()) == event
            json.loads(event.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        return
    assert isinstance(refusal, NotJson | BadEnvelope | UnsupportedMedia)
    str(refusal).encode()


@given(body=st.binary(), source=SHAPES, content_type=TYPES | st.none() | st.text(), webhook_id=st.none() | st.text())
def test_any_bytes(body: bytes, source: Source, content_type: str | None, webhook_id: str | None) -> None:
    """Events or an InboundError, nothing else."""
    outcome(body, source, content_type, webhook_id)


@given(content=VALUES | MEMBERS | st.lists(MEMBERS, max_size=4), source=SHAPES, content_type=TYPES)
def test_any_json(content: Any, source: Source, content_type: str) -> None:
    """Events that survive the store and are strict JSON, or an InboundError."""
    outcome(json.dumps(content).encode(), source, content_type, "msg_1")


@given(content=MEMBERS, data=st.data())
def test_any_damage(content: Any, data: st.DataObject) -> None:
    """A good body with one byte changed, cut or doubled."""
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
    place = data.draw(st.integers(0, len(body) - 1))
    outcome(body[:place] + data.draw(st.binary(max_size=2)) + body[place + 1 :], PLAIN, "application/json", None)
