"""The outgoing transport on real loopback sockets: what goes out, what comes back, what a failure means."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from relay.errors import AddressRefused, AnswerTooLarge, NotSent, SendError, Unanswered
from relay.http import AddressPolicy, OutgoingTransport
from relay.http.guard import plain_socket
from relay.http.outcome import Call, Stage, explain, plain_cause
from tests.servers import (
    Behaviour,
    Peer,
    Server,
    answer,
    answer_once_then_close,
    answer_with_extra,
    close_after_request,
    drip,
    endless,
    plain,
    raw_answer,
    refuse_early,
    refusing_port,
    reset_after_head,
    reset_after_request,
    reset_at_accept,
    silent,
    stall_after_head,
    zipped,
)

POLICY = AddressPolicy(
    allow_networks=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")), allow_http=True
)
LARGE = b"x" * (8 * 1024 * 1024)  # more than both sockets' buffers hold
SECRET = "/services/T0/B0/s3cret?sig=s3cret"
SOON = 0.2


class LoopbackResolver(AbstractResolver):
    """Every name is this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


class NeverResolver(LoopbackResolver):
    """A name server that does not answer."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        await asyncio.Event().wait()
        return []


@pytest.fixture
async def way_out() -> AsyncIterator[OutgoingTransport]:
    async with OutgoingTransport(POLICY, timeout=5.0) as transport:
        yield transport


def post(url: str, content: bytes = b"{}") -> httpx.Request:
    return httpx.Request("POST", url, content=content)


# --- What goes out ---------------------------------------------------------------------------------------------------


async def test_a_request_arrives_as_it_was_made(way_out: OutgoingTransport) -> None:
    """Names keep their case and order, nothing is added but what HTTP needs, and the answer comes back whole."""
    request = httpx.Request(
        "POST",
        "http://127.0.0.1/",
        headers={"webhook-id": "evt_1", "X-Mixed-Case": "a b", "Content-Type": "application/json"},
        content=b'{"a":1}',
    )
    async with Server(answer(202, b"taken", "X-Answer: yes")) as server:
        request.url = httpx.URL(server.url + "/hooks")
        response = await way_out.send(request)
    (received,) = server.received
    assert received.line == "POST /hooks HTTP/1.1"
    assert received.names == [
        "Host",
        "webhook-id",
        "X-Mixed-Case",
        "Content-Type",
        "Accept-Encoding",
        "Content-Length",
    ]
    assert received.header("accept-encoding") == "identity"
    assert received.body == b'{"a":1}'
    assert (response.status_code, response.content, response.headers["x-answer"]) == (202, b"taken", "yes")
    assert response.request is request
    assert response.extensions["truncated"] is False
    assert response.extensions["encoded"] is False


@pytest.mark.parametrize(
    "target",
    [
        "/workflows/x/triggers/manual/paths/invoke?sp=%2Ftriggers%2Fmanual%2Frun&sig=a%2Bb%3D%3d%20c+d",
        "/a//b/../c;p=1?x=%41&y='\"",
        "/p?q=1&&=",
    ],
)
async def test_a_secret_url_leaves_unmodified(way_out: OutgoingTransport, target: str) -> None:
    """A signature in the query would not survive requoting: what httpx holds is what the far side reads."""
    async with Server(answer()) as server:
        request = post(server.url + target)
        await way_out.send(request)
    assert server.received[0].line == f"POST {request.url.raw_path.decode()} HTTP/1.1"


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 131072, 3_000_000])
async def test_a_body_of_any_size_arrives_whole_and_unchunked(way_out: OutgoingTransport, size: int) -> None:
    """Large bodies go in pieces under one Content-Length."""
    body = bytes(range(256)) * (size // 256 + 1)
    async with Server(answer()) as server:
        response = await way_out.send(post(server.url, body[:size]))
    assert response.status_code == 200
    assert server.received[0].body == body[:size]
    assert server.received[0].header("content-length") == str(size)
    assert server.received[0].header("transfer-encoding") is None


async def test_a_streamed_body_is_gathered_first(way_out: OutgoingTransport) -> None:
    """A caller's async iterator is sent with a length too, so that its end is known."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with Server(answer()) as server:
        await way_out.send(httpx.Request("PUT", server.url, content=pieces()))
    assert server.received[0].body == b"one two"
    assert server.received[0].header("transfer-encoding") is None


