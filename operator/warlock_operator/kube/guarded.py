"""
Writes to objects of ours: statuses and finalizers, each to this very object or not at all.

A write that lost a race is redone on what is there now, a bounded number of times.
``client.KubeClient`` inherits this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from warlock_operator.errors import ApiRefused, Conflict, ObjectGone
from warlock_operator.kube import answers, patches
from warlock_operator.kube.refs import BY_KIND, ObjectRef
from warlock_operator.kube.verbs import Json, Verbs

Metadata = Mapping[str, Any]


class GuardedWrites(Verbs):
    """The verbs, and writes that a uid guards."""

    async def apply_status(self, ref: ObjectRef, status: Mapping[str, Any]) -> str:
        """
        Make *status* the whole status of this very object.

        Returns:
            The resourceVersion; that of before where the status was equal already.

        Raises:
            ObjectGone: it is gone, or its name belongs to another object by now; nothing
                was written.
            ApiRefused: the schema does not allow this status, or RBAC this write.
        """
        written = await self._patch(ref, patches.status_patch(ref.uid, status), sub="status")
        return str(written["metadata"]["resourceVersion"])

    async def add_finalizer(
        self, ref: ObjectRef, finalizer: str, seen: Metadata | None = None
    ) -> None:
        """
        Put *finalizer* on the object, where it is not there already.

        Args:
            seen: the object's metadata as a watch brought it: saves reading it first, and
                all requests where it shows the finalizer.

        Raises:
            ObjectGone: gone, another one of that name, or being deleted (the apiserver takes
                no new finalizers then).
            Conflict: it changed ``api_conflict_attempts`` times under our hands.
        """
        await self._retried(ref, lambda now: _addition(ref, now, finalizer), seen)

    async def remove_finalizer(
        self, ref: ObjectRef, finalizer: str, seen: Metadata | None = None
    ) -> None:
        """Take *finalizer* off the object, where it is there; fine where the object is gone."""
        with contextlib.suppress(ObjectGone):
            await self._retried(ref, lambda now: patches.finalizer_removed(now, finalizer), seen)

    async def _retried(
        self,
        ref: ObjectRef,
        decide: Callable[[Metadata], patches.Patch | None],
        seen: Metadata | None,
    ) -> None:
        """Send what *decide* makes of the metadata; read again and redo on a lost race."""
        for _ in range(self.settings.api_conflict_attempts):
            patch = decide(seen or await self._metadata(ref))
            seen = None
            if patch is None:
                return
            with contextlib.suppress(Conflict):
                await self._patch(ref, patch)
                return
        raise Conflict(f"{ref} changed at every attempt to write its finalizers")

    async def _metadata(self, ref: ObjectRef) -> Metadata:
        """The object's metadata now. Raises ObjectGone where it is not this very one."""
        found = await self.get(BY_KIND[ref.kind], ref.namespace, ref.name)
        metadata: Metadata = found["metadata"]
        if metadata["uid"] != ref.uid:
            raise ObjectGone(f"{ref}: another object has the name now")
        return metadata

    async def _patch(self, ref: ObjectRef, patch: patches.Patch, sub: str = "") -> Json:
        """
        Send *patch*, and find out which test failed where one did.

        Raises:
            ObjectGone: the one on the uid. Conflict: the one on the resourceVersion.
            ApiRefused: none of them, so it was what we wrote.
        """
        path = BY_KIND[ref.kind].path(ref.namespace, ref.name, sub)
        try:
            return await self._write("PATCH", path, patch, "json-patch+json")
        except ApiRefused as error:
            if not answers.failed_test(error):
                raise
            now = await self._metadata(ref)
            if now["resourceVersion"] == tested_version(patch, now["resourceVersion"]):
                raise
            raise Conflict(f"{ref} changed meanwhile") from error


def tested_version(patch: Sequence[Mapping[str, Any]], absent: str) -> str:
    """The resourceVersion that *patch* tests for; *absent* where it tests for none."""
    found = [str(op["value"]) for op in patch if op["path"] == "/metadata/resourceVersion"]
    return found[0] if found else absent


def _addition(ref: ObjectRef, now: Metadata, finalizer: str) -> patches.Patch | None:
    patch = patches.finalizer_added(now, finalizer)
    if patch is not None and now.get("deletionTimestamp"):
        raise ObjectGone(f"{ref} is being deleted: too late for a finalizer")
    return patch
