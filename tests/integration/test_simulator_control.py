"""Changes made through the control endpoint show in the reads, in the log of changes and as our own events."""

import ast
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import relay.simulator
from relay.simulator import create_simulator, serve
from relay.simulator.app import ProductionError
from relay.simulator.flavours import BISTRO, DEACTIVATED, HARBOUR, IDA
from relay.simulator.relay_event_emitter import EMIT_SECRET, NotLoopbackError
from tests.integration.test_simulator import PUNCHES, REQUESTS, SHIFTS, WINDOW, Caller, in_process


class Receiver:
    """A receiver of our events that verifies every signature, and can be away for a while."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.refusals: list[int] = []
        self.tries = 0
        self.app = Starlette(routes=[Route("/in/planday", self.take, methods=["POST"])])

    async def take(self, request: Request) -> Response:
        self.tries += 1
        if self.refusals:
            return Response(status_code=self.refusals.pop(0))
        event = Webhook(EMIT_SECRET).verify(await request.body(), dict(request.headers))
        assert request.headers["webhook-id"] == event["id"]
        self.events.append(event)
        return Response(status_code=202)


@pytest.fixture
def receiver() -> Receiver:
    """Where the emitter posts to."""
    return Receiver()


@pytest.fixture
async def planday(receiver: Receiver) -> AsyncIterator[Caller]:
    """A simulated Planday whose emitter reaches the receiver, and never really waits."""

    async def no_wait(_: float) -> None:
        return None

    transport = httpx.ASGITransport(receiver.app)
    async with in_process(emit_to="http://127.0.0.1/in/planday", emit_transport=transport, sleep=no_wait) as caller:
        yield caller


async def act(planday: Caller, what: str, portal: int = BISTRO, **fields: Any) -> dict[str, Any]:
    """One action through the control endpoint."""
    answer: dict[str, Any] = await planday.control(f"/portals/{portal}/{what}", **fields)
    return answer


@pytest.mark.parametrize(
    ("what", "fields", "kind"),
    [
        ("shift/create", {"employeeId": IDA}, "planday.shift.created"),
        ("shift/edit", {"id": 70010045, "endDateTime": "2026-10-25T04:00"}, "planday.shift.updated"),
        ("shift/publish", {"id": 70010052}, "planday.shift.published"),
        ("shift/edit", {"id": 70010053, "status": "Open"}, "planday.shift.published"),
        ("shift/assign", {"id": 70010051, "employeeId": IDA}, "planday.shift.assigned"),
        ("shift/assign", {"id": 70010045, "employeeId": None}, "planday.shift.unassigned"),
        ("shift/approve", {"id": 70010045}, "planday.shift.approved"),
        ("shift/unapprove", {"id": 70010041}, "planday.shift.unapproved"),
        ("shift/delete", {"id": 70010045}, "planday.shift.deleted"),
        ("punchclock_entry/start", {"shiftId": 70010045}, "planday.punchclock_entry.started"),
        ("punchclock_entry/end", {"id": 8800123}, "planday.punchclock_entry.ended"),
        ("punchclock_entry/approve", {"id": 8800126}, "planday.punchclock_entry.approved"),
        ("punchclock_entry/edit", {"id": 8800126, "description": "x"}, "planday.punchclock_entry.updated"),
        ("absence_request/create", {"employeeId": IDA, "start": "2027-01-04"}, "planday.absence_request.created"),
        ("absence_request/approve", {"id": 66012}, "planday.absence_request.approved"),
        ("absence_request/decline", {"id": 66012}, "planday.absence_request.declined"),
        ("absence_request/cancel", {"id": 66012}, "planday.absence_request.cancelled"),
        ("employee/create", {"firstName": "Åge"}, "planday.employee.created"),
        ("employee/edit", {"id": IDA, "lastName": "Nyt"}, "planday.employee.updated"),
        ("employee/deactivate", {"id": IDA}, "planday.employee.deactivated"),
        ("employee/reactivate", {"id": DEACTIVATED}, "planday.employee.reactivated"),
        ("department/edit", {"id": 4101, "name": "Ny"}, "planday.department.updated"),
    ],
)
async def test_each_action_emits_its_one_thin_event(
    planday: Caller, receiver: Receiver, what: str, fields: dict[str, Any], kind: str
) -> None:
    """A signed CloudEvent names the change and its subject, and holds no data."""
    answer = await act(planday, what, **fields)
    await planday.control("/emitter/flush")
    (event,) = receiver.events
    assert event == {
        "specversion": "1.0",
        "id": answer["eventId"],
        "type": kind,
        "source": f"urn:planday:portal:{BISTRO}",
        "subject": f"{what.partition('/')[0]}/{answer['entity']['id']}",
        "time": "2026-10-21T10:00:00.250000Z",
        "portalid": str(BISTRO),
    }
    assert answer["change"]["type"] == kind


async def test_a_change_says_exactly_what_changed(planday: Caller) -> None:
    """Only the changed fields, before and after, in order."""
    await act(planday, "shift/edit", id=70010045, startDateTime="2026-10-24T21:00", employeeGroupId=5202)
    await act(planday, "employee/edit", portal=HARBOUR, id=IDA, jobTitle="Head porter")
    first, second = (await planday.http.get("/control/changes")).json()["changes"]
    assert (first["sequence"], first["before"], first["after"]) == (
        1,
        {"startDateTime": "2026-10-24T20:00"},
        {"startDateTime": "2026-10-24T21:00"},
    )
    assert (second["portal_id"], second["after"]) == (HARBOUR, {"jobTitle": "Head porter"})
    later = (await planday.http.get("/control/changes?after=1")).json()["changes"]
    assert [change["sequence"] for change in later] == [2]


async def test_a_change_moves_the_modified_time_and_no_other_portal(planday: Caller) -> None:
    """The feed finds the shift by its new time; the other portal's shift of the same id stays."""
    await act(planday, "shift/assign", id=70010051, employeeId=IDA)
    (row,) = await planday.data(SHIFTS, limit=50, modifiedFrom="2026-10-21T09:00:00Z")
    assert (row["id"], row["employeeId"], row["status"]) == (70010051, IDA, "Assigned")
    assert row["dateTimeModified"] == "2026-10-21T10:00:00Z"
    assert await planday.data(SHIFTS, portal=HARBOUR, limit=50, modifiedFrom="2026-10-21T09:00:00Z") == []


