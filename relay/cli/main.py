"""`relay`: all commands in one list. Each parses, makes one call, prints, and ends in an exit code."""

from __future__ import annotations

from collections.abc import Callable

import typer

from relay.cli import (
    alerts,
    audit,
    backup,
    catalog,
    checking,
    config,
    deliveries,
    erase,
    events,
    hashing,
    init,
    listen,
    portals,
    quarantine,
    replay,
    report,
    serving,
    stats,
    targets,
    tokens,
    trigger,
)
from relay.cli.demo import command as demo
from relay.cli.group import Commands

_HELP = """From Planday to payroll systems, Slack and any signed webhook.

Data go to stdout, talk to stderr; --json prints JSON. Exit codes: 0 well, 1 failed, 2 usage or configuration,
3 unhealthy, 4 not found, 130 interrupted. Settings: RELAY_CONFIG (a TOML file) and the environment.

\b
Examples:
  relay demo
  relay init
  relay check --connect
  relay up --port 8080
  relay deliveries list --state dead
"""

app = typer.Typer(
    cls=Commands,
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    # Its tracebacks would show the values of variables, secrets among them.
    pretty_exceptions_enable=False,
)

command: Callable[..., None]
for command in (
    demo.demo,
    init.init,
    serving.up,
    serving.web,
    serving.worker,
    serving.simulator,
    checking.check,
    trigger.trigger,
    listen.listen,
):
    app.command()(command)
for name, group in (
    ("events", events),
    ("deliveries", deliveries),
    ("replay", replay),
    ("targets", targets),
    ("portals", portals),
    ("quarantine", quarantine),
    ("audit", audit),
    ("tokens", tokens),
):
    app.add_typer(group.app, name=name)
app.command()(alerts.alerts)
app.command()(hashing.hash_password)
app.command()(stats.stats)
for command in (report.report, erase.erase, backup.backup, backup.restore):
    app.command()(command)
app.command()(catalog.catalog)
app.add_typer(config.app, name="config")
for command in (config.migrate, config.version):
    app.command()(command)


def main() -> None:
    """The console script."""
    app(prog_name="relay")


if __name__ == "__main__":
    main()
