"""
What has to be done to make an observed host the desired one. Pure: no file, clock or chance.

One instance of ``converge``, by its main rows (the first that fits):

==============================  =================================================================
it is also in ``remove``        nothing here; removal decides
something stands against it     a Refusal, and no step (:mod:`refuse`)
its packages are missing        claim, user, directory; start or await the install
its Game has a service no more  stop that, then take its files and, if it was the last, template
files differ                    claim, write, reload once if a unit file is among them
it should be stopped            stop each unit that is not; the link that enables it is gone
unit inactive                   start
unit failed by itself           wait for the back-off, then reset and start
unit failed as it was stopped   start; where that was done just now, wait likewise
unit runs another digest        restart
unit is stopping                look again soon
all is as it should be          no step
==============================  =================================================================

One instance of ``remove``: stop what runs and look again; once nothing runs take its files, its
template if it was the last, and its ledger entry. What no list names is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from . import names, render, retry
from .model import (
    BoundSocket,
    DesiredGame,
    DesiredHost,
    DesiredInstance,
    Ledger,
    LedgerEntry,
    LedgerFile,
    ObservedFile,
    ObservedHost,
    ObservedUnit,
    Refusal,
    RemovedInstance,
    Retry,
)
from .refuse import Holdings, port_refusal, refusal_of, root_of
from .steps import (
    PHASES,
    Claim,
    ClearRetry,
    EnsureDirectory,
    EnsureUser,
    Forget,
    MakeLink,
    Record,
    Reload,
    RemoveDirectory,
    RemoveFile,
    ResetFailed,
    RestartUnit,
    SetRetry,
    StartInstall,
    StartUnit,
    Step,
    StopUnit,
    WriteFile,
    target_of,
)

STOPPING_SECONDS = 5
"""Look again so soon for a unit that is stopping; its signal usually comes first."""
INSTALLING_SECONDS = 30
"""Likewise for an install."""


@dataclass(frozen=True)
class Plan:
    """
    steps: in order of execution. refusals: instances left as they are, and why.

    next_pass_seconds: when to look again though nothing is signalled; 0 for no need.
    """

    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]
    next_pass_seconds: int = 0


def plan(desired: DesiredHost, observed: ObservedHost) -> Plan:
    """Work out the difference. Equal inputs in whatever order give an equal plan."""
    return _Planner(desired, observed).run()


def orphans_of(desired: DesiredHost, ledger: Ledger) -> tuple[LedgerEntry, ...]:
    """Give what the ledger has and no list names, sorted by key."""
    named = {i.key for i in desired.converge} | {i.key for i in desired.keep}
    named |= {i.key for i in desired.remove}
    return tuple(sorted((e for e in ledger.instances if e.key not in named), key=lambda e: e.key))


class _Planner:
    """Indexes of one pass and the steps found so far; lives for one call of :func:`plan`."""

    def __init__(self, desired: DesiredHost, observed: ObservedHost) -> None:
        self.desired = desired
        self.observed = observed
        self.now = observed.uptime_seconds
        self.games: dict[str, DesiredGame] = {g.guid: g for g in desired.games}
        self.entries = observed.ledger.by_key
        self.files: dict[str, ObservedFile] = {f.path: f for f in observed.files}
        self.units: dict[str, ObservedUnit] = {u.unit: u for u in observed.units}
        self.retries: dict[str, Retry] = {r.name: r for r in observed.retries}
        self.packages: frozenset[str] = frozenset(p.name for p in observed.packages)
        self.users: frozenset[str] = frozenset(observed.users)
        self.sockets: dict[tuple[str, int], list[BoundSocket]] = {}
        for socket in observed.sockets:
            self.sockets.setdefault((socket.protocol, socket.port), []).append(socket)
        self.steps: list[Step] = []
        self.refusals: list[Refusal] = []
        self.waits: list[int] = []
        self.written: set[str] = set()
        self.dropped: dict[str, Sequence[str]] = {}  # by key: services that its Game has no more

    def run(self) -> Plan:
        removed = {r.key for r in self.desired.remove}
        kept = {k.key for k in self.desired.keep}
        holdings = Holdings(self.observed.ledger.instances)
        wanted = sorted(
            (i for i in self.desired.converge if i.key not in removed and i.key not in kept),
            key=lambda i: (i.key, i.uid),
        )
        seen: set[str] = set()
        for instance in wanted:
            if instance.key not in seen:
                seen.add(instance.key)
                self._converge(instance, holdings)
        forgotten = {
            r.key
            for r in sorted(self.desired.remove, key=lambda r: (r.key, r.uid))
            if r.key not in kept and self._remove(r)
        }
        gone = {key: self.entries[key].services for key in forgotten}
        self._remove_templates({**self.dropped, **gone})
        if self.observed.reload_pending or any(_needs_reload(s) for s in self.steps):
            self.steps.append(Reload())
        order = {cls: at for at, cls in enumerate(PHASES)}
        return Plan(
            tuple(sorted(self.steps, key=lambda s: (order[type(s)], s.key, target_of(s)))),
            tuple(sorted(self.refusals, key=lambda r: r.key)),
            min(self.waits, default=0),
        )

    # --- converge ---------------------------------------------------------------

    def _converge(self, instance: DesiredInstance, holdings: Holdings) -> None:
        entry = self.entries.get(instance.key)
        game = self.games.get(instance.guid)
        refusal = self._refusal(instance, game, entry, holdings)
        if refusal is not None or game is None:
            if refusal is not None:
                self.refusals.append(refusal)
            return
        dropped = _dropped(entry, game)
        halts = [
            step
            for service in dropped
            for step in self._halt(
                instance.key, self._unit(names.unit_name(service, instance.instance_id))
            )
        ]
        if self._runs(dropped, instance.instance_id):
            self.steps += halts  # and nothing else: what follows it may want the same port
            return
        user = entry.user if entry else names.user_name(instance.guid, instance.instance_id)
        restart = instance.restart or (entry.restart if entry else "")
        digest = render.start_digest(instance, game, user, restart)
        files = render.managed_files(instance, game, user, digest)
        # Not the generation applied: what keeps failing never is, and must wait its turn.
        tried = f"{instance.generation} {restart!r} {instance.reconcile!r}"
        asked = entry is None or entry.tried != tried
        target = LedgerEntry(
            guid=instance.guid,
            instance_id=instance.instance_id,
            namespace=instance.namespace,
            name=instance.name,
            uid=instance.uid,
            generation=instance.generation,
            path=instance.path,
            user=user,
            ports=instance.ports,
            services=tuple(s.name for s in game.services),
            files=tuple(LedgerFile(f.path, f.digest) for f in files),
            restart=restart,
            reconcile=instance.reconcile,
            # What is stopped on purpose has no last start, so that its next one puts nothing back.
            started_digest=entry.started_digest if entry and instance.running else "",
            tried=tried,
        )
        found: list[Step] = [*halts, *self._owner_steps(instance, user)]
        if not self._installed(game, asked):
            self._claim(target, entry, pending=frozenset())
            self.steps += found
            return
        changes = self._file_steps(instance.key, files, entry)
        found += changes
        found += self._drop_in_steps(instance.key, instance.instance_id, dropped, entry)
        self.dropped[instance.key] = dropped
        found += self._unit_steps(instance, game, digest, target.started_digest, asked)
        starts = any(isinstance(step, (StartUnit, RestartUnit)) for step in found)
        # A pass may have been killed after a start and before it was noted.
        if starts or (instance.running and self._all_run(instance, game, digest)):
            target = replace(target, started_digest=digest)
        self._claim(target, entry, frozenset(target_of(step) for step in changes))
        self.steps += found
        if target != entry or changes:
            self.steps.append(Record(instance.key, target))

    def _refusal(
        self,
        instance: DesiredInstance,
        game: Optional[DesiredGame],
        entry: Optional[LedgerEntry],
        holdings: Holdings,
    ) -> Optional[Refusal]:
        if game is None:
            return Refusal(instance.key, "GameNotFound", f"no Game with guid {instance.guid}")
        services = [*(s.name for s in game.services), *(entry.services if entry else ())]
        own = {
            unit: self._unit(unit)
            for unit in (names.unit_name(s, instance.instance_id) for s in services)
        }
        return (
            refusal_of(instance, game, entry, self.desired.path_roots, self.files)
            or holdings.claim(instance, game)
            or (port_refusal(instance, own, self.sockets) if instance.running else None)
        )

    def _claim(
        self, target: LedgerEntry, entry: Optional[LedgerEntry], pending: frozenset[str]
    ) -> None:
        """
        Put into the ledger what the instance is about to hold, before it holds it.

        A file that is about to be written stands there without digest: killed in between, we know
        it for ours and do not take it for somebody's edit. A service that its Game has no more is
        its own until what there is of it is gone, which the record says.
        """
        services = (*target.services, *(entry.services if entry else ()))
        before = {f.path: f.digest for f in entry.files} if entry else {}
        before.update((path, "") for path in pending)
        claimed = replace(
            target,
            generation=entry.generation if entry else 0,
            services=tuple(dict.fromkeys(services)),
            restart=entry.restart if entry else "",
            reconcile=entry.reconcile if entry else "",
            started_digest=entry.started_digest if entry else "",
            files=tuple(LedgerFile(path, digest) for path, digest in sorted(before.items())),
        )
        if claimed != entry:
            self.steps.append(Claim(target.key, claimed))

    def _owner_steps(self, instance: DesiredInstance, user: str) -> list[Step]:
        made: list[Step] = []
        if user not in self.users:
            made.append(EnsureUser(instance.key, user, instance.path))
        there = self.files.get(instance.path)
        if there is None or (there.owner, there.mode) != (user, names.DIRECTORY_MODE):
            root = root_of(instance.path, self.desired.path_roots)
            assert root is not None  # or it was refused
            marker = names.marker_text(instance.guid, instance.instance_id)
            made.append(
                EnsureDirectory(
                    instance.key, instance.path, root, user, names.DIRECTORY_MODE, marker
                )
            )
        return made

    def _installed(self, game: DesiredGame, asked: bool) -> bool:
        """Say whether the Game's packages are there; if not, see to it that they come."""
        operation = names.install_operation(game.guid, game.apt, game.mask)
        if all(name in self.packages for name in game.apt):
            if operation in self.retries and operation not in self.written:
                self.written.add(operation)
                self.steps.append(ClearRetry(game.guid, operation))
            return True
        known = {o.id: o for o in self.observed.operations}.get(operation)
        if operation in self.written:
            return False
        self.written.add(operation)
        before = self.retries.get(operation)
        if known is not None and known.state == "Running":
            self.waits.append(INSTALLING_SECONDS)
        elif before is None or asked or retry.due(before, self.now):
            attempts = 0 if before is None or asked else before.attempts
            next_at = self.now + retry.delay_seconds(attempts + 1)
            self.steps.append(SetRetry(game.guid, operation, attempts + 1, next_at))
            self.steps.append(StartInstall(game.guid, operation, game.apt, game.mask))
            self.waits.append(INSTALLING_SECONDS)
        else:
            self.waits.append(retry.wait_seconds(before, self.now))
        return False

    def _file_steps(
        self, key: str, files: Sequence[render.ManagedFile], entry: Optional[LedgerEntry]
    ) -> list[Step]:
        made: list[Step] = []
        recorded = {f.path: f.digest for f in entry.files} if entry else {}
        for file in files:
            there = self.files.get(file.path)
            if there is not None and _same(there, file):
                continue
            if file.path in self.written:
                continue
            self.written.add(file.path)
            found = _found(there, recorded.get(file.path, ""), file)
            if file.kind == "Link":
                made.append(MakeLink(key, file.path, file.content, found))
            else:
                made.append(
                    WriteFile(key, file.path, file.content, file.mode, file.unit_file, found)
                )
        wanted = {file.path for file in files}
        wanted |= {names.template_path(s) for s in entry.services} if entry else set()
        for path in sorted(set(recorded) - wanted):
            if path in self.files:
                made.append(RemoveFile(key, path, path.startswith(names.UNIT_DIR + "/")))
        return made

    def _unit_steps(
        self,
        instance: DesiredInstance,
        game: DesiredGame,
        digest: str,
        started: str,
        asked: bool,
    ) -> list[Step]:
        made: list[Step] = []
        for service in game.services:
            unit = self._unit(names.unit_name(service.name, instance.instance_id))
            if instance.running:
                made += self._run(instance.key, unit, digest, started, asked)
            else:
                made += self._halt(instance.key, unit)
        return made

    def _run(
        self, key: str, unit: ObservedUnit, digest: str, started: str, asked: bool
    ) -> list[Step]:
        before = self.retries.get(unit.unit)
        made: list[Step] = []
        if before is not None and (asked or self._settled(unit)):
            made.append(ClearRetry(key, unit.unit))
            before = None
        elif before is not None and unit.active_state == "active":
            self.waits.append(retry.SETTLED_SECONDS)
        found = "the unit was not running" if started == digest else ""
        if unit.active_state == "deactivating":
            self.waits.append(STOPPING_SECONDS)
        elif unit.active_state == "failed":
            made = self._retry(key, unit, before, asked, found) or made
        elif unit.active_state == "inactive":
            made.append(StartUnit(key, unit.unit, found))
        elif unit.main_pid and (started if unit.digest is None else unit.digest) != digest:
            made += [ResetFailed(key, unit.unit), RestartUnit(key, unit.unit)]
        return made

    def _retry(
        self, key: str, unit: ObservedUnit, before: Optional[Retry], asked: bool, found: str
    ) -> list[Step]:
        """
        A unit that failed gets a first wait; then a start whenever the wait is over.

        But for one that somebody stopped, and whose game ended with a status that is none of
        success, as OpenArena does on SIGINT: nothing is wrong with it.
        """
        if before is None and not asked and not unit.stopped:
            first = self.now + retry.delay_seconds(0)
            self.waits.append(retry.delay_seconds(0))
            return [SetRetry(key, unit.unit, 1, first)]
        if before is not None and not retry.due(before, self.now):
            self.waits.append(retry.wait_seconds(before, self.now))
            return []
        attempts = before.attempts if before is not None else 0
        again = SetRetry(key, unit.unit, attempts + 1, self.now + retry.delay_seconds(attempts))
        by_hand = found if unit.stopped else ""
        return [again, ResetFailed(key, unit.unit), StartUnit(key, unit.unit, by_hand)]

    def _settled(self, unit: ObservedUnit) -> bool:
        since = unit.active_uptime_seconds
        return (
            unit.active_state == "active"
            and since > 0
            and self.now - since >= retry.SETTLED_SECONDS
        )

    def _halt(self, key: str, unit: ObservedUnit) -> list[Step]:
        if unit.active_state == "deactivating":
            self.waits.append(STOPPING_SECONDS)
            return []
        made: list[Step] = []
        if unit.unit in self.retries:
            made.append(ClearRetry(key, unit.unit))
        if unit.active_state == "failed":
            made.append(ResetFailed(key, unit.unit))
        elif unit.active_state != "inactive":
            made.append(StopUnit(key, unit.unit))
            self.waits.append(STOPPING_SECONDS)
        return made

    # --- remove -----------------------------------------------------------------

    def _remove(self, removed: RemovedInstance) -> bool:
        """Plan the removal; True when the ledger entry goes in this pass."""
        entry = self.entries.get(removed.key)
        if entry is None or not _same_object(entry, removed):
            return False
        units = [self._unit(names.unit_name(s, entry.instance_id)) for s in entry.services]
        halts = [step for unit in units for step in self._halt(entry.key, unit)]
        self.steps += halts
        if self._runs(entry.services, entry.instance_id):
            return False
        templates = {names.template_path(s) for s in entry.services}
        paths = {f.path for f in entry.files} - templates
        for path in sorted(paths & set(self.files)):
            self.steps.append(RemoveFile(entry.key, path, path.startswith(names.UNIT_DIR + "/")))
        self.steps += self._drop_in_steps(entry.key, entry.instance_id, entry.services, entry)
        self.steps.append(Forget(entry.key))
        return True

    def _drop_in_steps(
        self, key: str, instance_id: str, services: Sequence[str], entry: Optional[LedgerEntry]
    ) -> list[Step]:
        """Remove the directories of drop-ins, whose files go in the same pass."""
        recorded = {f.path for f in entry.files} if entry else set()
        return [
            RemoveDirectory(key, names.drop_in_dir(service, instance_id))
            for service in services
            if names.drop_in_dir(service, instance_id) in self.files
            or names.drop_in_path(service, instance_id) in recorded
        ]

    def _remove_templates(self, gone: Mapping[str, Sequence[str]]) -> None:
        """
        Remove our template of each service that nobody uses after this pass.

        Args:
            gone: by key of an entry, the services that go.
        """
        left = {
            s for e in self.entries.values() for s in e.services if s not in gone.get(e.key, ())
        }
        left |= {
            s.name
            for i in self.desired.converge
            if i.guid in self.games
            for s in self.games[i.guid].services
        }
        for key in sorted(gone):
            for service in gone[key]:
                path = names.template_path(service)
                there = self.files.get(path)
                if service not in left and path not in self.written and there and there.ours:
                    self.written.add(path)
                    self.steps.append(RemoveFile(key, path, True))

    def _all_run(self, instance: DesiredInstance, game: DesiredGame, digest: str) -> bool:
        units = (self._unit(names.unit_name(s.name, instance.instance_id)) for s in game.services)
        return all(unit.digest == digest for unit in units)

    def _runs(self, services: Sequence[str], instance_id: str) -> bool:
        """Whether the unit of one of *services* is not at rest."""
        units = (self._unit(names.unit_name(s, instance_id)) for s in services)
        return any(unit.active_state not in ("inactive", "failed") for unit in units)

    def _unit(self, unit: str) -> ObservedUnit:
        return self.units.get(unit) or ObservedUnit(unit)


