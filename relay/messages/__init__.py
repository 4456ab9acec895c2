"""The words of messages: templates over plain strings, checked strictly at start, lenient at run time."""

from relay.catalog import TYPES, sample
from relay.messages.digest import Digest, Group, fair_limit
from relay.messages.messages import Escape, Message, Messages

__all__ = ["TYPES", "Digest", "Escape", "Group", "Message", "Messages", "fair_limit", "sample"]
