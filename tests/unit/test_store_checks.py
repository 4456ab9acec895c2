"""The rules that a Redis must meet, as a table: one change to a sound server, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from relay.store.checks import Durability, Finding, judge

INFO: dict[str, Any] = {
    "redis_version": "7.0.15",
    "redis_mode": "standalone",
    "cluster_enabled": 0,
    "role": "master",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "rdb_last_bgsave_status": "ok",
    "maxmemory": 1000,
    "maxmemory_policy": "noeviction",
    "used_memory": 100,
}
CONFIG = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "no-appendfsync-on-rewrite": "no",
    "stop-writes-on-bgsave-error": "yes",
    "save": "3600 1",
}


def look(
    info: dict[str, Any] | None = None,
    config: dict[str, str] | None = None,
    *,
    durability: Durability = "everysec",
    embedded: bool = False,
    skew: float | None = 0.0,
) -> list[Finding]:
    """Judge a sound server with these changes; a value of None takes the key away."""
    facts = {name: value for name, value in (INFO | (info or {})).items() if value is not None}
    return judge(facts, CONFIG | (config or {}), durability=durability, embedded=embedded, skew_seconds=skew)


def test_a_sound_redis_has_no_findings() -> None:
    """A server that meets every rule is passed in silence, under either durability."""
    assert look() == []
    assert look(config={"appendfsync": "always"}, durability="always") == []


@pytest.mark.parametrize(
    ("info", "config", "level", "what", "remedy"),
    [
        ({"aof_enabled": 0}, {}, "error", "appendonly is no", "CONFIG SET appendonly yes"),
        ({"aof_enabled": None}, {"appendonly": "no"}, "error", "appendonly is no", "CONFIG SET appendonly yes"),
        ({}, {"appendfsync": "no"}, "error", "appendfsync is no", "CONFIG SET appendfsync everysec"),
        (
            {},
            {"no-appendfsync-on-rewrite": "yes"},
            "error",
            "no-appendfsync-on-rewrite is yes",
            "CONFIG SET no-appendfsync-on-rewrite no",
        ),
        (
            {"maxmemory_policy": "allkeys-lru"},
            {},
            "error",
            "maxmemory-policy is allkeys-lru",
            "CONFIG SET maxmemory-policy noeviction",
        ),
        (
            {"maxmemory_policy": "volatile-ttl"},
            {},
            "error",
            "maxmemory-policy is volatile-ttl",
            "CONFIG SET maxmemory-policy noeviction",
        ),
        ({"maxmemory": 0}, {}, "warning", "maxmemory is not set", "CONFIG SET maxmemory 2gb"),
        ({"used_memory": 860}, {}, "warning", "86% of maxmemory is used", "CONFIG SET maxmemory 2000"),
        ({"role": "slave", "master_host": "db1"}, {}, "error", "this Redis is a replica (role slave)", "(db1)"),
        ({"redis_version": "6.0.20"}, {}, "error", "this Redis is version 6.0.20", "upgrade"),
        ({"redis_version": "5.9"}, {}, "error", "this Redis is version 5.9", "upgrade"),
        ({"cluster_enabled": 1}, {}, "error", "this Redis runs in Cluster mode", "cluster-enabled no"),
        ({"redis_mode": "sentinel"}, {}, "error", "this is a Sentinel, not a Redis", "primary"),
        (
            {"aof_last_write_status": "err"},
            {},
            "error",
            "the last write to the append-only file failed (aof_last_write_status)",
            "disk",
        ),
        (
            {"aof_last_bgrewrite_status": "err"},
            {},
            "warning",
            "the last rewrite of the append-only file failed (aof_last_bgrewrite_status)",
            "BGREWRITEAOF",
        ),
        (
            {"rdb_last_bgsave_status": "err"},
            {},
            "error",
            "the last snapshot failed (rdb_last_bgsave_status)",
            'CONFIG SET save ""',
        ),
        ({"redis_version": None}, {}, "unknown", "the version cannot be seen", "redis_version"),
        ({"role": None}, {}, "unknown", "the role cannot be seen", "role"),
        ({"cluster_enabled": None}, {}, "unknown", "whether Cluster is on cannot be seen", "cluster_enabled"),
        ({"maxmemory_policy": None}, {}, "unknown", "maxmemory-policy cannot be seen", "noeviction"),
        ({"maxmemory": None}, {}, "unknown", "maxmemory cannot be seen", "INFO memory"),
    ],
)
def test_one_fault_is_one_finding(
    info: dict[str, Any], config: dict[str, str], level: str, what: str, remedy: str
) -> None:
    """Each broken rule is named once, at its level, with a meaning and the line that mends it."""
    (finding,) = look(info, config)
    assert (finding.level, finding.what) == (level, what)
    assert remedy in finding.remedy
    assert finding.meaning


@pytest.mark.parametrize(
    "info",
    [
        {"redis_version": "6.2.0"},
        {"redis_version": "10.0.1"},
        {"redis_version": "7.2.4", "valkey_version": "9.1.2", "redis_mode": None},
        {"used_memory": 850},
    ],
)
def test_what_is_just_within_the_rules_is_passed(info: dict[str, Any]) -> None:
    """The oldest release, later majors, Valkey and exactly 85 % are no finding."""
    assert look(info) == []


def test_everysec_is_refused_where_always_is_demanded() -> None:
    """`durability` is the least that is demanded, and the remedy names both ways out."""
    (finding,) = look(durability="always")
    assert finding.level == "error"
    assert "CONFIG SET appendfsync always" in finding.remedy
    assert "durability" in finding.remedy


def test_a_failed_snapshot_does_not_matter_where_it_stops_nothing() -> None:
    """Without save points, or with stop-writes-on-bgsave-error no, writes go on."""
    assert look({"rdb_last_bgsave_status": "err"}, {"save": ""}) == []
    assert look({"rdb_last_bgsave_status": "err"}, {"stop-writes-on-bgsave-error": "no"}) == []


def test_our_own_server_needs_no_maxmemory() -> None:
    """The embedded store may run without a limit; the backlog limit holds there."""
    assert look({"maxmemory": 0}, embedded=True) == []


@pytest.mark.parametrize(("skew", "words"), [(1.5, "1.5 s ahead of"), (-30.0, "30.0 s behind"), (1.0, ""), (-0.9, "")])
def test_a_clock_that_is_off_by_more_than_a_second_is_an_error(skew: float, words: str) -> None:
    """Leases compare clocks of several hosts: more than a second apart is refused, in either direction."""
    findings = look(skew=skew)
    assert [finding.level for finding in findings] == (["error"] if words else [])
    assert all(words in finding.what for finding in findings)


def test_a_clock_that_is_not_told_is_said_to_be_unknown() -> None:
    """A user that may not call TIME gets to know that the skew was not looked at."""
    (finding,) = look(skew=None)
    assert finding.level == "unknown"


def test_what_a_managed_redis_hides_is_said() -> None:
    """Where CONFIG is refused, INFO decides what it can, and each of the rest is named as unknown."""
    findings = judge(INFO, None, durability="always", embedded=False, skew_seconds=0.0)
    assert [(finding.level, finding.what) for finding in findings] == [
        ("unknown", "appendfsync cannot be seen"),
        ("unknown", "no-appendfsync-on-rewrite cannot be seen"),
    ]
    assert all("managed" in finding.remedy for finding in findings)
    (finding,) = judge(INFO | {"aof_enabled": 0}, None, durability="always", embedded=False, skew_seconds=0.0)
    assert finding.what == "appendonly is no"
    assert "CONFIG SET" not in finding.remedy


def test_a_redis_that_tells_nothing_is_not_passed() -> None:
    """With INFO, CONFIG and TIME all refused, every rule says that it does not know."""
    findings = judge({}, None, durability="everysec", embedded=False, skew_seconds=None)
    assert {finding.level for finding in findings} == {"unknown"}
    assert len(findings) == 7


def test_errors_come_first() -> None:
    """A reader sees what stops the start before what merely worries."""
    findings = look({"maxmemory": 0, "aof_last_bgrewrite_status": "err", "role": "slave"}, skew=None)
    assert [finding.level for finding in findings] == ["error", "warning", "warning", "unknown"]


def test_a_finding_reads_as_one_line() -> None:
    """The text form holds all three parts, for logs and for the terminal."""
    assert str(Finding("error", "this", "that", "so")) == "this: that. Remedy: so"
