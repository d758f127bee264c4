"""
What each query protocol asks, by opengsq's class of that name, and where its players stand.

The one table of protocols: the API's enumeration names the same ones. Those of opengsq that wait
for a broadcast, need a second port or a password, or do not say who plays, are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

NAME_CHARACTERS = 64
COUNT_LIMIT = 100_000
"""A game that claims more players than this is not believed."""


@dataclass(frozen=True)
class Players:
    """Who plays. max: None where the game does not say. names: as many as it says."""

    online: int
    max: int | None
    names: tuple[str, ...] = ()


class NotUnderstood(Exception):
    """An answer without a number of players, or with one that can't be."""


Read = Callable[[Any, Any], Players]


@dataclass(frozen=True)
class Query:
    """
    How to ask one protocol.

    module: of opengsq.protocols. ask: the method that gives the numbers; ask_names: the one that
    gives the names, where that is another question; it may fail. read: both answers to Players.
    answers: datagrams that one question may bring. own_ports: attributes with a local port that
    the class would bind, though no game wants it: two queries at a time would collide.
    """

    module: str
    ask: str
    read: Read
    ask_names: str = ""
    transport: Literal["UDP", "TCP"] = "UDP"
    answers: int = 1
    own_ports: tuple[str, ...] = ()


# --- where the players stand in what opengsq gives --------------------------------------------


def _made(online: object, most: object, people: Iterable[object] = ()) -> Players:
    count, limit = _number(online), _number(most)
    if count is None:
        raise NotUnderstood(f"{online!r:.40} players")
    return Players(count, limit, tuple(filter(None, map(_name, people))))


def _number(value: object) -> int | None:
    try:
        number = int(value)  # type: ignore[call-overload]  # whatever it is: this is the check
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= COUNT_LIMIT else None


_NAME_KEYS = ("name", "player", "playername", "player_name")


def _name(person: object) -> str:
    """A player's name, without what could disturb a terminal or a log; empty where it has none."""
    if isinstance(person, Mapping):
        found: object = next((person[key] for key in _NAME_KEYS if person.get(key)), "")
    else:
        found = getattr(person, "name", "")
    text = "".join(c for c in str(found or "") if c.isprintable())
    return text.strip()[:NAME_CHARACTERS]


def _first(info: Mapping[str, object], *keys: str) -> object:
    return next((info[key] for key in keys if key in info), None)


def _quake(status: Any, _: Any) -> Players:
    most = _first(status.info, "sv_maxclients", "maxclients", "si_maxPlayers")
    if _number(most) is None:  # every such server says it; without it, it was something else
        raise NotUnderstood("no number of slots")
    return _made(len(status.players), most, status.players)


def _counted(status: Any, people: Any) -> Players:
    named = people if people is not None else getattr(status, "players", None)
    return _made(status.num_players, status.max_players, named or ())


def _gamespy(status: Any, _: Any) -> Players:
    online = _first(status.info, "numplayers", "num_players")
    most = _first(status.info, "maxplayers", "max_players")
    return _made(len(status.players) if online is None else online, most, status.players)


def _source(info: Any, people: Any) -> Players:
    return _made(info.players, info.max_players, people or ())


def _call_of_duty(info: Any, _: Any) -> Players:
    return _made(info.clients or 0, info.sv_maxclients)


def _jedi_knight(info: Any, status: Any) -> Players:
    people = () if status is None else status.players
    return _made(info.clients or 0, info.sv_maxclients, people)


def _minecraft(data: Any, _: Any) -> Players:
    players = data["players"]
    return _made(players["online"], players["max"], players.get("sample") or ())


def _five_m(data: Any, people: Any) -> Players:
    return _made(data["clients"], _first(data, "sv_maxclients"), people or ())


def _trackmania(info: Any, _: Any) -> Players:
    return _made(info.players, info.max_players, info.player_list)


# --- the table --------------------------------------------------------------------------------

_MANY = 32
_UDK_PORT = ("UDK_PORT",)

QUERIES: Mapping[str, Query] = {
    "ASE": Query("ase", "get_status", _counted),
    "AVP2": Query("avp2", "get_status", _gamespy, answers=_MANY),
    "Battlefield": Query("battlefield", "get_info", _counted, "get_players", "TCP"),
    "Battlefield2": Query("battlefield2", "get_status", _gamespy, answers=_MANY),
    "CoD1": Query("cod1", "get_info", _call_of_duty, own_ports=("_source_port",)),
    "CoD4": Query("cod4", "get_info", _call_of_duty, own_ports=("_source_port",)),
    "CoD5": Query("cod5", "get_info", _call_of_duty, own_ports=("_source_port",)),
    "Doom3": Query("doom3", "get_status", _quake),
    "FiveM": Query("fivem", "get_dynamic", _five_m, "get_players", "TCP"),
    "GameSpy1": Query("gamespy1", "get_status", _gamespy, answers=_MANY),
    "GameSpy2": Query("gamespy2", "get_status", _gamespy),
    "GameSpy3": Query("gamespy3", "get_status", _gamespy, answers=_MANY),
    "GameSpy4": Query("gamespy4", "get_status", _gamespy, answers=_MANY),
    "Halo1": Query("halo1", "get_status", _gamespy),
    "JediKnight": Query(
        "jediknight", "get_info", _jedi_knight, "get_status", own_ports=("_source_port",)
    ),
    "KillingFloor": Query("killingfloor", "get_details", _counted, "get_players"),
    "Minecraft": Query("minecraft", "get_status", _minecraft, transport="TCP"),
    "Quake1": Query("quake1", "get_status", _quake),
    "Quake2": Query("quake2", "get_status", _quake),
    "Quake3": Query("quake3", "get_status", _quake),
    "RakNet": Query("raknet", "get_status", _counted),
    "SSC": Query("ssc", "get_status", _gamespy, answers=_MANY),
    "Samp": Query("samp", "get_status", _counted, "get_players"),
    "Source": Query("source", "get_info", _source, "get_players", answers=_MANY),
    "Toxikk": Query("toxikk", "get_status", _counted, own_ports=_UDK_PORT),
    "TrackmaniaNations": Query("trackmania_nations", "get_info", _trackmania, transport="TCP"),
    "TrackmaniaSunrise": Query("trackmania_sunrise", "get_info", _trackmania, answers=_MANY),
    "UDK": Query("udk", "get_status", _counted, own_ports=_UDK_PORT),
    "UT3": Query("ut3", "get_status", _counted, own_ports=_UDK_PORT),
    "Unreal2": Query("unreal2", "get_details", _counted, "get_players"),
    "Vcmp": Query("vcmp", "get_status", _counted, "get_players"),
    "WON": Query("won", "get_info", _source, "get_players", answers=_MANY),
    "Warcraft3": Query("warcraft3", "get_status", _counted, own_ports=("WARCRAFT3_PORT",)),
}
