"""
What each kind of weather does, and how it is undone. A person or a fault does it, never a test.

What people do goes through the API server and is tried until it answers; what befalls a machine is
done from inside it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping

from labkit.errors import LabError
from soakkit import harm
from soakkit.objects import GUID, SERVICE
from soakkit.weather import Weather
from soakkit.world import World
from warlock_agent import names

BY_HAND = ("# by hand\n", 'HAND="by hand"\n', "-by-hand")
"""What hands add to a drop-in, an environment file, a registration: each leaves it whole."""

Do = Callable[[World, Weather], None]


# --- people -----------------------------------------------------------------------------------


def _edit_variable(world: World, weather: Weather) -> None:
    wish = world.wish_of(weather)
    wish.revision = weather.number + 1
    world.edit(wish)


def _edit_port(world: World, weather: Weather) -> None:
    wish = world.wish_of(weather)
    wish.edit_port(weather.value)
    world.edit(wish)


def _ask_restart(world: World, weather: Weather) -> None:
    world.annotate(world.wish_of(weather), "restart", f"soak-{weather.number}")


def _stop(world: World, weather: Weather) -> None:
    world.wish_of(weather).stopped = True
    world.edit(world.wish_of(weather))


def _run(world: World, weather: Weather) -> None:
    world.wish_of(weather).stopped = False
    world.edit(world.wish_of(weather))


def _pause(world: World, weather: Weather) -> None:
    world.annotate(world.wish_of(weather), "paused", "true")


def _unpause(world: World, weather: Weather) -> None:
    world.annotate(world.wish_of(weather), "paused", None)


def _delete(world: World, weather: Weather) -> None:
    world.api.delete(world.wish_of(weather).url)


def _create(world: World, weather: Weather) -> None:
    world.create(world.wish_of(weather))


def _recreate(world: World, weather: Weather) -> None:
    _delete(world, weather)
    _create(world, weather)


# --- what befalls an instance -----------------------------------------------------------------


def _unit(world: World, weather: Weather) -> str:
    return names.unit_name(SERVICE, world.wish_of(weather).instance_id)


def _kill_game(world: World, weather: Weather) -> None:
    _inside(world, weather, "systemctl", "kill", "-s", "KILL", _unit(world, weather))


def _stop_unit(world: World, weather: Weather) -> None:
    _inside(world, weather, "systemctl", "stop", _unit(world, weather))


def _edit_file(world: World, weather: Weather) -> None:
    added = BY_HAND[weather.value % 3]
    script = '[ ! -e "$1" ] || printf %s "$2" >> "$1"'
    _inside(world, weather, "sh", "-c", script, "sh", _file(world, weather), added)


def _remove_file(world: World, weather: Weather) -> None:
    _inside(world, weather, "rm", "-f", _file(world, weather))


def _file(world: World, weather: Weather) -> str:
    return harm.own_files(GUID, SERVICE, world.wish_of(weather).instance_id)[weather.value % 3]


# --- what befalls a machine -------------------------------------------------------------------


def _kill_agent(world: World, weather: Weather) -> None:
    for pid in world.agents(world.host_of(weather)):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it had just ended
            continue


def _unplug(world: World, weather: Weather) -> None:
    world.host_of(weather).unplug()


def _plug(world: World, weather: Weather) -> None:
    world.host_of(weather).plug()


def _restart_sshd(world: World, weather: Weather) -> None:
    _inside(world, weather, "sh", "-c", "systemctl reset-failed ssh; systemctl restart ssh")


def _reexec(world: World, weather: Weather) -> None:
    _inside(world, weather, "systemctl", "daemon-reexec")


def _reboot(world: World, weather: Weather) -> None:
    world.host_of(weather).reboot()


def _inside(world: World, weather: Weather, *argv: str) -> None:
    """Run a command on the machine; one that is going down just now does not hear it."""
    world.host_of(weather).run(list(argv), check=False, limit_seconds=60.0)


# --- what befalls everybody -------------------------------------------------------------------


def _kill_operator(world: World, weather: Weather) -> None:
    try:
        world.operator.kill()
    except (LabError, ProcessLookupError):  # it is between two runs
        return


def _stop_apiserver(world: World, weather: Weather) -> None:
    world.cluster.stop_apiserver()


def _start_apiserver(world: World, weather: Weather) -> None:
    world.cluster.start_apiserver()


DO: Mapping[str, Do] = {
    "edit a variable": _edit_variable,
    "edit the port": _edit_port,
    "ask for a restart": _ask_restart,
    "stop and run": _stop,
    "pause": _pause,
    "delete and create": _delete,
    "recreate at once": _recreate,
    "kill the game": _kill_game,
    "stop the unit by hand": _stop_unit,
    "edit a file by hand": _edit_file,
    "remove a file by hand": _remove_file,
    "kill the agent": _kill_agent,
    "pull the cable": _unplug,
    "restart sshd": _restart_sshd,
    "re-execute systemd": _reexec,
    "reboot": _reboot,
    "kill the operator": _kill_operator,
    "API server away": _stop_apiserver,
}
UNDO: Mapping[str, Do] = {
    "stop and run": _run,
    "pause": _unpause,
    "delete and create": _create,
    "pull the cable": _plug,
    "API server away": _start_apiserver,
}
