"""The embedded store: a Valkey or Redis server of ours, with its data in one folder and its life tied to ours.

Only `relay up` and `relay demo` own one; every other process finds it with `attach`. `folder.py` says what the folder
holds. No orphans: `guard.py` waits on a pipe from the owner and ends the server at its end of file, which comes on
SIGKILL too. (PR_SET_PDEATHSIG would follow the thread that forked, and exists on Linux only.) If the guard was killed
as well, the next owner ends the server that was left behind. What the owner starts must be exec'ed, as `subprocess`
does: a bare fork would inherit the pipe and keep the server alive.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from relay.errors import StoreError, StoreUnfit
from relay.store import folder
from relay.store.binary import Binary, find_binary
from relay.store.folder import attach

__all__ = ["Binary", "EmbeddedServer", "attach", "find_binary"]

SOCKET_PATH_LIMIT = 100  # bytes; the kernel's own limit is 104 (macOS) or 108 (Linux) with the closing zero
STOP_SECONDS = 10
LOG_KEEP = 1 << 20
ENVIRONMENT = ("PATH", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # the server gets none of our secrets


class EmbeddedServer:
    """One server on one data folder. `start` again after the process died brings it back under the same URL."""

    def __init__(
        self,
        data_dir: Path,
        *,
        binary: Binary | None = None,
        appendfsync: Literal["always", "everysec"] = "always",
        maxmemory: int | None = None,
        ready_timeout: float = 30.0,
        load_timeout: float = 900.0,
        restoring: bool = False,
    ) -> None:
        """`restoring`: whoever puts a backup in place may start it; all others wait until that is done."""
        self.data_dir = data_dir.absolute()
        self.process: subprocess.Popen[bytes] | None = None
        self.binary = binary
        self._appendfsync = appendfsync
        self._maxmemory = maxmemory
        self._ready_timeout = ready_timeout
        self._load_timeout = load_timeout
        self._restoring = restoring
        self._password = secrets.token_hex(32)
        self._port: int | None = None
        self._url: str | None = None
        self._lock: int | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def url(self) -> str:
        """Where the server listens, password included, as redis-py reads it."""
        if self._url is None:
            raise StoreError("the embedded store was not started")
        return self._url

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> str:
        """Start the server, wait until it has loaded its data, and return its URL. Does nothing while it runs."""
        if self.running:
            return self.url
        try:
            if self._lock is None:
                self._lock = folder.own(self.data_dir)
            if not self._restoring:
                folder.refuse_half_restored(self.data_dir)
            binary = self._choose_binary()
            writing = folder.server_lock(self.data_dir)
            try:
                self._launch(binary, writing)
            finally:
                os.close(writing)  # the server has its own copy: from here on the lock is free when it is gone
            self._wait_ready()
            folder.write_writer(self.data_dir, binary)
        except OSError as error:
            self.stop()
            raise StoreError(f"the embedded store cannot be started in {self.data_dir}: {error}") from error
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """End the server (SIGTERM, then SIGKILL) and give the folder free. Safe to call at any time, also twice."""
        if self.process is not None:
            _end(self.process)
            self.process = None
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
        if self._lock is not None:
            with suppress(OSError):
                (self.data_dir / "store.json").unlink()
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _choose_binary(self) -> Binary:
        writer = folder.read_writer(self.data_dir)
        if self.binary is None:
            return find_binary(written_by=writer)
        if writer is not None and not self.binary.reads(writer):
            raise StoreUnfit(f"the data in {self.data_dir} were written by {writer}, which {self.binary} cannot read")
        return self.binary

    def _launch(self, binary: Binary, lock: int) -> None:
        if self._url is None:
            self._url = self._choose_address()
        # Written before the server exists, so that no moment leaves one behind that the next owner cannot reach.
        folder.write_private(self.data_dir / "store.json", {"url": self._url, "pid": os.getpid()})
        guard = self._start_guard()
        assert guard.stdin is not None
        log = self.data_dir / "store.log"
        if log.exists() and log.stat().st_size > LOG_KEEP:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            log.chmod(0o600)
            self._log_start = output.tell()
            self.process = subprocess.Popen(  # noqa: S603
                [binary.path, "-"],  # the configuration comes through stdin: no password in the process list
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=self.data_dir,
                env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
                pass_fds=(lock,),
                start_new_session=True,  # a terminal's Ctrl-C must not end the store before the workers are done
                umask=0o077,
            )
        guard.stdin.write(b"%d\n" % self.process.pid)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as pipe:  # a server that died at once: _wait_ready says why
            pipe.write(self._configuration())

    def _start_guard(self) -> subprocess.Popen[bytes]:
        if self._guard is not None and self._guard.poll() is None:
            return self._guard
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
        script = Path(__file__).with_name("guard.py")
        self._guard = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", script, self.data_dir / "server.lock"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
        return self._guard

    def _choose_address(self) -> str:
        path = self.data_dir / "store.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT and _can_listen(path):
            return f"unix://:{self._password}@{quote(str(path))}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def _configuration(self) -> bytes:
        settings: dict[str, str | Path] = {
            "bind": "127.0.0.1",
            "port": str(self._port or 0),
            "requirepass": self._password,
            "protected-mode": "yes",
            "daemonize": "no",
            "dir": self.data_dir,
            "logfile": self.data_dir / "store.log",
            # The append-only file is the record. Snapshots would write the same data a second time, and one that
            # fails (a full disk) makes the server refuse writes that the append-only file could still take.
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "no-appendfsync-on-rewrite": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        if self._maxmemory is not None:
            settings["maxmemory"] = str(self._maxmemory)
        if self._port is None:
            settings |= {"unixsocket": self.data_dir / "store.sock", "unixsocketperm": "600"}
        return b"".join(name.encode() + b" " + _quoted(value) + b"\n" for name, value in settings.items())

    def _wait_ready(self) -> None:
        assert self.process is not None
        begun = heard = time.monotonic()
        while self.process.poll() is None:
            state = folder.state(self.url)
            now = time.monotonic()
            if state == "ready":
                return
            if state == "loading":
                heard = now
            if now - heard > self._ready_timeout or now - begun > self._load_timeout:
                raise StoreError(f"the embedded store is not ready after {now - begun:.0f} s ({self._log_tail()})")
            time.sleep(0.01)
        raise StoreError(f"the embedded store ended at its start ({self._log_tail()})")

    def _log_tail(self) -> str:
        log = self.data_dir / "store.log"
        with log.open("rb") as handle:
            handle.seek(max(self._log_start, log.stat().st_size - 4000))
            lines = [line.strip() for line in handle.read().decode(errors="replace").splitlines()]
        return f"{log}: " + " | ".join([line for line in lines if line][-5:])


def _end(process: subprocess.Popen[bytes]) -> None:
    for _ in range(STOP_SECONDS):
        process.terminate()  # again each second: a server that writes its first append-only file drops the request
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
            return
    process.kill()
    process.wait()


def _can_listen(path: Path) -> bool:
    """Some shared folders (Docker Desktop, network mounts) hold files but no sockets."""
    try:
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        path.unlink()
    except OSError:
        return False
    return True


def _quoted(value: str | Path) -> bytes:
    raw = os.fsencode(value)
    return b'"' + b"".join(b"\\x%02x" % byte if byte < 32 or byte in b'"\\' else b"%c" % byte for byte in raw) + b'"'
