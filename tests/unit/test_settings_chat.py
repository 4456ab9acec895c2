"""settings.quiet and settings.chat: when people are left in peace, on their own clock, and what is no such setting."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import ConfigError
from relay.messages import Messages
from relay.settings import SlackTarget, load_mapping
from relay.settings.quiet import read, until
from relay.settings.values import Address
from relay.targets import Target, build

ZONE = ZoneInfo("Europe/Copenhagen")
MESSAGES = Messages()


def at(text: str, *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE, fold=fold).timestamp()


def told(when: float) -> str:
    return datetime.fromtimestamp(when, ZONE).isoformat(timespec="minutes")


NIGHT = ("22:00-06:00",)
WEEKEND = ("Sat-Sun 00:00-24:00",)

CASES = [
    (NIGHT, "2026-11-25T12:00", "2026-11-25T12:00+01:00"),
    (NIGHT, "2026-11-25T21:59", "2026-11-25T21:59+01:00"),
    (NIGHT, "2026-11-25T22:00", "2026-11-26T06:00+01:00"),
    (NIGHT, "2026-11-26T05:59", "2026-11-26T06:00+01:00"),
    (NIGHT, "2026-11-26T06:00", "2026-11-26T06:00+01:00"),
    # The nights on which the clock changes: an hour shorter, an hour longer, and always until six.
    (NIGHT, "2026-03-28T23:00", "2026-03-29T06:00+02:00"),
    (NIGHT, "2026-10-24T23:00", "2026-10-25T06:00+01:00"),
    (WEEKEND, "2026-11-27T23:59", "2026-11-27T23:59+01:00"),
    (WEEKEND, "2026-11-28T00:00", "2026-11-30T00:00+01:00"),
    (NIGHT + WEEKEND, "2026-11-27T23:00", "2026-11-30T06:00+01:00"),
    (("Fri 18:00-08:00",), "2026-11-28T07:00", "2026-11-28T08:00+01:00"),
    (("Fri 18:00-08:00",), "2026-11-27T07:00", "2026-11-27T07:00+01:00"),
    (("fri,sun 12:00-13:00",), "2026-11-29T12:30", "2026-11-29T13:00+01:00"),
    (("Sat-Mon 12:00-13:00",), "2026-11-30T12:30", "2026-11-30T13:00+01:00"),
    (("Sat-Mon 12:00-13:00",), "2026-12-01T12:30", "2026-12-01T12:30+01:00"),
]


@pytest.mark.parametrize(("spans", "now", "end"), CASES)
def test_when_quiet_hours_end(spans: tuple[str, ...], now: str, end: str) -> None:
    """By the wall clock of the zone; spans that meet are one."""
    assert told(until(map(read, spans), ZONE, at(now))) == end


def test_an_hour_that_comes_twice_is_quiet_twice() -> None:
    """Within a span, both times."""
    for fold in (0, 1):
        assert told(until([read("01:00-04:00")], ZONE, at("2026-10-25T02:30", fold=fold))) == "2026-10-25T04:00+01:00"


@given(
    st.lists(st.sampled_from(["22:00-06:00", "Mon-Thu 05:00-12:00", "Sat 00:00-24:00", "02:15-02:45"]), max_size=4),
    st.integers(1_760_000_000, 1_830_000_000),
)
def test_the_end_is_not_quiet(spans: list[str], now: int) -> None:
    """Never earlier than now, less than a week later, and nothing is quiet then."""
    end = until(map(read, spans), ZONE, now)
    assert now <= end < now + 8 * 86_400
    assert until(map(read, spans), ZONE, end) == end


@pytest.mark.parametrize("text", ["", "22-06", "22:00", "24:00-06:00", "22:00-25:00", "10:60-11:00", "Xyz 10:00-11:00"])
def test_what_is_no_span(text: str) -> None:
    """Refused, with what would be right."""
    with pytest.raises(ValueError, match=r"is no span of quiet hours|goes beyond the day"):
        read(text)


SLACK: dict[str, Any] = {"type": "slack", "url": "https://hooks.example/x", "events": ["*"]}
MAIL: dict[str, Any] = {
    "type": "email",
    "events": ["*"],
    "server": "smtp.example.com",
    "sender": "relay@example.com",
    "recipients": ["a@example.com"],
}
FAULTS = [
    (SLACK, {"quiet": "10:00-10:00"}, 'quiet: begins when it ends; a whole day is "00:00-24:00"'),
    (SLACK, {"quiet": "22:00-06:00"}, "zone: is needed with `quiet`"),
    (SLACK, {"quiet": "22:00-06:00", "zone": "Mars/Base"}, "zone: is no time zone"),
    (SLACK, {"quiet": ["00:00-12:00", "12:00-24:00"], "zone": "UTC"}, "quiet: leaves no minute of the week"),
    (SLACK, {"urgent": "a b"}, "urgent: 'a b' is not a type pattern"),
    (SLACK, {"digest": {"gather": "2d"}}, "digest.gather: must be 0s to 1d"),
    (SLACK, {"digest": {"most": 0}}, "digest.most: must be at least 1"),
    (SLACK, {"digest": {"gathr": "1s"}}, "digest.gathr: there is no such setting; did you mean gather?"),
    (MAIL, {"server": "smtp://x"}, "server: is no host name"),
    (MAIL, {"sender": "Anna <a@example.com>"}, "sender: is no plain mail address"),
    (MAIL, {"recipients": ["a@example.com\nBcc: x@example.com"]}, "recipients: is no plain mail address"),
    (MAIL, {"recipients": []}, "recipients: must not be empty"),
    (MAIL, {"username": "x"}, "password: goes with `username`"),
    (MAIL, {"password": "env:P"}, "password: goes with `username`"),
    (MAIL, {"username": "x", "password": "env:P", "tls": "none"}, "password: would go out in the open"),
    (MAIL, {"allow_http": True}, "allow_http: has no meaning for mail"),
]


@pytest.mark.parametrize(("base", "more", "says"), FAULTS)
def test_what_cannot_be_set(base: dict[str, Any], more: dict[str, Any], says: str) -> None:
    """One fault each, at its place, in plain words."""
    with pytest.raises(ConfigError) as caught:
        load_mapping({"targets": {"x": {**base, **more}}}, environ={"P": "secret"})
    (found,) = map(str, caught.value.faults)
    assert found.startswith(f"targets.x.{says}")


# When an event is sent at the earliest -------------------------------------------------------------


def slack(**more: Any) -> Target:
    model = SlackTarget(type="slack", url=Address("env:U", value="https://hooks.slack.com/x"), events=("*",), **more)
    return build("x", model, messages=MESSAGES)


def send_at(type_: str, now: float, **more: Any) -> float:
    return slack(**more).send_at(type_, now)


def test_without_a_window_nothing_waits() -> None:
    """Which is the default."""
    assert send_at("planday.shift.created", 1000.25) == 1000.25


def test_a_window_is_aligned() -> None:
    """So that a burst shares its end, and nobody waits longer than the window."""
    ends = {send_at("planday.shift.created", 990.0 + step, digest={"gather": "30s"}) for step in (0.001, 12, 29.9, 30)}
    assert ends == {1020.0}
    assert send_at("planday.shift.created", 1020.001, digest={"gather": "30s"}) == 1050.0
    assert send_at("planday.shift.created", 1000.25, digest={"gather": "30s", "most": 1}) == 1000.25


def test_quiet_hours_hold_back_all_but_what_is_urgent() -> None:
    """Until their end, whatever the window says; what the relay tells of itself goes out at night."""
    night = {"quiet": NIGHT, "zone": "Europe/Copenhagen", "digest": {"gather": "1h"}}
    assert told(send_at("planday.shift.created", at("2026-11-25T23:10"), **night)) == "2026-11-26T06:00+01:00"
    assert told(send_at("planday.shift.created", at("2026-11-25T21:30"), **night)) == "2026-11-26T06:00+01:00"
    assert told(send_at("planday.shift.created", at("2026-11-25T20:30"), **night)) == "2026-11-25T21:00+01:00"
    for type_ in ("relay.target.failing", "planday.portal.authorization_revoked"):
        assert told(send_at(type_, at("2026-11-25T23:10"), **night)) == "2026-11-25T23:10+01:00"
    deleted = send_at("planday.shift.deleted", at("2026-11-25T23:10"), urgent=("planday.shift.deleted",), **night)
    assert told(deleted) == "2026-11-25T23:10+01:00"


def test_what_failed_waits_for_the_end_of_quiet_hours_and_for_no_window() -> None:
    """It waited for its window already; what is urgent is tried again at night."""
    made = slack(quiet=NIGHT, zone="Europe/Copenhagen", digest={"gather": "1h"})
    assert told(made.again_at("planday.shift.created", at("2026-11-25T20:10"))) == "2026-11-25T20:10+01:00"
    assert told(made.again_at("planday.shift.created", at("2026-11-25T22:05"))) == "2026-11-26T06:00+01:00"
    assert told(made.again_at("relay.target.failing", at("2026-11-25T22:05"))) == "2026-11-25T22:05+01:00"
