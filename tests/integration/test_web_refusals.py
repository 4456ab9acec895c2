"""The table of bad requests: each gets the answer that helps its sender, none is a 500, none stores anything."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from relay.store.server import EmbeddedServer
from tests.integration.web_world import (
    HMAC_SECRET,
    PASSWORD,
    PORTAL,
    Headers,
    Web,
    encoded,
    pointers,
    problem,
    raw,
    settings,
    signed,
    thin,
    web_over,
)

GOOD = encoded(thin())
OTHER_SECRET = "whsec_" + base64.b64encode(b"a secret of somebody else's here").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """One bad request and what must come of it; `headers` are made when it is sent, since signatures age."""

    name: str
    status: int
    slug: str
    body: bytes = GOOD
    headers: Callable[[bytes], Headers] = signed
    at: tuple[str, ...] = ()
    source: str = "planday"
    method: str = "POST"
    path: str | None = None
    chunked: bool = False
    kept: bool = False


def _with(**changes: Any) -> Callable[[bytes], Headers]:
    return lambda body: signed(body, **changes)


def _aged(seconds: float) -> Callable[[bytes], Headers]:
    return lambda body: signed(body, at=time.time() + seconds)


def _of_another_body(body: bytes) -> Headers:
    return signed(body + b" ")


def _restamped(body: bytes) -> Headers:
    now = time.time()
    return signed(body, at=now - 10, webhook_timestamp=str(int(now)))


def _plain(**headers: str) -> Callable[[bytes], Headers]:
    named = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _body: raw(named)


def _twice(name: str) -> Callable[[bytes], Headers]:
    def make(body: bytes) -> Headers:
        headers = signed(body)
        return headers + [pair for pair in headers if pair[0].decode() == name]

    return make


def _stale_stamp(body: bytes) -> Headers:
    stamp = str(int(time.time()) - 3600)
    digest = hmac.new(HMAC_SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return _plain(x_signature=digest, x_timestamp=stamp)(body)


def _of_github(change: Callable[[str], str]) -> Callable[[bytes], Headers]:
    def make(body: bytes) -> Headers:
        digest = hmac.new(HMAC_SECRET.encode(), body, hashlib.sha256).hexdigest()
        return _plain(x_hub_signature_256=change(digest))(body)

    return make


def _basic(text: str) -> Callable[[bytes], Headers]:
    return _plain(authorization="Basic " + base64.b64encode(text.encode()).decode())


def _signatures() -> Iterator[Bad]:
    def bad(name: str, headers: Callable[[bytes], Headers], source: str = "planday") -> Bad:
        return Bad(name=name, status=401, slug="signature", headers=headers, source=source)

    yield bad("no proof at all", _plain())
    yield bad("no webhook-id", _with(webhook_id=None))
    yield bad("no webhook-timestamp", _with(webhook_timestamp=None))
    yield bad("no webhook-signature", _with(webhook_signature=None))
    yield bad("empty signature", _with(webhook_signature=""))
    yield bad("signed with another secret", _with(secret=OTHER_SECRET))
    yield bad("body changed after signing", _of_another_body)
    yield bad("id changed after signing", _with(webhook_id="msg_other"))
    yield bad("timestamp changed after signing", _restamped)
    yield bad("sender's clock 10 minutes slow", _aged(-600))
    yield bad("sender's clock 10 minutes fast", _aged(600))
    yield bad("timestamp is no number", _with(webhook_timestamp="yesterday"))
    yield bad("timestamp with decimals", _with(webhook_timestamp="1790000000.5"))
    yield bad("timestamp too large for a clock", _with(webhook_timestamp="9" * 40))
    yield bad("signature is no base64", _with(webhook_signature="v1,***"))
    yield bad("signature without its version", _with(webhook_signature=base64.b64encode(b"x" * 32).decode()))
    yield bad("signature of a version not read here", _with(webhook_signature="v1a," + "A" * 44))
    yield bad("seventeen signatures", _with(webhook_signature=" ".join(["v1,AAAA"] * 17)))
    yield bad("signature header twice", _twice("webhook-signature"))
    yield bad("id header twice", _twice("webhook-id"))
    yield bad("id with a dot", lambda body: signed(body, message_id="a.b"))
    yield bad("bytes beyond ASCII in the signature", _with(webhook_signature="v1,\xff\xfe"))
    yield bad("GitHub style, no header", _plain(), "github")
    yield bad("GitHub style, prefix left out", _of_github(lambda digest: digest), "github")
    yield bad("GitHub style, digest cut short", _of_github(lambda digest: f"sha256={digest[:-1]}"), "github")
    yield bad("GitHub style, case mixed", _of_github(lambda digest: "sha256=a" + digest[1:].upper()), "github")
    yield bad("signed time an hour old", _stale_stamp, "stamped")
    yield bad("wrong token", _plain(authorization="Bearer something-else"), "token")
    yield bad("token without its prefix", _plain(authorization=HMAC_SECRET), "token")
    yield bad("wrong password", _basic("quinyx:guess"), "basic")
    yield bad("wrong user", _basic(f"somebody:{PASSWORD}"), "basic")
    yield bad("basic is no base64", _plain(authorization="Basic ***"), "basic")


def _addresses() -> Iterator[Bad]:
    yield Bad(name="unknown source", status=404, slug="no-such-source", source="nobody")
    yield Bad(name="path goes on", status=404, slug="nothing-here", path="/in/planday/shifts")
    yield Bad(name="slash at the end", status=404, slug="nothing-here", path="/in/planday/")
    yield Bad(name="no source in the path", status=404, slug="nothing-here", path="/in")
    yield Bad(name="source with an escaped slash", status=404, slug="nothing-here", path="/in/planday%2Fx")
    yield Bad(name="GET", status=405, slug="method", method="GET")
    yield Bad(name="PUT", status=405, slug="method", method="PUT")
    yield Bad(name="DELETE", status=405, slug="method", method="DELETE")


def _sizes_and_types() -> Iterator[Bad]:
    large = encoded(thin(data={"pad": "x" * 65_536}))

    def media(name: str, headers: Callable[[bytes], Headers], body: bytes = GOOD, *, kept: bool = True) -> Bad:
        return Bad(name=name, status=415, slug="media-type", headers=headers, body=body, kept=kept)

    yield Bad(name="too large, length given", status=413, slug="body-too-large", body=large)
    yield Bad(name="too large, in chunks", status=413, slug="body-too-large", body=large, chunked=True)
    yield Bad(name="too large and not signed", status=413, slug="body-too-large", body=large, headers=_plain())
    yield media("no content type", _with(content_type=None))
    yield media("text/plain", _with(content_type="text/plain"))
    yield media("a form", _with(content_type="application/x-www-form-urlencoded"))
    yield media("content type is no type", _with(content_type=";;;"))
    yield media("charset latin-1", _with(content_type="application/json; charset=iso-8859-1"))
    yield media("content type twice", _twice("content-type"))
    yield media("gzip, signed after compressing", _with(content_encoding="gzip"), gzip.compress(GOOD), kept=False)
    yield media("gzip, signed before compressing", _with(content_encoding="gzip"), kept=False)
    yield media("brotli", _with(content_encoding="br"), kept=False)


def _not_json() -> Iterator[Bad]:
    def bad(name: str, body: bytes) -> Bad:
        return Bad(name=name, status=400, slug="not-json", body=body, kept=True)

    yield bad("empty body", b"")
    yield bad("words", b"shift 7 was updated")
    yield bad("a form in JSON's clothes", b"type=planday.shift.updated")
    yield bad("cut off", GOOD[:-5])
    yield bad("two objects", GOOD + GOOD)
    yield bad("single quotes", b"{'type': 'planday.shift.updated'}")
    yield bad("no UTF-8", b'{"type": "planday.shift.updated\xff\xfe"}')
    yield bad("UTF-16", GOOD.decode().encode("utf-16"))
    yield bad("a lone surrogate", GOOD[:-1] + b', "data": "\\ud800"}')
    yield bad("NaN", GOOD[:-1] + b', "data": NaN}')
    yield bad("Infinity", GOOD[:-1] + b', "data": -Infinity}')
    yield bad("20,000 brackets", b"[" * 20_000)
    yield bad("20,000 nested objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000)


def _shapes() -> Iterator[Bad]:
    def bad(name: str, content: Any, *at: str, source: str = "planday", **more: Any) -> Bad:
        kept = source == "planday"
        return Bad(
            name=name, status=422, slug="envelope", body=encoded(content), at=at, source=source, kept=kept, **more
        )

    yield bad("a word", "planday.shift.updated", "")
    yield bad("null", None, "")
    yield bad("a number", 7, "")
    yield bad("an empty object", {}, "/type", "/subject", "/source")
    yield bad("no type", thin(type=None), "/type")
    yield bad("type of one word", thin(type="updated"), "/type")
    yield bad("type is a list", thin(type=["planday.shift.updated"]), "/type")
    yield bad("type too long", thin(type="planday." + "x" * 128), "/type")
    yield bad("type of the relay's own", thin(type="relay.delivery.failed"), "/type")
    yield bad("no subject", thin(subject=None), "/subject")
    yield bad("subject without an entity", thin(subject="70010045"), "/subject")
    yield bad("subject that climbs", thin(subject="shift/../../admin"), "/subject")
    yield bad("subject with a line break", thin(subject="shift/7\r\nx: y"), "/subject")
    yield bad("no portal", thin(portalid=None), "/source")
    yield bad("portal 0", thin(portalid=0), "/portalid")
    yield bad("portal below 0", thin(portalid=-1), "/portalid")
    yield bad("portal with decimals", thin(portalid=4100001.5), "/portalid")
    yield bad("portal true", thin(portalid=True), "/portalid")
    yield bad("portal by name", thin(portalid="bistro"), "/portalid")
    yield bad("portal too large", thin(portalid=2**63), "/portalid")
    yield bad("two portals", thin(source="urn:planday:portal:4100002"), "/portalid")
    yield bad("source is no text", thin(source=7), "/source")
    yield bad("time without offset", thin(time="2026-03-01T08:00:00"), "/time")
    yield bad("time that no calendar has", thin(time="2026-02-30T08:00:00Z"), "/time")
    yield bad("time as a number", thin(time=1790000000), "/time")
    yield bad("CloudEvents 0.3", thin(specversion="0.3"), "/specversion")
    yield bad("data of another type", thin(datacontenttype="text/xml"), "/datacontenttype")
    yield bad("binary data", thin(data_base64="AAAA"), "/data_base64")
    yield bad("data nested 100 deep", thin(data=json.loads("[" * 100 + "]" * 100)), "/data")
    yield bad("a number beyond doubles", GOOD[:-1] + b', "data": 1e999}', "/data")
    yield bad("empty id", thin(id=""), "/id")
    yield bad("id too long", thin(id="x" * 257), "/id")
    yield bad("id is a number", thin(id=7), "/id")
    yield bad("misspelt attribute", thin(portalId=PORTAL), "/portalId")
    yield bad("attribute is an object", thin(region={"name": "north"}), "/region")
    yield bad("twenty-one attributes", thin(**{f"a{n}": "x" for n in range(21)}), "")
    yield bad("three faults at once", thin(type="x", subject="y", time="z"), "/type", "/subject", "/time")
    yield bad("empty batch", [], "")
    yield bad("101 events", [thin(n) for n in range(101)], "")
    yield bad("one bad member among good ones", [thin(1), thin(2, type="x"), thin(3)], "/1/type")
    yield bad("the last of 100 is bad", [*(thin(n) for n in range(99)), thin(99, subject=None)], "/99/subject")
    yield bad("a batch within a batch", [thin(1), [thin(2)]], "/1")
    yield bad("batch type, one event", thin(), "", headers=_with(content_type="application/cloudevents-batch+json"))
    yield bad("event type, a batch", [thin()], "", headers=_with(content_type="application/cloudevents+json"))
    yield bad("a map that finds nothing", {"topic": None}, "", source="mapped", headers=_plain())
    yield bad("a map, of a list", [1, 2], "/0", "/1", source="mapped", headers=_plain())


TABLE = [*_signatures(), *_addresses(), *_sizes_and_types(), *_not_json(), *_shapes()]


@pytest.fixture
async def web(redis_server: str, prefix: str) -> AsyncIterator[Web]:
    async with web_over(settings(redis_server, prefix)) as one:
        yield one


async def _in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
async def test_a_bad_request_is_answered_and_stores_nothing(web: Web, bad: Bad) -> None:
    """Its status, its kind of problem and the place of each fault; the store is as it was, but for the quarantine."""
    content = _in_chunks(bad.body) if bad.chunked else bad.body
    path = bad.path or f"/in/{bad.source}"
    answer = await web.client.request(bad.method, path, content=content, headers=bad.headers(bad.body))
    body = problem(answer, bad.status, bad.slug)
    assert set(bad.at) <= set(pointers(body)), body
    assert bool(pointers(body)) == bool(bad.at)
    assert await web.count() == 0
    assert len(await web.quarantined()) == int(bad.kept)


def test_the_table_is_as_long_as_was_asked_for() -> None:
    """At least 40 different ways to be wrong, each told apart by name, and none expected to be a fault of ours."""
    assert len({bad.name for bad in TABLE}) == len(TABLE) >= 40
    assert all(400 <= bad.status < 500 for bad in TABLE)


async def test_which_check_failed_is_never_said(web: Web) -> None:
    """All refused signatures of one source get the same answer, byte for byte."""
    answers = set()
    for bad in _signatures():
        if bad.source == "planday":
            answer = await web.client.post("/in/planday", content=bad.body, headers=bad.headers(bad.body))
            answers.add((answer.content, answer.headers["www-authenticate"]))
    assert len(answers) == 1


async def test_a_basic_source_asks_for_basic(web: Web) -> None:
    """Clients that wait for the challenge before they send a password get it."""
    answer = await web.send(GOOD, _plain()(GOOD), source="basic")
    problem(answer, 401, "signature")
    assert answer.headers["www-authenticate"].startswith("Basic ")


async def test_a_refused_method_names_the_right_one(web: Web) -> None:
    """405 says what is allowed."""
    answer = await web.client.get("/in/planday")
    problem(answer, 405, "method")
    assert answer.headers["allow"] == "OPTIONS, POST"


async def test_no_answer_repeats_what_was_sent(web: Web) -> None:
    """An answer may end in a log of the sender's; the values of an event are not in it."""
    marker = "Jensen-1203851234"
    content = thin(type=marker, subject=marker, time=marker, portalid=marker, region={"x": marker}, id=f"{marker}\n")
    answer = await web.send(content)
    problem(answer, 422, "envelope")
    assert marker not in answer.text
    kept = await web.quarantined()
    assert marker not in kept[0].reason
    assert marker in kept[0].body


def test_the_table_of_the_docs_is_this_one() -> None:
    """docs/api.md shows every row; `python -m tests.integration.test_web_refusals` prints them, answers included."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    assert [row for bad in TABLE if (row := _row(bad)) not in page] == []


def _row(bad: Bad) -> str:
    at = ", ".join(f"`{pointer}`" if pointer else "(the body)" for pointer in bad.at)
    return f"| {bad.name} | {bad.status} | `{bad.slug}` | {at} |"


async def _print_table() -> None:
    """Send every bad request to a relay of our own and print what it answers."""
    with TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        async with web_over(settings(server.url, "table:")) as web:
            for bad in TABLE:
                answer = await web.client.request(
                    bad.method,
                    bad.path or f"/in/{bad.source}",
                    content=_in_chunks(bad.body) if bad.chunked else bad.body,
                    headers=bad.headers(bad.body),
                )
                print(_row(bad), f"{answer.status_code} {answer.text}")


if __name__ == "__main__":
    asyncio.run(_print_table())
