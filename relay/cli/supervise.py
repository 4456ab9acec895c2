"""Keeps the processes of `relay up` and `relay demo` alive, and ends them in order: first they, then the store."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from relay.errors import StoreError
from relay.store.server import EmbeddedServer

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
# Having run this long, a process that dies is started again at once.
STEADY = 30.0
STORE_LOOK = 0.25

Tell = Callable[[str], None]
Look = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One `relay` command that runs as a process of its own."""

    name: str
    arguments: Sequence[str]
    environ: Mapping[str, str]
    patience: float
    """What it may take to end by itself after its parent was killed."""
    output: IO[bytes] | None = None
    """Where its stdout and stderr go; none: to ours."""


class Supervisor:
    """Starts programs again when they die, until it is told to stop."""

    def __init__(self, *, tell: Tell, grace: float, look: Look | None = None) -> None:
        """`look` says why the store cannot be used now: then nothing is started until it can."""
        self._tell = tell
        self._look = look
        self._looking = asyncio.Lock()
        self._grace = grace
        self._stopping = asyncio.Event()
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.given_up: int | None = None
        self.done = asyncio.Event()

    def keep(self, program: Program) -> None:
        """Start a program, and again whenever it ends."""
        self._tasks.append(asyncio.create_task(self._keep(program)))

    def keep_store(self, server: EmbeddedServer) -> None:
        """Start the embedded store again, under the same address, whenever it is gone."""
        self._tasks.append(asyncio.create_task(self._keep_store(server)))

    async def stop(self) -> None:
        """Ask every process to end, wait for them, and kill what does not."""
        self._stopping.set()
        for process in list(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._grace)
            if late:
                self.kill()
                await asyncio.wait(late)

    def kill(self) -> None:
        """End every process now."""
        for process in list(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def _keep(self, program: Program) -> None:
        wait, first = FIRST_WAIT, True
        while not self._stopping.is_set():
            await self._store_answers()
            if self._stopping.is_set():
                return
            began = time.monotonic()
            process = await _start(program)
            self._running[program.name] = process
            if self._stopping.is_set():  # it was told to stop while it started
                process.terminate()
            code = await process.wait()
            self._running.pop(program.name, None)
            if self._stopping.is_set():
                return
            if code == 2 and first:
                # Its configuration is refused. Later on a 2 can also mean that the store is gone for the moment.
                self.given_up = code
                self._tell(f"{program.name} cannot start, see above")
                self.done.set()
                return
            first = False
            if time.monotonic() - began > STEADY:
                wait = FIRST_WAIT
            self._tell(f"{program.name} ended ({_how(code)}), starting it again in {wait:g} s")
            await self._pause(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _keep_store(self, server: EmbeddedServer) -> None:
        wait = FIRST_WAIT
        while not self._stopping.is_set():
            await self._pause(STORE_LOOK)
            if server.running or self._stopping.is_set():
                wait = FIRST_WAIT
                continue
            self._tell("the embedded store is gone, starting it again")
            try:
                await asyncio.to_thread(server.start)
            except StoreError as error:
                self._tell(f"{error}; again in {wait:g} s")
                await self._pause(wait)
                wait = min(wait * 2, LONGEST_WAIT)

    async def _store_answers(self) -> None:
        """Wait until the store can be used; said once when it cannot, and once when it can again."""
        if self._look is None:
            return
        async with self._looking:  # one looks, the others wait for what it finds
            wait, told = FIRST_WAIT, ""
            while not self._stopping.is_set() and (trouble := await self._look()):
                if trouble != told:
                    self._tell(f"{trouble}\nwaiting for it; what needs it is started then")
                    told = trouble
                await self._pause(wait)
                wait = min(wait * 2, LONGEST_WAIT)
            if told and not self._stopping.is_set():
                self._tell("the store answers now")

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


async def _start(program: Program) -> asyncio.subprocess.Process:
    # Exec'ed, never forked bare: a fork would inherit the pipes that tell the store and the others that we are gone.
    # In a session of its own: a terminal's Ctrl-C reaches us alone, and we end them in order.
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "relay.cli.main",
        *program.arguments,
        "--with-parent",
        f"{program.patience:g}",
        stdin=asyncio.subprocess.PIPE,
        stdout=program.output,
        stderr=program.output,
        env=dict(program.environ),
        start_new_session=True,
    )


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


@contextlib.contextmanager
def on_signals(react: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call `react` for SIGINT, SIGTERM and SIGHUP, instead of dying by them."""
    loop = asyncio.get_running_loop()
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signals.append(signal.SIGHUP)
    for one in signals:
        loop.add_signal_handler(one, react, one)
    try:
        yield
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


def log_file(folder: Path, name: str) -> IO[bytes]:
    """A private file that a process's output is appended to."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return (folder / f"{name}.log").open("ab")
