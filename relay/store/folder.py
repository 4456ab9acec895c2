"""The data folder of the embedded store: who owns it, who writes it, and how other processes get in.

lock             held (flock) by the owner, with its pid inside
server.lock      held by the server process itself, so it is free only when nothing writes the data any more
store.json       {url, pid of the owner}, mode 0600: how other processes get in
written-by.json  which server wrote the data last, because not every other one can read them
store.sock, store.log, appendonlydir/ (appendonly.aof before Redis 7)
restoring.json   there while a backup is put in place: nobody starts a server on what may be half of it
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import redis

from relay.errors import StoreError, StoreUnavailable
from relay.store.binary import Version, Writer

RESTORING = "restoring.json"
LEFTOVER_SECONDS = 20  # a little over the guard's own patience


def attach(data_dir: Path) -> str:
    """Return the URL of the embedded store that another process owns, once it is known to answer."""
    refuse_half_restored(data_dir)
    nothing = f"no store is running in {data_dir}: start `relay up`, or set REDIS_URL"
    try:
        url = str(json.loads((data_dir / "store.json").read_bytes())["url"])
    except PermissionError as error:
        remedy = "run this as the user of `relay up`"
        raise StoreError(f"the store in {data_dir} belongs to another user: {remedy}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(nothing) from error
    match state(url):
        case "loading":
            raise StoreUnavailable(f"the store in {data_dir} is still loading its data")
        case "silent":
            raise StoreError(nothing)
        case "ready":
            return url


def state(url: str) -> Literal["ready", "loading", "silent"]:
    """Ask a server whether it can be used now."""
    try:
        with redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0) as client:
            client.ping()
    except redis.BusyLoadingError:
        return "loading"
    except (redis.RedisError, OSError, ValueError):
        return "silent"
    return "ready"


def own(data_dir: Path) -> int:
    """Make the folder and take its lock; the descriptor that is returned holds it."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(PermissionError):  # a mounted volume may belong to another user; our files are private anyway
        data_dir.chmod(0o700)
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _taken(lock):
        pid = os.read(lock, 20).decode(errors="replace").strip() or "?"
        os.close(lock)
        remedy = "stop that one, or set RELAY_DATA_DIR to another folder"
        raise StoreError(f"the store in {data_dir} is in use by process {pid}: {remedy}")
    os.truncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def has_data(data_dir: Path) -> bool:
    """Whether a server has written data here, be they empty."""
    return any((data_dir / name).exists() for name in ("appendonlydir", "appendonly.aof"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """A restore under way: where it moves what was there, and of each name that it replaces whether that was there."""

    before: Path
    names: Mapping[str, bool]


def write_restoring(data_dir: Path, mark: Restoring) -> None:
    write_private(data_dir / RESTORING, {"before": mark.before.name, "names": dict(mark.names)})


def read_restoring(data_dir: Path) -> Restoring | None:
    """The restore that is under way here, or was cut off; None as a rule. Raises StoreError when it cannot be told."""
    try:
        body: Any = json.loads((data_dir / RESTORING).read_bytes())
        names = {str(name): bool(was_there) for name, was_there in body["names"].items()}
        return Restoring(before=data_dir / str(body["before"]), names=names)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{data_dir / RESTORING} says that a backup is being restored, and cannot be read: what was there before "
            f"is in {data_dir}/before-restore-...; move it back, then delete that file"
        ) from error


def refuse_half_restored(data_dir: Path) -> None:
    """Raise StoreError while a backup is being put in place here, or when that was cut off."""
    if (mark := read_restoring(data_dir)) is not None:
        raise StoreError(
            f"a backup is being restored into {data_dir}, or that was cut off: wait for it, or run `relay restore` "
            f"again, which first puts back what was there (it is in {mark.before})"
        )


def server_lock(data_dir: Path) -> int:
    """Take the lock that a running server holds; one that its owner left behind is asked to end first."""
    path = data_dir / "server.lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if _taken(lock):
        return lock
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while time.monotonic() < deadline:
        _ask_to_end(data_dir / "store.json")  # again each second: one that writes its first file drops the request
        again = time.monotonic() + 1.0
        while time.monotonic() < again:
            if _taken(lock):
                return lock
            time.sleep(0.02)
    os.close(lock)
    raise StoreError(
        f"a server of an earlier run still writes to {data_dir} and does not end: `fuser {path}` names its process; "
        "end that one (kill) and start again"
    )


def write_private(path: Path, value: dict[str, Any]) -> None:
    """Replace a small JSON file at once, readable by its owner only."""
    fresh = path.with_name(path.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:  # noqa: PTH123
        json.dump(value, handle)
    fresh.replace(path)


def read_writer(data_dir: Path) -> Writer | None:
    """Which server wrote the data last; None for a new folder."""
    try:
        value: Any = json.loads((data_dir / "written-by.json").read_bytes())
        major, minor, patch = map(int, value["version"])
        version: Version = (major, minor, patch)
        return Writer(name="valkey" if value["name"] == "valkey" else "redis", version=version)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_writer(data_dir: Path, writer: Writer) -> None:
    write_private(data_dir / "written-by.json", {"name": writer.name, "version": list(writer.version)})


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ask_to_end(store_file: Path) -> None:
    with suppress(redis.RedisError, OSError, ValueError, KeyError, TypeError):
        url = json.loads(store_file.read_bytes())["url"]
        with redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0) as client:
            client.execute_command("SHUTDOWN")
