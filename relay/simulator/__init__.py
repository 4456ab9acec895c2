"""A faithful local Planday with stand-ins for Slack and payroll; it imports nothing else of ours."""

from relay.simulator.app import create_simulator
from relay.simulator.clock import Clock
from relay.simulator.server import running, serve
from relay.simulator.settings import Settings

__all__ = ["Clock", "Settings", "create_simulator", "running", "serve"]
