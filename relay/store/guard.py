"""Ends the embedded server when its owner is gone; run by path as a process of its own (see `server.py`).

Standard input is a pipe whose other end only the owner holds. The owner writes the pid of each server it
starts, one a line; end of file means that the owner stopped or was killed. Imports nothing of ours: it stays small.
"""

import fcntl
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

GRACE = (*[signal.SIGTERM] * 10, *[signal.SIGKILL] * 5)  # one a second: Redis may drop a SIGTERM (see server.py)


def free(handle: IO[bytes]) -> bool:
    """Take the lock if nobody holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def end(pid: int, lock: Path) -> None:
    """Signal until the server's lock is free; while it is held, the pid is the server's and not a reused one."""
    with lock.open("rb") as handle:
        for sign in GRACE:
            if free(handle):
                return
            with suppress(ProcessLookupError):  # a child of the server's may hold the lock a little longer
                os.kill(pid, sign)
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline and not free(handle):
                time.sleep(0.02)


def main(lock: Path) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)
    pid = 0
    for line in sys.stdin:
        pid = int(line)
    if pid:
        end(pid, lock)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
