"""Settings are read once and whole: every fault at once, in plain words, and no secret in any of them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from relay.errors import ConfigError
from relay.settings import (
    Access,
    Alerts,
    Digest,
    EmailTarget,
    PayrollBody,
    PayrollHttpTarget,
    PayrollTls,
    Portal,
    Rate,
    Relay,
    Retention,
    Retry,
    Secret,
    Settings,
    SlackAppTarget,
    SlackTarget,
    Source,
    Store,
    TeamsTarget,
    User,
    WebhookTarget,
    load,
    load_mapping,
    revealed,
    schema,
    shown,
)
from relay.settings.chat import EmailDigest, TeamsDigest
from relay.settings.environ import PLAIN, SECTIONS
from relay.settings.load import Role
from relay.settings.values import duration, seconds

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "config/relay.example.toml").read_text(encoding="utf-8")
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

ENVIRON = {
    "PLANDAY_SOURCE_SECRET": "whsec_" + "A" * 32,
    "HR_SOURCE_SECRET": "hr-secret-value",
    "LEGACY_SOURCE_PASSWORD": "legacy-password",
    "PLANDAY_CLIENT_ID": "app-id",
    "PLANDAY_REFRESH_TOKEN": "refresh-token-value",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/secretpath",
    "SLACK_BOT_TOKEN": "xoxb-bot-token",
    "TEAMS_WORKFLOW_URL": "https://prod-1.westeurope.logic.azure.com/workflows/w/triggers?sig=workflowsig",
    "MAIL_PASSWORD": "mail-password",
    "MAIL_CA": "mail-root",
    "HOURS_SIGNING_SECRET": "whsec_" + "B" * 32,
    "PAYROLL_CLIENT_SECRET": "payroll-client-secret",
    "PAYROLL_CERTIFICATE": "payroll-certificate",
    "PAYROLL_KEY": "payroll-private-key",
    "PAYROLL_CA": "payroll-root",
    "HEARTBEAT_URL": "https://hc.example/secretping",
    "ANNA_PASSWORD_HASH": "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$QWxsb2Zvcg0KYW5kbm9uZQAA",
    "HEARTBEAT_FAIL_URL": "https://hc.example/secretping/fail",
    "REDIS_URL": "redis://:redispass@127.0.0.1:6379/0",
    "RELAY_ENCRYPTION_KEYS": KEY,
}
# No secret, or named only in lines of the example that are commented out.
UNUSED = (
    *("ANNA_PASSWORD_HASH", "PLANDAY_CLIENT_ID", "LEGACY_SOURCE_PASSWORD", "HEARTBEAT_URL", "HEARTBEAT_FAIL_URL"),
    *("SLACK_BOT_TOKEN", "TEAMS_WORKFLOW_URL", "MAIL_PASSWORD", "MAIL_CA"),
    *("PAYROLL_CLIENT_SECRET", "PAYROLL_CERTIFICATE", "PAYROLL_KEY", "PAYROLL_CA"),
)
SOURCE = {"secrets": ["env:PLANDAY_SOURCE_SECRET"]}
PORTAL = {"id": 1, "client_id": "app", "refresh_token": "env:PLANDAY_REFRESH_TOKEN"}
HOOK = {"type": "webhook", "url": "https://t.example", "signing_secret": "env:HOURS_SIGNING_SECRET", "events": ["*"]}
SLACK = {"type": "slack", "url": "env:SLACK_WEBHOOK_URL", "events": ["*"]}


def faults(body: dict[str, Any], *, environ: dict[str, str] | None = None, role: Role = "all") -> list[str]:
    """Every fault of a configuration, as it is shown; empty when it loads."""
    try:
        load_mapping(body, environ=ENVIRON if environ is None else environ, role=role)
    except ConfigError as error:
        return [str(fault) for fault in error.faults]
    return []


def faults_of_file(path: Path, environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(environ, path)
    return [str(fault) for fault in caught.value.faults]


def target(**more: Any) -> dict[str, Any]:
    return {"targets": {"x": {**HOOK, **more}}}


def source(**more: Any) -> dict[str, Any]:
    return {"sources": {"x": {**SOURCE, **more}}}


def test_nothing_at_all_is_a_configuration() -> None:
    """All sections may be left out: the defaults are a relay without senders and targets."""
    settings = load_mapping({}, environ={})
    assert settings.relay.port == 8000
    assert settings.store.url is None
    assert settings.relay.shutdown_grace == 25.0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"rely": {}}, "rely: there is no such section; sections are relay, store, sources, portals, targets"),
        ({"users": {"anna": {"password": "secret"}}}, "users.anna.password: is no Argon2id hash: make one with"),
        ({"users": {"anna": {"role": "boss"}}}, "users.anna.role: "),
        ({"access": {"proxy_header": "x-user"}}, "access: proxy_header and proxy_from go together"),
        ({"relay": {"prot": 1}}, "relay.prot: there is no such setting; did you mean port?"),
        ({"relay": {"zzz": 1}}, "relay.zzz: there is no such setting"),
        ({"relay": {"port": "eight"}}, "relay.port: must be a whole number"),
        ({"relay": {"port": 70000}}, "relay.port: must be at most 65535"),
        ({"relay": {"port": True}}, None),
        ({"relay": {"body_limit": 1}}, "relay.body_limit: must be at least 1024"),
        ({"relay": {"store_timeout": "2"}}, None),
        ({"relay": {"store_timeout": 0.5}}, None),
        ({"relay": {"store_timeout": "soon"}}, 'relay.store_timeout: a duration is a number and a unit, such as "30s"'),
        ({"relay": {"store_timeout": float("inf")}}, "relay.store_timeout: a duration is a number and a unit"),
        ({"relay": {"store_timeout": float("nan")}}, "relay.store_timeout: a duration is a number and a unit"),
        ({"relay": {"store_timeout": "1h"}}, "relay.store_timeout: must be 10ms to 30s"),
        ({"relay": {"key_prefix": "no colon"}}, "relay.key_prefix: must be 1 to 40 of "),
        ({"relay": {"public_url": "relay.example"}}, "relay.public_url: must be a URL without a slash at its end"),
        ({"relay": {"public_url": 5}}, "relay.public_url: must be a text in quotes"),
        ({"relay": {"language": "da"}}, 'relay.language: must be one of "en"'),
        ({"relay": {"log_level": "loud"}}, 'relay.log_level: must be one of "debug", "info", "warning", "error"'),
        ({"relay": 5}, "relay: must hold sections, such as [relay.NAME]"),
        ({"relay": {"bind": "0.0.0.0"}}, "relay.bind: is not a loopback address: set RELAY_ADMIN_TOKEN"),
        ({"store": {"durability": "never"}}, 'store.durability: must be one of "everysec", "always"'),
        ({"store": {"url": "redis://:pw@h"}}, 'store.url: write a reference, "env:NAME" or "file:PATH", never the'),
        ({"targets": 5}, "targets: must hold sections, such as [targets.NAME]"),
        ({"targets": {"x": 5}}, "targets.x: must be a section"),
        ({"targets": {"x": {}}}, "targets.x.type: is missing; a target's type is one of slack, slack-app"),
        (
            {"targets": {"x": {"type": "xero-uk"}}},
            'targets.x.type: "xero-uk" is not built yet in this release; there are',
        ),
        ({"targets": {"x": {"type": "fax"}}}, "targets.x.type: is no type of target; there are slack, slack-app"),
        ({"targets": {"A_b": HOOK}}, "targets.A_b: a name may not hold underscores, because `_` stands for `-`"),
        ({"targets": {"Ab": HOOK}}, "targets.Ab: a name is 1 to 64 characters of a-z"),
        (target(events=[]), "targets.x.events: must not be empty"),
        (target(events=["planday shift"]), "targets.x.events: 'planday shift' is not a type pattern"),
        (target(events=["Resource.Insert", "com.git-hub.*"]), None),
        (target(events="planday.shift.*"), None),
        (target(events=5), 'targets.x.events: must be a list, such as ["..."]'),
        (target(departments=["x"]), "targets.x.departments.0: must be a whole number"),
        (target(departments=4101), 'targets.x.departments: must be a list, such as ["..."]'),
        (target(origins=["mine"]), 'targets.x.origins.0: must be one of "native", "derived", "replay", "test"'),
        (target(when="data.["), "targets.x.when: not a JMESPath expression: look at character"),
        (target(when="foo(data)"), "targets.x.when: there is no JMESPath function foo()"),
        (target(when="a && [contain(b, 'c')]"), "there is no JMESPath function contain(); did you mean contains()?"),
        (target(when="abs(a, b)"), "targets.x.when: abs() takes 1 argument, not 2"),
        (target(when="merge(a, b, c) || not_null(a, b, c) || sort_by(a, &b)"), None),
        (target(when="not_null()"), "targets.x.when: not_null() takes 1 argument, not 0"),
        (target(when="(" * 2000), "targets.x.when: longer than 1024 characters"),
        (target(when="(" * 1000), "targets.x.when: not a JMESPath expression"),
        (target(fields=["class:F"]), "targets.x.fields: 'class:F': class F never leaves the worker"),
        (target(retry={"schedule": []}), "targets.x.retry.schedule: must not be empty"),
        (target(retry={"schedule": ["5s"] * 51}), "targets.x.retry.schedule: has more than 50 entries"),
        (target(retry={"schedule": [-5]}), "targets.x.retry.schedule.0: a duration is a number and a unit"),
        (target(retry={"timeout": "30s"}), "targets.x.retry.timeout: must be below relay.shutdown_grace (25s)"),
        (target(retry={"timeout": "5m"}), "targets.x.retry.timeout: must be 10ms to 60s"),
        (target(retry={"shedule": []}), "targets.x.retry.shedule: there is no such setting; did you mean schedule?"),
        (target(retry=5), "targets.x.retry: must be a section"),
        (target(rate={"per_second": 0}), "targets.x.rate.per_second: must be above 0"),
        (target(rate={"per_second": float("inf")}), "targets.x.rate.per_second: must be a number that is not infinite"),
        (target(allow_networks=["10.0.0.1/8"]), "targets.x.allow_networks.0: not a network in CIDR form"),
        (target(allow_ports=[0]), "targets.x.allow_ports.0: must be at least 1"),
        (target(allow_http="perhaps"), "targets.x.allow_http: must be true or false"),
        (target(url="ftp://x"), "targets.x.url: a URL starts with https://"),
        (target(url="env:HR_SOURCE_SECRET"), "targets.x.url: what env:HR_SOURCE_SECRET holds is no URL"),
        (target(signing_secret=[]), "targets.x.signing_secret: must not be empty"),
        (target(template="shift"), "targets.x.template: there is no such setting"),
        ({"targets": {"x": {**SLACK, "template": "shift"}}}, None),
        ({"sources": {"x": {}}}, "sources.x: no secrets: give at least one, or write verify = "),
        ({"sources": {"x": {"verify": "none"}}}, None),
        (source(verify="none"), 'sources.x: secrets are given but verify is "none"'),
        (source(verify="md5"), "sources.x.verify: must be one of "),
        (source(verify="token"), 'sources.x: verify = "token" needs `header`'),
        (source(verify="token", header="x-token"), None),
        (source(header="x-sig"), 'sources.x: header: has no meaning with verify = "standard-webhooks"; it belongs to '),
        (source(verify="hmac-sha256", header="h", signed="{timestamp}"), "sources.x: signed: {body} must be part"),
        (source(verify="hmac-sha256", header="h", key="k"), "sources.x: key: {secret} must be part of the key"),
        (source(verify="hmac-sha256", header="h", timestamp_header="t"), "an unsigned time proves nothing"),
        (source(map={"typ": "a"}), "sources.x.map.typ: must be one of "),
        (source(map={"type": "a.["}), "sources.x.map: type: not a JMESPath expression"),
        ({"sources": {"feed": {"secrets": ["env:PLANDAY_SOURCE_SECRET"]}}}, "sources.feed: is the name under which"),
        ({"portals": {"x": {**PORTAL, "backfill": "63d"}}}, "portals.x.backfill: "),
        ({"portals": {"x": {**PORTAL, "feeds": ["cats"]}}}, "portals.x.feeds.0: must be one of "),
        ({"portals": {"x": PORTAL, "y": PORTAL}}, "portals.y.id: is the id of portals.x too"),
        ({"portals": {"x": {**PORTAL, "api_url": "openapi"}}}, "portals.x.api_url: must be a URL without a slash"),
        ({"portals": {"x": {**PORTAL, "refresh_token": 5}}}, "portals.x.refresh_token: write a reference"),
    ],
)
def test_each_fault_has_its_path_and_says_what_would_be_right(body: dict[str, Any], says: str | None) -> None:
    """One fault each, in words a person can act on (None: no fault)."""
    found = faults(body)
    if says is None:
        assert found == []
    else:
        assert len(found) == 1, found
        assert says in found[0]


def test_all_faults_are_shown_at_once() -> None:
    """Shape, missing secrets and what only shows between sections, in one run, for sound and broken parts alike."""
    body = {
        "relay": {"prot": 1, "bind": "0.0.0.0", "shutdown_grace": "10s"},
        "sources": {
            "a": {"secrets": ["env:NO_SUCH_A", "env:NO_SUCH_B"]},
            "b": {"verify": "md5", "secrets": "env:NO_B"},
        },
        "portals": {"p": PORTAL, "q": {**PORTAL, "client_id": "env:NO_ID"}, "r": {"id": 1}},
        "targets": {
            "sound": {**HOOK, "signing_secret": "env:NO_SIGNING"},
            "broken": {**HOOK, "url": "env:NO_URL", "events": [], "retry": {"timeout": "x"}},
        },
        "cats": {},
    }
    assert sorted(faults(body)) == sorted(
        [
            f"cats: there is no such section; sections are {', '.join(SECTIONS)}",
            "relay.prot: there is no such setting; did you mean port?",
            'sources.b.verify: must be one of "standard-webhooks", "hmac-sha256", "token", "basic", "none"',
            "portals.r.client_id: is missing",
            "targets.broken.events: must not be empty",
            'targets.broken.retry.timeout: a duration is a number and a unit, such as "30s", "10m", "4h" or "30d"',
            "sources.a.secrets.0: the environment variable NO_SUCH_A is not set",
            "sources.a.secrets.1: the environment variable NO_SUCH_B is not set",
            "sources.b.secrets: the environment variable NO_B is not set",
            "portals.q.client_id: the environment variable NO_ID is not set",
            "targets.sound.signing_secret: the environment variable NO_SIGNING is not set",
            "targets.broken.url: the environment variable NO_URL is not set",
            "portals.q.id: is the id of portals.p too",
            "targets.sound.retry.timeout: must be below relay.shutdown_grace (10s), "
            "or a stopping worker would cut off what is on the wire",
            "relay.bind: is not a loopback address: set RELAY_ADMIN_TOKEN or add a user, or bind 127.0.0.1",
        ]
    )


# Where a secret can stand: one configuration per key that takes one, right or wrong.
CANARY = "whsec_canarycanarycanary+canary/canary"


@pytest.mark.parametrize(
    "body",
    [
        {"relay": {"bind": CANARY, "port": CANARY, "key_prefix": CANARY, "public_url": CANARY, "log_level": CANARY}},
        {"relay": CANARY},
        {"store": {"url": CANARY, "durability": CANARY}},
        {"sources": {"x": {"secrets": CANARY, "verify": CANARY, "tolerance": CANARY, "header": 5}}},
        {"sources": {"x": {"secrets": [CANARY], "map": {"type": CANARY + "["}}}},
        {"sources": CANARY},
        {"portals": {"x": {"id": CANARY, "client_id": 5, "refresh_token": CANARY, "api_url": CANARY}}},
        {"targets": {"x": {**HOOK, "url": CANARY, "signing_secret": CANARY, "rate": CANARY, "when": CANARY + "["}}},
        {"targets": {"x": {**HOOK, "allow_networks": CANARY, "allow_ports": [CANARY], "retry": {"timeout": CANARY}}}},
        {"targets": {"x": {"type": CANARY}}},
    ],
)
def test_no_fault_repeats_what_was_written(body: dict[str, Any]) -> None:
    """What stands in the wrong place is most likely a secret."""
    found = faults(body)
    assert found
    assert "canary" not in "\n".join(found)


def test_no_fault_repeats_what_a_variable_holds() -> None:
    """Nor what the environment gives, in the right place or a wrong one."""
    environ = {
        **ENVIRON,
        "REDIS_URL": CANARY,
        "SLACK_WEBHOOK_URL": CANARY,
        "RELAY_ADMIN_TOKEN": "canary",
        "RELAY_ENCRYPTION_KEYS": "canary",
        "RELAY_LOG_FORMAT": "canary",
        "RELAY_STORE__URL": CANARY,
        "RELAY_SOURCES__X__SECRETS": CANARY,
        "RELAY_TOKEN": CANARY,
        "PORT": "canary",
    }
    with pytest.raises(ConfigError) as caught:
        load(environ, ROOT / "config/relay.example.toml")
    text = str(caught.value)
    assert "canary" not in text
    for name in ("SLACK_WEBHOOK_URL", "RELAY_ADMIN_TOKEN", "RELAY_ENCRYPTION_KEYS", "RELAY_LOG_FORMAT", "RELAY_TOKEN"):
        assert name in text
    assert "relay.port (from PORT): must be a whole number" in text


def test_secrets_print_as_their_references() -> None:
    """Neither `repr`, nor a dump, nor `config show` has a secret's value."""
    settings = load_mapping(
        {"sources": {"s": SOURCE}, "portals": {"p": PORTAL}, "targets": {"x": HOOK, "y": SLACK}},
        environ={**ENVIRON, "RELAY_ADMIN_TOKEN": "admin-token-canary"},
    )
    printed = f"{settings!r} {settings} {settings.model_dump()} {settings.environment}" + json.dumps(shown(settings))
    for value in [*ENVIRON.values(), "admin-token-canary"]:
        if value != "app-id":
            assert value not in printed
    assert shown(settings)["targets"]["y"]["url"] == "env:SLACK_WEBHOOK_URL"
    assert shown(settings)["targets"]["x"]["url"] == "https://t.example/***"
    assert shown(settings)["portals"]["p"]["client_id"] == "app"
    assert settings.targets["y"].url.reveal() == ENVIRON["SLACK_WEBHOOK_URL"]
    assert settings.sources["s"].secrets[0].reveal() == ENVIRON["PLANDAY_SOURCE_SECRET"]


