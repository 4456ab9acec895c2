"""Everything that can be done in a portal, as one table."""

from collections.abc import Callable

from relay.simulator import people_actions as people
from relay.simulator import work_actions as work
from relay.simulator.deeds import ActionError, Deed, Fields, Stage
from relay.simulator.state import Change, Record
from relay.simulator.times import exact_stamp


def perform(stage: Stage, *, entity: str, action: str, fields: Fields, sequence: int) -> tuple[Change, Record]:
    """Do one action; the change and the record as it is now."""
    do = _ACTIONS.get((entity, action))
    if do is None:
        raise ActionError(f"nobody can {action} a {entity}")
    deed = do(stage, fields)
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


_ACTIONS: dict[tuple[str, str], Callable[[Stage, Fields], Deed]] = {
    ("shift", "create"): work.create_shift,
    ("shift", "edit"): work.edit_shift,
    ("shift", "assign"): work.assign_shift,
    ("shift", "publish"): work.publish_shift,
    ("shift", "approve"): work.approve_shift,
    ("shift", "unapprove"): work.unapprove_shift,
    ("shift", "delete"): work.delete_shift,
    ("punchclock_entry", "start"): work.start_punch,
    ("punchclock_entry", "end"): work.end_punch,
    ("punchclock_entry", "approve"): work.approve_punch,
    ("punchclock_entry", "edit"): work.edit_punch,
    ("absence_request", "create"): people.create_request,
    ("absence_request", "approve"): people.decide("Approved", "approved"),
    ("absence_request", "decline"): people.decide("Declined", "declined"),
    ("absence_request", "cancel"): people.decide("Cancelled", "cancelled"),
    ("absence_request", "remove"): people.remove_request,
    ("employee", "create"): people.create_employee,
    ("employee", "edit"): people.edit_employee,
    ("employee", "deactivate"): people.deactivate_employee,
    ("employee", "reactivate"): people.reactivate_employee,
    ("department", "edit"): people.edit_reference(lambda portal: portal.departments, "department", announced=True),
    ("employee_group", "edit"): people.edit_reference(lambda portal: portal.groups, "employee_group", announced=True),
    ("position", "edit"): people.edit_reference(lambda portal: portal.positions, "position", announced=False),
    ("shift_type", "edit"): people.edit_reference(lambda portal: portal.shift_types, "shift_type", announced=False),
}
