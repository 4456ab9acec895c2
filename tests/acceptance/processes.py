"""Process trees, seen from outside: who descends from whom, who lives, and an end for all that a test started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

RELAY = str(Path(sys.executable).with_name("relay"))


def environment(**more: str) -> dict[str, str]:
    """Ours without the relay's settings of this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "COV_"))}
    for name in ("REDIS_URL", "PORT"):
        kept.pop(name, None)
    return {**kept, "NO_COLOR": "1", **more}


def until(holds: Callable[[], bool], what: str, *, patience: float = 30.0) -> None:
    """Look again and again until it holds; fails with `what` when it does not."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, f"waited {patience:g} s for {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process still runs; one that is dead but not reaped by its new parent does not."""
    return pid in {one for one, _ in _table()}


def descendants(pid: int) -> set[int]:
    """All processes below one, now."""
    table = list(_table())
    found: set[int] = set()
    level = {pid}
    while level:
        level = {one for one, parent in table if parent in level} - found
        found |= level
    return found


def command_of(pid: int) -> str:
    """Its whole command line, however narrow the terminal is that ps believes in."""
    answer = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def _table() -> Iterator[tuple[int, int]]:
    answer = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    for line in answer.stdout.splitlines():
        pid, parent, state = line.split()[:3]
        if not state.startswith("Z"):
            yield int(pid), int(parent)


class Running:
    """One `relay` command in a session of its own, with its output in a file; ended with all below it at the exit."""

    def __init__(self, *arguments: str, environ: Mapping[str, str], folder: Path) -> None:
        self.output = folder / "output.txt"
        self._known: set[int] = set()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [RELAY, *arguments],
                env=dict(environ),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def below(self) -> set[int]:
        """Every process that it has started, now; remembered for the end."""
        found = descendants(self.process.pid)
        self._known |= found
        return found

    def child(self, *words: str) -> int:
        """The one process below whose command line has these words at its end or in it."""
        found = [pid for pid in self.below() if all(word in command_of(pid).split() for word in words)]
        assert len(found) == 1, f"{words}: {[command_of(pid) for pid in self.below()]}"
        return found[0]

    def ctrl_c(self) -> None:
        """As a terminal does: to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self._known | self.below()
        for pid in (self.process.pid, *left):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
