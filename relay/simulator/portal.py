"""`/portal/v1.0/info`: which portal a token belongs to."""

from starlette.responses import Response

from relay.simulator.answers import show, single
from relay.simulator.api import Endpoint, Read
from relay.simulator.times import show_zone


def info(read: Read) -> Response:
    """The portal itself; no scope is documented for it."""
    shown = show(read.portal.info, settings=read.settings, zone=read.portal.zone)
    return single(shown | {"timeZone": show_zone(read.portal.zone, read.settings.portal_zone)})


ENDPOINTS = [Endpoint("/portal/v1.0/info", info, None)]
