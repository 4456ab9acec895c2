"""A payroll target with its ledger, over real sockets: corrections, doubt, credentials, certificates."""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from relay.catalog.samples import sample
from relay.events import Outcome
from relay.messages import Messages
from relay.settings import load_mapping
from relay.simulator import create_simulator
from relay.simulator.faults import Fault
from relay.simulator.pay_office import PAY_CLIENT, PAY_SECRET, PAY_TOKEN
from relay.simulator.server import running
from relay.simulator.simulator import Simulator
from relay.store.cipher import FernetCipher
from relay.store.client import command
from relay.store.keys import Keys
from relay.store.ledger import Ledger
from relay.targets import Result, Sending, Target, build_all
from tests.servers import Behaviour, Peer, Server, answer, plain, silent

NOW = 1_790_000_000.0
MAP: dict[str, Any] = {
    "key": {"from": "line.key"},
    "employee": {"from": "data.object.employeeId"},
    "code": {"from": "data.object.salaryCode"},
    "amount": {"from": "data.object.salary", "convert": "decimal", "places": 2},
    "kind": {"from": "line.kind"},
}


class Office:
    """A far side, a ledger, and events of one line, each read a minute later than the one before."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str) -> None:
        self.client = client
        self.keys = Keys(prefix)
        self.ledger = Ledger(client, self.keys, cipher=FernetCipher([Fernet.generate_key()]))
        self._read = 0

    @asynccontextmanager
    async def target(self, url: str, **changes: Any) -> AsyncIterator[Target]:
        body: dict[str, Any] = {
            "type": "payroll-http",
            "url": url,
            "events": ["planday.payroll_line.*"],
            "fields": ["class:A", "class:B", "class:E"],
            "map": MAP,
            "amounts": ["amount"],
            "body": {"list": "lines"},
            "allow_http": True,
            "allow_networks": ["127.0.0.0/8"],
            "retry": {"timeout": "5s"},
        }
        environ = {"T": PAY_TOKEN, "C": PAY_SECRET, **changes.pop("environ", {})}
        settings = load_mapping({"targets": {"pay": {**body, **changes}}}, environ=environ)
        made = build_all(settings.targets, messages=Messages(), ledger=self.ledger)["pay"]
        try:
            yield made
        finally:
            await made.aclose()

    def event(self, event: str, salary: float | None = 100.0, *, code: str = "1100", **changes: Any) -> Sending:
        """A line with this salary (None: it is gone)."""
        self._read += 1
        envelope = sample(f"planday.payroll_line.{'reversed' if salary is None else 'corrected'}")
        if salary is not None:
            envelope["data"]["object"] |= {"salary": salary, "salaryCode": code}
        read = datetime.datetime.fromtimestamp(NOW + 60 * self._read, datetime.UTC)
        envelope["data"]["enrichment"]["fetched_at"] = read.isoformat()
        known: dict[str, Any] = {"event_id": event, "target": "pay", "attempt": 1, "envelope": envelope, "now": NOW}
        return Sending(**{**known, **changes})

    async def ended(self, event: str, state: str) -> None:
        await command(self.client, "HSET", self.keys.delivery(event, "pay"), "st", state)


@pytest.fixture
def office(redis_client: redis.asyncio.Redis, prefix: str) -> Office:
    """Nothing was sent yet."""
    return Office(redis_client, prefix)


def lines(server: Server) -> list[list[tuple[str, str, Decimal]]]:
    """What each request brought: key, kind and amount of its rows."""
    bodies = [json.loads(one.body, parse_float=Decimal)["lines"] for one in server.received]
    return [[(row["key"].partition("/")[2], row["kind"], row["amount"]) for row in rows] for rows in bodies]


async def test_differences(office: Office) -> None:
    """New, up, down, another code, gone, back: what was sent adds up, and every row has a key of its own."""
    async with Server(answer(201)) as server, office.target(server.url, corrections="delta") as target:
        history = [office.event("a", 100.0), office.event("b", 120.5), office.event("c", 90.25)]
        history += [office.event("d", 90.25, code="1200"), office.event("e", None), office.event("f", 50.0)]
        for sending in history:
            assert (await target.send(sending)).outcome is Outcome.DELIVERED
        n = "70010045"
        assert lines(server) == [
            [(n, "new", Decimal("100.00"))],
            [(f"{n}#2", "correction", Decimal("20.50"))],
            [(f"{n}#3", "correction", Decimal("-30.25"))],
            [(f"{n}#4-", "reversal", Decimal("-90.25")), (f"{n}#4", "correction", Decimal("90.25"))],
            [(f"{n}#5", "reversal", Decimal("-90.25"))],
            [(f"{n}#6", "correction", Decimal("50.00"))],
        ]


async def test_whole_lines(office: Office) -> None:
    """The line again under its key; gone: its amounts at zero."""
    async with Server(answer(201)) as server, office.target(server.url) as target:
        for sending in (office.event("a", 100.0), office.event("b", 120.5), office.event("c", None)):
            await target.send(sending)
        n = "70010045"
        assert lines(server) == [
            [(n, "new", Decimal("100.00"))],
            [(n, "correction", Decimal("120.50"))],
            [(n, "reversal", Decimal("0.00"))],
        ]


async def test_what_is_there_is_not_sent(office: Office) -> None:
    """Delivered, with the reason: by which event, and when."""
    async with Server(answer(201)) as server, office.target(server.url) as target:
        await target.send(office.event("evt_a"))
        for sending in (office.event("evt_b"), office.event("evt_a", replay="rp_1"), office.event("evt_a", attempt=3)):
            result = await target.send(sending)
            assert (result.outcome, result.status) == (Outcome.DELIVERED, None)
            assert "has this line with this content already, by evt_a (2026-" in result.reason
        assert server.count == 1


async def test_what_is_not_approved_is_not_sent_and_taken_back(office: Office) -> None:
    """Nothing before the approval; once it is taken back, so is the line."""
    async with Server(answer(201)) as server, office.target(server.url) as target:

        def event(name: str, approved: bool | None) -> Sending:
            made = office.event(name)
            made.envelope["data"]["object"]["isApproved"] = approved
            return made

        assert "is to have nothing" in (await target.send(event("a", False))).reason
        for name, approved in (("b", True), ("c", False), ("d", None)):
            assert (await target.send(event(name, approved))).status == 201
        assert [rows[0][1] for rows in lines(server)] == ["new", "reversal", "correction"]


async def test_a_person_decides_on_corrections(office: Office) -> None:
    """hold: new lines go, what changes one waits; released it goes, whole."""
    async with Server(answer(201)) as server, office.target(server.url, corrections="hold") as target:
        await target.send(office.event("evt_a", 100.0))
        change = office.event("evt_b", 120.0)
        held = await target.send(change)
        assert held.outcome is Outcome.HELD
        assert "the target has this line by evt_a" in held.reason
        assert server.count == 1
        released = await target.send(office.event("evt_b", 120.0, released=True))
        assert released.outcome is Outcome.DELIVERED
        assert lines(server)[1] == [("70010045", "correction", Decimal("120.00"))]


async def test_a_newer_state_is_not_replaced(office: Office) -> None:
    """A forced replay of an old event pays nothing back; only a new key sends it."""
    async with Server(answer(201)) as server, office.target(server.url) as target:
        old = office.event("evt_a", 100.0)
        await target.send(office.event("evt_b", 120.0))
        result = await target.send(old)
        assert result.outcome is Outcome.REJECTED
        assert "newer state of this line, by evt_b" in result.reason
        forced = Sending(
            event_id="evt_a", target="pay", attempt=1, envelope=old.envelope, now=NOW, salt="asked-for", replay="rp_1"
        )
        assert (await target.send(forced)).status == 201
        assert "already" in (await target.send(forced)).reason
        assert lines(server)[1] == [("70010045", "new", Decimal("100.00"))]


async def _hang_up(peer: Peer) -> None:
    await peer.request()


@pytest.mark.parametrize("behaviour", [silent, _hang_up, answer(500), answer(502), answer(504)])
async def test_while_nobody_knows_nothing_more_is_sent(office: Office, behaviour: Behaviour) -> None:
    """No answer, or one after which nobody knows: parked; a correction waits, and says what to do."""
    async with Server(behaviour) as server, office.target(server.url, retry={"timeout": "300ms"}) as target:
        assert (await target.send(office.event("evt_a"))).outcome is Outcome.UNKNOWN
        await office.ended("evt_a", "parked")
        waiting = await target.send(office.event("evt_b", 120.0))
        assert (waiting.outcome, waiting.status) == (Outcome.RETRY, None)
        await office.ended("evt_a", "dead")
        held = await target.send(office.event("evt_b", 120.0))
        assert held.outcome is Outcome.HELD
        assert "relay deliveries cancel evt_a" in held.reason
        again = await target.send(office.event("evt_a"))
        assert again.outcome is Outcome.HELD
        assert "an earlier attempt may have been taken" in again.reason
        assert server.count == 1


@pytest.mark.parametrize(("there", "sent"), [(True, "20.00"), (False, "120.00")])
async def test_a_person_ends_the_doubt(office: Office, there: bool, sent: str) -> None:
    """Cancelled: it is there, so that the next is a difference to it. Released: it is not there."""
    async with (
        Server(silent) as server,
        office.target(server.url, retry={"timeout": "300ms"}, corrections="delta") as target,
    ):
        await target.send(office.event("evt_a", 100.0))
        await office.ended("evt_a", "cancelled" if there else "dead")
        server.behaviour = answer(201)
        result = await target.send(office.event("evt_b", 120.0, released=not there))
        assert result.outcome is Outcome.DELIVERED
        assert lines(server)[1][0][2] == Decimal(sent)


async def test_a_target_that_dedupes_is_sent_to_again(office: Office) -> None:
    """Under the same key; 500 is only trouble to it."""
    statuses = iter((500, 201))

    async def in_turn(peer: Peer) -> None:
        await peer.request()
        await peer.send(plain(next(statuses)))

    async with Server(in_turn) as server, office.target(server.url, dedupes=True) as target:
        assert (await target.send(office.event("evt_a"))).outcome is Outcome.RETRY
        assert (await target.send(office.event("evt_a"))).outcome is Outcome.DELIVERED
        assert len({one.header("idempotency-key") for one in server.received}) == 1


async def test_after_an_erasure(office: Office) -> None:
    """Nothing is paid twice; a difference cannot be made, and a person is told so."""
    async with Server(answer(201)) as server, office.target(server.url, corrections="delta") as target:
        await target.send(office.event("evt_a", 100.0))
        assert await office.ledger.forget("4100001", "910233") == 1
        assert "already" in (await target.send(office.event("evt_b", 100.0))).reason
        held = await target.send(office.event("evt_c", 120.0))
        assert held.outcome is Outcome.HELD
        assert "was erased with the person" in held.reason
        assert server.count == 1


async def test_two_workers_send_one_line_once(office: Office) -> None:
    """Twenty events of one line with one content at once: one request."""
    async with Server(answer(201)) as server, office.target(server.url) as one, office.target(server.url) as other:
        events = [office.event(f"evt_{number}") for number in range(20)]
        for number in range(20):
            await office.ended(f"evt_{number}", "sending")
        sends = [(one if number % 2 else other).send(event) for number, event in enumerate(events)]
        results = await asyncio.gather(*sends)
        assert server.count == 1
        assert {result.outcome for result in results} <= {Outcome.DELIVERED, Outcome.RETRY}


async def test_what_would_be_sent(office: Office) -> None:
    """A preview shows the very request, what it is to the target, and changes nothing."""
    auth = {"type": "bearer", "token": "env:T"}
    async with Server(answer(201)) as server, office.target(server.url, auth=auth) as target:
        new = await target.foresee(office.event("evt_a"))
        assert (new.standing, new.headers["authorization"]) == ("new", "***")
        await target.send(office.event("evt_a"))
        assert server.received[0].body.decode() == new.body
        changed = await target.foresee(office.event("evt_b", 120.0))
        assert (changed.standing, changed.note) == (
            "correction",
            "the target has this line with other content, by evt_a",
        )
        gone = await target.foresee(office.event("evt_c", None))
        assert gone.standing == "reversal"
        same = await target.foresee(office.event("evt_d"))
        assert (same.standing, same.body, same.method) == ("same", "", "")
        assert "by evt_a" in same.note
        assert server.count == 1
        assert PAY_TOKEN not in str((new, changed, gone, same))


# OAuth2 and certificates ---------------------------------------------------------------------------------


@pytest.fixture
async def paying() -> AsyncIterator[tuple[Simulator, str]]:
    """The simulator's pay office on a port."""
    app = create_simulator()
    async with running(app) as url:
        yield app.state.simulator, url


