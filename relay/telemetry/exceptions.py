"""Tell an exception by its type and its place. Its text is shown only where it cannot hold anybody's data."""

from __future__ import annotations

import os
import traceback
from types import TracebackType

_FRAMES = 12
_DEEPEST_CHAIN = 5
_OURS = "relay."

# Texts of these name code and types, never values. A KeyError, a ValueError or a validator's error may quote a name.
_HARMLESS = (TypeError, AttributeError, NameError, ImportError, NotImplementedError, RecursionError, TimeoutError)


def describe(error: BaseException) -> str:
    """The exception and its causes, the cause first, as frames without locals; not yet redacted."""
    return "\n".join(_chain(error, 0))


def _chain(error: BaseException, depth: int) -> list[str]:
    lines: list[str] = []
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None and depth < _DEEPEST_CHAIN:
        lines += [*_chain(earlier, depth + 1), "which led to" if error.__cause__ else "while it was handled:"]
    lines += _frames(error.__traceback__)
    lines.append(f"{_name(error)}: {text}" if (text := plain_text(error)) else _name(error))
    if isinstance(error, BaseExceptionGroup) and depth < _DEEPEST_CHAIN:
        for inner in error.exceptions[:_DEEPEST_CHAIN]:
            lines += [f"  | {line}" for line in _chain(inner, depth + 1)]
    return lines


def plain_text(error: BaseException) -> str:
    """The text of an exception where it may be shown: errors of ours, and those that speak of code or machine."""
    if type(error).__module__.startswith(_OURS) or type(error) in _HARMLESS:
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return ""


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _frames(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)
    skipped = [f"({len(frames) - _FRAMES} outer frames left out)"] if len(frames) > _FRAMES else []
    return skipped + [
        f"{'/'.join(frame.filename.replace(os.sep, '/').split('/')[-3:])}:{frame.lineno} {frame.name}: {frame.line}"
        for frame in frames[-_FRAMES:]
    ]
