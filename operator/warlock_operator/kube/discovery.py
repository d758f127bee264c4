"""
Are our kinds served? Asked before kopf starts, which serves nothing, silently, without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from warlock_operator.errors import ApiUnavailable, ObjectGone
from warlock_operator.kube.refs import OURS, Resource
from warlock_operator.kube.verbs import Verbs


async def wait_for_kinds(
    api: Verbs,
    tell: Callable[[Sequence[str]], None],
    kinds: Sequence[Resource] = OURS,
) -> None:
    """
    Return once all *kinds* are served.

    Args:
        tell: called with what is missing (``games.warlock.dev``, …) whenever that changes.

    Raises:
        ApiUnavailable: not within ``crd_wait_seconds``; the message names what is missing.
    """
    told: list[str] = []
    deadline = time.monotonic() + api.settings.crd_wait_seconds
    while missing := await missing_kinds(api, kinds):
        if missing != told:
            tell(missing)
            told = missing
        if time.monotonic() >= deadline:
            raise ApiUnavailable(f"not served: {', '.join(missing)}; apply the CRDs first")
        await asyncio.sleep(api.settings.crd_poll_seconds)


async def missing_kinds(api: Verbs, kinds: Sequence[Resource] = OURS) -> list[str]:
    """Those of *kinds* that discovery does not name; all, while the apiserver is away."""
    try:
        served = {kind for root in {k.root for k in kinds} for kind in await _served(api, root)}
    except ApiUnavailable:
        served = set()
    return sorted(f"{k.plural}.{k.group}" for k in kinds if (k.root, k.plural) not in served)


async def _served(api: Verbs, root: str) -> set[tuple[str, str]]:
    """(root, plural) of what a group and version serves; empty where it is not served."""
    with contextlib.suppress(ObjectGone):
        found = await api.request("GET", root)
        return {(root, resource["name"]) for resource in found.get("resources") or []}
    return set()
