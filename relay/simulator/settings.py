"""Every switch of the simulated Planday: what is documented, and each guess about what is not."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from relay.simulator.times import LocalForm, ZoneForm

Nulls = Literal["as_seen", "present", "omit"]


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
    reauthorise_renews: bool = True
    token_error_status: Literal["400", "401"] = "400"
    # The consent screen answers itself, for this portal (None: the first).
    auto_consent: bool = False
    consent_portal: int | None = None
    # Rate limits: a bench may advertise (and get) a higher policy.
    portal_per_second: int = 20
    portal_per_minute: int = 750
    client_per_second: int = 100
    client_per_minute: int = 2000
    # Paging
    hr_over_max: Literal["clamp", "400"] = "clamp"
    scheduling_over_max: Literal["clamp", "400"] = "400"
    absence_over_max: Literal["clamp", "400"] = "clamp"
    punchclock_over_max: Literal["clamp", "400"] = "clamp"
    punchclock_default: Literal["none", "all"] = "none"
    punchclock_max: int = 500
    paging_null: bool = False
    page_size_cap: int | None = None
    # Once each: a row comes in or goes out before the next page is read.
    insert_between_pages: bool = False
    delete_between_pages: bool = False
    # By id; last modified first; in no order but always the same; in another order every time.
    order: Literal["id", "modified", "shuffled", "unstable"] = "id"
    # Content; each API may differ from what `nulls` says.
    nulls: Nulls = "as_seen"
    hr_nulls: Literal["as_others", "present", "omit"] = "as_others"
    scheduling_nulls: Literal["as_others", "present", "omit"] = "as_others"
    punchclock_nulls: Literal["as_others", "present", "omit"] = "as_others"
    absence_nulls: Literal["as_others", "present", "omit"] = "as_others"
    datetimes: LocalForm = "local"
    portal_zone: ZoneForm = "iana"
    ssn_unasked: Literal["empty", "null", "omit"] = "empty"
    unknown_fields: bool = True
    # Change feeds: filters
    modified_from: Literal["strict", "inclusive"] = "strict"
    deleted_from: Literal["strict", "inclusive"] = "inclusive"
    deactivated_from: Literal["strict", "inclusive"] = "inclusive"
    deactivated_by: Literal["dateTimeDeleted", "deactivationDate", "dateTimeModified"] = "dateTimeDeleted"
    future_dismissals_deactivated: bool = False
    drafts_listed: bool = True
    hidden_days_hide_shifts: bool = False
    # Days before and after today that `/shifts` shows without `from` and `to`; the longest window it takes.
    shifts_default_days: int | None = None
    shifts_max_days: int | None = None
    deleted_retention_days: int | None = None
    punch_window: Literal["start", "overlap"] = "start"
    punch_window_end: Literal["inclusive", "exclusive"] = "inclusive"
    # Seconds until a change of a punch shows in the reads.
    punch_latency: int = 0
    # Change feeds: what moves dateTimeModified
    punch_moves_modified: bool = True
    approval_moves_modified: bool = True
    assignment_moves_modified: bool = True
    publishing_moves_modified: bool = True
    membership_moves_modified: bool = True
    rename_moves_shifts: bool = False
    # Approving a punch gives the shift the punched times.
    approval_moves_times: bool = False
    # Whether payroll counts PunchclockApproved as approved.
    punch_approval_pays: bool = True
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

    def nulls_of(self, api: str) -> Nulls:
        """How one API treats nulls."""
        own = {
            "hr": self.hr_nulls,
            "scheduling": self.scheduling_nulls,
            "punchclock": self.punchclock_nulls,
            "absence": self.absence_nulls,
        }.get(api, "as_others")
        return self.nulls if own == "as_others" else own

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
