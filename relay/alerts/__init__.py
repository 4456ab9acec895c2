"""The watch over the relay itself: what is wrong, who is told, and the heartbeat that tells when nobody can be told.

`conditions` says what is wrong now, `incidents` what is to be told of it; both are pure. `watch` gathers, writes and
tells. `heartbeat` calls out while all is well.
"""
