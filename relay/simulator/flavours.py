"""What makes one simulated portal differ from the other, and the ids that both of them hold."""

from collections.abc import Sequence
from dataclasses import dataclass

BISTRO, HARBOUR = 4100001, 4100002
# Beyond 2^53: a reader that goes through floating point gets another shift.
HUGE_SHIFT_ID = 9007199254740993
SICK_LEAVE, HOLIDAY = 9, 12
# Named people and things that tests and the demo ask for.
IDA, FUTURE_DISMISSAL, EMPTY_EMAIL, DEACTIVATED, HIDDEN = 910233, 910241, 910242, 910250, 910299


@dataclass(frozen=True)
class Flavour:
    """What makes one portal differ from the other."""

    portal_id: int
    name: str
    country: str
    zone: str
    domain: str
    prefix: str
    people: Sequence[tuple[str, str, str]]
    departments: Sequence[str]
    groups: Sequence[str]
    positions: Sequence[str]
    leave: tuple[str, str]
    later: int  # hours by which every shift lies later than in the table


BISTRO_FLAVOUR = Flavour(
    portal_id=BISTRO,
    name="Bistro Demo",
    country="DK",
    zone="Europe/Copenhagen",
    domain="bistro.example",
    prefix="+45",
    people=(
        ("Ida", "Testrup", "Waiter"),
        ("Søren", "Ægidius", "Chef"),
        ("Åse", "Østergård", "Sous-chef"),
        ("Mads", "Prøvesen", "Barista"),
        ("Freja", "Lærke-Holm", "Waiter"),
        ("Bjørn", "Attrap", "Dishwasher"),
        ("Karla", "Eksempel", "Manager"),
        ("Jens", "Fremtid", "Waiter"),
        ("Ulla", "Udenmail", "Bartender"),
        ("Emil", "Dummy", "Chef"),
        ("Gitte", "Fratrådt", "Waiter"),
        ("Viggo", "Usynlig", "Auditor"),
    ),
    departments=("Harbour", "Torvet", "Køkken"),
    groups=("Tjenere", "Kokke", "Bar", "Ledelse"),
    positions=("Gulv", "Grill", "Bar 1", "Opvask"),
    leave=("Sygdom", "Ferie"),
    later=0,
)
HARBOUR_FLAVOUR = Flavour(
    portal_id=HARBOUR,
    name="Harbour Hotel",
    country="GB",
    zone="Europe/London",
    domain="harbour.example",
    prefix="+44",
    people=(
        ("Oliver", "Sampleton", "Porter"),
        ("Amelia", "Mockford", "Concierge"),
        ("Harry", "Placeholder", "Night porter"),
        ("Siân", "O'Example", "Receptionist"),
        ("George", "Testington", "Housekeeper"),
        ("Zoë", "Fixture", "Housekeeper"),
        ("Arthur", "Stubbs", "Duty manager"),
        ("Poppy", "Leaving-Soon", "Spa"),
        ("Alfie", "Nomail", "Bar"),
        ("Grace", "Dummett", "Kitchen"),
        ("Ivy", "Formerly", "Porter"),
        ("Leo", "Unseen", "Auditor"),
    ),
    departments=("Front of house", "Rooms", "Kitchen"),
    groups=("Reception", "Housekeeping", "Night", "Managers"),
    positions=("Desk", "Floor 1", "Floor 2", "Lobby"),
    leave=("Sickness", "Holiday"),
    later=1,
)
