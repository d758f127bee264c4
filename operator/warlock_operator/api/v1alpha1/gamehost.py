"""The kind GameHost: one machine. Cluster-scoped and the admin's."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from warlock_operator.api.rules import BY_NAME, UNIQUE, Model, Rule, StatusModel, matches
from warlock_operator.api.v1alpha1.meta import Conditions, LabelSelector, ObjectMeta
from warlock_operator.api.v1alpha1.values import (
    Address,
    Count,
    ObjectName,
    PathRoot,
    PathText,
    PortNumber,
    ShortText,
    Timestamp,
)

DEFAULT_PATH_ROOTS = ("/opt", "/srv")
MAX_ORPHANS = 256
MAX_FEATURES = 64


class Become(StrEnum):
    """How the SSH user becomes root."""

    NONE = "None"
    SUDO = "Sudo"


class HostKeyPolicy(StrEnum):
    """Which host key is accepted."""

    PINNED = "Pinned"
    TRUST_ON_FIRST_USE = "TrustOnFirstUse"


class FeatureState(StrEnum):
    """What a machine makes of a limit that a unit asks for."""

    ENFORCED = "Enforced"
    ADVISORY = "Advisory"
    UNSUPPORTED = "Unsupported"


# The blob names its own type first; here as the base64 of that, so that a key under another type's
# name is refused too.
_HOST_KEY = "|".join(
    f"{kind} {start}[A-Za-z0-9+/]{{40,}}={{0,2}}"
    for kind, start in (
        ("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAI"),
        ("ssh-rsa", "AAAAB3NzaC1yc2EAAA"),
        ("ecdsa-sha2-nistp256", "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI"),
        ("ecdsa-sha2-nistp384", "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAI"),
        ("ecdsa-sha2-nistp521", "AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAI"),
    )
)

HostKey = Annotated[
    str,
    Field(max_length=4096),
    matches(
        _HOST_KEY,
        "must be a public host key as 'type base64', such as 'ssh-ed25519 AAAA...', without host "
        "name and comment: the last two columns of what ssh-keyscan prints",
    ),
]

UserName = Annotated[
    str,
    Field(max_length=64),
    matches(
        "[a-z_][a-z0-9_.-]{0,31}",
        "must be the name of a user: 1 to 32 lower-case letters, digits, '_', '-' and '.', such "
        "as root",
    ),
]


class SecretReference(Model):
    """A Secret in the operator's own namespace."""

    name: ObjectName = Field(description="Name of the Secret.")


class Ssh(Model):
    """How the machine is reached."""

    rules = (
        Rule(
            cel="self.hostKeyPolicy != 'Pinned' || has(self.hostKeys) && size(self.hostKeys) > 0",
            message="must hold at least one key where hostKeyPolicy is Pinned; ssh-keyscan "
            "prints a machine's keys; compare them with the machine's own",
            holds=lambda self: self.host_key_policy is not HostKeyPolicy.PINNED or self.host_keys,
            field="hostKeys",
        ),
    )

    port: PortNumber = Field(default=22, description="Port of the machine's SSH server.")
    user: UserName = Field(default="root", description="User to log in as.")
    become: Become = Field(
        default=Become.NONE,
        description="None: the user is root. Sudo: the user may run sudo -n without a password.",
    )
    key_secret: SecretReference = Field(
        description="Secret of type kubernetes.io/ssh-auth in the operator's namespace, with the "
        "user's private key in ssh-privatekey."
    )
    host_key_policy: HostKeyPolicy = Field(
        default=HostKeyPolicy.PINNED,
        description="Pinned: only a key of hostKeys is accepted. TrustOnFirstUse: the first key "
        "that the machine shows is recorded in status.hostKeys and is the only one from then on.",
    )
    host_keys: Annotated[tuple[HostKey, ...], Field(max_length=16), UNIQUE] = Field(
        default=(),
        description="The machine's public host keys, each as 'type base64'.",
    )


class PortRange(Model):
    """Port numbers from one to another, both included."""

    rules = (
        Rule(
            cel="self.from <= self.to",
            message="must not be below from; write the lower number as from",
            holds=lambda self: self.from_ <= self.to,
            field="to",
        ),
    )

    from_: PortNumber = Field(alias="from", description="First port of the range.")
    to: PortNumber = Field(description="Last port of the range, included.")

    def __contains__(self, number: int) -> bool:
        return self.from_ <= number <= self.to


class HostPorts(Model):
    """Which ports of the machine instances may have."""

    ranges: Annotated[tuple[PortRange, ...], Field(min_length=1, max_length=32)] = Field(
        description="Every port of an instance lies in one of these; free ones are given in this "
        "order."
    )
    reserved: Annotated[tuple[PortNumber, ...], Field(max_length=256), UNIQUE] = Field(
        default=(), description="Ports in the ranges that no instance may have."
    )

    def allows(self, number: int) -> bool:
        """Say whether an instance may have port *number*."""
        return number not in self.reserved and any(number in each for each in self.ranges)