def test_all_that_was_read_can_be_hidden_from_the_log() -> None:
    """Every secret of every section, and those of the environment; an App ID is none."""
    environ = {**ENVIRON, "RELAY_ADMIN_TOKEN": "admin-token-canary"}
    hidden = set(revealed(load(environ, ROOT / "config/relay.example.toml")))
    named = {name for name in ENVIRON if name not in UNUSED}
    assert hidden == {environ[name] for name in named} | {"admin-token-canary", "https://payroll.example/hooks"}
    only = revealed(load(environ, ROOT / "config/relay.example.toml", role="store"))
    assert ENVIRON["PLANDAY_REFRESH_TOKEN"] not in only


def test_what_a_target_may_have_without_fields() -> None:
    """A webhook gets classes A and B, Slack A and names; what is written in `fields` replaces that."""
    settings = load_mapping(
        {"targets": {"hook": HOOK, "slack": SLACK, "own": {**HOOK, "fields": ["class:E"]}}}, environ=ENVIRON
    )
    lists = {name: target.field_list() for name, target in settings.targets.items()}
    assert {"id", "departments"} <= lists["hook"].kept("employee", ("object",))
    assert not {"firstName", "salaryIdentifier"} & lists["hook"].kept("employee", ("object",))
    assert {"firstName", "lastName"} <= lists["slack"].kept("employee", ("related", "employee"))
    assert not {"id", "email", "jobTitle"} & lists["slack"].kept("employee", ("object",))
    assert lists["own"].kept("employee", ("object",)) == {"salaryIdentifier", "workHours", "contractRulesRuleId"}


