"""`python -m bench [PART ...] [--quick] [--json]`: what the relay reaches, beside bare baselines of the same run.

Loader, sink, store, simulator and the relay share this machine's cores, so the ratios say more than the figures.
Ends with 1 when a figure is not as wanted.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import backlog, isolation, lines, pages, planday, recovery, replay
from bench.rows import Row, table

PARTS: dict[str, Callable[..., Awaitable[list[Row]]]] = {
    "accept": lines.accept,
    "deliver": lines.deliver,
    "latency": lines.latency,
    "backlog": backlog.run,
    "pages": pages.run,
    "isolation": isolation.run,
    "recovery": recovery.run,
    "replay": replay.run,
    "planday": planday.run,
}


async def _main(options: argparse.Namespace) -> int:
    rows: list[Row] = []
    for name in options.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows += await PARTS[name](Path(folder), quick=options.quick)
    print(json.dumps([dataclasses.asdict(row) for row in rows], indent=1) if options.json else table(rows))
    return 1 if any(row.kept is False for row in rows) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which parts to run; all by default")
    parser.add_argument("--quick", action="store_true", help="few events, to see that it runs")
    parser.add_argument("--json", action="store_true", help="print a list of JSON objects")
    sys.exit(asyncio.run(_main(parser.parse_args())))
