"""What can be set for a payroll target besides what every target has: its map, body, credential and ledger."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr, field_validator
from pydantic import model_validator as model_check

from relay.settings.base import Section, as_list
from relay.settings.values import Address, Secret, Text

Converter = Literal["text", "integer", "decimal", "hours", "minutes", "date", "time", "datetime", "boolean"]


def _constant(value: Any) -> Any:
    if value is not None and not isinstance(value, str | int):
        raise ValueError('must be a text, a whole number, true or false; a decimal number stands in quotes: "7.5"')
    return value


Constant = Annotated[StrictStr | StrictInt | StrictBool | None, BeforeValidator(_constant)]

# Names of output fields and headers; a dot nests.
_OUTPUT = re.compile(r"[^\s.\"'][^.\"\r\n]{0,99}(\.[^\s.\"'][^.\"\r\n]{0,99}){0,7}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# Directives that mean the same on every machine; names of months and days follow the machine's language.
_DIRECTIVE = re.compile(r"%(.)", re.DOTALL)
_DIRECTIVES = frozenset("YymdHMSjGVuzf%")
# Set by us, or by the connection.
_OURS = frozenset(
    (
        *("content-type", "content-length", "transfer-encoding", "accept-encoding", "connection", "host"),
        *("authorization", "idempotency-key", "user-agent"),
    )
)
_NUMBERS = frozenset({"places", "step", "comma", "sign", "as_text"})
_TEXTS = frozenset({"table", "case", "width", "fill", "align", "longest"})
# Which options each converter knows.
_OPTIONS: Mapping[str, frozenset[str]] = {
    "text": _TEXTS,
    "integer": frozenset({"table", "width", "fill", "align", "sign", "as_text"}),
    "decimal": _NUMBERS,
    "hours": _NUMBERS | {"to"},
    "minutes": frozenset({"to", "step", "sign", "as_text"}),
    "date": frozenset({"format", "zone"}),
    "time": frozenset({"format", "zone"}),
    "datetime": frozenset({"format", "zone"}),
    "boolean": frozenset({"table"}),
}
_OPTIONAL: frozenset[str] = frozenset().union(*_OPTIONS.values())


class MapField(Section):
    """One field of a payroll line: where it comes from and how it is written."""

    model_config = ConfigDict(**Section.model_config, serialize_by_alias=True)

    source: str | None = Field(default=None, alias="from")
    """A path in the enriched event ("data.object.salary", "portalid") or in the line ("line.key")."""
    to: str | None = None
    """hours and minutes: the end, where `from` is the start; the time between is counted in real hours."""
    value: Constant = None
    """A constant, instead of `from`."""
    convert: Converter = "text"
    """The converter."""
    required: bool = True
    """Without it the line is refused. false: the field is left out (an empty cell in CSV)."""
    default: Constant = None
    """What is taken where the source has nothing."""
    table: dict[str, Constant] | None = None
    """What each value becomes; a value that is not in it refuses the line."""
    case: Literal["upper", "lower"] | None = None
    """Capital or small letters."""
    width: int | None = Field(default=None, ge=1, le=200)
    """Filled up to so many characters."""
    fill: str | None = Field(default=None, min_length=1, max_length=1)
    """With what it is filled: "0" for integers, a blank for text."""
    align: Literal["left", "right"] | None = None
    """Which side the value keeps to when it is filled; numbers right, text left."""
    longest: int | None = Field(default=None, ge=1, le=10_000)
    """Text that has more characters refuses the line: a cut number is another number."""
    places: int | None = Field(default=None, ge=0, le=9)
    """Decimal places, rounded half up (away from zero); hours have 2."""
    step: str | None = None
    """Rounded half up to multiples of this first, such as "0.25"."""
    comma: bool | None = None
    """A decimal comma (the number is then written as text); by default as the body says."""
    sign: Literal["keep", "flip", "absolute"] | None = None
    """flip: positive becomes negative and the other way round; absolute: without its sign."""
    as_text: bool | None = None
    """JSON: a number in quotes."""
    format: str | None = Field(default=None, min_length=1, max_length=60)
    """How a date or time is written: %Y %m %d %H %M %S and their like."""
    zone: Literal["portal", "utc"] | None = None
    """In which zone: the portal's, or UTC."""

    @field_validator("format")
    @classmethod
    def _format(cls, value: str | None) -> str | None:
        for found in _DIRECTIVE.findall(value or ""):
            if found not in _DIRECTIVES:
                there_are = " ".join(f"%{one}" for one in "YymdHMSjGVuz")
                raise ValueError(f"%{found} is not known here; there are {there_are}")
        return value

    @field_validator("step")
    @classmethod
    def _step(cls, value: str | None) -> str | None:
        try:
            good = value is None or 0 < Decimal(value) <= 1000
        except InvalidOperation:
            good = False
        if not good:
            raise ValueError('must be a number above 0 in quotes, such as "0.25"')
        return value

    @model_check(mode="after")
    def _fits(self) -> Self:
        given = {name for name in _OPTIONAL if getattr(self, name) is not None}
        if (self.source is None) == (self.value is None):
            raise ValueError("needs `from` or `value`, and not both")
        if self.value is not None:
            if given or self.default is not None or self.convert != "text":
                raise ValueError("a constant is written as it is: take the other options out")
            return self
        if wrong := sorted(given - _OPTIONS[self.convert]):
            knows = ", ".join(sorted(_OPTIONS[self.convert]))
            raise ValueError(f'the converter "{self.convert}" has no {", ".join(wrong)}; it has {knows}')
        if (self.fill or self.align) and self.width is None:
            raise ValueError("`fill` and `align` need `width`")
        if self.table is not None and not self.table:
            raise ValueError("`table` is empty: it would refuse every line")
        return self


