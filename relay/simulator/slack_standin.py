"""A stand-in for Slack's incoming webhooks that checks what it receives by hand."""

import json
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from relay.simulator.clock import Clock
from relay.simulator.faults import Faults
from relay.simulator.settings import Settings
from relay.simulator.times import exact_stamp

# targets-and-events.md 1.1; the sum is an undocumented limit seen live.
_MOST_BLOCKS, _SECTION, _HEADER, _FIELDS, _FIELD, _ELEMENTS, _SUM = 50, 3000, 150, 10, 2000, 10, 13200
_BLOCK_TYPES = {"section", "header", "context", "actions", "divider", "image", "rich_text", "markdown"}


@dataclass
class Message:
    """One post, whatever became of it."""

    at: str
    hook: str
    status: int | None
    answer: str
    payload: Any
    warnings: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether it is now in the channel."""
        return self.answer == "ok"


class SlackStandin:
    """`POST /slack/services/{team}/{hook}/{token}`."""

    def __init__(self, *, clock: Clock, settings: Settings, faults: Faults) -> None:
        self._clock = clock
        self._settings = settings
        self._faults = faults
        self.clear()

    def clear(self) -> None:
        """Empty every channel."""
        self.posts: deque[Message] = deque(maxlen=5000)
        self._second: dict[str, tuple[int, int]] = {}

    async def __call__(self, request: Request) -> Response:
        """Take one message, or say in Slack's short words why not."""
        path = request.url.path
        fault = self._faults.take(path)
        if fault is not None and fault.kind == "drop":
            return await self._faults.play(fault, request, _never)
        raw = await request.body()
        payload, error = _read(raw, request.headers.get("content-type", ""))
        status, answer = (400, error) if error else (200, "ok")
        if self._too_fast(path):
            status, answer = 429, "rate_limited"
        message = Message(exact_stamp(self._clock.now()), path, status, answer, payload, _warnings(payload))
        self.posts.append(message)

        async def proceed() -> Response:
            return PlainTextResponse(
                message.answer, status_code=status, headers={"retry-after": "1"} if status == 429 else None
            )

        if fault is None:
            return await proceed()
        if not fault.work_done:
            message.answer = f"fault {fault.kind}"
        response = await self._faults.play(fault, request, proceed)
        message.status = None if fault.kind == "drop-after" else response.status_code
        return response

    def as_dict(self) -> dict[str, Any]:
        """Every post, and those that reached a channel."""
        return {
            "posts": len(self.posts),
            "accepted": sum(post.accepted for post in self.posts),
            "messages": [{**asdict(post), "accepted": post.accepted} for post in self.posts],
        }

    def _too_fast(self, hook: str) -> bool:
        if not self._settings.slack_per_second:
            return False
        second = int(self._clock.now().timestamp())
        counted_in, count = self._second.get(hook, (second, 0))
        count = count + 1 if counted_in == second else 1
        self._second[hook] = (second, count)
        return count > self._settings.slack_per_second


async def _never() -> Response:
    raise AssertionError("a dropped request goes no further")


def _read(raw: bytes, content_type: str) -> tuple[Any, str | None]:
    if not content_type.startswith("application/json"):
        return None, "invalid_payload"
    try:
        payload = json.loads(raw)
    except ValueError:
        return None, "invalid_payload"
    return payload, fault_of(payload)


def fault_of(payload: Any) -> str | None:
    """Slack's word for what is wrong with a payload, or None."""
    if not isinstance(payload, dict):
        return "invalid_payload"
    if not isinstance(payload.get("text"), str) or not payload["text"]:
        return "no_text"
    blocks = payload.get("blocks", [])
    if not isinstance(blocks, list) or len(blocks) > _MOST_BLOCKS or not all(_good(block) for block in blocks):
        return "invalid_blocks"
    if sum(_length(block) for block in blocks) > _SUM:
        return "msg_blocks_too_long"
    return None


def _good(block: Any) -> bool:
    if not isinstance(block, dict) or block.get("type") not in _BLOCK_TYPES:
        return False
    kind = block["type"]
    if kind == "header":
        return _text(block.get("text"), most=_HEADER, kinds=("plain_text",))
    if kind == "context":
        return _listed(block.get("elements"), most=_ELEMENTS, text=_SECTION)
    if kind == "section":
        if "text" not in block and "fields" not in block:
            return False
        text_fits = "text" not in block or _text(block["text"], most=_SECTION)
        return text_fits and ("fields" not in block or _listed(block["fields"], most=_FIELDS, text=_FIELD))
    return True


def _listed(items: Any, *, most: int, text: int) -> bool:
    if not isinstance(items, list) or not 1 <= len(items) <= most:
        return False
    return all(isinstance(item, dict) and (item.get("type") == "image" or _text(item, most=text)) for item in items)


def _text(item: Any, *, most: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> bool:
    if not isinstance(item, dict) or item.get("type") not in kinds:
        return False
    text = item.get("text")
    return isinstance(text, str) and 1 <= len(text) <= most


def _length(item: Any) -> int:
    if isinstance(item, dict):
        own = len(item["text"]) if isinstance(item.get("text"), str) else 0
        return own + sum(_length(value) for value in item.values())
    return sum(_length(value) for value in item) if isinstance(item, list) else 0


def _warnings(payload: Any) -> list[str]:
    """What Slack would take but a reader should know: a mention or a link that text smuggled in."""
    shown = json.dumps(payload, ensure_ascii=False)
    return [f"{found} in text" for found in ("<!", "<@", "<#") if found in shown]
