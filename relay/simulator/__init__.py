"""A faithful local Planday with stand-ins for Slack and payroll; it imports nothing else of ours."""

from relay.simulator.app import create_simulator
from relay.simulator.clock import Clock
from relay.simulator.life import Life
from relay.simulator.living import LifeSettings
from relay.simulator.oracle import Expected, coalesced
from relay.simulator.server import running, serve
from relay.simulator.settings import Settings

__all__ = [
    "Clock",
    "Expected",
    "Life",
    "LifeSettings",
    "Settings",
    "coalesced",
    "create_simulator",
    "running",
    "serve",
]