async def test_a_get_has_no_body_headers(way_out: OutgoingTransport) -> None:
    """A read of Planday's API does not announce a body."""
    async with Server(answer()) as server:
        await way_out.send(httpx.Request("GET", server.url))
    assert server.received[0].names == ["Host", "Accept-Encoding"]


@pytest.mark.parametrize(
    "header", [("x-a", "one\r\nx-b: two"), ("x-a\r\nx-b", "two"), ("x-a", "nul\0"), ("x-a", b"\xff")]
)
async def test_a_header_that_would_break_the_request_is_not_sent(
    way_out: OutgoingTransport, header: tuple[str, str | bytes]
) -> None:
    """Header injection ends as a permanent NotSent before there is a connection."""
    name, value = header
    raw = value if isinstance(value, bytes) else value.encode()
    async with Server(answer()) as server:
        with pytest.raises(NotSent) as caught:
            await way_out.send(httpx.Request("POST", server.url, headers=[(name.encode(), raw)], content=b"{}"))
    assert caught.value.permanent
    assert server.connections == 0


async def test_cookies_are_not_kept() -> None:
    """A target cannot mark us from one delivery to the next."""
    async with (
        OutgoingTransport(POLICY, resolver=LoopbackResolver()) as transport,
        Server(answer(200, b"", "Set-Cookie: id=1; Path=/")) as server,
    ):
        for _ in range(2):
            await transport.send(post(f"http://hooks.example:{server.port}/"))
    assert [received.header("cookie") for received in server.received] == [None, None]


