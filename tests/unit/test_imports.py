"""The rooms of design.md 3, as data: who may import whom. Arrows point one way; what is not allowed is forbidden.

Leaves, then edges, then spine, then wiring, then entrances. A new top-level module needs a line in ROOMS.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_MODULE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the modules of one room may import, besides the standard library and one another."""

    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    in_functions: tuple[str, ...] = ()
    """Of ours or theirs, but only inside the function that needs it, so that the rest starts fast."""
    pure: bool = False
    """No I/O, no clock, no dice: values in, values out."""


LEAVES = (
    *("errors", "events", "fields", "changes", "settings", "signing", "envelope"),
    *("routing", "retry", "telemetry", "explain", "catalog", "persons"),
)
EDGES = ("store", "planday", "targets", "messages", "http", "jobs")
SPINE = (
    *("pipeline", "composing", "consent", "feed", "replay", "report", "drain", "desk", "errands", "settling"),
    *("alerts", "erase", "quarantine", "retention"),
)
# What the store answers and is asked with: plain records, without the store itself.
STORE_RECORDS = (
    "store.audit",
    "store.following",
    "store.reading",
    "store.reporting",
    "store.series",
    "store.sessions",
    "store.shelf",
)

ROOMS: dict[str, Room] = {
    "__init__": Room(pure=True),
    # Leaves
    "errors": Room(pure=True),
    "events": Room(ours=("errors",), theirs=("pydantic", "pydantic_core"), pure=True),
    "fields": Room(pure=True),
    "changes": Room(ours=("fields",), pure=True),
    "settings": Room(ours=("errors", "fields"), theirs=("pydantic", "pydantic_core", "jmespath"), pure=True),
    "signing": Room(ours=("errors", "settings"), theirs=("standardwebhooks",)),
    "envelope": Room(
        ours=("errors", "events", "settings"), theirs=("pydantic", "pydantic_core", "jmespath"), pure=True
    ),
    "routing": Room(ours=("events", "settings"), theirs=("jmespath",), pure=True),
    "retry": Room(ours=("errors", "events", "settings"), pure=True),
    "explain": Room(ours=("errors", "events"), pure=True),
    "catalog": Room(ours=("fields",), pure=True),
    "persons": Room(ours=("events",), pure=True),
    "telemetry": Room(ours=("catalog",), theirs=("structlog", "prometheus_client")),
    # Edges: each knows its own client library, none another edge but targets -> messages, http
    "store": Room(ours=LEAVES, theirs=("redis", "pydantic", "pydantic_core")),
    "store.keys": Room(pure=True),
    "store.cipher": Room(ours=("errors",), theirs=("cryptography",)),
    "planday": Room(ours=LEAVES, theirs=("httpx", "pydantic", "pydantic_core")),
    # The one place that knows the mail library.
    "targets.smtp": Room(ours=("errors", "http"), theirs=("httpx", "aiosmtplib")),
    "targets": Room(ours=(*LEAVES, "messages", "http", "__version__"), theirs=("httpx", "pydantic", "pydantic_core")),
    "messages": Room(ours=LEAVES, theirs=("minijinja", "pydantic_core")),
    "http": Room(ours=LEAVES, theirs=("httpx", "aiohttp", "yarl")),
    "jobs": Room(ours=LEAVES, theirs=("arq", "redis")),
    # Spine: order, never detail
    "consent": Room(ours=(*LEAVES, *EDGES), theirs=("pydantic_core", "redis")),
    "composing": Room(ours=(*LEAVES, *EDGES), pure=True),
    "settling": Room(ours=(*LEAVES, *EDGES), theirs=("pydantic_core",), pure=True),
    "pipeline": Room(ours=(*LEAVES, *EDGES, "composing", "settling"), theirs=("pydantic_core",)),
    "feed": Room(ours=(*LEAVES, *EDGES, "pipeline"), theirs=("pydantic_core",)),
    "drain": Room(ours=(*LEAVES, *EDGES, "pipeline"), theirs=("pydantic_core",)),
    "alerts": Room(ours=(*LEAVES, *EDGES, "pipeline", "feed"), theirs=("pydantic_core", "httpx")),
    "replay": Room(ours=(*LEAVES, *EDGES, "pipeline", "composing"), theirs=("pydantic_core",)),
    "report": Room(ours=(*LEAVES, *EDGES, "pipeline")),
    "desk": Room(ours=(*LEAVES, *EDGES, "pipeline"), theirs=("pydantic_core",)),
    "quarantine": Room(ours=(*LEAVES, *EDGES, "pipeline")),
    "retention": Room(ours=(*LEAVES, *EDGES, "pipeline")),
    "erase": Room(ours=(*LEAVES, *EDGES, "pipeline", "composing"), theirs=("pydantic_core", "redis")),
    "errands": Room(ours=(*LEAVES, *EDGES, "composing", "consent", "erase"), theirs=("pydantic_core",)),
    # Wiring
    "keeping": Room(ours=(*LEAVES, *EDGES, *SPINE), theirs=("redis",)),
    "services": Room(ours=(*LEAVES, *EDGES, *SPINE, "keeping", "__version__"), theirs=("pydantic_core", "uvloop")),
    # Entrances: parse, one call, answer
    "web": Room(
        ours=(*LEAVES, "services", "consent", "report", "__version__", *STORE_RECORDS),
        theirs=("starlette", "pydantic", "pydantic_core", "jinja2", "markupsafe", "argon2"),
    ),
    # What runs the application, and nothing of the application itself.
    "web.server": Room(ours=(*LEAVES, "services", "web", "__version__"), theirs=("uvicorn", "starlette")),
    "web.protocol": Room(theirs=("uvicorn",)),
    "worker": Room(ours=(*LEAVES, "services", "jobs", "drain", "__version__"), theirs=("arq",)),
    "cli": Room(
        ours=(
            *LEAVES,
            "services",
            "report",
            "__version__",
            "store.server",
            "store.archive",
            "store.reporting",
            "store.sessions",
            "feed.marks",
        ),
        theirs=("typer", "click", "rich", "pydantic_core"),
        # `check` builds what would be started; the serving commands start it; filters and plans are values.
        in_functions=(
            "uvicorn",
            "simulator",
            "web",
            "worker",
            "targets",
            "alerts.heartbeat",
            "messages",
            "replay",
            "store.backup",
            "consent",
            *STORE_RECORDS,
        ),
    ),
    # Apart: imports nothing of ours, so that it cannot share our misunderstandings
    "simulator": Room(theirs=("starlette", "uvicorn", "httpx", "standardwebhooks")),
}

