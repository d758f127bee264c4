"""The real kubectl against a real apiserver, used as people use it."""

from __future__ import annotations

from tests.cluster.kube.conftest import installed, kubectl

__all__ = ["installed", "kubectl"]  # fixtures of that suite, used here too
