"""What lives on a page: the tail of new events, and the numbers behind the charts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from relay.events import DeliveryState
from relay.services import EventFilter
from relay.web.dashboard.tail import Found, Tail
from tests.fakes import FakeClock
from tests.integration.dashboard_world import Dashboard, dashboard_over, settings


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(time.time())


@pytest.fixture
async def dashboard(redis_server: str, prefix: str, clock: FakeClock) -> AsyncIterator[Dashboard]:
    async with dashboard_over(settings(redis_server, prefix), clock=clock) as opened:
        yield opened


def tail_of(dashboard: Dashboard, wanted: EventFilter | None = None) -> Tail:
    return Tail(dashboard.services.reading, wanted or EventFilter(), now=dashboard.services.clock())


def ids(found: Found) -> list[str]:
    return [one.event.id for one in found.rows]


async def test_the_tail_tells_each_new_event_once_and_none_from_before(dashboard: Dashboard, clock: FakeClock) -> None:
    """Also those of the same millisecond, and those of a receiver whose clock is a second behind."""
    await dashboard.accepted(1)
    clock.now += 5
    tail = tail_of(dashboard)
    assert ids(await tail.look()) == []
    two, three = await dashboard.accepted(2), await dashboard.accepted(3)
    assert sorted(ids(await tail.look())) == sorted([two, three])
    clock.now += 5
    four = await dashboard.accepted(4)
    assert ids(await tail.look()) == [four]
    clock.now -= 1
    late = await dashboard.accepted(5)
    assert ids(await tail.look()) == [late]
    assert ids(await tail.look()) == []


async def test_the_tail_keeps_to_its_filter(dashboard: Dashboard) -> None:
    """As the list that it belongs to."""
    tail = tail_of(dashboard, EventFilter(type="planday.shift.approved"))
    await dashboard.accepted(1)
    wanted = await dashboard.accepted(2, type="planday.shift.approved")
    assert ids(await tail.look()) == [wanted]


async def test_the_stream_ends_when_the_relay_stops_or_the_browser_is_gone(
    dashboard: Dashboard, clock: FakeClock
) -> None:
    """Nothing holds a stopping process up; and a stream that nobody reads asks nothing of the store."""
    state = {"stopping": False, "gone": False}

    async def gone() -> bool:
        return state["gone"]

    for ends in state:
        state.update(stopping=False, gone=False)
        looks = 0
        async for _ in tail_of(dashboard).follow(stopping=lambda: state["stopping"], gone=gone, wait=clock.sleep):
            looks += 1
            state[ends] = looks == 3
        assert looks == 3


async def test_a_stream_does_not_last_for_ever(dashboard: Dashboard, clock: FakeClock) -> None:
    """The browser comes back and shows its session again: five minutes at most."""

    async def here() -> bool:
        return False

    looks = [found async for found in tail_of(dashboard).follow(stopping=lambda: False, gone=here, wait=clock.sleep)]
    assert len(looks) == 300


async def test_a_row_is_one_message_of_one_line(dashboard: Dashboard) -> None:
    """Whatever is in it: a line break of a sender makes no message of its own."""
    await dashboard.accepted(1)
    page = await dashboard.services.reading.list_events(EventFilter(), limit=1)
    message = Found(page.rows).render(lambda _: "<tr>\n<td>a\r\n\r\nevent: evil</td></tr>")
    assert message == "event: row\ndata: <tr> <td>a event: evil</td></tr>\n\n"
    assert Found(()).render(lambda _: "x") == ": still here\n\n"


async def test_the_series_counts_each_event_in_the_step_it_came_in(dashboard: Dashboard, clock: FakeClock) -> None:
    """Received by the time of acceptance, deliveries by how they stand now; the last step is the present one."""
    clock.now = clock.now // 60 * 60 - 170.0  # ten seconds into a minute, two minutes ago
    await dashboard.delivery("hours", DeliveryState.DELIVERED, 1)
    await dashboard.delivery("hours", DeliveryState.DEAD, 2)
    clock.now += 60
    await dashboard.delivery("slack", DeliveryState.PARKED, 3)
    await dashboard.delivery("slack", DeliveryState.WAITING, 4)
    clock.now += 60
    series, targets = dashboard.services.series, ("hours", "slack")
    found = await series.buckets(targets, now=clock.now, step=60, count=4)
    assert [one.received for one in found] == [0, 2, 2, 0]
    assert [(one.delivered, one.waiting, one.failed) for one in found] == [(0, 0, 0), (1, 0, 1), (0, 1, 1), (0, 0, 0)]
    assert found[-1].at == clock.now // 60 * 60
    only = await series.buckets(("hours",), now=clock.now, step=60, count=4, events=False)
    assert [(one.received, one.delivered) for one in only] == [(0, 0), (0, 1), (0, 0), (0, 0)]
    assert [one.delivered for one in await series.buckets((), now=clock.now, step=60, count=2)] == [0, 0]
