"""Reads a template file: sections of text, each knowing the line it stands on, so that a fault can name it.

A file is `[title]`, `[body]`, `[context]` and `[line]` (what a digest says of one event), in any order. `[title
deleted]` takes the place of `[title]` for events whose type ends in `.deleted`. Lines before the first section are
remarks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from relay.errors import Fault

LARGEST_FILE = 16 * 1024
PARTS = ("title", "body", "context", "line")

_LISTED = ", ".join(f"[{part}]" for part in PARTS)
_HEADING = re.compile(r"\[([a-z]+)(?: +([a-z0-9_]+))?\]\s*")
_ANY_HEADING = re.compile(r"\[[^\[\]{}]*\]\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One text with its place; `verb` is empty for the section that serves every event."""

    family: str
    part: str
    verb: str
    source: str
    file: str
    line: int

    @property
    def name(self) -> str:
        return f"{self.family}/{self.part}/{self.verb}"

    def at(self, line: int | None) -> str:
        """The place of a line of this section in its file; the section's own text begins on line 1."""
        return f"{self.file}:{self.line + (line or 1) - 1}"


Family = Mapping[tuple[str, str], Section]


def read(text: str, *, family: str, file: str) -> tuple[dict[tuple[str, str], Section], list[Fault]]:
    """The sections of one file, by part and verb, and what is wrong with the file as such."""
    if len(text.encode("utf-8", "replace")) > LARGEST_FILE:
        return {}, [Fault(file, f"larger than {LARGEST_FILE // 1024} KiB")]
    found: dict[tuple[str, str], Section] = {}
    faults: list[Fault] = []
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if _ANY_HEADING.fullmatch(line)]
    for number, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        heading = _HEADING.fullmatch(lines[number])
        part, verb = (heading[1], heading[2] or "") if heading else ("", "")
        where = f"{file}:{number + 1}"
        if part not in PARTS:
            faults.append(Fault(where, f"there is no section {lines[number].strip()}; there are {_LISTED}"))
        elif (part, verb) in found:
            faults.append(Fault(where, f"section {lines[number].strip()} stands here a second time"))
        else:
            source = "\n".join(lines[number + 1 : end])
            found[part, verb] = Section(family=family, part=part, verb=verb, source=source, file=file, line=number + 2)
    if ("title", "") not in found and not faults:
        faults.append(Fault(f"{file}:1", "there is no section [title]"))
    return found, faults
