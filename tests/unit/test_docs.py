"""The documents against the code: links, commands, the README's configuration and sample, names of tests."""

from __future__ import annotations

import ast
import base64
import re
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from relay.messages import Messages
from relay.settings import load_mapping
from relay.settings.environ import PLAIN, SECTIONS
from relay.signing import check_secrets
from relay.targets import build_all

ROOT = Path(__file__).parents[2]
MADE = {"htmlcov", "dist", "build", "node_modules", "__pycache__"}

_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^()\s]+)\)|!\[[^\]]*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_TEST = re.compile(r"`(?:tests/)?((?:unit|integration|acceptance)/)?(test_\w+\.py)(?:::(test_\w+))?`")


def files() -> Iterator[Path]:
    """What belongs to the repository: nothing that a tool made, nothing hidden but .ci."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part != ".ci" for part in parts)
        if path.is_file() and not hidden and not MADE.intersection(parts):
            yield path


def pages() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, language: str) -> list[str]:
    found = _FENCED.findall(page.read_text(encoding="utf-8"))
    return [textwrap.dedent(body) for _, one, body in found if one == language]


@cache
def anchors(page: Path) -> frozenset[str]:
    """The names of a page's headings, as a code host makes them."""
    seen: defaultdict[str, int] = defaultdict(int)
    out = set()
    for heading in _HEADING.findall(prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        out.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(out)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    """To a file or folder of the repository, and to a heading where it names one."""
    broken = []
    for found in _LINK.finditer(prose(page)):
        link = found[1] or found[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(ROOT) or not target.exists():
            broken.append(f"{link}: there is nothing")
        elif anchor and anchor not in anchors(target):
            broken.append(f"{link}: no such heading")
    assert broken == []


def commands() -> list[str]:
    """Every command of the application as it is typed."""
    from relay.cli.main import app

    def below(command: Any, name: str) -> Iterator[str]:
        inner = getattr(command, "commands", None)
        if not inner:
            yield name
            return
        for word, one in inner.items():
            if not one.hidden:
                yield from below(one, f"{name} {word}")

    return list(below(typer.main.get_command(app), "relay"))


def test_every_command_is_documented() -> None:
    """In docs/cli.md, or in the README; and the README names none that is not there."""
    known = commands()
    assert "relay deliveries retry" in known
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    cli = ROOT / "docs/cli.md"
    text = readme + (cli.read_text(encoding="utf-8") if cli.exists() else "")
    assert [name for name in known if not re.search(rf"\b{re.escape(name)}\b(?!-)", text)] == []
    (listed,) = [body for body in blocks(ROOT / "README.md", "") if "relay quarantine list" in body]
    named = {" ".join(one.split()) for one in re.findall(r"relay(?: [a-z]+(?:-[a-z]+)*)+", listed)}
    assert named == set(known)


def test_the_configuration_of_the_readme_works() -> None:
    """It loads with secrets of the right form, and everything in it can be built."""
    (block,) = blocks(ROOT / "README.md", "toml")
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    environ = {
        "PLANDAY_SOURCE_SECRET": secret,
        "HOURS_SIGNING_SECRET": secret,
        "PLANDAY_CLIENT_ID": "5b1f6c1e-0000-4000-8000-000000000001",
        "PLANDAY_REFRESH_TOKEN": "a-refresh-token",
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    }
    settings = load_mapping(tomllib.loads(block), environ=environ)
    assert list(settings.sources) == ["planday"]
    assert check_secrets(settings.sources["planday"]) == []
    assert settings.portals["bistro"].id == 4100001
    targets = build_all(settings.targets, messages=Messages())
    assert {name: target.kind for name, target in targets.items()} == {"ops-slack": "slack", "hours": "webhook"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in environ if f"{name}=" not in readme] == [], "step 3 sets every variable of step 2"


def test_the_sample_of_the_readme_is_the_tested_one() -> None:
    """docs/sending.md has it, and tests/unit/test_signing.py runs it from there."""
    (sample,) = blocks(ROOT / "docs/sending.md", "bash")
    assert blocks(ROOT / "README.md", "bash") == [sample]


def test_the_configuration_for_the_simulator_is_ready() -> None:
    """What docs/simulator.md has loads as it stands, with what `relay simulator` says when it starts."""
    from relay.cli.simulating import facts

    page = ROOT / "docs/simulator.md"
    (config,) = blocks(page, "toml")
    (environ,) = [
        dict(line.split("=", 1) for line in body.splitlines())
        for body in blocks(page, "sh")
        if body.startswith("PLANDAY_SOURCE_SECRET=")
    ]
    told = facts("http://127.0.0.1:8710")
    settings = load_mapping(tomllib.loads(config), environ=environ)
    assert check_secrets(settings.sources["planday"]) == []
    assert settings.sources["planday"].secrets[0].reveal() == told["source_secret"]
    portal = settings.portals["bistro"]
    assert portal.refresh_token is not None
    assert {"id": portal.id, "refresh_token": portal.refresh_token.reveal()} in told["portals"]
    assert (portal.client_id.reveal(), portal.api_url) == (told["client_id"], told["url"])
    assert settings.targets["ops-slack"].url.reveal() == told["slack_url"]
    assert settings.targets["hours"].url.reveal() == told["payroll_url"]
    assert environ["HOURS_SIGNING_SECRET"] == told["payroll_secret"]
    assert len(build_all(settings.targets, messages=Messages())) == 2
    table = prose(page)
    for one in told["portals"]:
        assert f"{one['id']}" in table
        assert f"`{one['refresh_token']}`" in table


def test_samples_name_no_variable_of_ours() -> None:
    """A variable that starts with RELAY_ and sets nothing stops every command in that shell."""
    known = re.compile(rf"({'|'.join(PLAIN)}|RELAY_({'|'.join(map(str.upper, SECTIONS))})__\w+)$")
    wrong = [
        f"{page.name}: {name}"
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        for _, _, body in _FENCED.findall(page.read_text(encoding="utf-8"))
        for name in re.findall(r"\bRELAY_\w+", body)
        if not known.match(name)
    ]
    assert wrong == []


def test_every_unit_waits_long_enough_and_comes_from_a_clone() -> None:
    """Nobody can install a package of this name from an index, and a stop takes up to 40 s."""
    units = sorted((ROOT / "deploy").glob("*.service"))
    assert {unit.stem for unit in units} == {"planday-relay", "planday-relay-web", "planday-relay-worker"}
    for unit in units:
        text = unit.read_text(encoding="utf-8")
        assert "pip install planday-relay" not in text
        for line in ("TimeoutStopSec=40s", "RestartPreventExitStatus=2", "StartLimitIntervalSec=0"):
            assert f"\n{line}\n" in text, (unit.name, line)


def test_files_with_secrets_and_places_are_not_kept() -> None:
    """What the README has somebody write is never added by mistake."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"relay.env", "config/relay.toml", "deploy/relay.env", ".relay/"} <= set(ignored)


def test_every_test_that_a_page_names_exists() -> None:
    """A page that says which test holds a promise says it truly."""
    missing = []
    for page in pages():
        for folder, file, name in _TEST.findall(prose(page)):
            paths = list((ROOT / "tests").glob(f"{folder or '*/'}{file}"))
            if not any(name in _names_in(path) for path in paths):
                missing.append(f"{page.name}: {folder}{file}::{name}")
    assert missing == []


@cache
def _names_in(path: Path) -> frozenset[str]:
    """The tests of a file, and "" for the file itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(("", *names))


def test_no_file_names_a_place_of_one_machine() -> None:
    """A path below somebody's home, or of a build machine, means nothing to a reader and tells who wrote it."""
    homes = "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers"))
    place = re.compile(rf"(?<![\w.~/$}}*:\])-])/(?:{homes})/[\w.-]+")
    found = []
    for path in files():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            if place.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert found == []


def test_decisions_are_short_and_listed() -> None:
    """Each has its three parts, at most 60 lines, a number of its own, and a line in the index."""
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    numbers = []
    for path in sorted((ROOT / "docs/decisions").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        number = path.name[:4]
        assert text.startswith(f"# {number}: "), path.name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], path.name
        assert len(text.splitlines()) <= 60, path.name
        assert f"(decisions/{path.name})" in index, path.name
        numbers.append(int(number))
    assert numbers == list(range(1, len(numbers) + 1))
