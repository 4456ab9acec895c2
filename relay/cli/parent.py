"""A child's look at its parent: when that is gone, however it went, the child stops itself.

Standard input is a pipe whose other end only the parent holds; its end of file comes on SIGKILL too, on every
Unix. (PR_SET_PDEATHSIG would follow the thread that forked, and exists on Linux only.)
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Annotated

import typer

# Hidden: `relay up` and `relay demo` give it to the processes that they start.
WithParent = Annotated[
    float | None, typer.Option("--with-parent", hidden=True, help="Stop when standard input ends, within SECONDS.")
]


def end_with_parent(patience: float | None) -> None:
    """Watch the pipe; at its end ask this process to stop, and after `patience` seconds end it."""
    if patience is None:
        return

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 4096):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(patience)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
