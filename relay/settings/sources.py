"""What can be set for a sender."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from relay.settings.base import Section, as_list, expression_fault
from relay.settings.values import Duration, Secret, within

# Settings that say nothing unless the request is verified in one of these ways.
_ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "header": ("hmac-sha256", "token"),
    "prefix": ("hmac-sha256", "token"),
    "encoding": ("hmac-sha256",),
    "timestamp_header": ("hmac-sha256",),
    "signed": ("hmac-sha256",),
    "key": ("hmac-sha256",),
    "username": ("basic",),
}


def _used_with(name: str) -> str:
    return "it belongs to " + " and ".join(f'"{scheme}"' for scheme in _ONLY_FOR[name])


class Source(Section):
    """One sender: POST /in/NAME."""

    verify: Literal["standard-webhooks", "hmac-sha256", "token", "basic", "none"] = "standard-webhooks"
    """How a request proves that it comes from this sender."""
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(as_list)] = ()
    """One secret, or several while they are exchanged."""
    header: str | None = None
    """hmac-sha256 and token: the header that holds the signature or the token."""
    encoding: Literal["hex", "base64"] = "hex"
    """hmac-sha256: how the signature is written."""
    prefix: str = ""
    """hmac-sha256 and token: what stands before the signature or token, such as "sha256="."""
    timestamp_header: str | None = None
    """hmac-sha256: the header that holds the signed time (Unix seconds, or milliseconds above 10^11)."""
    signed: str = "{body}"
    """hmac-sha256: what is signed; {timestamp} and {body} are put in."""
    key: str = "{secret}"
    """hmac-sha256: the key; {secret} and {timestamp} are put in (7shifts: "{timestamp}#{secret}")."""
    tolerance: Annotated[Duration, within("1s", "1d")] = Field(default="5m", validate_default=True)
    """How far a signed time may be from ours, both ways."""
    username: str = "relay"
    """basic: the user name; the secrets are the passwords."""
    map: dict[Literal["id", "type", "subject", "portalid", "time", "data"], str] = Field(default_factory=dict)
    """JMESPath expressions that make our envelope from another shape: id, type, subject, portalid, time, data."""

    @field_validator("map")
    @classmethod
    def _map(cls, value: dict[str, str]) -> dict[str, str]:
        for name, expression in value.items():
            if fault := expression_fault(expression):
                raise ValueError(f"{name}: {fault}")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        if self.verify == "none":
            if self.secrets:
                yield 'secrets are given but verify is "none": take one of the two out'
        elif not self.secrets:
            yield 'no secrets: give at least one, or write verify = "none" to accept anything from anyone'
        for name, schemes in _ONLY_FOR.items():
            if self.verify not in schemes and getattr(self, name) != type(self).model_fields[name].default:
                yield f'{name}: has no meaning with verify = "{self.verify}"; {_used_with(name)}'
        if self.verify in ("hmac-sha256", "token") and not self.header:
            yield f'verify = "{self.verify}" needs `header`'
        if "{body}" not in self.signed:
            yield "signed: {body} must be part of what is signed"
        if "{secret}" not in self.key:
            yield "key: {secret} must be part of the key"
        if self.timestamp_header is None and ("{timestamp}" in self.signed or "{timestamp}" in self.key):
            yield "{timestamp} is used, so timestamp_header is needed"
        if self.timestamp_header is not None and "{timestamp}" not in self.signed + self.key:
            yield "timestamp_header is given but {timestamp} is not signed: an unsigned time proves nothing"