async def test_a_proxy_in_the_environment_is_ignored(
    way_out: OutgoingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy variable would carry requests past the guard."""
    async with Server(answer(502)) as proxy, Server(answer(200)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        response = await way_out.send(post(server.url))
    assert response.status_code == 200
    assert proxy.connections == 0


async def test_a_redirect_is_an_answer(way_out: OutgoingTransport) -> None:
    """Following it would let a target point us anywhere."""
    async with Server(answer(200)) as elsewhere, Server(answer(307, b"", f"Location: {elsewhere.url}/")) as server:
        response = await way_out.send(post(server.url))
    assert response.status_code == 307
    assert response.headers["location"] == f"{elsewhere.url}/"
    assert (server.count, elsewhere.connections) == (1, 0)


# --- Connections -----------------------------------------------------------------------------------------------------


async def test_connections_are_kept_and_shared(way_out: OutgoingTransport) -> None:
    """Requests one after the other use one connection."""
    async with Server(answer(200, b"ok")) as server:
        for _ in range(5):
            await way_out.send(post(server.url))
    assert (server.count, server.connections) == (5, 1)


async def test_fresh_means_a_connection_per_request() -> None:
    """A target that does not dedupe never sees a request on a connection that may be stale."""
    async with OutgoingTransport(POLICY, fresh=True) as transport, Server(answer(200, b"ok")) as server:
        for _ in range(3):
            await transport.send(post(server.url))
    assert (server.count, server.connections) == (3, 3)
    assert {received.header("connection") for received in server.received} == {"close"}


async def test_the_connection_limit_queues() -> None:
    """With one connection, ten requests at once go one after the other."""
    async with OutgoingTransport(POLICY, limit=1) as transport, Server(answer(200, b"ok")) as server:
        await asyncio.gather(*(transport.send(post(server.url)) for _ in range(10)))
    assert (server.count, server.connections) == (10, 1)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "POST"])
async def test_nothing_is_sent_again_on_a_stale_connection(way_out: OutgoingTransport, method: str) -> None:
    """The far side took the second request and hung up: it is Unanswered, and it was sent exactly once."""
    async with Server(answer_once_then_close) as server:
        await way_out.send(post(server.url))
        with pytest.raises(Unanswered, match="closed without an answer"):
            await way_out.send(httpx.Request(method, server.url))
    assert (server.count, server.connections) == (2, 1)


async def test_aiohttp_still_has_the_switch_against_resending() -> None:
    """We set a private attribute; if aiohttp renames it, this says so before a far side does."""
    async with aiohttp.ClientSession() as session:
        assert session._retry_connection is True


async def test_an_answer_nobody_asked_for_is_not_the_next_answer(way_out: OutgoingTransport) -> None:
    """A 408 left on a kept connection must not be read as the fate of the next delivery."""
    async with Server(answer_with_extra) as server:
        for _ in range(3):
            response = await way_out.send(post(server.url))
            assert (response.status_code, response.content) == (200, b"asked")
            await asyncio.wait_for(server.done.wait(), 5)
            server.done.clear()
            await asyncio.sleep(0.005)  # one turn of the loop brings the bytes from its socket to ours
    assert (server.count, server.connections) == (3, 3)


async def test_cancellation_closes_the_connection(way_out: OutgoingTransport) -> None:
    """A stopping worker leaves nothing open, and gets its CancelledError."""
    async with Server(silent) as server:
        task = asyncio.create_task(way_out.send(post(server.url)))
        await asyncio.wait_for(server.arrived.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.hung_up.wait(), 5)


async def test_a_closed_way_out_sends_nothing() -> None:
    """After aclose() a delivery ends NotSent and is tried again by the next process."""
    transport = OutgoingTransport(POLICY)
    async with Server(answer()) as server:
        await transport.send(post(server.url))
        await transport.aclose()
        with pytest.raises(NotSent, match="stopping"):
            await transport.send(post(server.url))
    assert server.count == 1


# --- Not sent --------------------------------------------------------------------------------------------------------


async def test_refused_was_not_sent(way_out: OutgoingTransport) -> None:
    """Nobody listens."""
    with (
        refusing_port() as port,
        pytest.raises(NotSent, match=r"127\.0\.0\.1: cannot connect \(Connection refused\)") as caught,
    ):
        await way_out.send(post(f"http://127.0.0.1:{port}{SECRET}"))
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert not caught.value.permanent


async def test_a_name_server_that_does_not_answer_is_not_sent() -> None:
    """The look-up counts against the connect time."""
    async with OutgoingTransport(POLICY, resolver=NeverResolver(), connect_timeout=0.05) as transport:
        with pytest.raises(NotSent, match=r"slow\.example: no connection within 0\.05 s"):
            await transport.send(post("http://slow.example/"))


async def test_the_whole_call_cap_counts_while_connecting() -> None:
    """A whole-call cap below the connect time wins."""
    async with OutgoingTransport(POLICY, resolver=NeverResolver()) as transport:
        with pytest.raises(NotSent, match=r"slow\.example: no connection within 0\.05 s"):
            await transport.send(post("http://slow.example/"), timeout=0.05)


@pytest.mark.parametrize("behaviour", [reset_at_accept, reset_after_head])
async def test_a_reset_before_the_end_of_the_body_was_not_sent(
    way_out: OutgoingTransport, behaviour: Behaviour
) -> None:
    """The far side cannot have a request whose last piece never left."""
    async with Server(behaviour) as server:
        with pytest.raises(NotSent, match="the connection broke before the request was complete"):
            await way_out.send(post(server.url + SECRET, LARGE))
    assert server.count == 0


async def test_a_body_nobody_reads_was_not_sent() -> None:
    """A far side that stops reading costs the whole-call cap and no more: the socket is dropped with its buffer."""
    opened: list[socket.socket] = []

    def remember(address: aiohttp.AddrInfoType) -> socket.socket:
        opened.append(plain_socket(address))
        return opened[0]

    async with OutgoingTransport(POLICY, open_socket=remember) as transport, Server(stall_after_head) as server:
        with pytest.raises(NotSent, match="could not be handed over whole within"):
            await transport.send(post(server.url, LARGE), timeout=SOON)
        for _ in range(3):
            await asyncio.sleep(0)
        assert opened[0].fileno() == -1
    assert server.count == 0


async def test_a_small_request_on_a_reset_connection_is_never_called_delivered(way_out: OutgoingTransport) -> None:
    """Whichever side the race falls on, it is a SendError and the far side counted nothing."""
    async with Server(reset_at_accept) as server:
        with pytest.raises(SendError):
            await way_out.send(post(server.url))
    assert server.count == 0


# --- Unanswered ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"{}", b"x" * 300_000], ids=["small", "large"])
@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (close_after_request, "closed without an answer"),
        (reset_after_request, "broke before the answer"),
        (silent, r"no whole answer came within 0\.2 s"),
    ],
)
async def test_sent_and_no_answer(way_out: OutgoingTransport, behaviour: Behaviour, words: str, body: bytes) -> None:
    """The far side has the request: it may have acted on it, and its count is ours."""
    async with Server(behaviour) as server:
        with pytest.raises(Unanswered, match=words):
            await way_out.send(post(server.url + SECRET, body), timeout=SOON)
    assert (server.count, server.connections) == (1, 1)


GARBAGE = {
    "not-http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no-status": b"HTTP/1.1\r\n\r\n",
    "status-word": b"HTTP/1.1 OK fine\r\n\r\n",
    "binary": bytes(range(256)),
    "bad-header": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
    "header-name": b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
    "bad-length": b"HTTP/1.1 200 OK\r\nContent-Length: seven\r\n\r\nabc",
    "negative-length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "long-header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "many-headers": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 1000 + b"\r\n",
    "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "cut-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
    "cut-body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    "cut-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "only-continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "one-byte": b"\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_is_unanswered(way_out: OutgoingTransport, data: bytes) -> None:
    """No foreign exception leaks, whatever comes; the text quotes nothing of it."""
    async with Server(raw_answer(data)) as server:
        with pytest.raises(Unanswered) as caught:
            await way_out.send(post(server.url + SECRET))
    assert server.count == 1
    assert "s3cret" not in str(caught.value)
    assert "abc" not in str(caught.value)


async def test_an_answer_that_drips_is_cut_off_by_the_whole_call_cap(way_out: OutgoingTransport) -> None:
    """Each byte comes in time, the answer does not; the text tells the status that had come."""
    async with Server(drip) as server:
        with pytest.raises(Unanswered, match=r"answer 200 began, but no whole answer came within 0\.2 s"):
            await way_out.send(post(server.url), timeout=SOON)
    assert server.count == 1


# --- Answers ---------------------------------------------------------------------------------------------------------


async def test_a_too_large_answer_keeps_its_status_and_its_first_bytes(way_out: OutgoingTransport) -> None:
    """For a target the status decides; a body without end is cut and its connection closed."""
    async with Server(endless) as server:
        response = await way_out.send(post(server.url), max_answer=1000)
    assert (response.status_code, response.content) == (200, b"x" * 1000)
    assert response.extensions["truncated"] is True


async def test_a_caller_that_needs_all_of_it_gets_an_error_instead() -> None:
    """Half a page of Planday's is worth nothing."""
    async with OutgoingTransport(POLICY, strict_size=True) as transport, Server(endless) as server:
        with pytest.raises(AnswerTooLarge, match="answer 200 is larger than 65536 bytes"):
            await transport.send(httpx.Request("GET", server.url))
    assert server.count == 1


@pytest.mark.parametrize("over", [0, 1])
async def test_the_size_limit_is_exact(way_out: OutgoingTransport, over: int) -> None:
    """An answer of just the limit is whole and leaves its connection usable."""
    async with Server(answer(200, b"y" * (1000 + over))) as server:
        for _ in range(2):
            response = await way_out.send(post(server.url), max_answer=1000)
            assert response.content == b"y" * 1000
            assert response.extensions["truncated"] is bool(over)
    assert server.connections == 1, "both came whole, so nothing had to be cut off"


async def test_gzip_is_not_opened(way_out: OutgoingTransport) -> None:
    """A small gzip can hold a huge body; raw bytes are counted and handed on, marked."""
    async with Server(zipped(b"z" * 1_000_000)) as server:
        response = await way_out.send(post(server.url))
    assert response.content.startswith(b"\x1f\x8b")
    assert len(response.content) < 2000
    assert response.extensions["encoded"] is True
    assert "content-encoding" not in response.headers


async def test_an_early_answer_counts_and_the_rest_is_not_sent(way_out: OutgoingTransport) -> None:
    """A far side may refuse a large body by its headers: its answer is the answer, and the connection ends."""
    async with Server(refuse_early) as server:
        response = await way_out.send(post(server.url, LARGE))
        assert (response.status_code, response.content) == (413, b"too large")
        await asyncio.wait_for(server.hung_up.wait(), 5)
    assert server.count == 0


@pytest.mark.parametrize(
    ("data", "status", "content"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200, b"abcde"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + plain(201, b"made"), 201, b"made"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + plain(503, b"later"), 503, b"later"),
        (b"HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n", 599, b""),
    ],
)
async def test_every_proper_framing_is_read(
    way_out: OutgoingTransport, data: bytes, status: int, content: bytes
) -> None:
    """Lengths, chunks, no body, body until the end, and interim answers."""
    async with Server(raw_answer(data)) as server:
        response = await way_out.send(post(server.url))
    assert (response.status_code, response.content) == (status, content)


