"""Exit codes, and the one place that turns an error into one."""

from __future__ import annotations

import contextlib
import os
import sys

from relay.errors import BacklogFull, ConfigError, NotFoundError, RelayError, StoreError, StoreUnavailable

OK, FAILED, USAGE, UNHEALTHY, NOT_FOUND, INTERRUPTED = 0, 1, 2, 3, 4, 130

# The first class that fits decides; what stands nowhere is a fault of ours and shows its traceback.
CODES: tuple[tuple[type[BaseException], int], ...] = (
    (ConfigError, USAGE),
    (NotFoundError, NOT_FOUND),
    (StoreUnavailable, FAILED),
    (BacklogFull, FAILED),
    (StoreError, USAGE),
    (RelayError, FAILED),
    (KeyboardInterrupt, INTERRUPTED),
)


def code_of(error: BaseException) -> int | None:
    """The exit code of an error, None where nobody expected it."""
    return next((code for kind, code in CODES if isinstance(error, kind)), None)


def close_output() -> None:
    """Let the end of this process write what is left of stdout to nowhere: nobody reads it any more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def explain(error: BaseException) -> None:
    """Say on stderr what is wrong, one fault a line, and what to do."""
    if isinstance(error, KeyboardInterrupt):
        return
    if isinstance(error, ConfigError):
        count = len(error.faults)
        lines = [f"the configuration cannot be used, {count} {'fault' if count == 1 else 'faults'}:"]
        lines += [f"  {fault}" for fault in error.faults]
        if any("environment variable" in fault.message for fault in error.faults):
            lines.append("has this shell read the file with the secrets? `set -a; . ./relay.env; set +a`")
        lines.append("correct the file (RELAY_CONFIG, else config/relay.toml) or the environment, then `relay check`")
    else:
        lines = [str(error)]
    sys.stderr.write("error: " + "\n".join(lines) + "\n")
