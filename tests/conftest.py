"""Hypothesis judges what code does, not how fast a busy machine does it: that is pytest-timeout's."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("relay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("relay")