async def test_a_deleted_shift_moves_to_the_deleted_list(planday: Caller) -> None:
    """404 by id, gone from the list, found among the deleted with its time."""
    await act(planday, "shift/delete", id=70010045)
    assert (await planday.get(f"{SHIFTS}/70010045")).status_code == 404
    assert 70010045 not in [row["id"] for row in await planday.data(SHIFTS, limit=50)]
    (row,) = await planday.data(f"{SHIFTS}/deleted", limit=50, deletedFrom="2026-10-21T10:00:00Z")
    assert (row["id"], row["dateTimeDeleted"]) == (70010045, "2026-10-21T10:00:00Z")


async def test_a_punch_follows_its_shift_from_start_to_approval(planday: Caller) -> None:
    """Each step shows in the punch and in the shift's status; times are the portal's wall clock."""
    entry = (await act(planday, "punchclock_entry/start", shiftId=70010045))["entity"]
    assert entry["startDateTime"] == "2026-10-21T12:00"
    assert (await planday.data(f"{SHIFTS}/70010045"))["status"] == "PunchclockStarted"
    await planday.control("/clock", advance=3600)
    answer = await act(planday, "punchclock_entry/end", id=entry["id"])
    assert answer["entity"]["endDateTime"] == "2026-10-21T13:00"
    await act(planday, "punchclock_entry/approve", id=entry["id"])
    planday.tokens.clear()
    (row,) = await planday.data(f"{PUNCHES}/byShift/70010045")
    assert row["isApproved"] is True
    shift = await planday.data(f"{SHIFTS}/70010045")
    assert (shift["status"], shift["punchClockShiftId"]) == ("PunchclockApproved", entry["id"])


