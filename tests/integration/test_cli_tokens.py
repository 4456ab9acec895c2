"""`relay tokens` and `relay hash-password`, against a running store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import argon2
import pytest
from typer.testing import CliRunner, Result

from relay.cli.main import app
from relay.store.server import EmbeddedServer

Relay = Callable[..., Result]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running embedded store."""
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "relay.toml").write_text("", encoding="utf-8")
    with EmbeddedServer(folder / "data", appendfsync="everysec"):
        yield {"RELAY_CONFIG": str(folder / "relay.toml"), "RELAY_DATA_DIR": str(folder / "data"), "USER": "anna"}


@pytest.fixture
def relay(environ: dict[str, str]) -> Relay:
    def run(*arguments: str, given: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), prog_name="relay", env=environ, input=given)

    return run


def test_a_token_is_shown_once_listed_and_revoked(relay: Relay) -> None:
    """Its text is alone on stdout; the list has everything but that; the audit has both acts."""
    made = relay("tokens", "create", "--name", "ci", "--role", "operator", "--expires", "90d")
    assert made.exit_code == 0, made.stderr
    token = made.stdout.strip()
    assert token.startswith("rly_ci_")
    assert "shown this once" in made.stderr
    found = relay("tokens", "list", "--json")
    assert token not in found.stdout
    (row,) = json.loads(found.stdout)["tokens"]
    assert (row["name"], row["role"], row["by"]) == ("ci", "operator", "cli:anna")
    assert row["expires_at"] > row["made_at"]
    assert "operator" in relay("tokens", "list").stdout
    again = relay("tokens", "create", "--name", "ci")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "there is a token ci already" in again.stderr
    assert relay("tokens", "revoke", "ci").exit_code == 0
    assert relay("tokens", "revoke", "ci").exit_code == 4
    acts = json.loads(relay("audit", "list", "--act", "tokens", "--json").stdout)["acts"]
    assert [one["act"] for one in acts] == ["tokens.revoke", "tokens.create"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--name", "No_Good"), "a token's name is"),
        (("--name", "x", "--expires", "2001-01-01T00:00:00Z"), "would have expired already"),
        (("--name", "x", "--expires", "soon"), "--expires takes"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(relay: Relay, arguments: tuple[str, ...], says: str) -> None:
    """Nothing is made, and the message says why."""
    done = relay("tokens", "create", *arguments)
    assert done.exit_code == 1
    assert says in done.stderr


def test_a_password_becomes_a_hash(relay: Relay) -> None:
    """From standard input; alone on stdout; by Argon2id; too short a one is refused."""
    done = relay("hash-password", "--stdin", given="a long enough password\n")
    hash_ = done.stdout.strip()
    assert argon2.PasswordHasher().verify(hash_, "a long enough password")
    assert hash_.startswith("$argon2id$")
    assert "a long enough" not in done.output
    typed = relay("hash-password", given="a long enough password\na long enough password\n")
    assert typed.stdout.strip().splitlines()[-1].startswith("$argon2id$")
    assert relay("hash-password", "--stdin", given="short\n").exit_code == 1
