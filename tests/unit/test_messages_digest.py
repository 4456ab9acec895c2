"""messages.digest and messages.markup: every event has its line, what matters stands first, marks are no values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.messages import TYPES, Messages, fair_limit, sample
from relay.messages.digest import Entry, gathered
from relay.messages.markup import Run, plain, protect, runs

MESSAGES = Messages()


def shift(verb: str, *, last: str = "Testrup", day: int = 24, department: str | None = "Harbour") -> dict[str, Any]:
    envelope = sample(f"planday.shift.{verb}")
    envelope["data"]["related"]["employee"] = {"firstName": "Ida", "lastName": last}
    envelope["data"]["related"]["department"] = {"name": department}
    record = envelope["data"]["object"] or {}
    envelope["data"]["object"] = record | {"start": {"local": f"2026-10-{day}T08:00", "zone": "Europe/Copenhagen"}}
    return envelope


def test_a_digest_of_one_kind() -> None:
    """How many of what, and where if all are of one department; by time, then by name."""
    digest = MESSAGES.digest(
        [shift("published", last="B"), shift("published", last="A"), shift("published", last="C", day=23)], escape=str
    )
    assert (digest.title, digest.counts) == ("3 × Shift published · Harbour", ())
    assert [line.partition(" · ")[0] for line in digest.lines] == ["*Ida C*", "*Ida A*", "*Ida B*"]


def test_a_digest_of_many_kinds_and_departments() -> None:
    """Counts per kind and department, most first; what takes something away before what is new."""
    envelopes = [*(shift("published") for _ in range(3)), shift("deleted", department="Kitchen"), shift("updated")]
    digest = MESSAGES.digest(envelopes, escape=str)
    assert digest.title == "5 changes"
    assert digest.counts == ("Shift published 3 · Shift changed 1 · Shift deleted 1", "Harbour 4 · Kitchen 1")
    assert [group.heading for group in digest.groups] == ["Shift deleted", "Shift changed", "Shift published (3)"]


def test_a_line_says_who_when_and_where() -> None:
    """With what it was, where it changed; the weekday of the local day."""
    (line,) = MESSAGES.digest([sample("planday.shift.updated")], escape=str).lines
    assert line == "*Ida Testrup* · Sat 24 Oct 2026, 20:00–03:30 (next day) (was 19:00–03:30) · Harbour · Waiter"


def test_a_template_without_a_line_says_its_body_in_one(tmp_path: Path) -> None:
    """So that an operator's own files need not be changed; with `[line]` they say what they want."""
    (tmp_path / "shift.txt").write_text("[title]\nx\n[body]\n*{{ who }}*\n{{ place }}\n---\nsecond block")
    (tmp_path / "own.txt").write_text("[title]\nx\n[line]\n{{ who }} only\n[line published]\n{{ when }}")
    messages = Messages(tmp_path)
    assert messages.digest([sample("planday.shift.created")], escape=str).lines == ("*Ida Testrup* · Harbour · Waiter",)
    assert messages.digest([sample("planday.shift.created")], escape=str, template="own").lines == ("Ida Testrup only",)
    own = messages.digest([sample("planday.shift.published")], escape=str, template="own")
    assert own.lines == ("Sat 24 Oct 2026, 20:00–03:30 (next day)",)


@pytest.mark.parametrize("type_", TYPES)
def test_every_event_has_a_line(type_: str) -> None:
    """Of one line, never empty, and nothing in it is as long as to push the others out."""
    for every_field in (False, True):
        (line,) = MESSAGES.digest([sample(type_, every_field=every_field)], escape=str).lines
        assert line.strip()
        assert "\n" not in line


def test_a_long_value_leaves_room_for_the_rest() -> None:
    """Name, time and place are all there, however long the name is."""
    (line,) = MESSAGES.digest([shift("published", last="x" * 100_000)], escape=str).lines
    assert line.startswith("*Ida xxxxx")
    assert "Sat 24 Oct 2026, " in line
    assert line.endswith("· Harbour · Waiter")
    assert len(line) < 150


@given(
    st.lists(
        st.builds(
            Entry,
            title=st.sampled_from("abc"),
            line=st.text(max_size=5),
            verb=st.sampled_from(["deleted", "updated", "created", "odd"]),
            department=st.sampled_from(["", "x", "y"]),
            begins=st.sampled_from(["", "2026-01-01", "2026-01-02"]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_no_event_is_left_out(entries: list[Entry]) -> None:
    """As many lines as events, each under its own title."""
    digest = gathered(entries)
    found = sorted((group.title, line) for group in digest.groups for line in group.lines)
    assert found == sorted((one.title, one.line) for one in entries)
    assert len({group.title for group in digest.groups}) == len(digest.groups)
    assert digest.title.startswith(f"{len(entries)} ")


@given(st.lists(st.integers(0, 500), max_size=50), st.integers(0, 10_000))
def test_a_fair_limit_fits_and_wastes_nothing(sizes: list[int], room: int) -> None:
    """All fit below it, one more would not, and nothing is cut where there is room for all."""
    limit = fair_limit(sizes, room)
    if limit is None:
        assert sum(sizes) <= room
        return
    assert sum(min(size, limit) for size in sizes) <= room
    assert sum(min(size, limit + 1) for size in sizes) > room


# Marks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("*Ida* · Bar", (Run("Ida", bold=True), Run(" · Bar"))),
        ("_note_", (Run("note", italic=True),)),
        ("*a _b_*", (Run("a ", bold=True), Run("b", bold=True, italic=True))),
        ("snake_case_name", (Run("snake_case_name"),)),
        ("2 * 3 * 4", (Run("2 * 3 * 4"),)),
        ("* a *", (Run("* a *"),)),
        ("*open", (Run("*open"),)),
        ("**", (Run("**"),)),
        ("*a\nb*", (Run("*a\nb*"),)),
        ("", ()),
    ],
)
def test_marks(marked: str, expected: tuple[Run, ...]) -> None:
    """Two of a kind around a text on one line; everything else is text."""
    assert runs(marked) == expected


@given(st.text(max_size=50), st.sampled_from(["{}", "*{}*", "_{}_", "a {} b"]))
def test_a_value_is_never_a_mark(value: str, template: str) -> None:
    """What was protected comes out as it went in, in the style of the template."""
    value = value.replace("\n", " ").replace("\r", " ")
    found = runs(template.format(protect(value)))
    bare = template.strip("*_").format(value)
    assert plain(template.format(protect(value))) in (bare, template.format(value))
    assert not any(run.bold for run in found if "*" not in template)
    assert not any(run.italic for run in found if "_" not in template)
