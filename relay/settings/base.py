"""What the sections share: frozen, nothing unknown, and expressions that are checked when they are read."""

from __future__ import annotations

import difflib
from typing import Any

import jmespath
import jmespath.exceptions
from jmespath.functions import Functions
from pydantic import BaseModel, ConfigDict

_LONGEST_EXPRESSION = 1024


class Section(BaseModel):
    """One table of the file. The text below a field is its description in `relay config schema`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
    )


def expression_fault(expression: str) -> str | None:
    """What is wrong with a JMESPath expression, or None. Its length is capped: nesting costs stack."""
    if len(expression) > _LONGEST_EXPRESSION:
        return f"longer than {_LONGEST_EXPRESSION} characters"
    try:
        return _call_fault(jmespath.compile(expression).parsed)
    except jmespath.exceptions.ParseError as error:
        return f"not a JMESPath expression: look at character {(error.lex_position or 0) + 1}"
    except (jmespath.exceptions.JMESPathError, RecursionError, ValueError) as error:
        return f"not a JMESPath expression ({type(error).__name__})"


def _call_fault(node: Any) -> str | None:
    """A call that would fail on every event: the library notices an unknown function only when it is called."""
    if not isinstance(node, dict):
        return None
    if node.get("type") == "function_expression":
        name, given = node["value"], len(node["children"])
        known = Functions.FUNCTION_TABLE.get(name)
        if known is None:
            close = difflib.get_close_matches(name, Functions.FUNCTION_TABLE, n=1)
            return f"there is no JMESPath function {name}()" + (f"; did you mean {close[0]}()?" if close else "")
        takes = len(known["signature"])
        if given < takes or (given > takes and not known["signature"][-1].get("variadic")):
            return f"{name}() takes {takes} argument{'s' * (takes != 1)}, not {given}"
    return next(filter(None, map(_call_fault, node.get("children", ()))), None)


def expression(value: str | None) -> str | None:
    if value is not None and (fault := expression_fault(value)):
        raise ValueError(fault)
    return value


def as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value