def test_what_is_shown_loads_again() -> None:
    """`config show` prints the same configuration: durations and references as they are written."""
    body = {"sources": {"s": SOURCE}, "targets": {"y": SLACK}, "relay": {"shutdown_grace": "90s"}}
    first = shown(load_mapping(body, environ=ENVIRON))
    assert first["relay"]["shutdown_grace"] == "90s"
    assert first["targets"]["y"]["retry"]["schedule"][:4] == ["5s", "30s", "2m", "10m"]
    assert shown(load_mapping(first, environ=ENVIRON)) == first


@pytest.mark.parametrize(
    ("role", "needs"),
    [
        ("web", {"PLANDAY_SOURCE_SECRET", "HR_SOURCE_SECRET"}),
        ("worker", {"PLANDAY_CLIENT_ID", "PLANDAY_REFRESH_TOKEN", "SLACK_WEBHOOK_URL", "HOURS_SIGNING_SECRET"}),
        ("store", set()),
        (
            "all",
            {"PLANDAY_SOURCE_SECRET", "HR_SOURCE_SECRET", "PLANDAY_CLIENT_ID", "PLANDAY_REFRESH_TOKEN"}
            | {"SLACK_WEBHOOK_URL", "HOURS_SIGNING_SECRET"},
        ),
    ],
)
def test_a_role_needs_its_own_secrets_only(role: Role, needs: set[str]) -> None:
    """A receiver does not hold Planday's tokens, and does not ask for them."""
    body = tomllib.loads(EXAMPLE)
    missing = {match for fault in faults(body, environ={}, role=role) for match in re.findall(r"variable (\w+)", fault)}
    assert missing == needs
    settings = load_mapping(body, environ={name: ENVIRON[name] for name in needs}, role=role)
    if role == "web":
        token = settings.portals["bistro"].refresh_token
        assert token is not None
        with pytest.raises(RuntimeError, match="was not resolved for this role"):
            token.reveal()


