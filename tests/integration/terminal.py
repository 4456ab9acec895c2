"""A command of ours as a process: behind pipes, or on a terminal whose screen is read and whose keys are pressed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PATIENCE = 60.0
"""Seconds: a busy machine starts a process slowly."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")


@dataclass(slots=True)
class Running:
    """A process and all that it wrote so far."""

    process: subprocess.Popen[bytes]
    fd: int
    data: bytes = b""
    seen: int = 0

    @property
    def raw(self) -> str:
        return self.data.decode("utf-8", "ignore")

    @property
    def text(self) -> str:
        """What was written, without what steers the terminal."""
        return _ESCAPES.sub("", self.raw)

    def expect(self, what: str) -> str:
        """Read until this was written after what was expected before; everything up to its end."""
        deadline = time.monotonic() + PATIENCE
        while (at := self.text.find(what, self.seen)) < 0:
            left = deadline - time.monotonic()
            assert left > 0, f"{what!r} did not come; there was {self.text[self.seen :]!r}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    found = os.read(self.fd, 65536)
                except OSError:  # a terminal whose other end is closed
                    found = b""
                assert found, f"it ended before {what!r}; there was {self.text[self.seen :]!r}"
                self.data += found
        start, self.seen = self.seen, at + len(what)
        return self.text[start : self.seen]

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def ended(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def piped(*arguments: str, environ: Mapping[str, str]) -> Iterator[Running]:
    """`relay ...` with its output in a pipe; stdout and stderr in one."""
    ours, its = os.pipe()
    process = subprocess.Popen(
        _command(arguments), env=_environ(environ), stdin=subprocess.DEVNULL, stdout=its, stderr=its
    )
    os.close(its)
    with _ending(process):
        yield Running(process, ours)
    with contextlib.suppress(OSError):
        os.close(ours)


@contextlib.contextmanager
def on_terminal(
    *arguments: str, environ: Mapping[str, str], rows: int = 24, columns: int = 100
) -> Iterator[tuple[Running, int]]:
    """`relay ...` on a terminal of its own, whose other end comes too, to look at its settings."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        _command(arguments),
        env={**_environ(environ), "TERM": "xterm-256color"},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    with _ending(process):
        yield Running(process, ours), its
    os.close(ours)
    os.close(its)


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "relay.cli.main", *arguments]


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "PYTHONPATH")}
    return {**kept, "PYTHONUNBUFFERED": "1", **environ}
