"""A Microsoft Teams channel by a workflow: https://learn.microsoft.com/power-automate/teams/send-a-message-in-teams

The workflow answers 202 when it has begun; whether it then posted the message nobody tells us. It knows no idempotency
key: a resend is a second message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import httpx
import pydantic_core

from relay.errors import ConfigError, Fault
from relay.events import Outcome
from relay.messages import Digest, Message
from relay.messages.markup import protect
from relay.targets import answers, cards
from relay.targets.answers import Verdict
from relay.targets.base import Sending
from relay.targets.chat import OPEN, Chat

_RETIRED = ".webhook.office.com"
_LARGEST_ANSWER = 4096
# What Power Automate says of a workflow that cannot run, whatever its status.
_BROKEN = {
    "WorkflowTriggerIsNotEnabled": "the workflow is switched off",
    "WorkflowNotFound": "the workflow does not exist any more",
    "DirectApiAuthorizationRequired": "the workflow does not accept this address: copy it anew from the workflow",
    "DirectApiInvalidAuthorizationScheme": "the workflow asks for a sign-in: let anyone with the address call it",
    "MisMatchingOAuthClaims": "the workflow asks for a sign-in: let anyone with the address call it",
    "AuthorizationFailed": "the workflow does not accept this address: copy it anew from the workflow",
}


class Teams(Chat):
    """A message made by template, as an Adaptive Card."""

    kind = "teams"
    escape = staticmethod(protect)

    def located(self) -> httpx.URL:
        found = super().located()
        if found.host.endswith(_RETIRED) or found.host == _RETIRED.lstrip("."):
            words = (
                "is a connector of Office 365, which Microsoft has retired: in Teams, make a workflow from the "
                'template "Post to a channel when a webhook request is received", and give its address'
            )
            raise ConfigError([Fault(f"targets.{self.name}.url", words)])
        return found

    @property
    def limiter(self) -> str:
        """Targets that share a workflow share the rate. The address itself is the credential."""
        return "teams:" + hashlib.blake2b(str(self.url).encode(), digest_size=12).hexdigest()

    def single(self, message: Message, sendings: Sequence[Sending], *, small: Sequence[str], link: str) -> bytes:
        return pydantic_core.to_json(cards.payload(message, small=small, link=link, words=OPEN))

    def several(self, digest: Digest, sendings: Sequence[Sending], *, small: Sequence[str], link: str) -> bytes:
        return pydantic_core.to_json(cards.digest_payload(digest, small=small, link=link, words=OPEN))

    def headers(self, sending: Sending, body: bytes) -> dict[str, str]:
        return {"content-type": "application/json; charset=utf-8"}

    def judge(self, response: httpx.Response, *, now: float) -> Verdict:
        """The workflow's word first, the status second."""
        status, shown = response.status_code, answers.named(response.status_code)
        if 200 <= status < 300:
            return Verdict(
                Outcome.DELIVERED, f"the workflow took it ({shown}); Teams does not say whether it was posted"
            )
        word = _word(response)
        if 400 <= status < 500 and word in _BROKEN:
            return Verdict(Outcome.TARGET_BROKEN, f"{_BROKEN[word]} ({shown}: {word})")
        return answers.judge(response, now=now)


def _word(response: httpx.Response) -> str:
    """The code of Power Automate's error, if there is one."""
    try:
        said = pydantic_core.from_json(response.content[:_LARGEST_ANSWER])
    except ValueError:
        return ""
    error = said.get("error") if isinstance(said, dict) else None
    return str(error.get("code", "")) if isinstance(error, dict) else ""
