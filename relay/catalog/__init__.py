"""The events we know by name: meaning, cause and schema of each, and a sample."""

from relay.catalog.samples import sample
from relay.catalog.schemas import ENTITIES, schema, schema_id
from relay.catalog.types import CATALOG, EVENTS, TYPES, Door, EventType, nearest, types_of

__all__ = [
    "CATALOG",
    "ENTITIES",
    "EVENTS",
    "TYPES",
    "Door",
    "EventType",
    "nearest",
    "sample",
    "schema",
    "schema_id",
    "types_of",
]
