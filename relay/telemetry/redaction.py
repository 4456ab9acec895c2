"""Take secrets and personal data out of what is about to be written: by the key's name, and by the value's looks.

Numbers that are numbers stay (an epoch or an id is no text); ten to twelve digits in a text are masked when they could
be a Danish, Swedish or Norwegian personal number, that is when they start with a date. Patterns cannot know an opaque
token: the service hands its own secrets to `Redactor.hide`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"
LONGEST_TEXT = 4000
_DEEPEST = 6
_SHORTEST_HIDDEN = 6  # a shorter secret would blot out ordinary words

# Looked for inside a key that is written in lower case with nothing but letters and digits.
_DENIED_KEYS = (
    *("authorization", "token", "secret", "passw", "cookie", "credential", "signature", "apikey", "privatekey"),
    *("encryptionkey", "url", "email", "phone", "mobile", "ssn", "cpr", "personnummer", "personalnumber"),
    *("fodselsnummer", "nationalid", "bank", "iban", "firstname", "lastname", "fullname", "username", "birth"),
    *("gender", "street", "salary", "comment", "description", "note"),
)

_SECRET_NAME = r"(?:token|secret|passw(?:or)?d|sig|signature|api[_-]?key|ssn|cpr|e-?mail|phone)"  # noqa: S105

_PATTERN = re.compile(
    "|".join(
        (
            r"(?P<url>\b[a-z][a-z0-9+.-]{1,15}://[^\s\"'<>]+)",
            r"(?P<slack>\bhooks\.slack(?:-gov)?\.com/[^\s\"'<>]+)",
            r"(?P<header>\b(?:authorization|(?:set-)?cookie)(?:[\"']?\s*[:=]\s*)(?:\"[^\"]*\"|'[^']*'|[^\n]*))",
            r"(?P<scheme>\b(?:bearer|basic|digest)\s+[a-z0-9+/=._~-]{8,})",
            r"(?P<shape>\bwhs(?:ec|k)_[a-z0-9+/=_-]+|\bxox[a-z]-[a-z0-9-]+|\bxapp-[a-z0-9-]+|\bgh[pousr]_[a-z0-9]+"
            r"|\beyj[a-z0-9_-]{5,}\.[a-z0-9_-]+(?:\.[a-z0-9_-]*)?)",
            # `name=value` always; `name: value` unquoted only when the value is no word of a sentence.
            rf"(?P<pair>(?<![\w.-])(?P<key>[\w.-]{{0,40}}{_SECRET_NAME}\w{{0,12}}[\"']?\s*)"
            r"(?:=\s*(?:\"[^\"]*\"|'[^']*'|[^\s,;&}\])]+)|:\s*(?:\"[^\"]*\"|'[^']*'|(?=\S*\d|\S{16})[^\s,;&}\])]+)))",
            r"(?P<email>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+)",
            r"(?P<phone>(?<![\w+])\+\d(?:[ -]?\d){7,14}(?!\d))",
            r"(?P<iban>\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b)",
            r"(?P<person>(?<![\w.-])(?:\d{12}|\d{8}[-+]\d{4}|\d{11}|\d{6} \d{5}|\d{10}|\d{6}[-+ ]\d{4})(?!\w|[.-]\w))",
        )
    ),
    re.IGNORECASE,
)
_REMEMBERED = 80
_HOST = re.compile(r"([a-z][a-z0-9+.-]*://)([a-z0-9_.-]+(?::\d+)?|\[[0-9a-f:.]+\](?::\d+)?)(/?)", re.IGNORECASE)
# Nothing above can match a text that has none of these: a look that costs a tenth of the patterns' time.
_SIGNS = (
    *("://", "@", "=", "+", "slack", "authorization", "cookie", "bearer", "basic", "digest", "whs", "xox", "xapp-"),
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "eyj", "token", "secret", "passw", "sig", "api", "ssn", "cpr", "mail"),
    "phone",
)
_NUMBERS = re.compile(r"(?<!\w)(?:\d{6}|[a-z]{2}\d\d)")


class Redactor:
    """The patterns, and the exact values that this process knows to be secret."""

    def __init__(self) -> None:
        self._hidden: frozenset[str] = frozenset()
        self._exact: re.Pattern[str] | None = None
        # Names of targets, types, states and the common reasons come again and again.
        self._known = lru_cache(maxsize=2048)(self._text)

    def hide(self, *values: str) -> None:
        """Mask these values from now on, wherever they stand."""
        self._hidden |= {value for value in values if len(value) >= _SHORTEST_HIDDEN}
        if self._hidden:
            longest_first = sorted(self._hidden, key=len, reverse=True)
            self._exact = re.compile("|".join(re.escape(value) for value in longest_first))
            self._known.cache_clear()

    def text(self, text: str) -> str:
        """A text with everything masked that looks like a secret or a person's data, and cut to a bounded length."""
        return self._known(text) if len(text) <= _REMEMBERED else self._text(text)

    def _text(self, text: str) -> str:
        if self._exact is not None:
            text = self._exact.sub(REDACTED, text)
        return redact(text)

    def value(self, value: Any, depth: int = 0) -> Any:
        """A value fit to be written: texts masked, denied keys emptied, foreign objects named by their type only."""
        match value:
            case str():
                return self.text(value)
            case None | bool() | int() | float():
                return value
            case Mapping() if depth < _DEEPEST:
                return self.fields({str(key): inner for key, inner in value.items()}, depth + 1)
            case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
                return [self.value(inner, depth + 1) for inner in value]
        return f"({type(value).__name__})"

    def fields(self, fields: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
        """The fields of a line, each masked by its name or by its value."""
        return {
            self.text(key): REDACTED if is_denied(key) and inner not in (None, "") else self.value(inner, depth)
            for key, inner in fields.items()
        }


@lru_cache(maxsize=1024)
def is_denied(key: str) -> bool:
    """Whether a key's name says that its value must not be written."""
    plain = "".join(char for char in key.lower() if char.isalnum())
    return any(word in plain for word in _DENIED_KEYS)


def redact(text: str) -> str:
    """A text with everything masked that looks like a secret or a person's data, and cut to a bounded length."""
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT] + " (cut)"
    low = text.lower()
    if _NUMBERS.search(low) is None and not any(sign in low for sign in _SIGNS):
        return text
    return _PATTERN.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    whole = found[0]
    match found.lastgroup:
        case "url":
            return _masked_url(whole)
        case "slack":
            return f"{whole.partition('/')[0]}/{REDACTED}"
        case "header" | "scheme":
            return f"{re.split(r'[^a-zA-Z-]', whole, maxsplit=1)[0]} {REDACTED}"
        case "person":
            return REDACTED if is_personal_number(whole) else whole
    if found["pair"] is not None:
        return f"{found['key'].strip()}={REDACTED}"
    return REDACTED


