"""The small value types that settings are made of: durations, secrets by reference, names."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([1-9]\d{0,8}) ?(KB|MB|GB)?")
_SIZES = {"": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}
_LONGEST_DURATION = 366 * 86400.0
_A_DURATION = 'a duration is a number and a unit, such as "30s", "10m", "4h" or "30d"'
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_WRITTEN = "(written in the file)"
_REFERENCE = re.compile(r"(env):([A-Za-z_][A-Za-z0-9_]*)|(file):(.+)")
_ORIGIN = re.compile(r"(https?://)(?:[^/?#@]*@)?([A-Za-z0-9_.:\[\]-]+)")


def seconds(value: Any, *, most: float = _LONGEST_DURATION) -> float:
    """A duration as it is written in the settings, in seconds, at most `most`. A bare number is seconds."""
    number = math.nan
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        number = float(match[1]) * _UNITS[match[2] or "s"]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    if not 0 <= number <= most:
        raise ValueError(_A_DURATION)
    return number


def size(value: Any) -> int:
    """An amount of memory as it is written in the settings, in bytes. A bare number is bytes."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip().upper())):
        return int(match[1]) * _SIZES[match[2] or ""]
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError('a size is a number and a unit, such as "512MB" or "4GB"')


def duration(value: float) -> str:
    """Seconds as a duration, in the largest unit that leaves a whole number."""
    for unit in ("d", "h", "m"):
        if value and value % _UNITS[unit] == 0:
            return f"{value / _UNITS[unit]:.0f}{unit}"
    return f"{value:g}s" if value == 0 or value >= 1 else f"{value * 1000:g}ms"


def unreadable(error: OSError | ValueError) -> str:
    """Why a file could not be read, in plain words that follow its path."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return "there is no such file"
        case IsADirectoryError():
            return "is a folder, not a file"
        case PermissionError():
            return "this user may not read it"
        case UnicodeDecodeError():
            return "is not text in UTF-8"
        case OSError():
            return f"cannot be read ({error.strerror})"
    return "holds something that cannot be read"


def within(least: str, most: str) -> AfterValidator:
    """Bounds of a duration, told in the words in which it is written."""

    def check(value: float) -> float:
        if not seconds(least) <= value <= seconds(most):
            raise ValueError(f"must be {least} to {most}")
        return value

    return AfterValidator(check)


def _name(value: str) -> str:
    if "_" in value:
        raise ValueError("a name may not hold underscores, because `_` stands for `-` in environment variables")
    if not _NAME.fullmatch(value):
        raise ValueError(
            "a name is 1 to 64 characters of a-z, 0-9 and hyphens, and starts and ends with a letter or digit"
        )
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f'not a network in CIDR form, such as "10.20.0.0/16": {error}') from None
    return value


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    PlainSerializer(duration, when_used="json"),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)?$",
            "examples": ["30s", "10m", "4h", "30d"],
        }
    ),
]
Size = Annotated[
    int,
    BeforeValidator(size),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^\d+ ?(KB|MB|GB)?$", "examples": ["512MB", "4GB"]}),
]
Name = Annotated[str, AfterValidator(_name)]
Network = Annotated[str, AfterValidator(_network)]


class Secret:
    """A secret, written in the settings as a reference (`env:NAME` or `file:NAME`), that never prints.

    `reveal()` is the only way to its value, and works only after `resolve()`.
    """

    __slots__ = ("_value", "reference")

    def __init__(self, reference: str, *, value: str | None = None) -> None:
        self.reference = reference
        self._value = value

    @property
    def resolved(self) -> bool:
        return self._value is not None

    def resolve(self, environ: Mapping[str, str], folder: Path) -> str | None:
        """Read the value; what is wrong, or None. A file's trailing line break is not part of the secret."""
        if self._value is not None:
            return None
        match = _REFERENCE.fullmatch(self.reference)
        if match is None:
            return "not a reference"
        kind, name = (group for group in match.groups() if group is not None)
        if kind == "env":
            value = environ.get(name, "").rstrip("\r\n")
            if not value:
                return f"the environment variable {name} is not set"
        else:
            path = (folder / name).absolute()
            try:
                value = path.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, ValueError) as error:
                return f"{path}: {unreadable(error)}"
            if not value:
                return f"{path}: is empty"
        if problem := self._problem(value):
            return f"what {self.reference} holds {problem}"
        self._value = value
        return None

    def _problem(self, _value: str) -> str | None:
        """What is wrong with a value that a reference led to, without repeating it."""
        return None

    def shown(self) -> str:
        """What may be shown of it: where it comes from, never what it is."""
        return self.reference if is_reference(self.reference) else "***"

    def reveal(self) -> str:
        """The value. Never log it, never put it into an error text."""
        if self._value is None:
            raise RuntimeError(f"{self.reference} was not resolved for this role")
        return self._value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shown()})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (other.reference, other._value) == (self.reference, self._value)

    def __hash__(self) -> int:
        return hash(self.reference)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(lambda one: one.shown())
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$",
            "examples": ["env:NAME", "file:/run/credentials/name"],
        }

    @classmethod
    def _validate(cls, value: Any) -> Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str) or not is_reference(value):
            # The value itself must not be repeated: it is most likely the secret.
            raise ValueError('write a reference, "env:NAME" or "file:PATH", never the secret itself')
        return cls(value)


class Address(Secret):
    """A URL that may be written out (`https://…`) or, where it is itself a credential, given by reference."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "examples": ["https://payroll.example/hooks", "env:SLACK_WEBHOOK_URL"]}

    @classmethod
    def _validate(cls, value: Any) -> Address:
        if isinstance(value, Address):
            return value
        if not isinstance(value, str) or not value:
            raise ValueError('write a URL, or a reference such as "env:NAME"')
        if is_reference(value):
            return cls(value)
        if not value.startswith(("https://", "http://")):
            raise ValueError(
                'a URL starts with https:// (or http:// with allow_http), or is a reference such as "env:NAME"'
            )
        return cls(_WRITTEN, value=value)

    def _problem(self, value: str) -> str | None:
        return None if value.startswith(("https://", "http://")) else "is no URL: it does not start with https://"

    def shown(self) -> str:
        """A URL that is written out, up to its host: what follows may be a credential."""
        if is_reference(self.reference) or (origin := _ORIGIN.match(self.reveal())) is None:
            return super().shown()
        return f"{origin[1]}{origin[2]}/***"


class Text(Secret):
    """A value that may be written out or given by reference, such as an App ID."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string"}

    @classmethod
    def _validate(cls, value: Any) -> Text:
        if isinstance(value, Text):
            return value
        if not isinstance(value, str) or not value:
            raise ValueError('write the value, or a reference such as "env:NAME"')
        return cls(value) if is_reference(value) else cls(_WRITTEN, value=value)

    def shown(self) -> str:
        """What is written out is no secret."""
        return self.reference if is_reference(self.reference) else self.reveal()


def is_reference(text: str) -> bool:
    """Whether a text is `env:NAME` or `file:PATH`."""
    return _REFERENCE.fullmatch(text) is not None
