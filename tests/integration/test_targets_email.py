"""Mail: the same claims as for every target, over SMTP on the loopback; and what only mail has to promise."""

from __future__ import annotations

import contextlib
import datetime
import ssl
import tempfile
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from relay.errors import ConfigError
from relay.events import Outcome
from relay.messages import TYPES, Messages, sample
from relay.settings import EmailTarget, Secret, Text
from relay.targets import Result, Sending, Target, build
from tests.servers import refusing_port
from tests.smtp_server import MailServer

MESSAGES = Messages()
HOST = "localhost"


class Certificate:
    """A certificate of its own root, for one host name."""

    def __init__(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.pem = made.public_bytes(serialization.Encoding.PEM).decode()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "both.pem")
            path.write_bytes(private + self.pem.encode())
            self.context.load_cert_chain(path)


CERTIFICATE = Certificate(HOST)


@contextlib.asynccontextmanager
async def target(
    port: int, *, timeout: str = "5s", public_url: str | None = None, **more: Any
) -> AsyncIterator[Target]:
    known: dict[str, Any] = {
        "type": "email",
        "events": ("*",),
        "server": HOST,
        "port": port,
        "tls": "none",
        "sender": "relay@bistro.example",
        "recipients": ("a@bistro.example", "b@bistro.example"),
        "allow_networks": ("127.0.0.0/8", "::1/128"),
        "retry": {"timeout": timeout},
    }
    settings = EmailTarget(**{**known, **more})
    made = build("mail", settings, messages=MESSAGES, public_url=public_url)
    try:
        yield made
    finally:
        await made.aclose()


def sending(number: int = 1, type_: str = "planday.shift.published", **changes: Any) -> Sending:
    known: dict[str, Any] = {
        "event_id": f"evt_{number}",
        "target": "mail",
        "attempt": 1,
        "now": 1_790_000_000.0,
        "envelope": sample(type_) | {"subject": f"shift/{number}"},
    }
    return Sending(**{**known, **changes})


async def attempt(replies: dict[str, str] | None = None, *, mails: int = 0, **more: Any) -> Result:
    async with MailServer(replies=replies) as server, target(server.port, **more) as made:
        result = await made.send(sending())
        assert len(server.mails) == mails
        assert len(result.reason) < 300
        assert "bistro.example" not in str(result)
        return result


def parsed(content: bytes) -> EmailMessage:
    mail = message_from_bytes(content, policy=default)
    assert isinstance(mail, EmailMessage)
    assert mail.defects == []
    return mail


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


async def test_a_mail_arrives_whole() -> None:
    """Sender, recipients, the words as text and as HTML, and the signs by which machines know a machine."""
    async with MailServer() as server, target(server.port, public_url="https://relay.example") as made:
        result = await made.send(sending())
        (taken,) = server.mails
    assert (result.outcome, result.status) == (Outcome.DELIVERED, 250)
    assert (taken.sender, taken.recipients) == ("relay@bistro.example", ["a@bistro.example", "b@bistro.example"])
    mail = parsed(taken.content)
    assert (mail["subject"], mail["to"]) == ("Shift published", "a@bistro.example, b@bistro.example")
    assert mail["from"] == "planday-relay <relay@bistro.example>"
    assert mail["auto-submitted"] == "auto-generated"
    assert mail["date"].datetime.timestamp() == 1_790_000_000
    assert part(mail, "plain") == (
        "Shift published\n\nIda Testrup · Harbour · Waiter\nSat 24 Oct 2026, 20:00–03:30 (next day)\n\n"
        "Bistro Demo · Europe/Copenhagen\n\nOpen in planday-relay: https://relay.example/events/evt_1\n"
    )
    assert "<strong>Ida Testrup</strong> · Harbour · Waiter<br>Sat 24 Oct 2026" in part(mail, "html")
    assert '<a href="https://relay.example/events/evt_1">' in part(mail, "html")


