"""Replay: fix a selection, show it, then open exactly that again, once, whatever is killed on the way.

The same idempotency key goes out as before, unless a person asks for a new one with a reason. What is older than a
state that the target already has ends superseded, unless it is read anew or forced with a reason (design.md,
invariant 5). docs/replay.md says how it is used, docs/decisions/0017 why it is so.
"""

from relay.replay.replays import Replays
from relay.replay.request import REPLAYABLE, PlanRequest
from relay.replay.reread import Rereading
from relay.replay.runner import Runner

__all__ = ["REPLAYABLE", "PlanRequest", "Replays", "Rereading", "Runner"]
