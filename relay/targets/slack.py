"""A Slack channel by incoming webhook: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

Slack has no idempotency key: a resend is a second message, which is harmless, and marked on a replay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import httpx
import pydantic_core

from relay.events import Outcome
from relay.messages import Digest, Message
from relay.targets import answers, blocks
from relay.targets.answers import Verdict
from relay.targets.base import Sending
from relay.targets.chat import OPEN, Chat

OK = "ok"
_LONGEST_WORD = 100

# Slack's short words and what they mean; its statuses vary between public sources, so the word comes first.
ANSWERS: Mapping[str, tuple[Outcome, str]] = {
    "invalid_payload": (Outcome.REJECTED, "Slack cannot read this message"),
    "invalid_blocks": (Outcome.REJECTED, "Slack does not accept this message's blocks"),
    "invalid_blocks_format": (Outcome.REJECTED, "Slack does not accept this message's blocks"),
    "msg_blocks_too_long": (Outcome.REJECTED, "the message is too long for Slack"),
    "msg_too_long": (Outcome.REJECTED, "the message is too long for Slack"),
    "no_text": (Outcome.REJECTED, "Slack found no text in this message"),
    "too_many_attachments": (Outcome.REJECTED, "Slack found too many attachments in this message"),
    "missing_text_or_fallback_or_attachments": (Outcome.REJECTED, "Slack found no text in this message"),
    "user_not_found": (Outcome.TARGET_BROKEN, "the person that this webhook posts to is not known to Slack"),
    "action_prohibited": (Outcome.TARGET_BROKEN, "the workspace does not let this webhook post"),
    "posting_to_general_channel_denied": (Outcome.TARGET_BROKEN, "posting to the general channel is not allowed"),
    "invalid_token": (Outcome.TARGET_BROKEN, "the webhook's address is not, or no longer, valid"),
    "channel_not_found": (Outcome.TARGET_BROKEN, "the webhook's channel does not exist"),
    "no_service": (Outcome.TARGET_BROKEN, "the webhook was removed, or its address is wrong"),
    "no_service_id": (Outcome.TARGET_BROKEN, "the webhook's address is incomplete"),
    "no_active_hooks": (Outcome.TARGET_BROKEN, "the webhook was switched off"),
    "no_team": (Outcome.TARGET_BROKEN, "the webhook's workspace does not exist"),
    "team_disabled": (Outcome.TARGET_BROKEN, "the webhook's workspace was closed"),
    "channel_is_archived": (Outcome.TARGET_BROKEN, "the webhook's channel is archived"),
    "rollup_error": (Outcome.RETRY, "Slack has trouble of its own"),
    "rate_limited": (Outcome.RETRY, "Slack takes no more messages for the moment"),
    "ratelimited": (Outcome.RETRY, "Slack takes no more messages for the moment"),
}


class Slack(Chat):
    """A message made by template, in Block Kit."""

    kind = "slack"
    escape = staticmethod(blocks.escape)

    @property
    def limiter(self) -> str:
        """Slack counts by webhook, so targets that share one share the rate. The address itself is the credential."""
        return "slack:" + hashlib.blake2b(str(self.url).encode(), digest_size=12).hexdigest()

    def single(self, message: Message, sendings: Sequence[Sending], *, small: Sequence[str], link: str) -> bytes:
        return pydantic_core.to_json(blocks.payload(message, context=[*small, *blocks.linked(link, OPEN)]))

    def several(self, digest: Digest, sendings: Sequence[Sending], *, small: Sequence[str], link: str) -> bytes:
        return pydantic_core.to_json(blocks.digest_payload(digest, context=[*small, *blocks.linked(link, OPEN)]))

    def headers(self, sending: Sending, body: bytes) -> dict[str, str]:
        return {"content-type": "application/json; charset=utf-8"}

    def judge(self, response: httpx.Response, *, now: float) -> Verdict:
        """Slack's word first, the status second."""
        word = response.content[:_LONGEST_WORD].decode("utf-8", "replace").strip()
        status, shown = response.status_code, answers.named(response.status_code)
        if word in ANSWERS:
            outcome, meaning = ANSWERS[word]
            reason = f"{meaning} ({shown}: {word})"
            return answers.later(response, reason, now=now) if outcome is Outcome.RETRY else Verdict(outcome, reason)
        if 200 <= status < 300:
            if status == 200 and word == OK:
                return Verdict(Outcome.DELIVERED, "Slack took it")
            return Verdict(Outcome.UNKNOWN, f"Slack answered {shown}, but not in its own words")
        verdict = answers.judge(response, now=now)
        if 400 <= status < 500 and verdict.outcome is not Outcome.RETRY:
            return Verdict(Outcome.REJECTED, f"Slack refused this message with an answer that is not known ({shown})")
        return verdict
