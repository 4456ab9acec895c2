"""planday-relay: dependable pushes from Planday to the systems that need to know."""

__version__ = "0.1.0"
