"""Pure tests: no socket, process, sleep or clock."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Hosts are large values; the health check of Hypothesis is about small ones.
settings.register_profile(
    "quick", max_examples=40, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile("thorough", parent=settings.get_profile("quick"), max_examples=500)
settings.load_profile(os.environ.get("WARLOCK_TEST_PROFILE", "quick"))
