"""Every switch of the simulated Planday: what is documented, and each guess about what is not."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints


class UnknownSettingError(ValueError):
    """A setting that does not exist, or a value it cannot take."""


@dataclass
class Settings:
    """Defaults follow planday-api.md: documented first, then observed, then the stricter guess."""

    # Identity
    strict_headers: bool = True
    token_lifetime: int = 3600
    return_refresh_token: bool = True
    rotate_refresh_tokens: bool = False
    revoke_kills_access: bool = True
    # Rate limits: a bench may advertise (and get) a higher policy.
    portal_per_second: int = 20
    portal_per_minute: int = 750
    client_per_second: int = 100
    client_per_minute: int = 2000
    # Paging
    hr_over_max: Literal["clamp", "400"] = "clamp"
    scheduling_over_max: Literal["clamp", "400"] = "400"
    absence_over_max: Literal["clamp", "400"] = "clamp"
    punchclock_default: Literal["none", "all"] = "none"
    punchclock_max: int = 500
    paging_null: bool = False
    page_size_cap: int | None = None
    insert_between_pages: bool = False
    # Content
    nulls: Literal["as_seen", "present", "omit"] = "as_seen"
    datetimes: Literal["local", "local_seconds", "utc", "offset", "utc_bare"] = "local"
    unknown_fields: bool = True
    # Change feeds
    modified_from: Literal["strict", "inclusive"] = "strict"
    drafts_listed: bool = True
    punch_moves_modified: bool = True
    # People who are not simply there
    unknown_employee: Literal["400", "404"] = "400"
    deactivated_employee: Literal["200", "400", "404"] = "200"
    hidden_employee: Literal["400", "403", "404"] = "404"
    # Stand-ins
    slack_per_second: int = 0

    def change(self, values: Mapping[str, Any]) -> None:
        """Set several switches at once; nothing changes if one of them is wrong."""
        hints = get_type_hints(Settings)
        for name, value in values.items():
            if name not in hints:
                raise UnknownSettingError(f"no setting called {name}")
            if not _fits(value, hints[name]):
                raise UnknownSettingError(f"{name} cannot be {value!r}")
        for name, value in values.items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """All switches, for the control endpoint."""
        return asdict(self)

    def restore(self, other: "Settings") -> None:
        """Take every value of `other`, in place, because everyone holds this object."""
        for field in fields(self):
            setattr(self, field.name, getattr(other, field.name))


def _fits(value: object, hint: Any) -> bool:
    options = get_args(hint)
    if not options:
        return type(value) is hint
    return any(value is None if option is type(None) else _matches(value, option) for option in options)


def _matches(value: object, option: object) -> bool:
    return type(value) is option if isinstance(option, type) else value == option
