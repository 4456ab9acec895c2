"""A report in plain sentences: the answer first, then what is open, since when, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from relay.report.tally import Report

# One, and more than one.
_AGAIN = {
    "new_key": (
        "went out under a new key by a person's order: {target} cannot know that it is the same",
        "went out under a new key by a person's order: {target} cannot know that they are the same",
    ),
    "taken_twice": (
        "was taken by {target} more than once, under the same key: once for whoever dedupes",
        "were taken by {target} more than once, each under its one key: once for whoever dedupes",
    ),
    "unknown_retried": (
        "was sent again after a try whose outcome nobody knows, under the same key",
        "were sent again after a try whose outcome nobody knows, each under its one key",
    ),
    "worker_lost": (
        "was tried again after the death of a worker that may have sent it, under the same key",
        "were tried again after the death of a worker that may have sent them, each under its one key",
    ),
}


def says(report: Report) -> list[str]:
    """The answer in one sentence, then one for each thing that somebody should know or do."""
    return [_answer(report), *_open(report), *_again(report), *_doubts(report)]


def _answer(report: Report) -> str:
    total = report.total
    counts, accepted = total.counts, total.accepted
    cancelled = "was" if counts["cancelled"] == 1 else "were"
    quiet = _listed(
        (counts["superseded"], "gave way to a newer state of the same record"),
        (counts["cancelled"], f"{cancelled} cancelled by a person"),
    )
    there = "; ".join([f"{counts['delivered']} of {accepted}", *quiet])
    if not report.complete:
        missing = _listed((counts["waiting"], "not yet"), (counts["dead"], "given up"), (counts["parked"], "parked"))
        if missing:
            return f"Not everything got there: {there}; {', '.join(missing)}."
        return f"What was routed to {report.target} got there ({there}), but not all events are routed."
    if not accepted:
        return f"Nothing was accepted for {report.target} in this period."
    if total.repeated:
        return f"Everything got there: {there}; but {total.repeated} perhaps more than once."
    return f"Everything got there, once: {there}."


def _listed(*pairs: tuple[int, str]) -> list[str]:
    return [f"{count} {word}" for count, word in pairs if count]


def _open(report: Report) -> Iterator[str]:
    target, counts = report.target, report.total.counts

    def head(what: str, title: str) -> str:
        return f"{title}: {counts[what]}, the oldest since {report.period.local(report.first_at[what])}."

    if counts["waiting"]:
        yield f"{head('waiting', 'Waiting')} {_why_waiting(report)}"
    if counts["dead"]:
        yield (
            f"{head('dead', 'Dead')} These are not sent again by themselves: look at the list (--list dead), mend the "
            f"cause, then `relay replay plan --target {target}` and run it."
        )
    if counts["parked"]:
        yield (
            f"{head('parked', 'Parked')} {target} may have these, so nobody sends them again by guesswork: look there "
            "for their keys (--list parked), then `relay deliveries cancel` what is there and `relay deliveries "
            "release` what is not."
        )
    if counts["pending"]:
        yield (
            f"{head('pending', 'Not routed yet')} They wait for Planday or for a worker, and no other number has them; "
            "`relay events explain EVENT` says what for."
        )
    if counts["failed"]:
        yield (
            f"{head('failed', 'Failed before they were routed')} Nobody knows whether they were for {target}: see "
            "--list failed; once the cause is mended, a `relay replay plan` without a target takes them up again."
        )


def _why_waiting(report: Report) -> str:
    target = report.target
    if not report.configured:
        return f"{target} is not in the configuration any more: put it back, or cancel them."
    if report.paused is not None:
        return f"{target} is paused ({report.paused}): when that is mended, `relay targets resume {target}`."
    if report.breaker_since is not None:
        at = report.period.local(report.breaker_since)
        return f"{target} has not answered well since {at}: it is tried now and then, and they go out when it does."
    if not report.workers:
        return "No worker is running: start one."
    return f"They go out by themselves; when next: `relay deliveries list --target {target} --state waiting`."


def _again(report: Report) -> Iterator[str]:
    for kind, (one, many) in _AGAIN.items():
        if count := report.total.again[kind]:
            text = (one if count == 1 else many).format(target=report.target)
            yield f"More than once, perhaps: {count} {text} (--list repeated)."


def _doubts(report: Report) -> Iterator[str]:
    if not report.configured and report.total.accepted:
        yield f"{report.target} is not in the configuration any more; what it was sent is still counted."
    for kind, since in report.kept_from.items():
        at = report.period.local(since)
        match kind:
            case "attempts":
                yield f"Attempts are kept from {at} on (retention.attempts): what went out twice before is not known."
            case "delivered":
                yield (
                    f"The period begins before what is kept: delivered events may be missing before {at} "
                    "(retention.delivered), so the days before are not whole."
                )
            case _:
                yield (
                    "The period begins before what is kept: dead, cancelled, superseded and unrouted events may be "
                    f"missing before {at} (retention.failed)."
                )
    if report.zone_from and report.period.zone == "UTC":
        yield f"The days are those of UTC, since {report.zone_from}; name another zone where that is wrong."