# One target kind never leans on another.
APART = (
    *("targets.email", "targets.payroll", "targets.slack", "targets.slack_app", "targets.teams", "targets.webhook"),
)

IMPURE = frozenset(
    (
        *("asyncio", "http", "logging", "os", "random", "secrets", "select", "signal", "socket", "sqlite3", "ssl"),
        *("subprocess", "sys", "tempfile", "threading", "time", "urllib.request"),
    )
)


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement of one module: `module` imports `name` in line `line`."""

    module: str
    name: str
    line: int
    in_function: bool

    def __str__(self) -> str:
        return f"{self.module} (line {self.line}) imports {self.name}"


def imports_of(path: Path, package: Path) -> Iterator[Import]:
    """Every import of a module, wherever it stands, with names of ours as the module they mean."""
    parts = path.relative_to(package).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} (line {node.lineno}): imports are written out in full"
            names = [_meant(package, str(node.module), alias.name) for alias in node.names]
        for name in names:
            yield Import(module, name, node.lineno, id(node) in inner)  # type: ignore[attr-defined]


def _meant(package: Path, module: str, name: str) -> str:
    """`from relay.store import server` means relay.store.server; `from relay import __version__` that."""
    if module == package.name:
        return f"{module}.{name}"
    folder = package.parent.joinpath(*module.split("."))
    is_module = module.startswith(f"{package.name}.") and ((folder / f"{name}.py").exists() or (folder / name).is_dir())
    return f"{module}.{name}" if is_module else module


def violations(package: Path, rooms: dict[str, Room]) -> list[str]:
    """Every import that the table does not allow, and every module that it does not know."""
    found = [
        f"{one}: {reason}"
        for path in sorted(package.rglob("*.py"))
        for one in imports_of(path, package)
        if (reason := _forbidden(one, package.name, rooms))
    ]
    known = {room.partition(".")[0] for room in rooms}
    found += [f"{name} has no line in ROOMS" for name in sorted(top_level(package) - known)]
    return found


def top_level(package: Path) -> set[str]:
    """The names of the modules and of the folders with modules, directly in the package."""
    return {path.relative_to(package).parts[0].removesuffix(".py") for path in package.rglob("*.py")}


def _forbidden(one: Import, package: str, rooms: dict[str, Room]) -> str | None:
    room = _room(one.module, rooms)
    top, _, rest = one.name.partition(".")
    if top == package:
        target = rest or "__init__"
        if target.partition(".")[0] == one.module.partition(".")[0]:
            return _within(one.module, target, rooms)
        if _allows(room.ours, target) or (one.in_function and _allows(room.in_functions, target)):
            return None
        return "only inside a function" if _allows(room.in_functions, target) else "this arrow is not in the table"
    if top in sys.stdlib_module_names:
        return "this room is pure" if room.pure and (top in IMPURE or one.name in IMPURE) else None
    if top in room.theirs or (one.in_function and top in room.in_functions):
        return None
    return "only inside a function" if top in room.in_functions else "this library is not the room's"


def _within(module: str, target: str, rooms: dict[str, Room]) -> str | None:
    """Within a room all may import all, but for the parts that have a stricter line of their own, and those apart."""
    if module in rooms and "." in module and not _allows(rooms[module].ours, target):
        return "this part of the room stands alone"
    return "kinds of target stand apart" if module in APART and target in APART and module != target else None


def _room(module: str, rooms: dict[str, Room]) -> Room:
    return rooms.get(module) or rooms.get(module.partition(".")[0]) or Room()


def _allows(allowed: tuple[str, ...], target: str) -> bool:
    return any(target == one or target.startswith(f"{one}.") for one in allowed)


def test_no_arrow_points_the_wrong_way() -> None:
    """The whole source against the table."""
    assert violations(ROOT / "relay", ROOMS) == []


def test_every_room_of_the_table_exists() -> None:
    """A room that is gone leaves the table too."""
    package = ROOT / "relay"
    for room in ROOMS:
        path = package.joinpath(*room.split("."))
        assert path.with_suffix(".py").exists() or any(path.glob("*.py")), room


@pytest.mark.parametrize(
    ("module", "line", "says"),
    [
        ("signing.py", "from relay.web import receiver", "not in the table"),
        ("signing.py", "import relay.store", "not in the table"),
        ("routing.py", "def f():\n    from relay.store.store import Store", "not in the table"),
        ("retry.py", "import time", "this room is pure"),
        ("retry.py", "import redis", "not the room's"),
        ("errors.py", "from relay import settings", "not in the table"),
        ("fields.py", "import pydantic", "not the room's"),
        ("telemetry/logs.py", "from relay.errors import RelayError", "not in the table"),
        ("store/store.py", "from relay.planday import client", "not in the table"),
        ("store/store.py", "import cryptography", "not the room's"),
        ("store/keys.py", "from relay.store import store", "stands alone"),
        ("planday/client.py", "from relay.http import OutgoingTransport", "not in the table"),
        ("targets/slack.py", "from relay.targets.webhook import WebhookTarget", "stand apart"),
        ("targets/slack.py", "from relay.targets import webhook", "stand apart"),
        ("pipeline.py", "import httpx", "not the room's"),
        ("pipeline.py", "from relay.services import open_services", "not in the table"),
        ("services.py", "from redis.asyncio import Redis", "not the room's"),
        ("web/app.py", "import redis.asyncio", "not the room's"),
        ("web/app.py", "from relay.store.store import Store", "not in the table"),
        ("cli/main.py", "import uvicorn", "only inside a function"),
        ("cli/main.py", "from relay.simulator.server import serve", "only inside a function"),
        ("simulator/app.py", "from relay import errors", "not in the table"),
        ("simulator/app.py", "import pydantic", "not the room's"),
        ("worker.py", "from tests.fakes import FakeClock", "not the room's"),
        ("novelty.py", "", "novelty has no line in ROOMS"),
        ("attic/box.py", "", "attic has no line in ROOMS"),
    ],
)
def test_a_planted_arrow_is_found(tmp_path: Path, module: str, line: str, says: str) -> None:
    """The test proves itself: each kind of bad import, planted into a package that is otherwise empty, is told."""
    package = tmp_path / "relay"
    for room in (*ROOMS, "targets.webhook", "store.store"):
        path = package.joinpath(*room.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert violations(package, ROOMS) == []
    (package / module).parent.mkdir(exist_ok=True)
    (package / module).write_text(line + "\n", encoding="utf-8")
    (found,) = violations(package, ROOMS)
    assert says in found


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("cli/main.py", "def run():\n    import uvicorn\n    from relay.simulator import server"),
        ("targets/slack.py", "from relay.targets import base\nfrom relay.http import transport\nimport httpx"),
        ("store/cipher.py", "from cryptography.fernet import Fernet\nfrom relay.errors import StoreError"),
        ("retry.py", "import math\nfrom relay.events import Outcome"),
        ("services.py", "from relay import __version__, telemetry\nfrom relay.drain import Drain"),
    ],
)
def test_an_allowed_arrow_is_let_through(tmp_path: Path, module: str, line: str) -> None:
    """And nothing that the table allows is told."""
    package = tmp_path / "relay"
    (package / module).parent.mkdir(parents=True)
    (package / module).write_text(line + "\n", encoding="utf-8")
    assert violations(package, ROOMS) == []


@pytest.mark.parametrize("folder", ["relay", "bench"])
def test_no_module_is_too_long(folder: str) -> None:
    """A module aims at under 300 lines and becomes a folder at 400."""
    long = {
        str(path.relative_to(ROOT)): count
        for path in (ROOT / folder).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
    }
    assert long == {}