class GameHostSpec(Model):
    """A machine, how it is reached, and what instances may use of it."""

    address: Address = Field(description="IP address or DNS name of the machine.")
    ssh: Ssh = Field(description="How the machine is reached.")
    ports: HostPorts = Field(description="Which ports of the machine instances may have.")
    path_roots: Annotated[tuple[PathRoot, ...], Field(min_length=1, max_length=16), UNIQUE] = Field(
        default=DEFAULT_PATH_ROOTS,
        description="Directories under which instances may lie; the first is the default one.",
    )
    namespace_selector: LabelSelector | None = Field(
        default=None,
        description="Labels of the namespaces whose GameInstances may use the machine. Absent or "
        "empty: all namespaces.",
    )
    unschedulable: bool = Field(
        default=False,
        description="True: the machine takes no new instances; those that it has are served.",
    )


class HostFacts(StatusModel):
    """What kind of machine it is."""

    os: ShortText = Field(default="", description="Name and version of the distribution.")
    kernel: ShortText = Field(default="", description="Release of the kernel.")
    systemd: ShortText = Field(default="", description="Version of systemd.")
    python: ShortText = Field(default="", description="Version of Python that the agent runs on.")
    architecture: ShortText = Field(default="", description="Architecture, such as x86_64.")
    cpus: Count = Field(default=0, description="Number of processors.")
    memory_bytes: Count = Field(default=0, description="Memory, in bytes.")


class HostFeature(StatusModel):
    """What the machine makes of one limit; tried, not guessed."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="Name of the feature, such as MemoryMax."
    )
    state: FeatureState = Field(
        description="Enforced; Advisory: accepted and without effect; or Unsupported."
    )


class HostAgent(StatusModel):
    """The operator's agent on the machine."""

    digest: ShortText = Field(default="", description="SHA-256 of the agent's archive.")


class HostInstances(StatusModel):
    """How many instances the machine has."""

    desired: Count = Field(default=0, description="GameInstances that name the machine.")
    running: Count = Field(default=0, description="Those whose main process runs.")


class Orphan(StatusModel):
    """What the machine has and no GameInstance names. It is left running."""

    guid: ShortText = Field(description="Which Game.")
    instance_id: ShortText = Field(alias="instance_id", description="Which instance of the Game.")
    namespace: ShortText = Field(
        default="", description="Namespace of the object that it came from."
    )
    name: ShortText = Field(default="", description="Name of the object that it came from.")
    uid: ShortText = Field(default="", description="The metadata.uid of that object.")
    path: PathText = Field(default="", description="Where its files lie.")


class GameHostStatus(StatusModel):
    """What the operator knows of the machine."""

    observed_generation: Count = Field(
        default=0,
        description="The metadata.generation that the status was made from; 0: of none yet.",
    )
    conditions: Conditions = Field(
        default=(),
        description="Ready: instances can be served. Reachable: the agent on it answers. Stalled: "
        "somebody has to do something; the reason says what.",
    )
    machine_id: ShortText = Field(
        default="",
        alias="machineID",
        description="The machine's /etc/machine-id. Another machine at the address is not touched.",
    )
    facts: HostFacts | None = Field(default=None, description="What kind of machine it is.")
    features: Annotated[tuple[HostFeature, ...], Field(max_length=MAX_FEATURES), BY_NAME] = Field(
        default=(), description="What the machine makes of the limits that units ask for."
    )
    host_keys: Annotated[
        tuple[Annotated[str, Field(max_length=4096)], ...], Field(max_length=16), UNIQUE
    ] = Field(
        default=(),
        description="Host keys recorded under hostKeyPolicy TrustOnFirstUse, as 'type base64'.",
    )
    agent: HostAgent | None = Field(
        default=None, description="The operator's agent on the machine."
    )
    instances: HostInstances | None = Field(
        default=None, description="How many instances the machine has."
    )
    orphans: Annotated[tuple[Orphan, ...], Field(max_length=MAX_ORPHANS)] = Field(
        default=(),
        description="What the machine has and no GameInstance names; left running until somebody "
        "asks for its removal by the annotation warlock.dev/remove-orphan.",
    )
    last_seen: Timestamp | None = Field(
        default=None,
        description="When the machine last answered; written when it goes out of sight.",
    )


class GameHost(Model):
    """A machine that runs no kubelet: reached over SSH, its games run under systemd."""

    metadata: ObjectMeta
    spec: GameHostSpec = Field(
        description="A machine, how it is reached, and what instances may use of it."
    )
    status: GameHostStatus | None = Field(
        default=None, description="What the operator knows of the machine."
    )