@pytest.mark.parametrize(
    ("store", "environ", "url"),
    [
        ({}, {}, None),
        ({"url": "env:REDIS_URL"}, {}, None),
        ({"url": "env:REDIS_URL"}, {"REDIS_URL": ""}, None),
        ({"url": "env:REDIS_URL"}, {"REDIS_URL": "redis://h"}, "redis://h"),
        ({}, {"REDIS_URL": "rediss://h"}, "rediss://h"),
        ({"url": "env:OTHER"}, {"REDIS_URL": "redis://h", "OTHER": "unix:///s"}, "unix:///s"),
    ],
)
def test_an_unset_redis_url_means_the_embedded_store(
    store: dict[str, Any], environ: dict[str, str], url: str | None
) -> None:
    """Design.md 5: absent means embedded; any other unset reference is a fault."""
    settings = load_mapping({"store": store}, environ=environ)
    assert (settings.store.url.reveal() if settings.store.url else None) == url


def test_a_redis_of_ones_own_needs_encryption_keys_and_a_redis_url() -> None:
    """Tokens are stored there; and what is no Redis URL is told by its reference."""
    environ = {name: value for name, value in ENVIRON.items() if name != "RELAY_ENCRYPTION_KEYS"}
    assert (
        "RELAY_ENCRYPTION_KEYS: is needed with a Redis of your own"
        in faults({"portals": {"p": PORTAL}}, environ=environ)[0]
    )
    assert faults({"portals": {"p": PORTAL}}, environ=environ, role="web") == []
    assert faults({}, environ={"REDIS_URL": "http://h"}) == [
        "store.url: what env:REDIS_URL holds is no Redis URL: it starts with redis:// or rediss://"
    ]
    assert faults({"store": {"url": "env:NOPE"}}, environ={}) == ["store.url: the environment variable NOPE is not set"]


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("RELAY_RELAY__PORT", "9000", "relay.port", 9000),
        ("PORT", "9001", "relay.port", 9001),
        ("RELAY_RELAY__PUBLIC_URL", "https://r.example", "relay.public_url", "https://r.example"),
        ("RELAY_RELAY__STORE_TIMEOUT", "500ms", "relay.store_timeout", 0.5),
        ("RELAY_RELAY__TEMPLATES", "007", "relay.templates", "007"),
        ("RELAY_TARGETS__OPS_SLACK__TEMPLATE", "true", "targets.ops-slack.template", "true"),
        ("RELAY_TARGETS__OPS_SLACK__ALLOW_HTTP", "true", "targets.ops-slack.allow_http", True),
        ("RELAY_TARGETS__OPS_SLACK__DEPARTMENTS", "[1, 2]", "targets.ops-slack.departments", (1, 2)),
        ("RELAY_TARGETS__OPS_SLACK__EVENTS", "planday.*", "targets.ops-slack.events", ("planday.*",)),
        ("RELAY_TARGETS__OPS_SLACK__EVENTS", '["a.*", "b.*"]', "targets.ops-slack.events", ("a.*", "b.*")),
        ("RELAY_TARGETS__OPS_SLACK__WHEN", "[data.object] | [0]", "targets.ops-slack.when", "[data.object] | [0]"),
        ("RELAY_TARGETS__OPS_SLACK__RETRY__TIMEOUT", "3s", "targets.ops-slack.retry.timeout", 3.0),
        ("RELAY_TARGETS__OPS_SLACK__RATE", "{per_second = 2}", "targets.ops-slack.rate.per_second", 2),
        ("RELAY_SOURCES__S__TOLERANCE", "1m", "sources.s.tolerance", 60.0),
        ("RELAY_RELAY__PUBLIC_URL", "", "relay.public_url", None),
    ],
)
def test_the_environment_wins_over_the_file(tmp_path: Path, variable: str, text: str, path: str, value: Any) -> None:
    """Any setting as RELAY_SECTION__KEY; in names `_` is `-`; numbers, flags and lists as their kind wants them."""
    file = tmp_path / "relay.toml"
    file.write_text(
        '[relay]\nport = 1\n[sources.s]\nsecrets = "env:PLANDAY_SOURCE_SECRET"\n'
        '[targets.ops-slack]\ntype = "slack"\nurl = "env:SLACK_WEBHOOK_URL"\nevents = "x"\n',
        encoding="utf-8",
    )
    found: Any = load({**ENVIRON, variable: text}, file)
    for part in path.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("RELAY_ADMIN_TOKN", "x" * 20, "RELAY_ADMIN_TOKN: no setting of that name; did you mean RELAY_ADMIN_TOKEN?"),
        ("RELAY_CATS__X", "1", "RELAY_CATS__X: no setting of that name; sections are relay, store, sources,"),
        ("RELAY_PORT", "9000", "RELAY_PORT: no setting of that name: write PORT or RELAY_RELAY__PORT"),
        ("RELAY_TARGETS__X", "1", "RELAY_TARGETS__X: names no setting: write RELAY_TARGETS__NAME__KEY"),
        ("RELAY_RELAY__", "1", "RELAY_RELAY__: has an empty part"),
        ("RELAY_RELAY__PORT__X", "1", "RELAY_RELAY__PORT__X: relay.port is not a section"),
        ("RELAY_RELAY__PROT", "1", "relay.prot (from RELAY_RELAY__PROT): there is no such setting; did you mean port?"),
        ("RELAY_RELAY__PORT", "x", "relay.port (from RELAY_RELAY__PORT): must be a whole number"),
        ("PORT", "x", "relay.port (from PORT): must be a whole number"),
        ("RELAY_LOG_FORMAT", "xml", 'RELAY_LOG_FORMAT: must be "json" or "text"'),
        ("RELAY_ADMIN_TOKEN", "short", "RELAY_ADMIN_TOKEN: is shorter than 16 characters"),
        ("RELAY_ENCRYPTION_KEYS", "short", "RELAY_ENCRYPTION_KEYS: is not a list of keys"),
        ("RELAY_PORT", "tcp://10.0.0.1:80", None),
        ("RELAY_SERVICE_HOST", "10.0.0.1", None),
        ("RELAY_PORT_8000_TCP_ADDR", "10.0.0.1", None),
        ("RELAY_ENCRYPTION_KEYS", f"{KEY},{KEY}", None),
        ("RELAY_CATS__X", "", None),
        ("RELAY_ENV", "production", None),
        ("OTHER__X", "1", None),
    ],
)
def test_a_variable_that_sets_nothing_is_a_fault(tmp_path: Path, variable: str, text: str, says: str | None) -> None:
    """A typing mistake is not silence; what Kubernetes adds for a Service of our name is."""
    file = tmp_path / "relay.toml"
    file.write_text("[relay]\nport = 1\n", encoding="utf-8")
    if says is None:
        load({variable: text}, file)
    else:
        assert [says] == [fault[: len(says)] for fault in faults_of_file(file, {variable: text})]


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is passed, else RELAY_CONFIG, else config/relay.toml where that is, else none."""
    monkeypatch.chdir(tmp_path)
    assert load({}).environment.config_path is None
    for name, port in (("config/relay.toml", 1), ("named.toml", 2), ("passed.toml", 3)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"\ufeff[relay]\nport = {port}\n", encoding="utf-8")
    assert load({}).relay.port == 1
    assert load({"RELAY_CONFIG": "named.toml"}).relay.port == 2
    named = load({"RELAY_CONFIG": "named.toml", "RELAY_DATA_DIR": "data"}, Path("passed.toml"))
    assert named.relay.port == 3
    # Whole paths: what a message names is found from any folder.
    assert (named.environment.config_path, named.environment.data_dir) == (tmp_path / "passed.toml", tmp_path / "data")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no such file; copy config/relay.example.toml or set RELAY_CONFIG"),
        (b"[relay\n", "is not TOML: "),
        (b"[relay]\nport = 1\nport = 2\n", "is not TOML: "),
        (b"\xff\xfe", "is not text in UTF-8"),
        (b"[relay]\nport = " + b"1" * 5000, "holds something that cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, says: str) -> None:
    """One fault with the file's path; faults that only follow from it are not added, wrong variables are."""
    file = tmp_path / "relay.toml"
    if content is not None:
        file.write_bytes(content)
    found = faults_of_file(file, {"RELAY_TARGETS__X__URL": "https://x.example", "RELAY_CATS": "1"})
    assert len(found) == 2
    assert found[0].startswith(f"{file}: {says}")
    assert found[1].startswith("RELAY_CATS: ")


