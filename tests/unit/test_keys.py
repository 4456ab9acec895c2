"""The key names of store/keys.py and those that the scripts build are the same."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from relay.store.keys import Keys

SCRIPTS = Path(__file__).parents[2] / "relay" / "store" / "scripts"
_LITERAL = re.compile(r"P \.\. '([^']+)'")


def _stems() -> set[str]:
    """Each name up to its first part that varies, the prefix taken off."""
    keys = Keys("")
    stems = set()
    for name, member in inspect.getmembers(Keys):
        if name.startswith("_") or name == "prefix":
            continue
        if isinstance(member, property):
            stems.add(str(getattr(keys, name)))
        elif inspect.isfunction(member):
            parameters = list(inspect.signature(member).parameters)[1:]
            stems.add(str(getattr(keys, name)(*("\0" for _ in parameters))).split("\0", 1)[0])
    return stems


def test_every_key_that_a_script_builds_is_one_of_ours() -> None:
    """A script that spelt a key differently would write where nobody looks."""
    stems = _stems()
    built = {
        (script.name, literal) for script in SCRIPTS.glob("*.lua") for literal in _LITERAL.findall(script.read_text())
    }
    assert len(built) > 30
    unknown = {(script, literal) for script, literal in built if not any(literal.startswith(stem) for stem in stems)}
    assert unknown == set()


def test_no_two_kinds_of_key_can_meet() -> None:
    """No name is the start of another kind's name with a free part in the same place."""
    named = sorted(_stems())
    assert len(named) == len(set(named))
    fixed = [stem for stem in named if not stem.endswith(":")]
    open_ended = [stem for stem in named if stem.endswith(":")]
    meeting = {(one, other) for one in fixed for other in open_ended if one.startswith(other)}
    # Written on purpose: the index of all events and those by state stand side by side.
    assert meeting == set()


def test_every_script_has_a_head_and_a_caller() -> None:
    """Each says what it is for, its arguments and its answer; none lies about unused."""
    source = "".join(path.read_text() for path in (SCRIPTS.parent).glob("*.py"))
    for script in SCRIPTS.glob("*.lua"):
        text = script.read_text()
        assert text.startswith("--"), script.name
        if script.name.startswith("_"):
            continue
        assert re.search(r"^-- Returns?\b", text, re.MULTILINE), script.name
        assert f'"{script.stem}' in source, script.name