async def test_a_resend_is_recognisable() -> None:
    """The same Message-ID on every attempt, another one for a forced resend or other company."""
    async with MailServer() as server, target(server.port) as made:
        for each in (sending(), sending(attempt=2, now=1_790_000_100.0), sending(salt="x"), sending(2)):
            await made.send(each)
        await made.send_together([sending(1), sending(2)])
        await made.send_together([sending(2, attempt=2), sending(1, attempt=2)])
    ids = [parsed(mail.content)["message-id"] for mail in server.mails]
    assert ids[0] == ids[1]
    assert ids[4] == ids[5]
    assert len(set(ids)) == 4
    assert ids[0].endswith("@bistro.example>")


async def test_a_preview_is_what_is_sent() -> None:
    """Byte for byte; and the words as people read them."""
    async with MailServer() as server, target(server.port) as made:
        preview = made.preview(sending())
        await made.send(sending())
    assert preview.body.encode() == server.mails[0].content
    assert (preview.method, preview.url) == ("MAIL", f"smtp://localhost:{server.port}/")
    assert preview.message.splitlines()[:2] == ["Shift published", "Ida Testrup · Harbour · Waiter"]


@pytest.mark.parametrize("type_", TYPES)
def test_every_event_makes_a_proper_mail(type_: str) -> None:
    """One that Python's own parser finds no fault with."""
    made = build_plain()
    mail = parsed(made.prepare(sending(type_=type_)).content)
    assert mail["subject"]
    assert part(mail, "plain").startswith(mail["subject"])


def build_plain(**more: Any) -> Target:
    known: dict[str, Any] = {
        "type": "email",
        "events": ("*",),
        "server": "smtp.example.com",
        "sender": "relay@bistro.example",
        "recipients": ("a@bistro.example",),
    }
    return build("mail", EmailTarget(**{**known, **more}), messages=MESSAGES)


HOSTILE = (
    "x\r\nBcc: evil@example.com\r\n\r\nbody",
    "\r\n.\r\nMAIL FROM:<evil@example.com>",
    "<script>alert(1)</script>",
    "Søren Ærø Åse 🧑‍🍳",
    "x" * 100_000,
    "=?utf-8?q?Bcc=3A?=",
)


@pytest.mark.parametrize("value", HOSTILE, ids=["header", "smtp", "script", "danish", "long", "encoded"])
async def test_nothing_in_a_value_can_act(value: str) -> None:
    """No header, no command, no mark-up comes of a name; the lines stay short enough for every mail server."""
    envelope = sample("planday.department.updated")
    envelope["data"]["object"]["name"] = value
    envelope["data"]["related"] = {"department": {"name": value}, "portal": {"name": value}}
    async with MailServer() as server, target(server.port, fields=("*",)) as made:
        for sent in ([sending(envelope=envelope)], [sending(1, envelope=envelope), sending(2, envelope=envelope)]):
            await (made.send(sent[0]) if len(sent) == 1 else made.send_together(sent))
    assert [command.partition(" ")[0] for command in server.commands] == [
        "EHLO",
        "MAIL",
        "RCPT",
        "RCPT",
        "DATA",
        "QUIT",
    ] * 2
    for taken in server.mails:
        mail = parsed(taken.content)
        assert mail["bcc"] is None
        assert len(mail.keys()) == 9
        assert "<script" not in part(mail, "html")
        assert max(map(len, taken.content.splitlines())) < 998
    assert len(server.mails) == 2


async def test_a_digest_names_every_event() -> None:
    """Counts first, then a line for each, whole."""
    sendings = [sending(number, f"planday.shift.{'updated' if number % 2 else 'published'}") for number in range(200)]
    for number, each in enumerate(sendings):
        employee = {"firstName": "Ida", "lastName": f"Testrup-{number}"}
        each.envelope["data"]["related"]["employee"] = employee
    async with MailServer() as server, target(server.port) as made:
        assert made.gathers == 200
        assert (await made.send_together(sendings)).outcome is Outcome.DELIVERED
    mail = parsed(server.mails[0].content)
    assert mail["subject"] == "200 changes · Harbour"
    text = part(mail, "plain")
    assert "Shift changed 100 · Shift published 100" in text
    for number in range(200):
        assert f"- Ida Testrup-{number} · Sat 24 Oct 2026, 20:00–03:30" in text
        assert f"<strong>Ida Testrup-{number}</strong>" in part(mail, "html")