def oauth(url: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "oauth2",
        "token_url": f"{url}/paylines/token",
        "client_id": PAY_CLIENT,
        "client_secret": "env:C",
        **changes,
    }


@pytest.mark.parametrize("client_in", ["body", "header"])
async def test_one_token_for_many_lines(office: Office, paying: tuple[Simulator, str], client_in: str) -> None:
    """Fetched once, however many ask at once; a new one when it is no longer good, and then the line goes once."""
    simulator, url = paying
    auth = oauth(url, client_in=client_in, scope="pay:write", audience="pay")
    async with office.target(f"{url}/paylines/add/x", auth=auth) as target:

        def line(number: int, **changes: Any) -> Sending:
            made = office.event(f"evt_{number}", **changes)
            made.envelope["subject"] = f"payroll_line/{number}"  # type: ignore[index]
            return made

        now = simulator.clock.now().timestamp()
        results = await asyncio.gather(*(target.send(line(number, now=now)) for number in range(10)))
        assert {result.status for result in results} == {201}
        assert len(simulator.pay_office.tokens) == 1
        simulator.pay_office.tokens.clear()  # as if it was taken back
        result = await target.send(line(11, now=now))
        assert result.status == 201
        await target.send(line(12, now=now + 3600))
        assert len(simulator.pay_office.tokens) == 2
        assert simulator.pay_office.books["add", "x"].keys.total() == 12
        assert "authorization" not in str(result.request_headers).lower() or "***" in str(result.request_headers)


