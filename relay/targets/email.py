"""Mail to people: what happened in a while, as text and as simple HTML, handed to one mail server.

The Message-ID is the same on every attempt, and mail systems drop what they have seen; a digest that is put together
anew has a new one.
"""

from __future__ import annotations

import hashlib
import html
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

import httpx

from relay.errors import ConfigError, Fault
from relay.events import Outcome, idempotency_key
from relay.messages import Digest, Message
from relay.messages.markup import plain, protect, runs
from relay.settings import EmailTarget
from relay.targets.answers import Verdict
from relay.targets.base import Common, Result, Sending, Transport, policy_of
from relay.targets.chat import OPEN, Chat
from relay.targets.smtp import TAKEN, Server, SmtpTransport

_FROM = "planday-relay"
_LONGEST_SUBJECT = 150
_STAGES = {
    "connect": "the mail server does not take our connection",
    "hello": "the mail server does not take our greeting",
    "starttls": "the mail server does not begin TLS",
    "sign-in": "the mail server does not accept `username` and `password`",
    "sender": "the mail server does not take mail from `sender`",
    "recipients": "the mail server does not take mail to `recipients`",
    "content": "the mail server does not take this mail",
}


class Email(Chat):
    """A mail made by template."""

    kind = "email"
    method = "MAIL"
    escape = staticmethod(protect)
    settings: EmailTarget

    def __init__(self, name: str, settings: EmailTarget, *, common: Common, transport: Transport | None = None) -> None:
        server = Server(
            host=settings.server,
            port=settings.port,
            policy=policy_of(settings),
            context=_context(name, settings),
            from_start=settings.tls == "tls",
            username=None if settings.username is None else settings.username.reveal(),
            password="" if settings.password is None else settings.password.reveal(),
        )
        usual = SmtpTransport(
            server, sender=settings.sender, recipients=settings.recipients, timeout=settings.retry.timeout
        )
        super().__init__(name, settings, common=common, transport=transport or usual)

    def located(self) -> httpx.URL:
        allowed = self.settings.allow_ports
        if self.settings.port not in allowed and not self.settings.allow_networks:
            words = f"is not among allow_ports {sorted(allowed)}, and there are no allow_networks"
            raise ConfigError([Fault(f"targets.{self.name}.port", words)])
        return httpx.URL(self.settings.url.reveal())

    def secrets(self) -> Iterable[str]:
        found = (self.settings.username, self.settings.password)
        return (*(one.reveal() for one in found if one is not None), *self.settings.recipients, self.settings.sender)

    def headers(self, sending: Sending, body: bytes) -> dict[str, str]:
        return {"content-type": "message/rfc822"}

    def single(self, message: Message, sendings: Sequence[Sending], *, small: Sequence[str], link: str) -> bytes:
        lines = [line for block in message.body for line in block.splitlines()]
        small = [text for text in (" · ".join(message.context), *small) if text]
        paragraphs = [*(f"<p>{'<br>'.join(map(_html, block.splitlines()))}</p>" for block in message.body)]
        text, page = _text(message.title, lines, small, link), _page(message.title, paragraphs, small, link)
        return self._mail(message.title, sendings, text=text, page=page)

    def several(self, digest: Digest, sendings: Sequence[Sending], *, small: Sequence[str], link: str) -> bytes:
        lines, paragraphs = list(digest.counts), [f"<p>{_html(text)}</p>" for text in digest.counts]
        for group in digest.groups:
            heading = [group.heading] if len(digest.groups) > 1 else []
            lines += ["", *heading, *(f"- {line}" for line in group.lines)]
            paragraphs += [f"<h3>{_html(text)}</h3>" for text in heading]
            paragraphs.append("<ul>" + "".join(f"<li>{_html(line)}</li>" for line in group.lines) + "</ul>")
        text, page = _text(digest.title, lines, small, link), _page(digest.title, paragraphs, small, link)
        return self._mail(digest.title, sendings, text=text, page=page)

    def judge(self, response: httpx.Response, *, now: float) -> Verdict:
        """The server's code, and to what it was the answer: what it says of a mail, it says of no other."""
        code, stage = response.status_code, str(response.extensions.get("stage"))
        if code == TAKEN and stage == "content":
            refused = response.extensions.get("refused", ())
            return Verdict(Outcome.DELIVERED, _taken(len(self.settings.recipients), refused))
        reason = f"{_STAGES.get(stage, 'the mail server refuses')} (SMTP {code})"
        if 400 <= code < 500:
            return Verdict(Outcome.RETRY, f"{reason} for the moment")
        if 500 <= code < 600:
            return Verdict(Outcome.REJECTED if stage == "content" else Outcome.TARGET_BROKEN, reason)
        return Verdict(Outcome.UNKNOWN, f"the mail server's answer has no meaning here (SMTP {code})")

    def _result(self, sendings: Sequence[Sending], response: httpx.Response, kept: Mapping[str, str]) -> Result:
        result = super()._result(sendings, response, kept)
        # Of a success with a status nothing is said; that a recipient is missing has to be.
        return replace(result, status=None) if response.extensions.get("refused") else result

    def _mail(self, title: str, sendings: Sequence[Sending], *, text: str, page: str) -> bytes:
        keys = sorted(idempotency_key(one.event_id, self.name, one.salt) for one in sendings)
        token = hashlib.blake2b("\n".join(keys).encode(), digest_size=16).hexdigest()
        subject = plain(title)
        mail = EmailMessage(policy=SMTP)
        mail["From"] = Address(_FROM, addr_spec=self.settings.sender)
        mail["To"] = [Address(addr_spec=one) for one in self.settings.recipients]
        mail["Subject"] = subject if len(subject) <= _LONGEST_SUBJECT else f"{subject[: _LONGEST_SUBJECT - 1]}…"
        mail["Date"] = formatdate(sendings[0].now, usegmt=True)
        mail["Message-ID"] = f"<{token}@{self.settings.sender.partition('@')[2]}>"
        # Out-of-office answers to a machine help nobody (RFC 3834).
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Auto-Response-Suppress"] = "All"
        mail.set_content(text, cte="quoted-printable")
        mail.add_alternative(page, subtype="html", cte="quoted-printable")
        mail.set_boundary(f"=_{token}")
        return mail.as_bytes()


