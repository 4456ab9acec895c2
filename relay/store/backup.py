"""Backs the embedded store up while it runs, and puts a backup into a data folder that nobody uses.

The server is asked for a snapshot (BGSAVE: the data of one moment, while all go on). The append-only files are not
copied: since Redis 7 they are several, and they change while they are read. A snapshot is put back as `appendonly.aof`,
because it is a valid beginning of an append-only file: all versions from 6.2 on take the single file, and those from 7
on move it into their folder. As dump.rdb it would be ignored by a server that is told to use the append-only file.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import redis

from relay.errors import RefusedError, StoreError
from relay.store import folder
from relay.store.archive import DUMP, Manifest, Member, key_prints, pack, read, unpack
from relay.store.binary import find_binary
from relay.store.cipher import KEY_FILE
from relay.store.folder import RESTORING, Restoring, has_data
from relay.store.keys import Keys
from relay.store.server import EmbeddedServer
from relay.store.shelf import FORMAT as DATA_FORMAT

__all__ = ["DATA_FORMAT", "Manifest", "Restored", "back_up", "has_data", "read", "restore", "running"]

_POLL = 0.05
# What the server and we call the copy on its way into the archive.
_SERVER_DUMP, _OUR_DUMP = "dump.rdb", "backup-*.rdb"
Key = Literal["restored", "kept", "environment", "missing"]
_NO_KEY = (
    "the encryption key of this backup is not here: without it no portal's token can be read, nothing goes to payroll "
    "(its ledger stays closed), and erased people are not recognised. Put encryption.key of that time into {data_dir} "
    "(mode 0600), or set RELAY_ENCRYPTION_KEYS as it was, then restore. If it is lost: --without-key. "
    "Nothing was changed"
)
_DATA = ("appendonlydir", "appendonly.aof", "written-by.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did. `before` is where the data are that were there; `key` where the encryption key comes from."""

    manifest: Manifest
    before: Path | None
    key: Key


@contextmanager
def running(data_dir: Path) -> Iterator[str]:
    """The URL of the store in a folder: of the one that runs there, else of one that is started for this and stopped.

    Raises StoreError when neither can be had, RefusedError when there are no data.
    """
    try:
        url = folder.attach(data_dir)
    except StoreError as error:
        if error.retry_after is not None:
            raise  # it is loading its data
        if not has_data(data_dir):
            raise RefusedError(
                f"there is no store in {data_dir}: set RELAY_DATA_DIR to the folder that `relay up` uses"
            ) from None
        with EmbeddedServer(data_dir) as server:
            yield server.url
    else:
        yield url


def back_up(
    data_dir: Path,
    url: str,
    archive: Path,
    *,
    key_prefix: str,
    release: str,
    now: float,
    with_key: bool,
    keys: str | None = None,
    force: bool = False,
) -> Manifest:
    """Copy the store of `data_dir` that answers at `url` into a new archive, whole or not at all.

    `keys` are those of RELAY_ENCRYPTION_KEYS, where that is set. Raises RefusedError when the archive is there already
    (unless `force`), while another backup is being made, or when there is no key to include; StoreError when the server
    cannot write its copy or does not answer.
    """
    if archive.exists() and not force:
        raise RefusedError(f"{archive} is there already: name another file, or replace it with --force")
    if with_key and not (data_dir / KEY_FILE).is_file():
        raise RefusedError(
            f"there is no {KEY_FILE} in {data_dir} to include: the keys come from RELAY_ENCRYPTION_KEYS, or nothing "
            "was encrypted yet. Leave --with-keys out, and keep a copy of those keys elsewhere"
        )
    writer = folder.read_writer(data_dir)
    if writer is None:
        raise StoreError(f"{data_dir} does not say which server wrote it: start `relay up` there once, then try again")
    with _alone(data_dir):
        dump, events, data_format = _dump(data_dir, url, Keys(key_prefix))
        try:
            members = {DUMP: dump} | ({KEY_FILE: data_dir / KEY_FILE} if with_key else {})
            manifest = Manifest(
                data_format=data_format,
                release=release,
                made_at=now,
                writer=writer,
                key_prefix=key_prefix,
                events=events,
                members={name: Member.of(path) for name, path in members.items()},
                key_prints=key_prints(_keys(keys, data_dir)),
            )
            pack(archive, manifest, members)
        except OSError as error:
            raise StoreError(
                f"the backup cannot be written to {archive}: {error.strerror or error}. Nothing is kept of it, and the "
                "relay goes on"
            ) from error
        finally:
            dump.unlink(missing_ok=True)
    return manifest


