"""
Whether an instance may be converged, as far as the custom resources can tell. Pure.

Each check raises the error whose name becomes the reason. What fails here leaves the instance on
its machine as it is: it is kept, never stopped.
"""

from __future__ import annotations

from warlock_agent.refuse import under_root
from warlock_operator.api.v1alpha1 import Game, GameHost, GameInstance
from warlock_operator.api.v1alpha1.game import undeclared_references
from warlock_operator.core.inventory import HostItem, InstanceItem, Inventory
from warlock_operator.errors import (
    AmbiguousHost,
    GameNotFound,
    HostNotFound,
    InvalidObject,
    NamespaceNotAdmitted,
    PathOutsideRoots,
    PortOutOfRange,
    PortTaken,
    UndeclaredPort,
    UndeclaredVariable,
    VariableMismatch,
)


def host_of(inventory: Inventory, item: InstanceItem) -> HostItem:
    """
    Give the GameHost that an instance means.

    Raises:
        HostNotFound: none has that name or address.
        AmbiguousHost: several have that address.
    """
    reference = item.text("host")
    meant = inventory.hosts_meant(reference)
    if not meant:
        raise HostNotFound(
            f"no GameHost has the name or address {reference!r}; create it, or delete this "
            "GameInstance and create it with the right spec.host"
        )
    if len(meant) > 1:
        names = ", ".join(host.meta.name for host in meant)
        raise AmbiguousHost(
            f"GameHosts {names} have the address {reference}; delete all but one, give them "
            "different addresses, or create this GameInstance anew with a GameHost's name as "
            "spec.host"
        )
    return meant[0]


def object_of(item: InstanceItem) -> GameInstance:
    """Give the parsed object. Raises InvalidObject where its newest form does not parse."""
    if item.error is not None or item.object is None:
        raise item.error or InvalidObject("the object can't be read")
    return item.object


def game_of(inventory: Inventory, guid: str) -> Game:
    """
    Give the Game that counts for a guid.

    Raises:
        GameNotFound: none has it, or the one that has it can't be used.
    """
    items = inventory.games_of(guid)
    if not items:
        raise GameNotFound(
            f"no Game has the guid {guid}; create it (kubectl get games shows what there is); "
            "until then the instance stays as it is on its machine"
        )
    item = items[0]
    if item.error is not None or item.object is None:
        raise GameNotFound(f"Game {item.meta.name} can't be used: {item.error}")
    unknown = undeclared_references(item.object.spec)
    if unknown:
        raise GameNotFound(
            f"Game {item.meta.name} can't be used: its exec uses {', '.join(unknown)}, which it "
            "does not declare in spec.variables"
        )
    return item.object


def check_namespace(inventory: Inventory, host: GameHost, namespace: str) -> None:
    """Raise NamespaceNotAdmitted where the host's selector leaves the namespace out."""
    selector = host.spec.namespace_selector
    if selector is not None and not selector.admits(inventory.labels(namespace)):
        raise NamespaceNotAdmitted(
            f"GameHost {host.metadata.name} does not admit namespace {namespace}; its admin can "
            "change spec.namespaceSelector or the namespace's labels"
        )


def environment_of(instance: GameInstance, game: Game) -> tuple[tuple[str, str], ...]:
    """
    Give the Game's variables with the values that hold for the instance, sorted by name.

    Raises:
        UndeclaredVariable: the instance sets what the Game does not declare.
        VariableMismatch: a value does not match its pattern, or one without default is not set.
    """
    declared = {variable.name: variable for variable in game.spec.variables}
    values = {variable.name: variable.default for variable in game.spec.variables}
    for each in instance.spec.env:
        variable = declared.get(each.name)
        if variable is None:
            known = ", ".join(sorted(declared)) or "none"
            raise UndeclaredVariable(
                f"spec.env: Game {game.metadata.name} has no variable {each.name}; it has {known}"
            )
        if not variable.accepts(each.value):
            raise VariableMismatch(
                f"spec.env: the value of {each.name} must match {variable.pattern} as Game "
                f"{game.metadata.name} says"
            )
        values[each.name] = each.value
    for name, value in values.items():
        if value is None:
            raise VariableMismatch(
                f"spec.env: {name} must be set: Game {game.metadata.name} has no default for it"
            )
    return tuple(sorted((name, value or "") for name, value in values.items()))


def check_path(path: str, host: GameHost) -> None:
    """Raise PathOutsideRoots where *path* lies under none of the host's roots."""
    if not under_root(path, host.spec.path_roots):
        raise PathOutsideRoots(
            f"spec.path: {path} is under none of the roots of GameHost {host.metadata.name}: "
            f"{', '.join(host.spec.path_roots)}"
        )


def check_ports(instance: GameInstance, game: Game, host: GameHost) -> None:
    """
    Check the ports that are asked for by number.

    Raises:
        UndeclaredPort: a name that the Game does not have.
        PortOutOfRange: a number outside the host's ranges, or reserved there.
        PortTaken: a number for two ports of the same protocol.
    """
    declared = {port.name: str(port.protocol) for port in game.spec.ports}
    asked: dict[tuple[str, int], str] = {}
    for port in instance.spec.ports:
        if port.name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise UndeclaredPort(
                f"spec.ports: Game {game.metadata.name} has no port {port.name}; it has {known}"
            )
        if port.port is not None and not host.spec.ports.allows(port.port):
            ranges = ", ".join(f"{r.from_} to {r.to}" for r in host.spec.ports.ranges)
            reserved = ", ".join(map(str, host.spec.ports.reserved))
            raise PortOutOfRange(
                f"spec.ports: {port.name}: {port.port} is not among the ports of GameHost "
                f"{host.metadata.name}: {ranges}" + (f", but for {reserved}" if reserved else "")
            )
        if port.port is not None:
            protocol = declared[port.name]
            other = asked.setdefault((protocol, port.port), port.name)
            if other != port.name:
                raise PortTaken(
                    f"spec.ports: {other} and {port.name} both ask for {port.port}/{protocol}; "
                    "give each a number of its own, or leave one out to have it allocated"
                )
