"""Who may look at the dashboard and act there, and how long a sign-in lasts."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, field_validator
from pydantic_core import CoreSchema

from relay.settings.base import Section
from relay.settings.values import Duration, Network, Secret, is_reference, within

_ARGON2ID = re.compile(
    r"\$argon2id\$v=19\$m=[0-9]{1,8},t=[0-9]{1,3},p=[0-9]{1,2}\$[A-Za-z0-9+/]{8,}\$[A-Za-z0-9+/]{16,}"
)
_NO_HASH = "is no Argon2id hash: make one with `relay hash-password`"
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


class UserRole(StrEnum):
    """What a user or an API token may do; each role may do all that those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    PAYROLL = "payroll"
    ADMIN = "admin"

    def covers(self, least: UserRole) -> bool:
        """Whether this role may do what needs at least `least`."""
        order = tuple(UserRole)
        return order.index(self) >= order.index(least)


class PasswordHash(Secret):
    """An Argon2id hash as `relay hash-password` prints it, written out or by reference; it is never shown."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "examples": ["env:ANNA_PASSWORD_HASH", "$argon2id$..."]}

    @classmethod
    def _validate(cls, value: Any) -> PasswordHash:
        if isinstance(value, PasswordHash):
            return value
        if isinstance(value, str) and is_reference(value):
            return cls(value)
        if not isinstance(value, str) or not _ARGON2ID.fullmatch(value):
            # What stands there is most likely the password itself, so it is not repeated.
            raise ValueError(_NO_HASH)
        return cls("(written in the file)", value=value)

    def _problem(self, value: str) -> str | None:
        return None if _ARGON2ID.fullmatch(value) else _NO_HASH


class User(Section):
    """One person."""

    password: PasswordHash | None = None
    """What `relay hash-password` printed, or a reference to it; without it only a trusted proxy signs this user in."""
    role: UserRole = UserRole.VIEWER
    """viewer (personal data masked), operator, payroll or admin; each may do what those before it may."""


class Access(Section):
    """Sign-in to the dashboard."""

    idle: Annotated[Duration, within("1m", "7d")] = Field(default="30m", validate_default=True)
    """A session in which nobody did anything for so long is over."""
    longest: Annotated[Duration, within("5m", "30d")] = Field(default="12h", validate_default=True)
    """Every session is over after so long."""
    proxy_header: str | None = None
    """A header in which a trusted proxy names the signed-in user, who must stand in [users]."""
    proxy_from: tuple[Network, ...] = ()
    """The addresses of that proxy; from any other the header counts for nothing."""

    @field_validator("proxy_header")
    @classmethod
    def _proxy_header(cls, value: str | None) -> str | None:
        if value is not None and not _HEADER.fullmatch(value):
            raise ValueError('must be the name of a header, such as "x-forwarded-user"')
        return value.lower() if value is not None else None