def test_secrets_from_files_are_found_beside_the_configuration(tmp_path: Path) -> None:
    """A relative path is relative to the file; line breaks at the end are not part of the secret."""
    (tmp_path / "secret").write_text("whsec_abc\r\n\n", encoding="utf-8")
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    absolute = tmp_path / "absolute"
    absolute.write_text(" kept spaces ", encoding="utf-8")
    file = tmp_path / "relay.toml"
    file.write_text(f'[sources.s]\nsecrets = ["file:secret", "file:{absolute}", "env:LINE"]\n', encoding="utf-8")
    secrets = load({"LINE": "x\n"}, file).sources["s"].secrets
    assert [secret.reveal() for secret in secrets] == ["whsec_abc", " kept spaces ", "x"]
    file.write_text('[sources.s]\nsecrets = ["file:empty", "file:gone", "file:."]\n', encoding="utf-8")
    assert faults_of_file(file, {}) == [
        f"sources.s.secrets.0: {tmp_path}/empty: is empty",
        f"sources.s.secrets.1: {tmp_path}/gone: there is no such file",
        f"sources.s.secrets.2: {tmp_path}: is a folder, not a file",
    ]


def test_two_secrets_are_equal_only_with_the_same_value() -> None:
    """Two values that are written out have the same place and are still different."""
    assert Secret("env:X", value="a") == Secret("env:X", value="a")
    assert Secret("env:X", value="a") != Secret("env:X", value="b")
    assert len({Secret("env:X"), Secret("env:X")}) == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500ms", 0.5),
        ("0s", 0.0),
        ("1.5m", 90.0),
        ("4h", 14400.0),
        ("30d", 2592000.0),
        ("7", 7.0),
        (7, 7.0),
        (0.25, 0.25),
    ],
)
def test_durations(text: str | float, number: float) -> None:
    """A number and a unit; a bare number is seconds; and it can be written down and read again."""
    assert seconds(text) == number
    assert seconds(duration(number)) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 s", "1w", "1e3s", True, None, -1, "367d", float("inf"), []])
