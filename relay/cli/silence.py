"""A store that does not answer, in plain words: which setting names it, what it means for senders, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from relay.errors import StoreUnavailable

if TYPE_CHECKING:
    from relay.settings import Settings

_WHERE = re.compile(r"connecting to (\S+?)\.?(?:\s|$)")
# What redis-py and the system say, and what it means.
_CAUSES = (
    (re.compile(r"refused|Connect call failed", re.IGNORECASE), "nothing listens there"),
    (re.compile(r"not known|nodename|no address", re.IGNORECASE), "there is no host of that name"),
    (re.compile(r"time ?out|timed out", re.IGNORECASE), "no answer in time"),
    (re.compile(r"no such file", re.IGNORECASE), "there is no such socket"),
    (re.compile(r"unreachable|no route", re.IGNORECASE), "there is no way to that network"),
    (re.compile(r"closed|reset", re.IGNORECASE), "it ended the connection"),
)


@contextmanager
def in_words(loaded: Settings) -> Iterator[None]:
    """Within, a store that does not answer is told in our words."""
    try:
        yield
    except StoreUnavailable as error:
        raise StoreUnavailable(words(loaded, str(error))) from error


def words(loaded: Settings, told: str) -> str:
    """What to say instead of `told`, the error's own text; that stays where it is no silence."""
    if "not answer" not in told or "\n" in told:
        return told
    where = _WHERE.search(told)
    cause = next((meaning for pattern, meaning in _CAUSES if pattern.search(told)), "")
    detail = f": {cause}" if cause else ""
    detail += f" ({where[1]})" if where else ""
    if loaded.store.url is None:
        folder = loaded.environment.data_dir
        return (
            f"the store in {folder} does not answer{detail}\n"
            "  next: look at `relay up`, which runs it, and at store.log in that folder"
        )
    setting = loaded.store.url.reference.removeprefix("env:")
    return (
        f"the store that {setting} names does not answer{detail}\n"
        "  until it does, a running receiver answers senders 503 and they come again; what was accepted is kept\n"
        f"  next: start that Redis, or correct {setting}; with no REDIS_URL `relay up` brings a store of its own"
    )
