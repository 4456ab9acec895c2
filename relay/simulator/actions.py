"""Everything that can be done in a portal, as one table."""

from collections.abc import Callable

from relay.simulator import people_actions as people
from relay.simulator import punch_actions as punches
from relay.simulator import reference_actions as reference
from relay.simulator import work_actions as work
from relay.simulator.deeds import ActionError, Deed, Fields, Stage, along
from relay.simulator.payroll_lines import entries, touched
from relay.simulator.state import Change, Record
from relay.simulator.times import exact_stamp


def perform(stage: Stage, *, entity: str, action: str, fields: Fields, sequence: int) -> tuple[Change, Record]:
    """Do one action; the change and the record as it is now."""
    do = _ACTIONS.get((entity, action))
    if do is None:
        raise ActionError(f"nobody can {action} a {entity}")
    payroll = touched(stage.portal, entity, fields)
    before = entries(stage.portal, payroll, stage.settings)
    deed = do(stage, fields)
    payroll |= {deed.id} if entity == "shift" else {row["id"] for row in deed.also if row["entity"] == "shift"}
    after = entries(stage.portal, payroll, stage.settings)
    deed.also += [along(*key, *_difference(before.get(key, {}), after.get(key, {}))) for key in _moved(before, after)]
    change = Change(
        sequence=sequence,
        at=exact_stamp(stage.clock.now()),
        portal_id=stage.portal.id,
        entity=entity,
        id=deed.id,
        action=action,
        type=deed.type,
        before=deed.before,
        after=deed.after,
        also=tuple(deed.also),
    )
    return change, dict(deed.entity)


def _moved(before: dict[tuple[str, int], Record], after: dict[tuple[str, int], Record]) -> list[tuple[str, int]]:
    return [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]


def _difference(before: Record, after: Record) -> tuple[Record, Record]:
    if not before or not after:
        return before, after
    names = [name for name in after if before[name] != after[name]]
    return {name: before[name] for name in names}, {name: after[name] for name in names}


_ACTIONS: dict[tuple[str, str], Callable[[Stage, Fields], Deed]] = {
    ("shift", "create"): work.create_shift,
    ("shift", "edit"): work.edit_shift,
    ("shift", "assign"): work.assign_shift,
    ("shift", "publish"): work.publish_shift,
    ("shift", "approve"): work.approve_shift,
    ("shift", "unapprove"): work.unapprove_shift,
    ("shift", "delete"): work.delete_shift,
    ("punchclock_entry", "start"): punches.start_punch,
    ("punchclock_entry", "end"): punches.end_punch,
    ("punchclock_entry", "approve"): punches.approve_punch,
    ("punchclock_entry", "unapprove"): punches.unapprove_punch,
    ("punchclock_entry", "edit"): punches.edit_punch,
    ("punchclock_entry", "delete"): punches.delete_punch,
    ("punchclock_break", "start"): punches.start_break,
    ("punchclock_break", "end"): punches.end_break,
    ("punchclock_break", "edit"): punches.edit_break,
    ("absence_request", "create"): people.create_request,
    ("absence_request", "edit"): people.edit_request,
    ("absence_request", "approve"): people.decide("Approved", "approved"),
    ("absence_request", "decline"): people.decide("Declined", "declined"),
    ("absence_request", "cancel"): people.decide("Cancelled", "cancelled"),
    ("absence_request", "remove"): people.remove_request,
    ("absence_record", "edit"): people.edit_record,
    ("absence_record", "delete"): people.delete_record,
    ("employee", "create"): people.create_employee,
    ("employee", "edit"): people.edit_employee,
    ("employee", "deactivate"): people.deactivate_employee,
    ("employee", "reactivate"): people.reactivate_employee,
    ("employee", "dismiss"): people.dismiss_employee,
    ("portal", "edit"): reference.edit_portal,
    ("schedule_day", "edit"): reference.edit_day,
    **{(entity, "create"): reference.create(entity) for entity in reference.TABLES},
    **{(entity, "edit"): reference.edit(entity) for entity in reference.TABLES},
    **{(entity, "delete"): reference.delete(entity) for entity in reference.TABLES},
}
