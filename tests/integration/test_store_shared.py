"""What Planday's room shares over Redis: tokens, locks, rate budgets and cached records, each in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import redis.asyncio

from relay.errors import StoreUnavailable
from relay.planday.ports import Shared
from relay.store.client import connect
from relay.store.keys import Keys
from relay.store.shared import SharedState

PORTAL, CLIENT = "portal:1", "client:a"
AT = 1_792_584_000.0


@pytest.fixture
def shared(redis_client: redis.asyncio.Redis, prefix: str) -> SharedState:
    return SharedState(redis_client, Keys(prefix))


async def reserve(
    shared: SharedState,
    at: float,
    *,
    portal: str = PORTAL,
    spare: float = 0.0,
    policy: str = "1=10,60=750",
    client_policy: str = "1=100,60=2000",
) -> float:
    return await shared.reserve(
        purpose="live",
        portal=portal,
        client=CLIENT,
        now=at,
        spare=spare,
        portal_policy=policy,
        client_policy=client_policy,
    )


async def taken(shared: SharedState, at: float, *, most: int = 5000, policy: str = "1=10,60=750") -> int:
    """How many calls may start at one moment."""
    count = 0
    while count < most and not await reserve(shared, at, policy=policy):
        count += 1
    return count


def test_it_has_the_shape_that_planday_asks_for(shared: SharedState) -> None:
    """The two rooms do not know each other: this is where they are held together."""
    asked: Shared = shared
    assert asked is shared


async def test_the_portals_second_is_full_after_its_limit(shared: SharedState) -> None:
    """Ten calls, then a wait of about a second, after which there is room again."""
    assert await taken(shared, AT) == 10
    wait = await reserve(shared, AT)
    assert 1.0 <= wait <= 1.1
    assert await reserve(shared, AT + wait - 0.01) > 0
    assert await reserve(shared, AT + wait) == 0


async def test_no_second_wherever_it_begins_sees_more_than_the_limit(shared: SharedState) -> None:
    """Planday's windows begin where we do not know: every span of one second holds at most ten calls."""
    starts: list[float] = []
    for step in range(400):
        at = AT + step * 0.0123
        if not await reserve(shared, at):
            starts.append(at)
    for first in starts:
        assert sum(first <= at < first + 1.0 for at in starts) <= 10
    assert len(starts) >= 40


async def test_the_portals_minute_is_full_after_its_limit(shared: SharedState) -> None:
    """Three calls a minute: the fourth waits for the first to be a minute old."""
    policy = "1=2,60=3"
    for at in (AT, AT + 10, AT + 20):
        assert await reserve(shared, at, policy=policy) == 0
    wait = await reserve(shared, AT + 30, policy=policy)
    assert 30.0 <= wait <= 31.0
    assert await reserve(shared, AT + 30 + wait, policy=policy) == 0


async def test_portals_share_the_clients_budget(shared: SharedState) -> None:
    """A call that the client's budget refuses is counted against no portal."""
    for portal in ("portal:1", "portal:2"):
        assert await reserve(shared, AT, portal=portal, client_policy="1=2,60=2000") == 0
    assert await reserve(shared, AT, portal="portal:3", client_policy="1=2,60=2000") > 0
    _, windows = await shared.budget(
        portal="portal:3", client=CLIENT, now=AT, portal_policy="1=10,60=750", client_policy="1=2,60=2000"
    )
    assert windows == [("client", 1, 2, 0), ("client", 60, 2000, 1998), ("portal", 1, 10, 10), ("portal", 60, 750, 750)]


async def test_lower_priorities_leave_room(shared: SharedState) -> None:
    """A feed stops at 80 % of a budget; a live event finds the rest."""
    while not await reserve(shared, AT, spare=0.2):
        pass
    assert await taken(shared, AT) == 2


async def test_even_the_smallest_budget_lets_one_through(shared: SharedState) -> None:
    """A part that is left to others never makes it nothing."""
    assert await reserve(shared, AT, spare=0.4, policy="1=1,60=1") == 0


async def test_two_takers_at_once_never_exceed_a_budget(shared: SharedState, redis_server: str, prefix: str) -> None:
    """Sixty calls from two processes, ten places."""
    other = redis.asyncio.Redis.from_url(redis_server)
    both = (shared, SharedState(other, Keys(prefix)))
    waits = await asyncio.gather(*(reserve(both[number % 2], AT) for number in range(60)))
    assert waits.count(0.0) == 10
    await other.aclose()


async def test_a_live_policy_replaces_ours(shared: SharedState) -> None:
    """Twenty a second, once Planday says so."""
    await shared.note(portal=PORTAL, client=CLIENT, now=AT, portal_policy="1=20,60=750", client_policy="1=100,60=2000")
    assert await taken(shared, AT) == 20
    await shared.note(portal=PORTAL, client=CLIENT, now=AT, portal_policy="1=25,60=750")
    assert await taken(shared, AT) == 5


async def test_less_left_than_we_counted_counts(shared: SharedState) -> None:
    """Somebody else uses the portal too: three are left until the window is full again."""
    await shared.note(portal=PORTAL, client=CLIENT, now=AT, left=("portal", 60, 3, 30.0))
    assert await taken(shared, AT) == 3
    assert await reserve(shared, AT + 5) == pytest.approx(25.0)
    # Answers overtake each other: a later one that says more is an older one.
    await shared.note(portal=PORTAL, client=CLIENT, now=AT + 5, left=("portal", 60, 2, 25.0))
    assert await reserve(shared, AT + 5) > 0
    assert await reserve(shared, AT + 30) == 0
    await shared.note(portal=PORTAL, client=CLIENT, now=AT + 31, left=("portal", 60, 1, 29.0))
    assert await reserve(shared, AT + 31) == 0
    assert await reserve(shared, AT + 31) > 0