async def test_a_punch_need_not_move_the_shifts_modified_time(planday: Caller) -> None:
    """Whether it does is unknown, so it is a switch."""
    await planday.control("/settings", punch_moves_modified=False)
    await act(planday, "punchclock_entry/start", shiftId=70010045)
    assert await planday.data(SHIFTS, limit=50, modifiedFrom="2026-10-21T09:00:00Z") == []


async def test_approving_a_punch_without_shift_makes_one(planday: Caller) -> None:
    """The documented way in which a loose punch gets its shift."""
    answer = await act(planday, "punchclock_entry/approve", id=8800125)
    shift = await planday.data(f"{SHIFTS}/{answer['entity']['shiftId']}")
    assert (shift["status"], shift["employeeId"]) == ("PunchclockApproved", 910240)


async def test_absence_is_decided_and_disappears(planday: Caller) -> None:
    """A decision shows in the status; a removed request is simply not there any more, and nothing is emitted."""
    await act(planday, "absence_request/approve", id=66012)
    statuses = {row["id"]: row["status"] for row in await planday.data(REQUESTS, Limit=50)}
    assert statuses[66012] == "Approved"
    assert (await act(planday, "absence_request/remove", id=66012))["eventId"] is None
    assert 66012 not in [row["id"] for row in await planday.data(REQUESTS, Limit=50)]


