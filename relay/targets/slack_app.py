"""A Slack channel by an app: https://docs.slack.dev/reference/methods/chat.postMessage and chat.update

Slack says by its answer's `ok`, not by its status, whether it took a message. What it posted has a `ts`, by which
further news of the same record goes into its thread, or takes its place. An event in a digest begins no thread.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pydantic_core

from relay.errors import ConfigError, Fault, StoreError, Unrenderable
from relay.events import Outcome
from relay.messages import Digest, Message
from relay.settings import SlackAppTarget
from relay.targets import answers, blocks, masking
from relay.targets.answers import Verdict
from relay.targets.base import Common, Result, Sending, Transport, address, ours, policy_of
from relay.targets.chat import OPEN, Chat

POST, UPDATE = "chat.postMessage", "chat.update"

_BOT = "the bot's token is not, or no longer, valid"
_CHANNEL = "the bot cannot post to this channel"
_TROUBLE = "Slack has trouble of its own, and may have posted it"
_LATER = "Slack takes no more messages for the moment"
_REFUSED = "Slack does not accept this message"

# Slack's short words and what they mean.
ANSWERS: Mapping[str, tuple[Outcome, str]] = {
    **dict.fromkeys(
        ("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"),
        (Outcome.TARGET_BROKEN, f"{_BOT}: install the app again and give its new token"),
    ),
    **dict.fromkeys(
        ("missing_scope", "no_permission", "not_allowed_token_type", "ekm_access_denied", "access_denied"),
        (Outcome.TARGET_BROKEN, "the app may not post: it needs the scope chat:write, and the workspace's consent"),
    ),
    "channel_not_found": (Outcome.TARGET_BROKEN, f"{_CHANNEL}: there is none of that id that it can see"),
    "not_in_channel": (Outcome.TARGET_BROKEN, f"{_CHANNEL}: invite it there, or give the app chat:write.public"),
    "is_archived": (Outcome.TARGET_BROKEN, f"{_CHANNEL}: it is archived"),
    **dict.fromkeys(
        ("restricted_action", "restricted_action_read_only_channel", "team_access_not_granted", "org_login_required"),
        (Outcome.TARGET_BROKEN, f"{_CHANNEL}: the workspace does not let it"),
    ),
    **dict.fromkeys(
        ("invalid_blocks", "invalid_blocks_format", "no_text", "invalid_arguments", "too_many_attachments"),
        (Outcome.REJECTED, _REFUSED),
    ),
    **dict.fromkeys(("msg_too_long", "msg_blocks_too_long"), (Outcome.REJECTED, "the message is too long for Slack")),
    **dict.fromkeys(
        ("ratelimited", "rate_limited", "message_limit_exceeded", "service_unavailable", "team_added_to_org"),
        (Outcome.RETRY, _LATER),
    ),
    **dict.fromkeys(("internal_error", "fatal_error", "request_timeout"), (Outcome.UNKNOWN, _TROUBLE)),
}
# The message that began the thread, or was to be brought up to date, is not there any more, or cannot be changed.
_GONE = frozenset(
    {"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed", "cannot_reply_to_message"}
)


@dataclass(slots=True)
class _Answer:
    """What Slack said: its word for what is wrong, and the message that it made."""

    word: str = ""
    message: str = ""

    def hear(self, response: httpx.Response) -> None:
        said = _said(response)
        self.word, self.message = str(said.get("error") or ""), str(said.get("ts") or "")


class SlackApp(Chat):
    """A message made by template, in Block Kit, with threads."""

    kind = "slack-app"
    escape = staticmethod(blocks.escape)
    settings: SlackAppTarget

    def __init__(
        self, name: str, settings: SlackAppTarget, *, common: Common, transport: Transport | None = None
    ) -> None:
        self._token = settings.token.reveal()
        self._channel = settings.channel.reveal()
        self._threads = common.threads if settings.repeat != "message" else None
        super().__init__(name, settings, common=common, transport=transport)
        if not (self._token.isascii() and self._token.isprintable()):
            raise ConfigError([Fault(f"targets.{name}.token", "holds characters that no token has")])

    def located(self) -> httpx.URL:
        return self._method(POST)

    @property
    def limiter(self) -> str:
        """Slack counts by channel, so targets that share one share the rate."""
        shared = f"{self._token}\0{self._channel}".encode()
        return "slack-app:" + hashlib.blake2b(shared, digest_size=12).hexdigest()

    def secrets(self) -> Iterable[str]:
        return (*super().secrets(), self._token)

    def headers(self, sending: Sending, body: bytes) -> dict[str, str]:
        return {"content-type": "application/json; charset=utf-8", "authorization": f"Bearer {self._token}"}

    def single(self, message: Message, sendings: Sequence[Sending], *, small: Sequence[str], link: str) -> bytes:
        return self._body(blocks.payload(message, context=[*small, *blocks.linked(link, OPEN)]))

    def several(self, digest: Digest, sendings: Sequence[Sending], *, small: Sequence[str], link: str) -> bytes:
        return self._body(blocks.digest_payload(digest, context=[*small, *blocks.linked(link, OPEN)]))

    async def send(self, sending: Sending) -> Result:
        """One attempt, whatever comes of it; raises nothing but a cancellation."""
        record = f"{sending.envelope.get('portalid', '')}/{sending.envelope.get('subject', '')}"
        known = await self._known(record)
        for began_by in (known, None) if known else (None,):
            try:
                request = self._request(sending, began_by)
                kept = masking.sent_headers(request.headers, known=self.secrets())
            except Unrenderable as error:
                return Result(outcome=Outcome.REJECTED, reason=f"no message can be made of this event: {error}")
            except Exception as fault:
                return Result(outcome=Outcome.RETRY, reason=ours("making the message", fault))
            answer = _Answer()
            result = await self.exchange(request, sending, kept=kept, heard=answer.hear)
            if answer.word not in _GONE:
                break
            # Slack has refused it, so that nothing is doubled by sending it as a message of its own.
            await self._forget(record)
        if result.outcome is Outcome.DELIVERED and (first := began_by or answer.message):
            await self._remember(record, first)
        return result

    def judge(self, response: httpx.Response, *, now: float) -> Verdict:
        """Slack's word first, the status second."""
        said, shown = _said(response), answers.named(response.status_code)
        if response.status_code == httpx.codes.OK and said.get("ok") is True:
            return Verdict(Outcome.DELIVERED, "Slack took it")
        word = said.get("error")
        if isinstance(word, str) and word in ANSWERS:
            outcome, meaning = ANSWERS[word]
            reason = f"{meaning} ({word})"
            return answers.later(response, reason, now=now) if outcome is Outcome.RETRY else Verdict(outcome, reason)
        if isinstance(word, str):
            words = "Slack refused this message with an answer that is not known; it is kept with the attempt"
            return Verdict(Outcome.REJECTED, words)
        if 200 <= response.status_code < 300:
            return Verdict(Outcome.UNKNOWN, f"Slack answered {shown}, but not in its own words")
        return answers.judge(response, now=now)

    def _result(self, sendings: Sequence[Sending], response: httpx.Response, kept: Mapping[str, str]) -> Result:
        # Of a success Slack repeats the whole message, and spells its letters in a way that hides names from masking.
        result = super()._result(sendings, response, kept)
        said = {name: value for name, value in _said(response).items() if name in _TELLING}
        if not said:
            return result
        return replace(result, excerpt=masking.redact(pydantic_core.to_json(said).decode(), known=self.secrets()))

    def _method(self, method: str) -> httpx.URL:
        where = f"targets.{self.name}.url"
        found = address(where, self.settings.url.reveal(), policy_of(self.settings))
        return found.copy_with(path=f"{found.path.rstrip('/')}/{method}", query=None)

    def _body(self, payload: Mapping[str, Any]) -> bytes:
        return pydantic_core.to_json({"channel": self._channel, **payload})

    def _request(self, sending: Sending, began_by: str | None) -> httpx.Request:
        """The request for an event whose record was told of by that message before. Raises Unrenderable."""
        request = self.prepare(sending)
        if began_by is None:
            return request
        update = self.settings.repeat == "update"
        where = {"ts": began_by} if update else {"thread_ts": began_by}
        body = pydantic_core.to_json({**pydantic_core.from_json(request.content), **where})
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        return httpx.Request("POST", self._method(UPDATE if update else POST), headers=headers, content=body)

    # Without the store there are no threads, but there is a message.

    async def _known(self, record: str) -> str | None:
        with contextlib.suppress(StoreError):
            return None if self._threads is None else await self._threads.find(self.name, record)
        return None

    async def _remember(self, record: str, message: str) -> None:
        if self._threads is not None:
            with contextlib.suppress(StoreError):
                await self._threads.remember(self.name, record, message, seconds=self.settings.remember)

    async def _forget(self, record: str) -> None:
        if self._threads is not None:
            with contextlib.suppress(StoreError):
                await self._threads.forget(self.name, record)


_TELLING = ("ok", "error", "needed", "provided", "ts", "channel", "warning")


def _said(response: httpx.Response) -> Mapping[str, Any]:
    """Slack's answer, if it is one."""
    try:
        said = pydantic_core.from_json(response.content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