# What the server says ------------------------------------------------------------------------------

SAYS = [
    ({"connect": "421 too many"}, Outcome.RETRY),
    ({"connect": "554 no service for you"}, Outcome.TARGET_BROKEN),
    ({"EHLO": "421 later"}, Outcome.RETRY),
    ({"MAIL": "451 later"}, Outcome.RETRY),
    ({"MAIL": "550 not you"}, Outcome.TARGET_BROKEN),
    ({"RCPT b@bistro.example": "450 greylisted"}, Outcome.RETRY),
    ({"RCPT a@bistro.example": "550 who?", "RCPT b@bistro.example": "550 who?"}, Outcome.TARGET_BROKEN),
    ({"DATA": "451 later"}, Outcome.RETRY),
    ({"DATA": "554 no"}, Outcome.REJECTED),
    ({"content": "452 full"}, Outcome.RETRY),
    ({"content": "552 too large"}, Outcome.REJECTED),
    ({"content": "554 looks like spam"}, Outcome.REJECTED),
    ({"connect": "hang up"}, Outcome.RETRY),
    ({"MAIL": "hang up"}, Outcome.RETRY),
    ({"content": "hang up"}, Outcome.UNKNOWN),
    ({"connect": "what is this"}, Outcome.RETRY),
    ({"content": "what is this"}, Outcome.UNKNOWN),
]


@pytest.mark.parametrize(
    ("replies", "outcome"), SAYS, ids=[next(f"{k}: {v}" for k, v in one.items()) for one, _ in SAYS]
)
async def test_what_the_server_says(replies: dict[str, str], outcome: Outcome) -> None:
    """A temporary code is later, a permanent one is the mail's fault only where it is about the mail."""
    assert (await attempt(replies)).outcome is outcome


async def test_one_recipient_who_is_gone_costs_the_others_nothing() -> None:
    """The mail goes out, and the attempt says who is missing without naming anybody."""
    result = await attempt({"RCPT a@bistro.example": "550 no such user a@bistro.example"}, mails=1)
    assert result.outcome is Outcome.DELIVERED
    assert result.reason == "the mail server took it, but for good not for 1 of 2 `recipients` (no. 1)"
    assert result.status is None


async def test_a_server_that_hangs_after_it_took_the_mail_has_it() -> None:
    """What comes after the last answer does not matter."""
    assert (await attempt({"QUIT": "hang up"}, mails=1)).outcome is Outcome.DELIVERED


@pytest.mark.parametrize(("at", "outcome"), [("connect", Outcome.RETRY), ("content", Outcome.UNKNOWN)])
async def test_no_answer_in_time(at: str, outcome: Outcome) -> None:
    """Before the content nothing was sent; after it nobody knows."""
    result = await attempt({at: "silence"}, timeout="200ms")
    assert result.outcome is outcome
    assert "0.2 s" in result.reason


async def test_refused() -> None:
    """Nobody listens: it cannot have been taken."""
    with refusing_port() as port:
        async with target(port, server="127.0.0.1") as made:
            result = await made.send(sending())
    assert (result.outcome, result.reason) == (
        Outcome.RETRY,
        "not sent: 127.0.0.1: cannot connect (Connection refused)",
    )


async def test_a_forbidden_address_is_never_connected_to() -> None:
    """The guard judges what the name leads to; the target is broken."""
    async with MailServer() as server:
        async with target(server.port, allow_networks=(), allow_ports=(server.port,)) as made:
            result = await made.send(sending())
            assert await made.unreachable() is not None
        assert server.connections == 0
    assert result.outcome is Outcome.TARGET_BROKEN
    assert result.reason.startswith("not sent, the address is refused: localhost: ")