class PayrollBody(Section):
    """How lines are written."""

    format: Literal["json", "csv"] = "json"
    """JSON, or CSV with one row per line."""
    content_type: str | None = None
    """By default application/json or text/csv with its character set."""
    list: str | None = None
    """JSON: the lines stand in a list under this name (a dot nests); without it the body is the line itself."""
    delimiter: str = ";"
    """CSV: what separates cells."""
    header: bool = True
    """CSV: a first row with the names."""
    encoding: Literal["utf-8", "utf-8-sig", "iso-8859-1"] = "utf-8"
    """CSV: the character set; utf-8-sig begins with a byte order mark."""
    quote: Literal["minimal", "all"] = "minimal"
    """CSV: quotes where they are needed, or around every cell."""
    comma: bool = False
    """Decimal commas in all numbers, unless a field says otherwise."""

    @field_validator("delimiter")
    @classmethod
    def _delimiter(cls, value: str) -> str:
        if value not in (";", ",", "\t", "|"):
            raise ValueError('must be one of ";", ",", "|" and a tab ("\\t")')
        return value

    @field_validator("list")
    @classmethod
    def _list(cls, value: str | None) -> str | None:
        if value is not None and not _OUTPUT.fullmatch(value):
            raise ValueError('is a name, such as "lines" or "batch.lines"')
        return value

    @field_validator("content_type")
    @classmethod
    def _content_type(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[!-~]+/[!-~]+( ?; ?[!-~]+)*", value):
            raise ValueError('is a media type, such as "application/json"')
        return value

    @model_check(mode="after")
    def _fits(self) -> Self:
        if self.format == "csv" and self.list is not None:
            raise ValueError("`list` is for JSON: CSV has a row per line")
        if self.format == "csv" and self.comma and self.delimiter == ",":
            raise ValueError('decimal commas need another `delimiter`, such as ";"')
        codecs.lookup(self.encoding)
        return self


# What each kind of credential needs and may have.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "bearer": ("token",),
    "basic": ("username", "password"),
    "header": ("header", "token"),
    "oauth2": ("token_url", "client_id", "client_secret"),
}
_ALLOWED: Mapping[str, tuple[str, ...]] = {"oauth2": ("scope", "audience", "client_in")}


class PayrollAuth(Section):
    """How the payroll system knows us."""

    type: Literal["none", "bearer", "basic", "header", "oauth2"] = "none"
    """bearer: `token`; basic: `username` and `password`; header: `header` and `token`; oauth2: client credentials."""
    token: Secret | None = None
    """The token of `bearer`, or the value of `header`."""
    username: Text | None = None
    """User name of `basic`."""
    password: Secret | None = None
    """Password of `basic`."""
    header: str | None = None
    """Name of the header, such as "x-api-key"."""
    token_url: Address | None = None
    """oauth2: where access tokens are fetched; guarded like the target's own address."""
    client_id: Text | None = None
    """oauth2: our id there."""
    client_secret: Secret | None = None
    """oauth2: our secret there."""
    scope: str | None = None
    """oauth2: the scopes that are asked for, separated by blanks."""
    audience: str | None = None
    """oauth2: for whom the token is, where the server wants to know."""
    client_in: Literal["body", "header"] | None = None
    """oauth2: id and secret in the form ("body", the default) or by basic authentication ("header")."""

    @field_validator("header")
    @classmethod
    def _header(cls, value: str | None) -> str | None:
        return value if value is None else header_name(value)

    @model_check(mode="after")
    def _fits(self) -> Self:
        needed, allowed = _NEEDED[self.type], (*_NEEDED[self.type], *_ALLOWED.get(self.type, ()))
        missing = [name for name in needed if getattr(self, name) is None]
        extra = [name for name in type(self).model_fields if name not in ("type", *allowed) and getattr(self, name)]
        said = [f'"{self.type}" needs {", ".join(missing)}'] if missing else []
        said += [f'"{self.type}" has no {", ".join(extra)}'] if extra else []
        if said:
            raise ValueError("; ".join(said))
        return self


class PayrollTls(Section):
    """Certificates of our own; the far side's is always checked."""

    certificate: Secret | None = None
    """Our client certificate in PEM, with what leads to its root ("file:client.pem")."""
    key: Secret | None = None
    """Its private key in PEM, without a pass phrase."""
    ca: Secret | None = None
    """The root (PEM) that the far side's certificate is trusted by, instead of the usual ones."""

    @model_check(mode="after")
    def _fits(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together")
        return self


def header_name(value: str) -> str:
    """A name that a setting may give to a header. Raises ValueError."""
    if not _HEADER.fullmatch(value):
        raise ValueError('is no name of a header, such as "x-api-key"')
    if value.lower() in _OURS:
        raise ValueError(f"{value.lower()} is set by the relay: choose another header")
    return value


def output_names(value: Any) -> Any:
    """Names of output fields: a dot nests, and no name may be both a value and a branch. Raises ValueError."""
    if not isinstance(value, Mapping):
        return value
    for name in value:
        if not isinstance(name, str) or not _OUTPUT.fullmatch(name):
            raise ValueError(f'{name!r} is no name of a field; a dot nests: "employee.number"')
        branch = name
        while "." in branch:
            branch = branch.rpartition(".")[0]
            if branch in value:
                raise ValueError(f'"{branch}" is a field, so that "{name}" cannot stand below it')
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(as_list)]
