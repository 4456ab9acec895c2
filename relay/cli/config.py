"""`relay config`, `relay migrate` and `relay version`: what is in force, what can be written, what runs."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Any

import typer

from relay.cli import opened, out
from relay.cli.group import Commands

if TYPE_CHECKING:
    from relay.services import Services

app = typer.Typer(cls=Commands, help="The configuration in force, and its schema.", no_args_is_help=True)


@app.command()
def show(as_json: out.AsJson = False) -> None:
    """The settings in force: file, environment and defaults together; secrets as their references.

    \b
    Examples:
      relay config show
      relay config show --json
    """
    from relay.settings import shown

    loaded = opened.settings("store")
    values = shown(loaded)
    if as_json:
        out.json_out(values)
        return
    out.say(f"from {loaded.environment.config_path or 'no file'}, the environment, and defaults")
    for line in _flat(values, ""):
        sys.stdout.write(line + "\n")


def _flat(value: Any, where: str) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for name, inner in value.items() for line in _flat(inner, f"{where}.{name}" if where else name)]
    import json

    return [f"{where} = {out.printable(json.dumps(value, ensure_ascii=False))}"]


@app.command()
def schema(as_json: out.AsJson = False) -> None:
    """The JSON Schema of the configuration file, for editors and checks of your own; JSON in any case.

    \b
    Example:
      relay config schema > relay.schema.json
    """
    from relay.settings import schema as schema_of

    del as_json  # there is no other form
    out.json_out(schema_of())


def migrate(as_json: out.AsJson = False) -> None:
    """Bring the data in the store to the format of this release. Stop all other processes first.

    This release has the first format: there is nothing older to bring up, and newer data are left alone.

    \b
    Example:
      relay migrate
    """

    async def look(services: Services) -> int | None:
        return await services.shelf.data_format()

    found = opened.ask(look)
    if as_json:
        out.json_out({"format": found, "migrated": False})
        return
    out.facts({"format": str(found)})
    out.say("the data are in the format of this release: nothing to do")


def version(as_json: out.AsJson = False) -> None:
    """The release, and what it runs on.

    \b
    Example:
      relay version
    """
    from relay import __version__

    if as_json:
        out.json_out({"version": __version__, "python": platform.python_version(), "platform": sys.platform})
        return
    sys.stdout.write(f"planday-relay {__version__} (Python {platform.python_version()}, {sys.platform})\n")