async def test_nobody_calls_while_a_429_lasts(shared: SharedState) -> None:
    """A block of the client holds every portal; a shorter one does not end a longer one."""
    await shared.note(portal=PORTAL, client=CLIENT, now=AT, blocked=("client", 7.0))
    await shared.note(portal=PORTAL, client=CLIENT, now=AT, blocked=("client", 1.0))
    assert await reserve(shared, AT + 2, portal="portal:2") == pytest.approx(5.0)
    assert await reserve(shared, AT + 7, portal="portal:2") == 0
    await shared.note(portal=PORTAL, client=CLIENT, now=AT + 8, blocked=("portal", 3.0))
    assert await reserve(shared, AT + 9) == pytest.approx(2.0)
    assert await reserve(shared, AT + 9, portal="portal:2") == 0


async def test_a_budget_stays_small_and_ends(
    shared: SharedState, redis_client: redis.asyncio.Redis, prefix: str
) -> None:
    """Old slots of time are taken out as time goes on, and the whole key has an end."""
    for step in range(300):
        await reserve(shared, AT + step)
    name = Keys(prefix).planday_limit(PORTAL)
    size: int = await redis_client.hlen(name)  # type: ignore[misc]
    assert size <= 61 + 11 + 5
    assert 0 < await redis_client.ttl(name) <= 86400


async def test_a_token_changes_only_from_the_state_that_was_seen(shared: SharedState) -> None:
    """A slow refresh does not overwrite what an operator entered meanwhile."""
    assert await shared.token(1) == {}
    assert await shared.save_token(1, {"refresh": "a", "lost_since": "1"}, only_if=("refresh", ""))
    assert not await shared.save_token(1, {"refresh": "b"}, only_if=("refresh", ""))
    assert await shared.save_token(1, {"refresh": "b", "access": "x"}, remove=("lost_since",), only_if=("refresh", "a"))
    assert not await shared.save_token(1, {"refresh": "c"}, only_if=("refresh", "a"))
    assert await shared.save_token(1, {"refresh": "d"}, remove=("access", "nothing"))
    assert await shared.token(1) == {"refresh": "d"}
    assert await shared.token(2) == {}


async def test_a_lock_belongs_to_one_and_gives_way(shared: SharedState) -> None:
    """Only its owner gives it back; one that ran out belongs to whoever takes it."""
    assert await shared.take_lock("x", owner="a", seconds=30)
    assert not await shared.take_lock("x", owner="b", seconds=30)
    await shared.drop_lock("x", owner="b")
    assert not await shared.take_lock("x", owner="b", seconds=30)
    await shared.drop_lock("x", owner="a")
    assert await shared.take_lock("x", owner="b", seconds=0.05)
    for _ in range(100):
        if await shared.take_lock("x", owner="c", seconds=30):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the lock did not give way")


async def test_a_record_that_was_read_later_stays(shared: SharedState) -> None:
    """A slow read that began before a change does not hide what was read after it."""
    key, other = (1, "employee", "7"), (2, "employee", "7")
    assert await shared.cached([]) == []
    assert await shared.cache(key, b'{"new": "\xc3\xa6\n"}', at=AT + 1, seconds=60)
    assert not await shared.cache(key, b"old", at=AT, seconds=60)
    assert await shared.cached([other, key]) == [None, b'{"new": "\xc3\xa6\n"}']
    assert await shared.cache(key, b"same moment", at=AT + 1, seconds=60)
    assert await shared.cached([key]) == [b"same moment"]


async def test_look_ups_at_the_same_time_do_not_mix(shared: SharedState) -> None:
    """They travel together, and each gets its own."""
    for number in range(20):
        await shared.cache((1, "employee", str(number)), str(number).encode(), at=AT, seconds=60)
    keys = [[(1, "employee", str(number)), (1, "employee", "none")] for number in range(20)]
    found = await asyncio.gather(*map(shared.cached, keys))
    assert found == [[str(number).encode(), None] for number in range(20)]


async def test_a_client_that_decodes_is_as_good(redis_server: str, prefix: str) -> None:
    """Text or bytes, the answers are the same."""
    client = redis.asyncio.Redis.from_url(redis_server, decode_responses=True)
    shared = SharedState(client, Keys(prefix))
    await shared.save_token(1, {"refresh": "a"})
    await shared.cache((1, "employee", "7"), b"x", at=AT, seconds=60)
    assert await shared.token(1) == {"refresh": "a"}
    assert await shared.cached([(1, "employee", "7")]) == [b"x"]
    assert await reserve(shared, AT) == 0
    await client.aclose()


@pytest.mark.parametrize(
    "question",
    [
        lambda shared: shared.token(1),
        lambda shared: shared.save_token(1, {"a": "b"}),
        lambda shared: shared.take_lock("x", owner="a", seconds=1),
        lambda shared: shared.cached([(1, "employee", "7")]),
        lambda shared: reserve(shared, AT),
    ],
)
async def test_a_store_that_is_away_is_named(question: Callable[[SharedState], Awaitable[object]]) -> None:
    """No foreign error leaves the room."""
    client = connect("redis://127.0.0.1:1")
    with pytest.raises(StoreUnavailable):
        await question(SharedState(client, Keys("t:")))
    await client.aclose()
