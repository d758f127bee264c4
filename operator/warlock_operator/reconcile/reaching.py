"""
How a host is reached, which machine it may be, and in whose name it is written to.

Read from the GameHost, its key Secret and the status that it shows. Changes nothing.
"""

from __future__ import annotations

import re

from warlock_agent.model import Authority, ObservedHost
from warlock_operator.api.names import Annotation, Kind
from warlock_operator.core.desired import take_over_of
from warlock_operator.core.inventory import HostItem
from warlock_operator.errors import DuplicateHost, HostReplaced, KeySecretMissing
from warlock_operator.reconcile.surroundings import Surroundings
from warlock_operator.transport.link import LinkTarget

_MACHINE_ID = re.compile(r"[0-9A-Za-z]{1,64}")  # 32 hex digits by machine-id(5); images vary


def target_of(item: HostItem, around: Surroundings) -> LinkTarget:
    """
    Give how the host is reached.

    Raises:
        KeySecretMissing: the Secret that it names is not there, or has no key.
    """
    assert item.object is not None
    spec = item.object.spec
    key = around.secrets.get(spec.ssh.key_secret.name)
    if key is None:
        raise KeySecretMissing(
            f"there is no Secret {spec.ssh.key_secret.name} of type kubernetes.io/ssh-auth "
            f"with ssh-privatekey in namespace {around.settings.namespace}; create it"
        )
    shown = around.publisher.shown(item)
    recorded = tuple(shown.host_keys) if shown is not None else ()
    first_use = str(spec.ssh.host_key_policy) == "TrustOnFirstUse"
    return LinkTarget(
        host=item.meta.name,
        address=spec.address,
        port=spec.ssh.port,
        user=spec.ssh.user,
        become="Sudo" if str(spec.ssh.become) == "Sudo" else "None",
        host_keys=spec.ssh.host_keys or (recorded if first_use else ()),
        trust_first_use=first_use,
        private_key=key.private_key,
        passphrase=key.passphrase,
        machine_ids=_machines(item, around),
    )


def check_machine(item: HostItem, machine_id: str, around: Surroundings) -> None:
    """
    Refuse another machine than the one that this GameHost is known to be.

    A link over SSH has done so before it wrote a byte; another one may not.
    """
    known = _machines(item, around)
    if known and machine_id not in known:
        raise HostReplaced.by(machine_id, known)


def _machines(item: HostItem, around: Surroundings) -> tuple[str, ...]:
    """Which machines the host may be; empty: it was never seen."""
    shown = around.publisher.shown(item)
    pinned = shown.machine_id if shown is not None else ""
    accepted = item.meta.annotation(Annotation.ACCEPT_HOST)
    # Somebody's text, and it goes into a command line: only what can be a machine-id does.
    known = [pinned, accepted] if _MACHINE_ID.fullmatch(accepted) else [pinned]
    return tuple(dict.fromkeys(known)) if pinned else ()


def authority_of(item: HostItem, observed: ObservedHost, around: Surroundings) -> Authority:
    """Give in whose name a frame for the machine is sent, as it was observed last."""
    leader, ledger = around.leader, observed.ledger
    known = _is_machine(ledger.host_uid, observed.machine_id, around)
    return Authority(
        owner=leader.owner,
        token=leader.token,
        holder=leader.holder,
        host_uid=item.uid,
        machine_id=observed.machine_id,
        take_over=take_over_of(item.meta.annotation(Annotation.TAKE_OVER)),
        replaces="" if known else ledger.host_uid,
    )


def by_name(error: DuplicateHost, observed: ObservedHost, around: Surroundings) -> DuplicateHost:
    """Say by its name, which people know, what the machine can name by its uid alone."""
    other = around.inventory.get(Kind.GAME_HOST, observed.ledger.host_uid)
    if other is None:
        return error
    return DuplicateHost(
        f"this machine is already served as GameHost {other.meta.name}; delete one of the two"
    )


def _is_machine(host_uid: str, machine_id: str, around: Surroundings) -> bool:
    """Say whether there is a GameHost of that uid, and it is not known for another machine."""
    item = around.inventory.get(Kind.GAME_HOST, host_uid)
    if item is None:
        return False
    shown = around.publisher.shown(item)
    return not shown or shown.machine_id in ("", machine_id)