def _dropped(entry: Optional[LedgerEntry], game: DesiredGame) -> Sequence[str]:
    """Give the services that an instance has and its Game, which was made anew, has not."""
    named = {service.name for service in game.services}
    return [service for service in entry.services if service not in named] if entry else []


def _same_object(entry: LedgerEntry, removed: RemovedInstance) -> bool:
    by_name = (entry.namespace, entry.name) == (removed.namespace, removed.name)
    return entry.uid == removed.uid or by_name


def _same(there: ObservedFile, file: render.ManagedFile) -> bool:
    if (there.kind, there.digest) != (file.kind, file.digest):
        return False
    return file.kind == "Link" or (there.mode, there.owner) == (file.mode, "root")


def _found(there: Optional[ObservedFile], recorded: str, file: render.ManagedFile) -> str:
    """Say what a person left in place of what we wrote; empty when the change is our own."""
    if not recorded:
        return ""
    if there is None:
        return "it was gone"
    if there.kind != file.kind:
        return f"a {there.kind.lower()} was in its place"
    if there.digest != recorded:
        return "its content had been changed"
    if file.kind == "File" and (there.mode, there.owner) != (file.mode, "root"):
        return f"it belonged to {there.owner} with mode {there.mode:04o}"
    return ""


def _needs_reload(step: Step) -> bool:
    if isinstance(step, (WriteFile, RemoveFile)):
        return step.unit_file
    return isinstance(step, MakeLink)


