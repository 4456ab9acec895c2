"""The archive of a backup as a file: what it holds, written whole or not at all, read back only if it is sound.

A tar with its members in this order: manifest.json (what this is, and a checksum of each other member), store.rdb (the
data at one moment, as the server wrote them), encryption.key where it was asked for, and last the manifest's checksum.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

from relay.errors import RefusedError, StoreError
from relay.store.binary import Version, Writer
from relay.store.cipher import KEY_FILE
from relay.store.shelf import FORMAT as DATA_FORMAT

# Raised when an archive looks so different that an older release cannot read it.
FORMAT = 1
DUMP = "store.rdb"
_MANIFEST = "manifest.json"
_SEAL = "manifest.sha256"
_MOST_MANIFEST = 65_536
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of an archive; size in bytes."""

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Member:
        digest = hashlib.sha256()
        with path.open("rb") as handle:
            while piece := handle.read(_PIECE):
                digest.update(piece)
        return cls(size=path.stat().st_size, sha256=digest.hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive holds: of which release, when it was made (seconds), and how many events are in it.

    `key_prints` tell the encryption keys apart that the data need, without giving any of them away.
    """

    data_format: int
    release: str
    made_at: float
    writer: Writer
    key_prefix: str
    events: int
    members: Mapping[str, Member]
    key_prints: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def has_key(self) -> bool:
        return KEY_FILE in self.members

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, raw: bytes) -> Manifest:
        """Raises ValueError, KeyError, TypeError or AttributeError for anything else."""
        body: dict[str, Any] = json.loads(raw)
        major, minor, patch = map(int, body["writer"]["version"])
        version: Version = (major, minor, patch)
        name: Literal["valkey", "redis"] = "valkey" if body["writer"]["name"] == "valkey" else "redis"
        members = {
            str(name): Member(size=int(one["size"]), sha256=str(one["sha256"])) for name, one in body["members"].items()
        }
        return cls(
            format=int(body["format"]),
            data_format=int(body["data_format"]),
            release=str(body["release"]),
            made_at=float(body["made_at"]),
            writer=Writer(name=name, version=version),
            key_prefix=str(body["key_prefix"]),
            events=int(body["events"]),
            members=members,
            key_prints=tuple(map(str, body["key_prints"])),
        )


def key_prints(keys: str) -> tuple[str, ...]:
    """One short hash for each of some encryption keys, as RELAY_ENCRYPTION_KEYS or encryption.key has them."""
    parts = [part.strip() for part in keys.split(",") if part.strip()]
    return tuple(hashlib.blake2b(part.encode(), digest_size=8, person=b"relay backup").hexdigest() for part in parts)


def pack(archive: Path, manifest: Manifest, members: Mapping[str, Path]) -> None:
    """Write an archive, mode 0600, in one go: under its name stands the whole one or what was there before."""
    fresh = archive.with_name(f".{archive.name}.{secrets.token_hex(4)}")
    handle = create(fresh)
    try:
        with tarfile.open(fileobj=handle, mode="w", format=tarfile.PAX_FORMAT) as tar:
            said = manifest.to_json()
            _add(tar, _MANIFEST, io.BytesIO(said), len(said))
            for name, path in members.items():
                with path.open("rb") as source:
                    _add(tar, name, source, manifest.members[name].size)
            seal = hashlib.sha256(said).hexdigest().encode() + b"\n"
            _add(tar, _SEAL, io.BytesIO(seal), len(seal))
        finish(handle)
        fresh.replace(archive)
    except BaseException:
        with suppress(OSError):
            handle.close()
        fresh.unlink(missing_ok=True)
        raise


def read(archive: Path) -> Manifest:
    """Read an archive through and hold it against its checksums.

    Raises RefusedError for a damaged one, something else, or one of a newer release.
    """
    with _opened(archive) as (manifest, pieces):
        for _ in pieces:
            pass
    return manifest


def unpack(archive: Path, into: Path) -> Manifest:
    """Write the members of an archive into an empty folder, mode 0600. Raises as `read`; what is there then is void."""
    with _opened(archive) as (manifest, pieces):
        handles = {name: create(into / name) for name in manifest.members}
        try:
            for name, piece in pieces:
                handles[name].write(piece)
        finally:
            for handle in handles.values():
                finish(handle)
    return manifest


def create(path: Path) -> IO[bytes]:
    """A new file that only its owner reads."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")  # noqa: PTH123


def finish(handle: IO[bytes]) -> None:
    """Close a file once it is on the disk."""
    handle.flush()
    os.fsync(handle.fileno())
    handle.close()


def _add(tar: tarfile.TarFile, name: str, source: IO[bytes], size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    tar.addfile(info, source)


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[Manifest, Iterator[tuple[str, bytes]]]]:
    """The manifest, and each member's pieces with its name; their end is reached only if all of it is sound."""
    damaged = RefusedError(
        f"{archive} is not a whole backup of planday-relay: it is damaged, cut off, or something else. Nothing was "
        "changed; take another copy of it, or an older backup"
    )
    try:
        with tarfile.open(archive, mode="r:") as tar:
            first = tar.next()
            if first is None or first.name != _MANIFEST or not first.isreg() or first.size > _MOST_MANIFEST:
                raise damaged
            said = _content(tar, first).read()
            manifest = _manifest(archive, said, damaged)
            yield manifest, _pieces(tar, manifest, hashlib.sha256(said).hexdigest(), damaged)
    except (tarfile.TarError, EOFError) as error:
        raise damaged from error
    except FileNotFoundError as error:
        raise RefusedError(f"there is no file {archive}") from error
    except OSError as error:
        raise StoreError(f"{archive} cannot be read or unpacked: {error.strerror or error}") from error


def _manifest(archive: Path, said: bytes, damaged: RefusedError) -> Manifest:
    try:
        newest = int(json.loads(said)["format"])
        if newest > FORMAT:
            raise RefusedError(
                f"{archive} has the format {newest}, this release reads up to {FORMAT}: restore it with the release "
                "that made it, or a newer one. Nothing was changed"
            )
        manifest = Manifest.from_json(said)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged from error
    if manifest.data_format > DATA_FORMAT:
        raise RefusedError(
            f"the data in {archive} have format {manifest.data_format}, this release reads up to {DATA_FORMAT}: "
            f"restore them with planday-relay {manifest.release} or newer. Nothing was changed"
        )
    if list(manifest.members) not in ([DUMP], [DUMP, KEY_FILE]):
        raise damaged
    return manifest


def _pieces(tar: tarfile.TarFile, manifest: Manifest, seal: str, damaged: RefusedError) -> Iterator[tuple[str, bytes]]:
    for name, member in manifest.members.items():
        info = tar.next()
        if info is None or info.name != name or not info.isreg() or info.size != member.size:
            raise damaged
        digest = hashlib.sha256()
        content = _content(tar, info)
        while piece := content.read(_PIECE):
            digest.update(piece)
            yield name, piece
        if digest.hexdigest() != member.sha256:
            raise damaged
    info = tar.next()
    if info is None or info.name != _SEAL or info.size != len(seal) + 1:
        raise damaged
    if _content(tar, info).read() != f"{seal}\n".encode():
        raise damaged


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(info)
    if content is None:
        raise tarfile.TarError
    return content