@pytest.mark.parametrize(
    ("fault", "outcome", "words"),
    [
        ("503", Outcome.RETRY, "not sent: the token server asks to come back later (503 Service Unavailable)"),
        ("drop", Outcome.RETRY, "not sent: the token server gave no answer"),
        ("status", Outcome.TARGET_BROKEN, "not sent: the token server does not accept our credentials (401"),
        ("empty", Outcome.RETRY, "not sent: the token server's answer holds no access token"),
    ],
)
async def test_without_a_token_nothing_is_sent(
    office: Office, paying: tuple[Simulator, str], fault: str, outcome: Outcome, words: str
) -> None:
    """And the line is free for the next attempt."""
    simulator, url = paying
    simulator.faults.add(Fault(path="/paylines/token", kind=fault, status=401))
    async with office.target(f"{url}/paylines/add/x", auth=oauth(url)) as target:
        now = simulator.clock.now().timestamp()
        result = await target.send(office.event("evt_a", now=now))
        assert result.outcome is outcome
        assert result.reason.startswith(words)
        assert PAY_SECRET not in str(result)
        assert (await target.send(office.event("evt_a", now=now))).status == 201


async def test_a_token_that_is_never_accepted_breaks_the_target(office: Office, paying: tuple[Simulator, str]) -> None:
    """Tried with one new token, not for ever."""
    simulator, url = paying
    async with Server(answer(401)) as server, office.target(server.url, auth=oauth(url)) as target:
        result = await target.send(office.event("evt_a", now=simulator.clock.now().timestamp()))
        assert (result.outcome, server.count) == (Outcome.TARGET_BROKEN, 2)
        assert len(simulator.pay_office.tokens) == 2


