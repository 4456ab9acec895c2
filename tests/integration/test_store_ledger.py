"""The ledger of what payroll was sent, over a real Redis: two claimants, open outcomes, erasure, keys exchanged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio
from cryptography.fernet import Fernet

from relay.errors import StoreUnfit
from relay.store.cipher import FernetCipher
from relay.store.client import command
from relay.store.keys import Keys
from relay.store.ledger import Ledger, Standing

NOW = 1_790_000_000.0
KEY = Fernet.generate_key()


class Book:
    """One target's ledger with everything filled in; `event` says who asks."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str, key: bytes = KEY) -> None:
        self.client = client
        self.keys = Keys(prefix)
        self.ledger = Ledger(client, self.keys, cipher=FernetCipher([key]))

    async def claim(self, event: str, content: str | None, *, at: float = NOW, **more: Any) -> Standing:
        known: dict[str, Any] = {
            "event": event,
            "idempotency_key": f"key-{event}",
            "read_at": at,
            "now": at,
            "days": 400,
            "person": ("4100001", "910233"),
        }
        return await self.ledger.claim("pay", "4100001:shift/1", content=content, **{**known, **more})

    async def settle(self, standing: Standing, became: Any = "taken", *, at: float = NOW) -> None:
        await self.ledger.settle("pay", "4100001:shift/1", token=standing.token, became=became, now=at, days=400)

    async def delivery(self, event: str, state: str) -> None:
        await command(self.client, "HSET", self.keys.delivery(event, "pay"), "st", state)

    async def names(self) -> list[str]:
        return sorted([key.decode() async for key in self.client.scan_iter(match=f"{self.keys.prefix}lg*")])


@pytest.fixture
def book(redis_client: redis.asyncio.Redis, prefix: str) -> Book:
    """An empty ledger."""
    return Book(redis_client, prefix)


async def test_a_line_is_sent_once(book: Book) -> None:
    """The same content is there already, whoever asks; other content follows what was sent."""
    first = await book.claim("evt_a", "100")
    assert (first.answer, first.sent, first.there) == ("go", 0, False)
    await book.settle(first)
    again = await book.claim("evt_b", "100", at=NOW + 5)
    assert (again.answer, again.event, again.at) == ("same", "evt_a", NOW)
    other = await book.claim("evt_b", "120", at=NOW + 5)
    assert (other.answer, other.sent, other.there, other.content) == ("go", 1, True, "100")


async def test_of_two_claimants_one_goes(book: Book) -> None:
    """Fifty deliveries of one line ask at once: one may send, the others wait for it."""
    for number in range(50):
        await book.delivery(f"evt_{number}", "sending")
    answers = await asyncio.gather(*(book.claim(f"evt_{number}", "100") for number in range(50)))
    assert sorted(one.answer for one in answers) == ["busy"] * 49 + ["go"]
    gone = next(one for one in answers if one.answer == "go")
    await book.settle(gone)
    answers = await asyncio.gather(*(book.claim(f"evt_{number}", "100") for number in range(50)))
    assert {one.answer for one in answers} == {"same"}


async def test_a_claim_that_certainly_was_not_taken_leaves_nothing(book: Book) -> None:
    """The next one finds the ledger as it was."""
    await book.settle(await book.claim("evt_a", "100"), "refused")
    assert all("lg:" not in name for name in await book.names())
    assert (await book.claim("evt_b", "90")).answer == "go"


@pytest.mark.parametrize(
    ("state", "answer"), [("parked", "busy"), ("waiting", "busy"), ("dead", "unsure"), ("", "unsure")]
)
async def test_while_nobody_knows_nothing_goes(book: Book, state: str, answer: str) -> None:
    """An unknown outcome blocks the line for every other delivery; a person may say that it is not there."""
    await book.claim("evt_a", "100")  # sent, no answer: it is never settled
    if state:
        await book.delivery("evt_a", state)
    found = await book.claim("evt_b", "100", at=NOW + 60)
    assert (found.answer, found.event) == (answer, "evt_a")
    if answer == "unsure":
        let_go = await book.claim("evt_b", "100", at=NOW + 60, released=True)
        assert (let_go.answer, let_go.sent) == ("go", 0)


@pytest.mark.parametrize("state", ["delivered", "cancelled"])
async def test_how_a_delivery_ended_says_what_became_of_its_claim(book: Book, state: str) -> None:
    """Delivered, but that could not be written here; or cancelled by a person, which says that it is there."""
    await book.claim("evt_a", "100")
    await book.delivery("evt_a", state)
    looked = await book.claim("evt_b", "100", at=NOW + 60, look=True)
    assert (looked.answer, looked.event) == ("same", "evt_a")
    found = await book.claim("evt_b", "120", at=NOW + 60)
    assert (found.answer, found.sent, found.content) == ("go", 1, "100")


async def test_an_attempt_of_the_same_delivery(book: Book) -> None:
    """Its own open outcome: again where the target dedupes or a person let it go, else not."""
    await book.claim("evt_a", "100")
    assert (await book.claim("evt_a", "100")).answer == "unsure"
    assert (await book.claim("evt_a", "100", dedupes=True)).answer == "go"
    assert (await book.claim("evt_a", "100", released=True)).answer == "go"