def _text(title: str, lines: Sequence[str], small: Sequence[str], link: str) -> str:
    parts = [title, "", *lines, *(["", *small] if small else []), *(["", f"{OPEN}: {protect(link)}"] if link else [])]
    return "".join(f"{plain(part)}\n" for part in parts)


def _page(title: str, paragraphs: Sequence[str], small: Sequence[str], link: str) -> str:
    parts = [f"<h2>{_html(title)}</h2>", *paragraphs, *(f"<p><small>{_html(text)}</small></p>" for text in small)]
    if link:
        parts.append(f'<p><a href="{html.escape(link)}">{OPEN}</a></p>')
    return "\n".join(
        ('<!doctype html><html lang="en"><head><meta charset="utf-8"></head><body>', *parts, "</body></html>\n")
    )


def _html(marked: str) -> str:
    """A marked text as HTML."""
    pieces = []
    for run in runs(marked):
        text = html.escape(run.text)
        text = f"<strong>{text}</strong>" if run.bold else text
        pieces.append(f"<em>{text}</em>" if run.italic else text)
    return "".join(pieces)


def _taken(count: int, refused: Sequence[int]) -> str:
    if not refused:
        return "the mail server took it"
    places = ", ".join(str(place + 1) for place in refused)
    return f"the mail server took it, but for good not for {len(refused)} of {count} `recipients` (no. {places})"


def _context(name: str, settings: EmailTarget) -> ssl.SSLContext | None:
    """Raises ConfigError."""
    if settings.tls == "none":
        return None
    context = ssl.create_default_context()
    if settings.ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=settings.ca.reveal())
        except (ssl.SSLError, ValueError):
            raise ConfigError([Fault(f"targets.{name}.ca", "holds no certificate in PEM")]) from None
    return context
