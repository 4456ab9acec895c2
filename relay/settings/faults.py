"""pydantic's findings in plain words: the key's path as it stands in the file, and what would be right.

What was written is never repeated: it may be a secret in the wrong place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from relay.errors import Fault
from relay.settings.alerts import Alerts
from relay.settings.base import Section
from relay.settings.chat import Digest, EmailTarget, SlackAppTarget, SlackTarget, TeamsTarget
from relay.settings.models import Portal, Relay, Settings, Store
from relay.settings.payroll import MapField, PayrollAuth, PayrollBody, PayrollTls
from relay.settings.retention import Retention
from relay.settings.sources import Source
from relay.settings.target import Breaker, Rate, Retry
from relay.settings.targets import PayrollHttpTarget, WebhookTarget

_LATER_TARGETS = ("payroll-file", "xero-uk")
_TARGETS: Mapping[str, type[Section]] = {
    "slack": SlackTarget,
    "slack-app": SlackAppTarget,
    "teams": TeamsTarget,
    "email": EmailTarget,
    "webhook": WebhookTarget,
    "payroll-http": PayrollHttpTarget,
}
_SECTIONS: Mapping[str, type[Section]] = {
    "relay": Relay,
    "store": Store,
    "sources": Source,
    "portals": Portal,
    "alerts": Alerts,
    "retention": Retention,
}
_TABLES: Mapping[str, type[Section]] = {
    "retry": Retry,
    "rate": Rate,
    "breaker": Breaker,
    "digest": Digest,
    "body": PayrollBody,
    "auth": PayrollAuth,
    "tls": PayrollTls,
}
_KINDS = ", ".join(_TARGETS)

_WORDS = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number that is not infinite",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text in quotes",
    "tuple_type": 'must be a list, such as ["..."]',
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "too_long": "has more than {max_length} entries",
    "string_too_long": "is longer than {max_length} characters",
    "int_parsing_size": "is too large a number",
    "extra_forbidden": "is not known here",
}
_NOT_A_SECTION = ("dict_type", "model_type", "model_attributes_type")


def fault(error: Mapping[str, Any], origins: Mapping[str, str]) -> Fault:
    """One finding; `origins` knows which paths came from the environment."""
    place = [str(part) for part in error["loc"] if part != "[key]"]
    model = _model_at(place)
    if len(place) > 2 and place[0] == "targets" and place[2] in _TARGETS:
        del place[2]  # the tag of the union is not part of the file
    kind, values = str(error["type"]), error.get("ctx") or {}
    match kind:
        case "union_tag_not_found":
            place.append("type")
            message = f"is missing; a target's type is one of {_KINDS}"
        case "union_tag_invalid":
            place.append("type")
            message = _wrong_kind(str(values.get("tag", "")))
        case "extra_forbidden":
            message = "there is no such setting" + _close(place[-1], model)
        case _ if kind in _NOT_A_SECTION:
            message = "must be a section" if len(place) > 1 else f"must hold sections, such as [{place[0]}.NAME]"
        case _:
            message = in_words(error)
    return Fault(where(".".join(place), origins), message)


def in_words(error: Mapping[str, Any]) -> str:
    """One of pydantic's findings, in words that follow the name of what is wrong; for any body that we read."""
    kind, values = str(error["type"]), error.get("ctx") or {}
    match kind:
        case "literal_error":
            return "must be one of " + re.sub(r" or ", ", ", str(values["expected"])).replace("'", '"')
        case "too_short" | "string_too_short":
            return "must not be empty" if values["min_length"] == 1 else f"needs at least {values['min_length']}"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
    return _WORDS[kind].format_map(values) if kind in _WORDS else str(error["msg"])


def where(path: str, origins: Mapping[str, str]) -> str:
    """A path, and the variable that it came from if it did not come from the file."""
    variable = origins.get(path)
    return f"{path} (from {variable})" if variable else path


def unknown_section(section: str, known: Sequence[str]) -> Fault:
    """A section that this release does not have."""
    return Fault(section, f"there is no such section; sections are {', '.join(known)}")


def _wrong_kind(tag: str) -> str:
    if tag in _LATER_TARGETS:
        return f'"{tag}" is not built yet in this release; there are {_KINDS}'
    return f"is no type of target; there are {_KINDS}"


def _model_at(place: Sequence[str]) -> type[Section]:
    """The model whose setting the last part of `place` (the union's tag included) would be."""
    if len(place) < 2:
        return Settings
    if place[0] == "targets" and len(place) > 4 and place[3] == "map":
        return MapField
    model = _TARGETS.get(place[2], Section) if place[0] == "targets" and len(place) > 2 else _SECTIONS.get(place[0])
    return _TABLES.get(place[-2], model or Section)


def _close(name: str, model: type[Section]) -> str:
    found = difflib.get_close_matches(name, model.model_fields, n=1)
    return f"; did you mean {found[0]}?" if found else ""