async def test_a_head_answer_has_no_body(way_out: OutgoingTransport) -> None:
    """A Content-Length on it announces nothing to wait for."""

    async def behave(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")

    async with Server(behave) as server:
        for _ in range(2):
            response = await way_out.send(httpx.Request("HEAD", server.url))
            assert (response.status_code, response.content) == (200, b"")
    assert server.connections == 1


# --- Through httpx ---------------------------------------------------------------------------------------------------


async def test_it_serves_an_httpx_client(way_out: OutgoingTransport) -> None:
    """The Planday client may speak httpx's API; its default Accept-Encoding does not come through."""
    async with (
        Server(answer(200, b'{"data": []}', "Content-Type: application/json")) as server,
        httpx.AsyncClient(transport=way_out, base_url=server.url, trust_env=False) as client,
    ):
        response = await client.get("/hr/v1.0/employees", params={"limit": 50}, headers={"X-ClientId": "abc"})
    assert response.json() == {"data": []}
    assert server.received[0].line == "GET /hr/v1.0/employees?limit=50 HTTP/1.1"
    assert server.received[0].header("accept-encoding") == "identity"
    assert "X-ClientId" in server.received[0].names


@pytest.mark.parametrize(
    "extensions", [{"relay_total": 0.1}, {"timeout": {"connect": 0.05, "read": 0.05, "write": 5, "pool": 5}}]
)
async def test_time_limits_come_from_the_request(way_out: OutgoingTransport, extensions: dict[str, object]) -> None:
    """`relay_total` caps the call; else httpx's connect and read time together do."""
    async with Server(silent) as server:
        request = httpx.Request("GET", server.url, extensions=extensions)
        with pytest.raises(Unanswered, match=r"within 0\.1 s"):
            await way_out.handle_async_request(request)


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for hooks.example, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_a_trusted_certificate_is_checked_by_name(certificate: Path, tls: ssl.SSLContext) -> None:
    """The connection goes to the checked address; the certificate is for the name in the URL."""
    trusting = ssl.create_default_context(cafile=certificate)
    async with (
        OutgoingTransport(POLICY, ssl_context=trusting, resolver=LoopbackResolver()) as transport,
        Server(answer(200, b"ok"), tls=tls) as server,
    ):
        response = await transport.send(post(f"https://hooks.example:{server.port}/", b"x" * 300_000))
        assert response.content == b"ok"
        assert server.received[0].header("host") == f"hooks.example:{server.port}"
        with pytest.raises(NotSent, match=r"TLS: the certificate is not accepted \(Hostname mismatch"):
            await transport.send(post(f"https://other.example:{server.port}/"))
    assert server.count == 1


async def test_an_untrusted_certificate_is_not_sent_to(tls: ssl.SSLContext) -> None:
    """Certificates are checked by default; the operator may mend it, so it is not permanent."""
    async with (
        OutgoingTransport(POLICY, resolver=LoopbackResolver()) as transport,
        Server(answer(), tls=tls) as server,
    ):
        with pytest.raises(
            NotSent, match=r"hooks\.example: TLS: the certificate is not accepted \(self-signed"
        ) as caught:
            await transport.send(post(f"https://hooks.example:{server.port}{SECRET}"))
    assert not caught.value.permanent
    assert server.count == 0


@pytest.mark.parametrize(
    ("speaks", "words"), [(True, r"hooks\.example: TLS failed \("), (False, "no connection within")]
)
async def test_a_far_side_without_tls_gets_nothing(speaks: bool, words: str) -> None:
    """Neither a plain server nor one that never shakes hands sees a byte of the request."""

    async def behave(peer: Peer) -> None:
        if speaks:
            await peer.send(b"HTTP/1.1 400 Plain\r\n\r\n")
        await peer.gone()

    async with (
        OutgoingTransport(POLICY, resolver=LoopbackResolver(), connect_timeout=SOON) as transport,
        Server(behave) as server,
    ):
        with pytest.raises(NotSent, match=words):
            await transport.send(post(f"https://hooks.example:{server.port}/"))
    assert server.count == 0


# --- Errors ----------------------------------------------------------------------------------------------------------

_URL = URL("https://hooks.example/services/s3cret?sig=s3cret", encoded=True)
_INFO = RequestInfo(_URL, "POST", CIMultiDictProxy(CIMultiDict({"Authorization": "s3cret"})), _URL)
_KEY = ConnectionKey("hooks.example", 443, True, True, None, None, None)
_OS = OSError(111, "Connect call failed")
_CERT = ssl.SSLCertVerificationError(1, "certificate verify failed")
FOREIGN: dict[type[BaseException], Exception] = {
    aiohttp.ClientError: aiohttp.ClientError(str(_URL)),
    aiohttp.ClientPayloadError: aiohttp.ClientPayloadError(str(_URL)),
    aiohttp.InvalidURL: aiohttp.InvalidURL(_URL),
    aiohttp.ClientConnectionResetError: aiohttp.ClientConnectionResetError(str(_URL)),
    aiohttp.ClientOSError: aiohttp.ClientOSError(32, f"Can not write request body for {_URL}"),
    aiohttp.ClientConnectorCertificateError: aiohttp.ClientConnectorCertificateError(_KEY, _CERT),
    aiohttp.ServerFingerprintMismatch: aiohttp.ServerFingerprintMismatch(b"a", b"b", "hooks.example", 443),
}


def _every_client_error() -> Iterator[type[aiohttp.ClientError]]:
    todo: list[type[aiohttp.ClientError]] = [aiohttp.ClientError]
    seen: set[type[aiohttp.ClientError]] = set()
    while todo:
        kind = todo.pop()
        if kind not in seen and kind.__module__.startswith("aiohttp"):
            seen.add(kind)
            yield kind
        todo.extend(kind.__subclasses__())


def _made(kind: type[aiohttp.ClientError]) -> Exception:
    if kind in FOREIGN:
        return FOREIGN[kind]
    if issubclass(kind, aiohttp.ClientResponseError):
        return kind(_INFO, (), status=400, message=str(_URL))
    if issubclass(kind, UnixClientConnectorError):
        return kind("/run/x", _KEY, _OS)
    if issubclass(kind, aiohttp.ClientConnectorError):
        return kind(_KEY, _OS)
    return kind(str(_URL))


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("kind", sorted(set(_every_client_error()), key=repr))
def test_no_client_error_is_unmapped(kind: type[aiohttp.ClientError], stage: Stage) -> None:
    """Any aiohttp error, present or added by a release, becomes ours by the stage alone, and shows no URL."""
    error = explain(_made(kind), Call("hooks.example", 1, 1, True, stage))
    assert type(error) is (Unanswered if stage is Stage.SENT else NotSent)
    assert str(error).startswith("hooks.example: ")
    assert "s3cret" not in str(error)


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize(
    "failure",
    [
        TimeoutError(),
        OSError("s3cret"),
        ConnectionResetError(104, "s3cret"),
        BrokenPipeError(32, "s3cret"),
        ssl.SSLError(1, "s3cret"),
        _CERT,
        socket.gaierror(-2, "s3cret"),
        RuntimeError("s3cret"),
        AssertionError("s3cret"),
        ValueError("s3cret"),
        asyncio.IncompleteReadError(b"s3cret", 10),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_other_error_is_unmapped(failure: Exception, stage: Stage) -> None:
    """Time-outs, the system's and TLS's errors, and faults inside the client library alike."""
    error = explain(failure, Call("hooks.example", 1, 1, True, stage))
    assert type(error) is (Unanswered if stage is Stage.SENT else NotSent)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    "behaviour", [close_after_request, reset_after_request, silent, drip, raw_answer(b"SSH\r\n\r\n")]
)
async def test_no_foreign_error_hangs_on_ours(way_out: OutgoingTransport, behaviour: Behaviour) -> None:
    """Neither cause nor context holds a text with the URL, for a tracker that prints the chain."""
    async with Server(behaviour) as server:
        with pytest.raises(Unanswered) as caught:
            await way_out.send(post(server.url + SECRET), timeout=SOON)
    link: BaseException | None = caught.value
    while link is not None:
        assert not isinstance(link, aiohttp.ClientError)
        assert "s3cret" not in repr(link)
        link = link.__cause__ or link.__context__


async def test_a_system_error_stays_as_the_cause() -> None:
    """What the operating system said is kept for the log."""
    wrapped = aiohttp.ClientOSError(104, str(_URL))
    wrapped.__cause__ = reset = ConnectionResetError(104, "Connection reset by peer")
    assert plain_cause(wrapped) is reset
    assert plain_cause(aiohttp.ClientPayloadError(str(_URL))) is None


async def test_the_guard_stands_in_front_of_real_sockets() -> None:
    """Without allow_networks the loopback itself is refused, and the server sees no connection."""
    async with Server(answer()) as server, OutgoingTransport(AddressPolicy(allow_http=True)) as transport:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(AddressRefused):
                await transport.send(post(f"http://{host}:{server.port}/"))
    assert server.connections == 0