async def test_the_token_server_is_guarded(office: Office, paying: tuple[Simulator, str]) -> None:
    """By the same rules as the target: an address that they do not allow is not asked."""
    _, url = paying
    inside = url.replace("127.0.0.1", "localhost")
    async with office.target(url, auth=oauth(inside), allow_networks=["127.0.0.1/32"]) as target:
        assert (await target.send(office.event("evt_a"))).status is not None
    async with Server(answer()) as server:
        auth = oauth(f"http://localhost:{server.port}")
        ports = [server.port]
        async with office.target("http://pay.example", auth=auth, allow_networks=[], allow_ports=ports) as target:
            result = await target.send(office.event("evt_b"))
        assert server.connections == 0
    assert result.outcome is Outcome.TARGET_BROKEN
    assert "the token server is refused" in result.reason


class Authority:
    """A private root that signs certificates for tests."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "private root")])
        self.pem = self._signed(self._name, self._key.public_key(), ca=True)

    def issue(self, name: str) -> tuple[str, str]:
        """A certificate and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._signed(subject, key.public_key(), ca=False), private.decode()

    def _signed(self, subject: x509.Name, key: Any, *, ca: bool) -> str:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode()


async def test_a_certificate_of_our_own_and_a_private_root(office: Office, tmp_path: Path) -> None:
    """With both, the line arrives; without the root nothing is sent, without our certificate nothing is taken."""
    root = Authority()
    for name in ("server", "client"):
        certificate, key = root.issue(name)
        (tmp_path / f"{name}.pem").write_text(certificate + key)
    (tmp_path / "ca.pem").write_text(root.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    context.load_cert_chain(tmp_path / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    whole = {
        "certificate": f"file:{tmp_path}/client.pem",
        "key": f"file:{tmp_path}/client.pem",
        "ca": f"file:{tmp_path}/ca.pem",
    }
    async with Server(answer(201), tls=context) as server:
        url = f"https://localhost:{server.port}"
        networks = ["127.0.0.0/8", "::1/128"]
        async with office.target(url, tls=whole, allow_networks=networks) as target:
            assert (await target.send(office.event("evt_a"))).status == 201
        async with office.target(url, tls={"ca": whole["ca"]}, allow_networks=networks) as target:
            refused: Result = await target.send(office.event("evt_b", 120.0))
            assert refused.status is None
        async with office.target(url, allow_networks=networks) as target:
            other = office.event("evt_c")
            other.envelope["subject"] = "payroll_line/7"  # type: ignore[index]
            untrusted = await target.send(other)
            assert untrusted.outcome is Outcome.RETRY
            assert "the certificate is not accepted" in untrusted.reason
        assert server.count == 1