def restore(
    data_dir: Path,
    archive: Path,
    *,
    now: float,
    prepare: Callable[[Manifest, str], None],
    keys: str | None = None,
    force: bool = False,
    without_key: bool = False,
) -> Restored:
    """Put a backup into a data folder, have a server load it, and let `prepare` act on it before anybody else can.

    `keys` as for `back_up`. A restore that was cut off is undone first. What was there is moved aside, and put back if
    the backup cannot be loaded or `prepare` raises (it gets the store's URL). Raises RefusedError for an archive that
    `read` refuses, without `force` for a folder with data, and without `without_key` when the data need another
    encryption key than will be there; StoreError for a folder in use.
    """
    manifest = read(archive)
    find_binary(written_by=manifest.writer)
    owned = folder.own(data_dir)
    try:
        os.close(folder.server_lock(data_dir))
        _undo(data_dir)
        if has_data(data_dir) and not force:
            raise RefusedError(
                f"there are data in {data_dir}: restore into an empty folder (RELAY_DATA_DIR), or with --force, which "
                "moves them aside. Nothing was changed"
            )
        fresh = data_dir / "restore.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        unpack(archive, fresh)
        key = _key(manifest, keys, fresh, data_dir)
        if key == "missing" and not without_key:
            shutil.rmtree(fresh)
            raise RefusedError(_NO_KEY.format(data_dir=data_dir))
        before = _exchange(data_dir, fresh, manifest, now=now)
    finally:
        os.close(owned)
    try:
        # From here on the mark keeps everybody else from starting in this folder.
        with EmbeddedServer(data_dir, restoring=True) as server:
            prepare(manifest, server.url)
    except BaseException:
        _undo(data_dir)
        raise
    (data_dir / RESTORING).unlink()
    replaced = any(before.iterdir())
    if not replaced:
        before.rmdir()
    return Restored(manifest=manifest, before=before if replaced else None, key=key)


def _keys(environment: str | None, *folders: Path) -> str:
    """The encryption keys in force: those of the environment, else of the first folder that has a file of them."""
    if environment is not None:
        return environment
    places = [place / KEY_FILE for place in folders]
    return next((place.read_text(encoding="ascii", errors="replace") for place in places if place.is_file()), "")


def _key(manifest: Manifest, environment: str | None, fresh: Path, data_dir: Path) -> Key:
    """Where the keys that the data need will come from."""
    if not set(manifest.key_prints) <= set(key_prints(_keys(environment, fresh, data_dir))):
        return "missing"
    if environment is not None:
        return "environment"
    return "restored" if manifest.has_key else "kept"


def _exchange(data_dir: Path, fresh: Path, manifest: Manifest, *, now: float) -> Path:
    """The new data in place of the old, which are moved into a folder of their own."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    before = data_dir / f"before-restore-{stamp}-{secrets.token_hex(2)}"
    before.mkdir(mode=0o700)
    names = (*_DATA, KEY_FILE) if manifest.has_key else _DATA
    mark = Restoring(before=before, names={name: (data_dir / name).exists() for name in names})
    folder.write_restoring(data_dir, mark)
    for name, is_there in mark.names.items():
        if is_there:
            (data_dir / name).rename(before / name)
    if manifest.has_key:
        (fresh / KEY_FILE).rename(data_dir / KEY_FILE)
    folder.write_writer(data_dir, manifest.writer)
    (fresh / DUMP).rename(data_dir / "appendonly.aof")
    fresh.rmdir()
    return before


def _undo(data_dir: Path) -> None:
    """As it was before an `_exchange` that did not come to its end; no server runs. May be cut off and done again."""
    mark = folder.read_restoring(data_dir)
    if mark is None:
        return
    for name, was_there in mark.names.items():
        path, old = data_dir / name, mark.before / name
        if was_there and not old.exists():
            continue  # not moved aside yet, or back again
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if was_there:
            old.rename(path)
    with suppress(OSError):
        mark.before.rmdir()
    (data_dir / RESTORING).unlink()


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    with open(os.open(data_dir / "backup.lock", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as lock:  # noqa: PTH123
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(f"another backup of {data_dir} is being made: wait until it is done") from None
        for left in data_dir.glob(_OUR_DUMP):
            left.unlink(missing_ok=True)  # of a backup that was killed
        yield


def _dump(data_dir: Path, url: str, keys: Keys) -> tuple[Path, int, int]:
    """Have the server write its data of one moment, and take the file; how many events there are, and their format."""
    try:
        with redis.Redis.from_url(url, socket_timeout=30.0) as client:
            events = int(client.zcard(keys.events))
            data_format = int(client.get(keys.format) or DATA_FORMAT)
            while True:
                try:
                    client.bgsave()
                    break
                except redis.ResponseError as error:
                    # A rewrite of the append-only file is under way, or somebody else's snapshot.
                    if "in progress" not in str(error):
                        raise
                    time.sleep(_POLL)
            while (state := client.info("persistence"))["rdb_bgsave_in_progress"]:
                time.sleep(_POLL)
    except (redis.RedisError, OSError) as error:
        raise StoreError(
            f"the store refused to copy itself, or stopped answering ({type(error).__name__}): nothing was written. "
            "See whether `relay up` runs well, and try again"
        ) from error
    if state["rdb_last_bgsave_status"] != "ok":
        raise StoreError(
            f"the store could not write a copy of itself into {data_dir}; is the disk full? store.log there says more. "
            "Nothing was lost, and the relay goes on"
        )
    dump = data_dir / _OUR_DUMP.replace("*", secrets.token_hex(4))
    try:
        return (data_dir / _SERVER_DUMP).rename(dump), events, data_format
    except OSError as error:
        raise StoreError(
            f"the store's copy is not in {data_dir} ({error.strerror}): is this the folder of the store that answered, "
            "and are you its user?"
        ) from error
