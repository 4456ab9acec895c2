"""What the commands that stay and watch have in common: looking again and again, keys, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from relay.cli import out
from relay.errors import StoreUnavailable

if TYPE_CHECKING:
    from relay.services import Following

LOOK_EVERY = 0.5
"""Seconds between two looks at the store."""

Answer = TypeVar("Answer")

# What the keys of a terminal send; anything else is the character itself.
_KEYS = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\r": "enter",
    "\n": "enter",
    "\x1b": "esc",
}
_LONGEST_KEY = max(map(len, _KEYS))


async def patiently(call: Callable[[], Awaitable[Answer]], *, say: Callable[[str], None] = out.say) -> Answer:
    """The answer of the store, however long it is away; that, and that it is back, is said once."""
    away = False
    while True:
        try:
            answer = await call()
        except StoreUnavailable as error:
            if not away:
                say(f"{error}; waiting for it")
            away = True
            await asyncio.sleep(LOOK_EVERY)
            continue
        if away:
            say("the store answers again")
        return answer


async def follow(following: Following, *, say: Callable[[str], None] = out.say) -> AsyncIterator[Any]:
    """What happens in the line, for ever, once it has begun; a store that is away for a while makes no gap."""
    while True:
        for happening in await patiently(following.look, say=say):
            yield happening
        if not following.behind:
            await asyncio.sleep(LOOK_EVERY)


def is_terminal() -> bool:
    """Whether a person sits there who sees what is drawn, and whose keys are read."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def keys_of(text: str) -> tuple[list[str], str]:
    """The keys in what a terminal sent, and the beginning of one whose end has not come yet."""
    found = []
    while text:
        if text[0] != "\x1b" or text == "\x1b":
            found.append(_KEYS.get(text[0], text[0]))
            text = text[1:]
            continue
        sequence = next((text[:n] for n in range(_LONGEST_KEY, 1, -1) if text[:n] in _KEYS), None)
        if sequence is not None:
            found.append(_KEYS[sequence])
            text = text[len(sequence) :]
        elif text in ("\x1b[", "\x1bO"):
            return found, text
        else:  # a key that means nothing here
            text = text[_foreign(text) :]
    return found, ""


def _foreign(text: str) -> int:
    """The length of an escape sequence that is none of ours: up to its final letter."""
    if text[1] not in "[O":
        return 2
    ends = (place for place, char in enumerate(text) if place > 1 and (char.isalpha() or char == "~"))
    return next(ends, len(text) - 1) + 1


@contextlib.contextmanager
def keyboard() -> Iterator[asyncio.Queue[str]]:
    """The keys that are pressed, each at once and not shown; the terminal is as it was before at the end, always."""
    import termios
    import tty

    loop = asyncio.get_running_loop()
    pressed: asyncio.Queue[str] = asyncio.Queue()
    fd, rest = sys.stdin.fileno(), ""

    def read() -> None:
        nonlocal rest
        raw = os.read(fd, 1024)
        if not raw:  # the terminal is gone
            loop.remove_reader(fd)
            pressed.put_nowait("q")
            return
        found, rest = keys_of(rest + raw.decode("utf-8", "replace"))
        for key in found:
            pressed.put_nowait(key)

    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    loop.add_reader(fd, read)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(ending, pressed.put_nowait, "q")
    try:
        yield pressed
    finally:
        for ending in (signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(ending)
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Screen(contextlib.AbstractContextManager["Screen"]):
    """The whole terminal, drawn anew whenever something changed or its size did; as it was before at the end."""

    def __init__(self, lines: Callable[..., Sequence[Any]]) -> None:
        """`lines(width=, height=)` are the lines of the screen, each with a `text` and a `style`."""
        from rich.console import Console
        from rich.live import Live

        self._lines = lines
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> Screen:
        self._live.__enter__()
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self.draw)
        return self

    def __exit__(self, *failure: Any) -> None:
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGWINCH)
        self._live.__exit__(*failure)

    def draw(self) -> None:
        from rich.text import Text

        size = self._console.size
        lines = self._lines(width=size.width, height=size.height)
        shown = Text("\n").join(Text.from_ansi(one.text, style=one.style, no_wrap=True) for one in lines)
        self._live.update(shown, refresh=True)


async def first_of(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Until one of them ends; the others are ended too. Raises what that one raised."""
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for task in done:
        task.result()
