"""What the targets that people read have in common: words by template, one message for what happens together, quiet.

A kind says what a message of one event (`single`) and of several (`several`) looks like on the wire.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

import httpx

from relay.errors import ConfigError, Fault, Unrenderable
from relay.events import Outcome
from relay.messages import Digest, Escape, Message
from relay.messages.markup import plain, protect
from relay.routing import matches
from relay.settings import EmailTarget, SlackAppTarget, SlackTarget, TeamsTarget
from relay.targets import masking
from relay.targets.base import USER_AGENT, Common, Preview, Result, Sending, Target, Transport, essentials, ours

ChatSettings = SlackTarget | SlackAppTarget | TeamsTarget | EmailTarget
OPEN = "Open in planday-relay"
_LONGEST_LINK = 1500


class Chat(Target):
    """A target that people read."""

    settings: ChatSettings

    def __init__(
        self, name: str, settings: ChatSettings, *, common: Common, transport: Transport | None = None
    ) -> None:
        names = common.messages.names
        if settings.template is not None and settings.template not in names:
            words = f"there is no template {settings.template!r}; there are {', '.join(names)}"
            raise ConfigError([Fault(f"targets.{name}.template", words)])
        self._messages = common.messages
        self._public_url = (common.public_url or "").rstrip("/")
        super().__init__(name, settings, common=common, transport=transport)

    @staticmethod
    @abstractmethod
    def escape(text: str) -> str:
        """A value of an event as it stands in a template's text, so that nothing in it can act."""

    @abstractmethod
    def single(self, message: Message, sendings: Sequence[Sending], *, small: Sequence[str], link: str) -> bytes:
        """The body of a message about one event. `small` is small print of ours; `link` leads to it, or is empty."""

    @abstractmethod
    def several(self, digest: Digest, sendings: Sequence[Sending], *, small: Sequence[str], link: str) -> bytes:
        """The body of a message about several events; every one of their lines is in it."""

    @property
    def gathers(self) -> int:
        return self.settings.digest.most

    def send_at(self, type_: str, now: float) -> float:
        """The end of the window and of quiet hours; windows are aligned, so that a burst shares its end."""
        if self._is_urgent(type_):
            return now
        window = self.settings.digest.gather
        end = math.ceil(now / window) * window if window and self.gathers > 1 else now
        return self.settings.quiet_until(max(end, now))

    def again_at(self, type_: str, due: float) -> float:
        """The end of quiet hours; a window was waited for already."""
        return due if self._is_urgent(type_) else self.settings.quiet_until(due)

    def _is_urgent(self, type_: str) -> bool:
        return any(matches(pattern, type_) for pattern in self.settings.urgent)

    def body(self, sending: Sending) -> bytes:
        message = self._message(sending, self.escape)
        return self.single(message, [sending], small=_again([sending]), link=self._link(sending))

    def preview(self, sending: Sending) -> Preview:
        message = self._message(sending, protect)
        return replace(super().preview(sending), message="\n".join(map(plain, words(message))))

    def prepare_together(self, sendings: Sequence[Sending]) -> httpx.Request:
        """The request of one attempt for several deliveries; raises Unrenderable."""
        for sending in sendings:
            essentials(sending.envelope)
        digest = self.digest_of(sendings)
        body = self.several(digest, sendings, small=_again(sendings), link=self._link(None))
        headers = {"user-agent": USER_AGENT, **self.headers(sendings[0], body)}
        return httpx.Request(self.method, self.url, headers=headers, content=body)

    def digest_of(self, sendings: Sequence[Sending]) -> Digest:
        """The words of one message about all of them."""
        return self._messages.digest(
            (self.fields.apply(sending.envelope) for sending in sendings),
            escape=self.escape,
            template=self.settings.template,
        )

    async def send_together(self, sendings: Sequence[Sending]) -> Result:
        """One attempt for all of them, whatever comes of it; raises nothing but a cancellation."""
        try:
            request = self.prepare_together(sendings)
            kept = masking.sent_headers(request.headers, known=self.secrets())
        except Unrenderable as error:
            return Result(outcome=Outcome.REJECTED, reason=f"no message can be made of these events: {error}")
        except Exception as fault:
            return Result(outcome=Outcome.RETRY, reason=ours("making the message", fault))
        return await self.exchange(request, *sendings, kept=kept)

    def _message(self, sending: Sending, escape: Escape) -> Message:
        visible = self.fields.apply(sending.envelope)
        return self._messages.render(visible, escape=escape, template=self.settings.template)

    def _link(self, sending: Sending | None) -> str:
        """Where the dashboard shows the event, or all of them; empty without `public_url`."""
        page = f"/{quote(sending.event_id, safe='')}" if sending is not None else ""
        address = quote(f"{self._public_url}/events{page}", safe=":/?#[]@!$&'()*+,;=%~")
        return address if self._public_url and len(address) <= _LONGEST_LINK else ""


def words(message: Message) -> tuple[str, ...]:
    """All of a message, line by line."""
    return (message.title, *message.body, *((" · ".join(message.context),) if message.context else ()))


def _again(sendings: Sequence[Sending]) -> list[str]:
    """Small print about what a replay sent again."""
    count = sum(sending.replay is not None for sending in sendings)
    if not count:
        return []
    return ["Sent again by a replay" if count == len(sendings) else f"{count} of these were sent again by a replay"]
