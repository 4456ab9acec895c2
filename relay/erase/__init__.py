"""Erasing one person: out of everything that is kept, for good, and proven."""

from relay.erase.erasures import Erasures, Order
from relay.erase.forgetting import Forgetting

__all__ = ["Erasures", "Forgetting", "Order"]