def test_what_is_no_duration(text: Any) -> None:
    """Refused with the same words each time."""
    with pytest.raises(ValueError, match="a duration is a number and a unit"):
        seconds(text)


# The example file, which is where people look settings up.

MODELS: dict[str, list[type[BaseModel]]] = {
    "relay": [Relay],
    "store": [Store],
    "sources": [Source],
    "portals": [Portal],
    "targets": [WebhookTarget, SlackTarget, SlackAppTarget, TeamsTarget, EmailTarget, PayrollHttpTarget],
    "digest": [Digest, TeamsDigest, EmailDigest],
    "body": [PayrollBody],
    "tls": [PayrollTls],
    "retry": [Retry],
    "rate": [Rate],
    "alerts": [Alerts],
    "retention": [Retention],
    "access": [Access],
    "users": [User],
}
# Of these the example shows how they look when they are set.
SHOWN_WITH_VALUES = (
    *("signed", "map", "secrets", "rate", "retry", "breaker", "digest", "quiet"),
    *("amounts", "headers", "body", "auth", "tls", "list", "proxy_from", "role"),
)
COMMENTED = re.compile(r"^# (\[[a-z.-]+\]|[a-z_]+ = .+)$", re.MULTILINE)
UNCOMMENTED = COMMENTED.sub(r"\1", EXAMPLE)