# --- where to look ----------------------------------------------------------------


def paths_of(desired: DesiredHost, ledger: Ledger) -> tuple[str, ...]:
    """Give every path that the planner wants to know about, sorted."""
    services = {(g.guid, s.name) for g in desired.games for s in g.services}
    made: set[str] = set()
    for instance in desired.converge:
        made.add(instance.path)
        made.add(names.env_path(instance.guid, instance.instance_id))
        made.add(names.registration_path(instance.guid, instance.instance_id))
        for guid, service in services:
            if guid == instance.guid:
                made.add(names.shadow_path(service, instance.instance_id))
                made.add(names.drop_in_path(service, instance.instance_id))
                made.add(names.wants_path(service, instance.instance_id))
    for entry in ledger.instances:
        made.update(f.path for f in entry.files)
        made.update(names.drop_in_dir(s, entry.instance_id) for s in entry.services)
    for service in {s for _, s in services} | {s for e in ledger.instances for s in e.services}:
        made.add(names.template_path(service))
        made.update(names.foreign_template_paths(service))
    return tuple(sorted(made))


def new_paths_of(desired: DesiredHost, ledger: Ledger) -> dict[str, str]:
    """Give the instances' paths that the ledger does not have yet, with the root of each."""
    known = ledger.by_key
    new = (i.path for i in desired.converge if i.key not in known)
    roots = ((path, root_of(path, desired.path_roots)) for path in new)
    return {path: root for path, root in roots if root is not None}


def units_of(desired: DesiredHost, ledger: Ledger) -> tuple[str, ...]:
    """Give every unit of desired and ledger, sorted."""
    services = {g.guid: [s.name for s in g.services] for g in desired.games}
    made = {
        names.unit_name(s, i.instance_id)
        for i in desired.converge
        for s in services.get(i.guid, ())
    }
    made.update(names.unit_name(s, e.instance_id) for e in ledger.instances for s in e.services)
    return tuple(sorted(made))


def users_of(desired: DesiredHost, ledger: Ledger) -> tuple[str, ...]:
    """Give every system user of desired and ledger, sorted."""
    made = {names.user_name(i.guid, i.instance_id) for i in desired.converge}
    made.update(e.user for e in ledger.instances)
    return tuple(sorted(made))


def packages_of(desired: DesiredHost) -> tuple[str, ...]:
    """Give every package that a Game wants, sorted."""
    return tuple(sorted({name for game in desired.games for name in game.apt}))
