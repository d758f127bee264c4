"""When the weather is over: what is declared against what is on the machines. Empty: the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchkit.watching import condition, ready
from labkit.host import Host
from soakkit import harm
from soakkit.api import PREFIX
from soakkit.objects import GUID, INSTANCES, SERVICE, Object, Wish
from soakkit.world import World
from warlock_agent import ledger, names

_ASK = r"""
for unit in $(systemctl list-units --all --plain --no-legend '{service}@*.service' | cut -d' ' -f1)
do systemctl show --property=ActiveState,MainPID,Id "$unit" | tr '\n' ' '; echo; done
"""


def unsettled(world: World) -> list[str]:
    """Say which objects are not as declared, by their statuses."""
    found = {each["metadata"]["name"]: each for each in world.api.get(INSTANCES).get("items", [])}
    hosts = world.api.get(f"{PREFIX}/gamehosts").get("items", [])
    said = [f"{each['metadata']['name']}: {_why(each)}" for each in hosts if not ready(each)]
    said += [
        f"{each['metadata']['name']}: orphans {each['status']['orphans']}"
        for each in hosts
        if each.get("status", {}).get("orphans")
    ]
    for wish in world.wishes:
        each = found.pop(wish.name, {})
        state = each.get("status", {}).get("state")
        if not each or not ready(each) or state != "Running":
            said.append(f"{wish.name}: {state} {_why(each) if each else 'is not there'}")
    return said + [f"{name}: nobody declared it" for name in found]


def _why(found: Object) -> str:
    conditions = found.get("status", {}).get("conditions", ())
    told: Object = next((each for each in conditions if each["type"] == "Ready"), {})
    seen, now = found.get("status", {}).get("observedGeneration"), found["metadata"]["generation"]
    ready_now = condition(found, "Ready")
    return f"Ready={ready_now} {told.get('reason')}: {told.get('message')} (of {seen}, now {now})"


def differences(world: World) -> list[str]:
    """Say where a machine is not as declared, by what is on it."""
    said: list[str] = []
    for number, host in enumerate(world.hosts):
        wishes = [wish for wish in world.wishes if wish.host == number]
        said += [f"{host.name}: {what}" for what in _machine(host, wishes)]
    return said


def _machine(host: Host, wishes: list[Wish]) -> Iterator[str]:
    units = _units(host)
    for wish in wishes:
        pid, state = units.pop(names.unit_name(SERVICE, wish.instance_id), ("0", "not loaded"))
        if state != "active":
            yield f"{wish.name} is {state}"
            continue
        yield from _process(host, wish, pid)
    yield from (f"{unit} belongs to nobody" for unit in units)
    wanted = {names.registration_path(GUID, wish.instance_id): wish.path for wish in wishes}
    there = _shell(host, f"grep -H '' {names.STATE_DIR}/*.app").splitlines()
    registered = dict(line.split(":", 1) for line in there)
    if registered != wanted:
        yield f"registrations are {registered}, not {wanted}"
    written = json.loads(_shell(host, f"cat {names.LEDGER_DIR}/{ledger.CURRENT}"))["ledger"]
    in_ledger = sorted(each["name"] for each in written["instances"])
    if in_ledger != sorted(wish.name for wish in wishes):
        yield f"the ledger has {in_ledger}"
    wanted_files = [
        path
        for wish in wishes
        for path in (
            *harm.own_files(GUID, SERVICE, wish.instance_id),
            names.wants_path(SERVICE, wish.instance_id),
        )
    ]
    words = " ".join(f"'{path}'" for path in wanted_files)
    lost = _shell(host, f"for path in {words}; do [ -e $path ] || echo $path; done").split()
    yield from (f"{path} has not been put back" for path in lost)
    edited = _shell(host, f"grep -l -e 'by.hand' {words}").split()
    yield from (f"{path} is as hands have left it" for path in edited)
    paths = _shell(host, f"ls {names.ENV_DIR}; ls -d {names.UNIT_DIR}/{SERVICE}@*.d").split()
    ids = {wish.instance_id for wish in wishes}
    yield from (f"{path} is left behind" for path in paths if not any(one in path for one in ids))


def _process(host: Host, wish: Wish, pid: str) -> Iterator[str]:
    environment = _shell(host, f"tr '\\0' '\\n' < /proc/{pid}/environ").splitlines()
    for wanted in (f"REVISION={wish.revision}", f"PORT_GAME={wish.port}"):
        if wanted not in environment:
            yield f"{wish.name} runs without {wanted}"
    bound = _shell(host, f"ss -Hulnp 'sport = :{wish.port}'")
    if f"pid={pid}," not in bound:
        yield f"{wish.name} does not hold port {wish.port}: {bound.strip()}"


def _units(host: Host) -> dict[str, tuple[str, str]]:
    """Give main process and state of each of the game's units that systemd knows."""
    found: dict[str, tuple[str, str]] = {}
    for line in _shell(host, _ASK.replace("{service}", SERVICE)).splitlines():
        facts = dict(word.split("=", 1) for word in line.split())
        found[facts["Id"]] = facts["MainPID"], facts["ActiveState"]
    return found


def _shell(host: Host, script: str) -> str:
    return host.run(["sh", "-c", script], check=False).stdout