def tables() -> dict[str, list[dict[str, Any]]]:
    """The tables of the example, with all that is commented out put in, by the section they belong to."""
    whole = tomllib.loads(UNCOMMENTED)
    found: dict[str, list[dict[str, Any]]] = {
        name: [whole[name]] for name in ("relay", "store", "alerts", "retention", "access")
    }
    found["access"] = [whole["access"]]
    for section in ("sources", "portals", "targets", "users"):
        found[section] = list(whole[section].values())
    for name in ("retry", "rate", "breaker", "digest", "body", "tls"):
        found[name] = [table[name] for table in found["targets"] if isinstance(table.get(name), dict)]
    return found


def test_the_example_loads() -> None:
    """As it is, with the variables it names."""
    settings = load(ENVIRON, ROOT / "config/relay.example.toml")
    assert list(settings.targets) == ["ops-slack", "hours"]
    assert settings.portals["bistro"].id == 4100001


def test_the_example_loads_with_everything_uncommented(tmp_path: Path) -> None:
    """Every line "# key = value" can be uncommented as it stands, all at once."""
    assert len(COMMENTED.findall(EXAMPLE)) > 40
    file = tmp_path / "relay.toml"
    file.write_text(UNCOMMENTED, encoding="utf-8")
    settings = load(ENVIRON, file)
    assert settings.sources["hr-system"].map["data"] == "payload"
    assert settings.targets["hours"].rate.per_second == 10


