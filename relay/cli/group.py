"""The group that all commands stand in: errors become exit codes here, and what is not built yet is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperGroup

from relay.cli import exits, out

# Names of the surface (design.md 5) that this release does not have, by the group they belong to.
NOT_BUILT: Mapping[str, frozenset[str]] = {
    "": frozenset({"init", "listen", "report", "erase", "tokens", "catalog", "hash-password", "reconcile"}),
    "events": frozenset({"tail"}),
    "deliveries": frozenset({"release"}),
    "replay": frozenset({"pause", "cancel"}),
    "targets": frozenset({"preview", "rotate-secret"}),
    "portals": frozenset({"set-token", "connect"}),
    "quarantine": frozenset({"retry", "drop"}),
}


class Commands(TyperGroup):
    """A group of commands whose errors are explained on stderr and end in the right exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            code = exits.code_of(error)
            if code is None:
                raise
            exits.explain(error)
            raise typer.Exit(code) from error

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        group = "" if ctx.parent is None else str(ctx.info_name)
        if cmd_name in NOT_BUILT.get(group, ()):
            name = f"{group} {cmd_name}".strip()
            out.say(f"error: `relay {name}` is not built yet in this release")
            raise typer.Exit(exits.USAGE)
        return super().get_command(ctx, cmd_name)
