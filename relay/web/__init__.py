"""The HTTP side: the door for senders, health and metrics, the operator's API."""