def _masked_url(url: str) -> str:
    """Scheme, host and port; what follows, and all of it where anything is odd, may be a credential."""
    start = _HOST.match(url)
    if start is None or "@" in url:
        return f"{url.partition('://')[0]}://{REDACTED}"
    rest = url[start.end() :]
    if not rest:
        return url
    # A full stop or bracket after a bare host is the sentence's, not the URL's.
    return start[0] + (rest if re.fullmatch(r"[.,;:!)\]}]+", rest) else REDACTED)


def is_personal_number(text: str) -> bool:
    """Whether a run of digits starts with a date as a Danish, Norwegian or Swedish personal number does."""
    digits = [char for char in text if char.isdigit()]
    numbers = [int("".join(digits[at : at + 2])) for at in range(0, len(digits) - 1, 2)]
    match len(digits):
        case 10:  # DDMMYY-NNNN in Denmark, YYMMDD-NNNN in Sweden
            return _is_day(numbers[0], numbers[1]) or _is_day(numbers[2], numbers[1])
        case 11:  # DDMMYY NNNNN in Norway; day + 40, month + 40, 65 or 80 for the assigned ones
            return any(_is_day(numbers[0], numbers[1] - more) for more in (0, 40, 65, 80))
        case 12:  # YYYYMMDD-NNNN in Sweden
            return numbers[0] in (18, 19, 20) and _is_day(numbers[3], numbers[2])
    return False


def _is_day(day: int, month: int) -> bool:
    return 1 <= month <= 12 and any(1 <= day - more <= 31 for more in (0, 40, 60))
