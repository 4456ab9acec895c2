"""The group that all commands stand in: errors become exit codes here, and what is not built yet is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperGroup

from relay.cli import exits, out

# Names of the surface (design.md 5) that this release does not have, by the group they belong to, and what does.
NOT_BUILT: Mapping[str, Mapping[str, str]] = {
    "": {
        "reconcile": "`relay events list` and `relay replay plan`",
    },
}


class Commands(TyperGroup):
    """A group of commands whose errors are explained on stderr and end in the right exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # whoever read our output has enough of it
            exits.close_output()
            raise typer.Exit(exits.OK) from error
        except (Exception, KeyboardInterrupt) as error:
            code = exits.code_of(error)
            if code is None:
                raise
            exits.explain(error)
            raise typer.Exit(code) from error

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        group = "" if ctx.parent is None else str(ctx.info_name)
        if (instead := NOT_BUILT.get(group, {}).get(cmd_name)) is not None:
            name = f"{group} {cmd_name}".strip()
            out.say(f"error: `relay {name}` is not built yet in this release; instead: {instead}")
            raise typer.Exit(exits.USAGE)
        return super().get_command(ctx, cmd_name)
