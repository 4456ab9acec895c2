"""`relay backup` and `relay restore`: the embedded store as one file, and back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import opened, out
from relay.errors import RefusedError

if TYPE_CHECKING:
    from relay.services import Services
    from relay.settings import Settings
    from relay.store.archive import Manifest

_OWN_MEANS = (
    "the data are in the Redis that {setting} names, so its own means back them up: a snapshot of the provider's, or "
    "`redis-cli -u URL --rdb FILE`. Keep RELAY_ENCRYPTION_KEYS elsewhere too: without them nobody can read the tokens "
    "in it. More: docs/operations.md, Backup"
)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the backup goes; it must not be there yet.")],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Include encryption.key: whoever has the file can read the tokens.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False,
    as_json: out.AsJson = False,
) -> None:
    """Copy the embedded store into one file, of one moment, while the relay goes on.

    The file (mode 0600) holds what the store holds, personal data included, and not what is only on its way into it.
    What is erased later is still in an older backup.

    \b
    Examples:
      relay backup /backups/relay-$(date +%F).tar
      relay backup /backups/relay.tar --with-keys --force
    """
    from relay import __version__
    from relay.store import backup as backups

    loaded = _embedded()
    folder = loaded.environment.data_dir.absolute()
    with backups.running(folder) as url:
        manifest = backups.back_up(
            folder,
            url,
            file.absolute(),
            key_prefix=loaded.relay.key_prefix,
            release=__version__,
            now=time.time(),
            with_key=with_keys,
            keys=_keys_of(loaded),
            force=force,
        )
        kind = "with its encryption key" if with_keys else ""
        if manifest.data_format == backups.DATA_FORMAT:
            opened.ask(lambda services: _record(services, "store.backup", manifest, result=kind), by=_by(loaded, url))
    shown = _shown(file, manifest)
    if as_json:
        out.json_out(shown)
    else:
        out.facts(out.with_instants(shown, "made_at"))
    if with_keys:
        out.say("the encryption key is in it: keep this file as you would keep the tokens of all portals")
    else:
        out.say(
            "the encryption key is not in it: keep a copy of it elsewhere "
            f"({folder / 'encryption.key'}, or RELAY_ENCRYPTION_KEYS): a restore asks for it"
        )


def restore(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `relay backup` wrote.")],
    as_paused: Annotated[
        bool, typer.Option("--as-paused", help="All targets start paused, so that nothing is sent before you looked.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Read the file and its checksums only; change nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Also where there are data: they are moved aside.")] = False,
    without_key: Annotated[
        bool, typer.Option("--without-key", help="Although the encryption key of the backup is lost.")
    ] = False,
    as_json: out.AsJson = False,
) -> None:
    """Put a backup into the data folder (RELAY_DATA_DIR). Stop `relay up` first; start it afterwards.

    What was accepted after the backup is not in it: have senders send it again; the change feed finds Planday's
    changes by itself. What was delivered after the backup is sent again, under the same idempotency keys: to targets
    that do not dedupe it comes twice. With --as-paused you look first: `relay report`, `relay targets resume`.

    \b
    Examples:
      relay restore /backups/relay-2026-11-25.tar --check
      relay restore /backups/relay-2026-11-25.tar --as-paused
    """
    from relay.store import backup as backups

    loaded = _embedded()
    folder = loaded.environment.data_dir.absolute()
    file = file.absolute()
    if check:
        manifest = backups.read(file)
        _told({**_shown(file, manifest), "sound": True}, as_json=as_json)
        return
    found: dict[str, Any] = {}

    def prepare(manifest: Manifest, url: str) -> None:
        if manifest.key_prefix != loaded.relay.key_prefix:
            raise RefusedError(
                f"the keys in {file} begin with {manifest.key_prefix!r} and relay.key_prefix is "
                f"{loaded.relay.key_prefix!r}: nobody would find them. Set it as it was; nothing was changed"
            )
        if manifest.data_format < backups.DATA_FORMAT:
            if as_paused:
                raise RefusedError(
                    f"the data in {file} have the older format {manifest.data_format}, in which this release cannot "
                    "pause targets: restore without --as-paused, pause them after `relay migrate`. Nothing was changed"
                )
            return
        # Nobody finds the store by its folder now, and that is as it should be.
        by = _by(loaded, url)
        found.update(opened.ask(lambda services: _look(services, manifest, pause=as_paused), by=by))

    done = backups.restore(
        folder,
        file,
        now=time.time(),
        prepare=prepare,
        keys=_keys_of(loaded),
        force=force,
        without_key=without_key,
    )
    shown = {
        **_shown(file, done.manifest),
        "migrate": done.manifest.data_format < backups.DATA_FORMAT,
        "folder": str(folder),
        "before": None if done.before is None else str(done.before),
        "key": done.key,
        **found,
    }
    _told(shown, as_json=as_json)
    for line in _advice(shown, as_paused=as_paused):
        out.say(line)


def _embedded() -> Settings:
    """The settings, if the store is ours. Raises RefusedError where it is not."""
    loaded = opened.settings("store")
    if loaded.store.url is not None:
        raise RefusedError(_OWN_MEANS.format(setting=loaded.store.url.reference.removeprefix("env:")))
    return loaded


def _by(loaded: Settings, url: str) -> Settings:
    """The same settings, but with the store at an address of its own."""
    from relay.settings.values import Secret

    store = loaded.store.model_copy(update={"url": Secret("file:store.json", value=url)})
    return loaded.model_copy(update={"store": store})


async def _record(services: Services, act: str, manifest: Manifest, *, result: str = "") -> None:
    on = f"{manifest.events} events, as of {out.instant(manifest.made_at)}"
    await services.keeping.audit.record(by=opened.operator(), act=act, on=on, result=result, now=services.clock())


def _keys_of(loaded: Settings) -> str | None:
    keys = loaded.environment.encryption_keys
    return None if keys is None else keys.reveal()


async def _look(services: Services, manifest: Manifest, *, pause: bool) -> dict[str, Any]:
    """What waits in what was just restored; with `pause` nothing of it is sent before a person says so."""
    configured = tuple(services.settings.targets)
    names = tuple(dict.fromkeys((*configured, *await services.reading.known_targets())))
    stats = await services.reading.stats(names, now=services.clock())
    paused = []
    for name in configured if pause else ():
        if stats["targets"][name]["paused"] is None:
            made_at = out.instant(manifest.made_at)
            await services.desk.pause(name, by=opened.operator(), reason=f"restored from a backup of {made_at}")
        paused.append(name)
    await _record(services, "store.restore", manifest, result="all targets paused" if pause else "")
    return {
        "open": stats["open"],
        "waiting": {name: row["waiting"] for name, row in stats["targets"].items() if row["waiting"]},
        "paused": paused,
    }


def _shown(file: Path, manifest: Manifest) -> dict[str, Any]:
    from relay.events import rfc3339

    return {
        "file": str(file),
        "made_at": rfc3339(manifest.made_at),
        "release": manifest.release,
        "store": str(manifest.writer),
        "data_format": str(manifest.data_format),
        "events": manifest.events,
        "bytes": sum(member.size for member in manifest.members.values()),
        "with_key": manifest.has_key,
    }


def _told(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        out.json_out(shown)
    else:
        out.facts(out.with_instants(shown, "made_at"))


def _advice(shown: dict[str, Any], *, as_paused: bool) -> list[str]:
    lines = []
    if shown["before"] is not None:
        lines.append(
            f"what was there before is in {shown['before']}, personal data included: delete it once all is well"
        )
    if shown["key"] == "missing":
        lines.append(
            "restored without its encryption key: enter each portal's token anew (relay portals set-token); payroll "
            "targets send nothing while their ledger is closed"
        )
    if shown["migrate"]:
        lines.append("the data have an older format: run `relay migrate` before anything else")
    again = f"what was delivered after {out.instant(shown['made_at'])} is sent again under the same idempotency keys"
    if as_paused:
        lines.append(
            f"{len(shown['paused'])} targets are paused. Start `relay up`, look at `relay report` and at the targets, "
            f"then `relay targets resume TARGET`: {again}"
        )
    else:
        lines.append(f"once `relay up` runs, {again}; to look first, restore with --as-paused (and --force)")
    return lines