async def test_an_unrenderable_mail() -> None:
    """An event without its essentials is rejected and never sent, alone or in company."""
    async with MailServer() as server, target(server.port) as made:
        alone = await made.send(sending(envelope={"data": {}}))
        together = await made.send_together([sending(), sending(2, envelope={"data": {}})])
    assert (alone.outcome, together.outcome, server.connections) == (Outcome.REJECTED, Outcome.REJECTED, 0)


# TLS and sign-in -----------------------------------------------------------------------------------

LOGIN: dict[str, Any] = {
    "username": Text("(written in the file)", value="relay"),
    "password": Secret("env:P", value="p4ssw0rd-p4ssw0rd"),
}
TRUSTED = Text("env:CA", value=CERTIFICATE.pem)


@pytest.mark.parametrize("mode", ["starttls", "tls"])
async def test_encrypted_and_signed_in(mode: str) -> None:
    """The password goes out only over TLS, to a server whose certificate is of its name."""
    start = mode == "tls"
    async with (
        MailServer(tls=CERTIFICATE.context, from_start=start) as server,
        target(server.port, tls=mode, ca=TRUSTED, **LOGIN) as made,
    ):
        result = await made.send(sending())
    assert result.outcome is Outcome.DELIVERED
    (mail,) = server.mails
    assert (mail.encrypted, mail.login) == (True, "relay p4ssw0rd-p4ssw0rd")


@pytest.mark.parametrize("mode", ["starttls", "tls"])
async def test_a_certificate_of_somebody_else_is_not_spoken_to(mode: str) -> None:
    """Neither the password nor the mail goes out; it may be mended without us, so it is tried again."""
    async with (
        MailServer(tls=CERTIFICATE.context, from_start=mode == "tls") as server,
        target(server.port, tls=mode, **LOGIN) as made,
    ):
        result = await made.send(sending())
    assert (result.outcome, server.mails) == (Outcome.RETRY, [])
    assert "TLS: the certificate is not accepted" in result.reason
    assert not any(command.startswith("AUTH") for command in server.commands)


async def test_no_starttls_no_mail() -> None:
    """A server that does not offer it gets nothing in the open."""
    async with MailServer() as server, target(server.port, tls="starttls", ca=TRUSTED, **LOGIN) as made:
        result = await made.send(sending())
    assert (result.outcome, server.mails) == (Outcome.TARGET_BROKEN, [])
    assert "no STARTTLS" in result.reason
    assert not any(command.startswith(("AUTH", "MAIL")) for command in server.commands)


@pytest.mark.parametrize(
    ("reply", "outcome"), [("535 wrong p4ssw0rd-p4ssw0rd", Outcome.TARGET_BROKEN), ("454 later", Outcome.RETRY)]
)
async def test_a_refused_sign_in(reply: str, outcome: Outcome) -> None:
    """Wrong for good breaks the target; the password is nowhere."""
    async with (
        MailServer(tls=CERTIFICATE.context, replies={"AUTH": reply}) as server,
        target(server.port, tls="starttls", ca=TRUSTED, **LOGIN) as made,
    ):
        result = await made.send(sending())
    assert (result.outcome, server.mails) == (outcome, [])
    assert "p4ssw0rd" not in str(result)


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"port": 25}, "targets.mail.port: is not among allow_ports [465, 587], and there are no allow_networks"),
        ({"ca": Text("env:CA", value="nonsense")}, "targets.mail.ca: holds no certificate in PEM"),
        ({"template": "nothing"}, "targets.mail.template: there is no template 'nothing'"),
    ],
)
def test_what_can_never_work_is_found_at_start(more: dict[str, Any], where: str) -> None:
    """With the setting's path."""
    with pytest.raises(ConfigError) as caught:
        build_plain(**more)
    assert str(caught.value).startswith(where)