@pytest.mark.parametrize(
    ("section", "model", "field"),
    [(section, model, field) for section, models in MODELS.items() for model in models for field in model.model_fields],
)
def test_every_setting_is_in_the_example_with_its_default(section: str, model: type[BaseModel], field: str) -> None:
    """Nothing can be set that the example does not show, and what it shows as default is the default."""
    shown_values = [table[field] for table in tables()[section] if field in table]
    assert shown_values, f"{section}.{field} is not in config/relay.example.toml"
    info = model.model_fields[field]
    default = info.get_default(call_default_factory=True)
    if info.is_required() or default is None or field in SHOWN_WITH_VALUES:
        return
    plain = json.loads(json.dumps(default, default=list))
    assert plain in shown_values, f"{section}.{field}: the default is {plain!r}, the example shows {shown_values}"


def test_every_comment_line_of_the_example_is_short() -> None:
    """It is read in a terminal."""
    assert max(map(len, EXAMPLE.splitlines())) <= 120


def test_every_setting_is_described_in_the_schema() -> None:
    """`relay config schema` says what each setting means, and shows defaults as they would be written."""
    out = schema()
    assert set(out["properties"]) == set(SECTIONS)
    assert "environment" not in json.dumps(out).lower() or "Environment" not in out["$defs"]
    for name, definition in out["$defs"].items():
        for field, described in definition.get("properties", {}).items():
            assert described.get("description"), f"{name}.{field} has no description"
    assert out["$defs"]["Relay"]["properties"]["shutdown_grace"]["default"] == "25s"
    for name, described in out["properties"].items():
        assert described.get("description") or out["$defs"][described["$ref"].rpartition("/")[2]]["description"], name


def test_the_page_on_settings_names_every_variable() -> None:
    """docs/settings.md is where the environment's names are looked up."""
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    for name in (*PLAIN, "REDIS_URL", "PORT", "NO_COLOR"):
        assert f"`{name}`" in page, name


def test_settings_cannot_be_changed() -> None:
    """They are read once; nobody alters them at run time."""
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.relay.port = 1