async def test_an_open_outcome_survives_an_attempt_that_was_not_sent(book: Book) -> None:
    """The first attempt may have been taken, the second was refused a connection: it is still open."""
    await book.claim("evt_a", "100", dedupes=True)
    second = await book.claim("evt_a", "100", dedupes=True)
    await book.settle(second, "unsent")
    await book.delivery("evt_a", "dead")
    assert (await book.claim("evt_b", "120")).answer == "unsure"
    third = await book.claim("evt_a", "100", dedupes=True)
    await book.settle(third, "refused")
    assert (await book.claim("evt_b", "120")).answer == "go"


async def test_a_late_worker_settles_nothing(book: Book) -> None:
    """Who stalled while another claimed the line anew changes nothing."""
    first = await book.claim("evt_a", "100", dedupes=True)
    second = await book.claim("evt_a", "100", dedupes=True)
    await book.settle(first, "refused")
    await book.settle(second)
    assert (await book.claim("evt_b", "100", at=NOW + 1)).answer == "same"


async def test_taken_back(book: Book) -> None:
    """A line that ends leaves nothing at the target; what was never there needs no taking back."""
    assert (await book.claim("evt_a", None)).answer == "nothing"
    await book.settle(await book.claim("evt_a", "100"))
    gone = await book.claim("evt_b", None, at=NOW + 1)
    assert (gone.answer, gone.content) == ("go", "100")
    await book.settle(gone)
    assert (await book.claim("evt_c", None, at=NOW + 2)).answer == "same"
    back = await book.claim("evt_d", "100", at=NOW + 3)
    assert (back.answer, back.sent, back.there, back.content) == ("go", 2, False, None)


async def test_an_older_state_never_replaces_a_newer_one(book: Book) -> None:
    """By when Planday was read; only a person's new key sends it."""
    await book.settle(await book.claim("evt_b", "120", at=NOW + 60))
    assert (await book.claim("evt_a", "100", read_at=NOW)).answer == "older"
    forced = await book.claim("evt_a", "100", read_at=NOW, anew=True, idempotency_key="key-new")
    assert forced.answer == "go"
    await book.settle(forced)
    assert (await book.claim("evt_a", "100", read_at=NOW, anew=True, idempotency_key="key-new")).answer == "same"


async def test_a_look_marks_nothing(book: Book) -> None:
    """A preview leaves the ledger as it was."""
    assert (await book.claim("evt_a", "100", look=True)).answer == "go"
    assert all("lg:" not in name for name in await book.names())


async def test_after_an_erasure_it_still_protects(book: Book) -> None:
    """The content goes, that it was sent does not; nothing in any key says who it was, or how much."""
    await book.settle(await book.claim("evt_a", "SALARY-31337"))
    assert await book.ledger.forget("4100001", "910233") == 1
    assert (await book.claim("evt_b", "SALARY-31337", at=NOW + 1)).answer == "same"
    changed = await book.claim("evt_b", "other", at=NOW + 1, person=None)
    assert (changed.answer, changed.there, changed.content) == ("go", True, None)
    for name in await book.names():
        raw = await book.client.dump(name)
        assert b"31337" not in raw
        assert "910233" not in name
        assert b"shift/1" not in raw + name.encode()


async def test_nothing_is_readable(book: Book) -> None:
    """Neither the key of a line nor its content stands in Redis in the clear."""
    await book.settle(await book.claim("evt_a", "SALARY-31337"))
    for name in await book.names():
        raw = await book.client.dump(name)
        assert b"31337" not in raw
        assert b"shift/1" not in raw + name.encode()


async def test_it_lives_as_long_as_it_is_told(book: Book) -> None:
    """Counted anew by each sending."""
    await book.settle(await book.claim("evt_a", "100"))
    for name in await book.names():
        if name != book.keys.ledger_key:
            assert 399 * 86400 < await book.client.ttl(name) <= 400 * 86400


async def test_encryption_keys_can_be_exchanged(book: Book, redis_client: redis.asyncio.Redis, prefix: str) -> None:
    """With the old key as the second, then without it: the ledger is the same; with a strange one nothing is sent."""
    await book.settle(await book.claim("evt_a", "100"))
    new = Fernet.generate_key()
    between = Book(redis_client, prefix)
    between.ledger = Ledger(redis_client, between.keys, cipher=FernetCipher([new, KEY]))
    assert (await between.claim("evt_b", "100", at=NOW + 1)).answer == "same"
    after = Book(redis_client, prefix, new)
    found = await after.claim("evt_b", "120", at=NOW + 1, look=True)
    assert (found.answer, found.content) == ("go", "100")
    with pytest.raises(StoreUnfit, match="RELAY_ENCRYPTION_KEYS"):
        await Book(redis_client, prefix, Fernet.generate_key()).claim("evt_b", "100")


async def test_many_processes_make_one_key(redis_client: redis.asyncio.Redis, prefix: str) -> None:
    """Workers that start at once agree on the ledger's own key."""
    books = [Book(redis_client, prefix) for _ in range(10)]
    await asyncio.gather(*(book.claim("evt_a", "100", look=True) for book in books))
    await books[0].settle(await books[0].claim("evt_a", "100"))
    assert {(await book.claim("evt_b", "100", at=NOW + 1)).answer for book in books} == {"same"}
