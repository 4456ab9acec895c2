"""`relay erase`: take one person out of everything that is kept, and prove it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import completing, exits, opened, out
from relay.errors import NotFoundError

if TYPE_CHECKING:
    from relay.services import Services

_WORDS: Mapping[str, str] = {
    "events": "events about the person, of which a skeleton stays",
    "mentions": "events about others that mention the person, of which that part goes",
    "unrouted_yet": "events that are not routed yet, and will go nowhere",
    "snapshots": "records that the change feed remembers",
    "cached": "records read from Planday a moment ago",
    "quarantined": "unreadable bodies in the quarantine, which go",
    "plans": "replay plans that name the person",
    "acts": "reasons in the audit that name the person",
    "attempts": "attempts with what went out and came back",
    "amounts": "amounts in the ledger, whose hashes stay",
    "texts": "other texts",
    "deliveries_cancelled": "deliveries that were cancelled",
}


def erase(
    *,
    portal: Annotated[
        str,
        typer.Option(autocompletion=completing.portals, metavar="NAME", help="The portal's name in the configuration."),
    ],
    employee: Annotated[str, typer.Option(metavar="ID", help="Planday's id of the employee.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking; needed where nobody can be asked.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go. Changes nothing.")] = False,
    cancel_parked: Annotated[
        bool, typer.Option("--cancel-parked", help="Cancel parked deliveries of theirs too, undecided as they are.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take the tombstone away: what comes from now on is taken in again.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, without a name in it; kept in the audit.")] = "",
    as_json: out.AsJson = False,
) -> None:
    """Erase one person: events, envelopes, attempts, caches, snapshots, quarantine, plans, amounts in the ledger.

    Counts, states, times and keys stay, so that nothing is paid twice and reports stay true. A tombstone keeps the
    person from coming back by the feed or a sender. What is still to be sent for them is cancelled: look at the list
    first. It goes on after a crash, by any worker, and may be repeated. It cannot be undone; --undo only lets in what
    comes later.

    Exit code 3: something is left, or the store's files could not be written anew; the answer says what.

    \b
    Examples:
      relay erase --portal bistro --employee 910233 --dry-run
      relay erase --portal bistro --employee 910233 --reason 'request of 2026-11-24'
    """
    id_ = employee.strip()
    if not (id_.isascii() and id_.isdigit()):
        raise typer.BadParameter("Planday's id of an employee is a number", param_hint="--employee")
    if undo:
        _undo(portal, id_, reason, as_json=as_json)
        return
    if dry_run or not yes:
        plan = opened.ask(lambda services: services.keeping.erasures.plan(_order(services, portal, id_)))
        if dry_run and as_json:
            out.json_out(plan)
            return
        _print_plan(plan)
        if dry_run:
            return
        typer.confirm("Erase this person? It cannot be undone.", abort=True, err=True)
    result = opened.ask(
        lambda services: _carried_out(services, portal, id_, reason=reason, cancel_parked=cancel_parked)
    )
    if as_json:
        out.json_out(result)
    else:
        _print_result(result)
    if not result["result"]["proven"]:
        raise typer.Exit(exits.UNHEALTHY)


def _order(services: Services, portal: str, employee: str, *, reason: str = "", cancel_parked: bool = False) -> Any:
    from relay.services import Order

    known = services.settings.portals
    if portal not in known:
        raise NotFoundError(f"there is no portal {portal}; there are {', '.join(known) or 'none'}")
    return Order(
        portal=portal,
        portal_id=known[portal].id,
        employee=employee,
        by=opened.operator(),
        reason=reason,
        cancel_parked=cancel_parked,
    )


async def _carried_out(
    services: Services, portal: str, employee: str, *, reason: str, cancel_parked: bool
) -> dict[str, Any]:
    erasures = services.keeping.erasures
    erasure = await erasures.begin(_order(services, portal, employee, reason=reason, cancel_parked=cancel_parked))
    out.say(f"{erasure} has begun; if this is broken off, a worker goes on with it")
    return await erasures.finish(erasure)


def _undo(portal: str, employee: str, reason: str, *, as_json: bool) -> None:
    if not reason.strip():
        raise typer.BadParameter("say why: it is kept in the audit", param_hint="--reason")
    lifted = opened.ask(
        lambda services: services.keeping.erasures.undo(_order(services, portal, employee, reason=reason))
    )
    if as_json:
        out.json_out({"lifted": lifted})
    elif lifted:
        out.say("the tombstone is gone: the feed and senders bring this person in again; what was erased stays so")
    else:
        raise NotFoundError("there is no tombstone of this person")


def _print_plan(plan: Mapping[str, Any]) -> None:
    rows = [(plan[name], words) for name, words in _WORDS.items() if plan.get(name)]
    out.table(("count", "what"), rows, empty="nothing of this person is kept; a tombstone would be set")
    open_: Mapping[str, int] = plan["open"]
    if open_:
        listed = ", ".join(f"{count} {state}" for state, count in open_.items())
        out.say(f"STILL TO BE SENT for this person: {listed}. Pay may be among it; it would be cancelled:")
        out.table(
            ("event", "target", "type", "state"),
            [(one["event"], one["target"], one["type"], one["state"]) for one in plan["open_deliveries"]],
        )
        if open_.get("parked"):
            out.say(
                "parked ones are decided first (relay deliveries release, or cancel), or cancelled with --cancel-parked"
            )
    if plan["known"]:
        out.say("this person was erased before; their tombstone stands")


def _print_result(status: Mapping[str, Any]) -> None:
    result = status["result"]
    out.table(
        ("count", "what"),
        [(result[name], words) for name, words in _WORDS.items() if result.get(name)],
        empty="nothing of this person was kept; the tombstone stands",
    )
    keys, values, left = result["keys_searched"], result["values"], result["left"]
    out.say(f"searched {keys} keys for {values} values of this person: found in {left} places")
    if left:
        waiting = ", ".join(f"{count} {state}" for state, count in result["left_open"].items())
        where = waiting or ", ".join(result["left_in"]) or "events"
        out.say(f"NOT PROVEN: something is left ({where}). Settle what is parked or on the wire, then run this again")
    _print_files(result["files"])


def _print_files(files: Mapping[str, Any]) -> None:
    if not files["rewritten"]:
        out.say(
            f"NOT PROVEN: the store's append-only file could not be written anew: {files['why']}. The values are in it "
            "until that is done: run BGREWRITEAOF there, then this again"
        )
    elif not files["ours"]:
        out.say(
            "the Redis has written its append-only file anew; its files are not here to be searched. Its snapshots, "
            "replicas and backups are yours to deal with"
        )
    elif files["found"] or files["old"]:
        names = ", ".join([*files["found"], *files["old"]])
        out.say(f"NOT PROVEN: the data folder still has {names}. Run this again; if they stay, remove them by hand")
    else:
        out.say(f"searched {files['searched']} files of the data folder: found in none. Backups are yours to deal with")