async def test_a_person_leaves_and_comes_back(planday: Caller) -> None:
    """Deactivation moves a person between the lists; reactivation moves them back."""
    await act(planday, "employee/deactivate", id=IDA)
    gone = await planday.data("/hr/v1.0/employees/deactivated", limit=50, deactivatedFrom="2026-10-21T10:00:00Z")
    assert [row["id"] for row in gone] == [IDA]
    assert IDA not in [row["id"] for row in await planday.data("/hr/v1.0/employees", limit=50)]
    await act(planday, "employee/reactivate", id=IDA)
    assert IDA in [row["id"] for row in await planday.data("/hr/v1.0/employees", limit=50)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/portals/{BISTRO}/shift/publish", {"id": 70010045}),
        (f"/portals/{BISTRO}/shift/edit", {"id": 70010045, "colour": "red"}),
        (f"/portals/{BISTRO}/shift/edit", {"id": 1}),
        (f"/portals/{BISTRO}/shift/paint", {"id": 70010045}),
        (f"/portals/{BISTRO}/punchclock_entry/approve", {"id": 8800123}),
        ("/portals/1/shift/create", {}),
        ("/settings", {"no_such_switch": True}),
        ("/settings", {"datetimes": "roman"}),
        ("/faults", {"path": "*", "kind": "tickle"}),
        ("/tickle", {}),
        ("/emitter", {"sabotage": 1}),
        ("/emitter", {"url": "http://example.com/in/planday"}),
    ],
)
async def test_a_senseless_control_is_400(planday: Caller, path: str, body: dict[str, Any]) -> None:
    """The control endpoint says what is wrong and changes nothing."""
    answer = await planday.http.post(f"/control{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert planday.simulator.changes == []


async def test_the_emitter_tries_again_until_the_receiver_is_back(planday: Caller, receiver: Receiver) -> None:
    """503 and 429 cost an attempt and no event."""
    receiver.refusals = [503, 429, 503]
    await act(planday, "shift/approve", id=70010045)
    emitter = await planday.control("/emitter/flush")
    assert (receiver.tries, len(receiver.events)) == (4, 1)
    assert (emitter["sent"][0]["attempts"], emitter["lost"]) == (4, [])


async def test_the_emitter_does_not_insist_on_a_refusal(planday: Caller, receiver: Receiver) -> None:
    """A 401 is final, and shown as lost."""
    receiver.refusals = [401]
    await act(planday, "shift/approve", id=70010045)
    emitter = await planday.control("/emitter/flush")
    assert [lost["status"] for lost in emitter["lost"]] == [401]


async def test_the_emitter_duplicates_drops_and_reorders_on_request(planday: Caller, receiver: Receiver) -> None:
    """Each trick spoils as many of the next events as asked."""
    await planday.control("/emitter", duplicate=1)
    await act(planday, "shift/approve", id=70010045)
    await planday.control("/emitter/flush")
    assert len(receiver.events) == 2
    assert receiver.events[0] == receiver.events[1]

    receiver.events.clear()
    await planday.control("/emitter", drop=1)
    await act(planday, "shift/approve", id=70010047)
    await act(planday, "shift/approve", id=70010048)
    assert len((await planday.control("/emitter/flush"))["dropped"]) == 1
    assert [event["subject"] for event in receiver.events] == ["shift/70010048"]

    receiver.events.clear()
    await planday.control("/emitter", reorder=1)
    await act(planday, "shift/approve", id=70010049)
    await act(planday, "shift/approve", id=70010051)
    await planday.control("/emitter/flush")
    assert [event["subject"] for event in receiver.events] == ["shift/70010051", "shift/70010049"]


async def test_a_held_back_event_leaves_at_the_flush(planday: Caller, receiver: Receiver) -> None:
    """Reordering with nothing to overtake it loses nothing."""
    await planday.control("/emitter", reorder=1)
    await act(planday, "shift/approve", id=70010049)
    await planday.control("/emitter/flush")
    assert len(receiver.events) == 1


async def test_a_reset_forgets_everything(planday: Caller) -> None:
    """World, tokens, switches, faults, logs and clock are as at the start."""
    await planday.control("/settings", datetimes="utc")
    await planday.control("/faults", path="*", kind="500", count=-1)
    await planday.control("/clock", advance=60)
    await act(planday, "shift/delete", id=70010045)
    await planday.control(f"/portals/{BISTRO}/authorisation/reauthorise")
    await planday.control("/reset")
    assert (await planday.data(f"{SHIFTS}/70010045"))["startDateTime"] == "2026-10-24T20:00"
    assert len(await planday.data(PUNCHES, limit=50, **WINDOW)) == 4
    state = (await planday.http.get("/control/state")).json()
    assert state["now"] == "2026-10-21T10:00:00.250000+00:00"
    assert planday.simulator.changes == []


async def test_the_state_shows_both_portals(planday: Caller) -> None:
    """Whole or for one portal, for a test to compare with."""
    whole = (await planday.http.get("/control/state")).json()
    assert set(whole["portals"]) == {str(BISTRO), str(HARBOUR)}
    one = (await planday.http.get(f"/control/state?portal={HARBOUR}")).json()
    assert one["info"]["name"] == "Harbour Hotel"


def test_it_refuses_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """RELAY_ENV=production stops it before anything is built."""
    monkeypatch.setenv("RELAY_ENV", "production")
    with pytest.raises(ProductionError):
        create_simulator()


def test_it_never_emits_off_this_machine() -> None:
    """Only loopback addresses are accepted as a receiver."""
    with pytest.raises(NotLoopbackError):
        create_simulator(emit_to="https://hooks.example.com/in/planday")


async def test_it_serves_on_a_free_port_until_cancelled() -> None:
    """`port=0` picks one and reports it; cancelling closes it again."""
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(port=0, ready=bound.set_result))
    port = await bound
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"http://127.0.0.1:{port}/portal/v1.0/info")).status_code == 401
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        with pytest.raises(httpx.ConnectError):
            await http.get(f"http://127.0.0.1:{port}/portal/v1.0/info")


def test_it_imports_nothing_of_ours() -> None:
    """Sharing our code would mean sharing our misunderstandings."""
    for path in Path(relay.simulator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("relay"):
                assert (node.module or "").startswith("relay.simulator"), path.name
