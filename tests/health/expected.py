"""
What Argo CD and kstatus must make of an object: a table by word, and no second reading of Lua.

``docs/gitops-health.md`` shows the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.health.states import PAUSED, Object, condition, state_of


@dataclass(frozen=True)
class Judgement:
    """What is made of a state. means, todo: for people."""

    means: str
    argo_cd: str
    kstatus: str
    todo: str


TABLE: Mapping[str, Judgement] = {
    "behind": Judgement(
        "the operator has not seen the newest version of the object",
        "Progressing",
        "InProgress",
        "nothing; where it lasts, the operator does not run",
    ),
    "reconciling": Judgement(
        "it is worked on, or tried again by itself",
        "Progressing",
        "InProgress",
        "nothing; where it lasts, the message says what is in the way",
    ),
    "waiting": Judgement(
        "it is not Ready, and nothing has to be edited",
        "Progressing",
        "InProgress",
        "nothing; where it lasts, the message says what is in the way",
    ),
    "ready": Judgement(
        "it is as declared: players can join, or it is stopped as it should be",
        "Healthy",
        "Current",
        "nothing",
    ),
    "recovering": Judgement(
        "it was as declared, has ended by itself, and has 30 s to be so again",
        "Healthy",
        "InProgress",
        "nothing; where it happens often, read its last lines in the message",
    ),
    "stalled": Judgement(
        "it waits for an edit, or the game ends again and again",
        "Degraded",
        "Failed",
        "what the message says; its first line ends in where to read on",
    ),
    "paused": Judgement(
        "somebody set `warlock.dev/paused` on it or on its GameHost",
        "Suspended",
        "InProgress",
        "take the annotation off: the action `resume`",
    ),
    "unseen": Judgement(
        "its host is out of sight; what runs there goes on running",
        "Unknown",
        "InProgress",
        "look at the GameHost: the message says since when, and why",
    ),
    "deleting": Judgement(
        "it is being deleted; the message says what that waits for",
        "Progressing",
        "Terminating",
        "nothing; where it lasts, what the message says",
    ),
}
"""By the word of the state, in the order in which they are met."""

GAME_GOES = "it is being deleted; servers of it run on"
DELETION_NOT_SEEN = "the operator has not seen the deletion yet"
NOT_SEEN_YET = "the operator has not seen this version yet"


def health(found: Object) -> dict[str, str]:
    """Give ``status`` and ``message`` that Argo CD must show, as its own tests have them."""
    word = state_of(found).word
    message = _message(found, word)
    made = {"status": TABLE[word].argo_cd, "message": message}
    return {**made, "deletionMessage": message} if word == "deleting" else made


def _message(found: Object, word: str) -> str:
    if word == "deleting" and not state_of(found).reason:
        return GAME_GOES if found["kind"] == "Game" else DELETION_NOT_SEEN
    if word == "behind":
        return NOT_SEEN_YET
    if word == "unseen":
        return _unseen(found)
    type_ = {"stalled": "Stalled", "reconciling": "Reconciling"}.get(word, "Ready")
    return str(condition(found, type_)["message"])


def _unseen(found: Object) -> str:
    reach = condition(found, "HostReachable") or condition(found, "Reachable")
    why = reach if reach["status"] == "False" else condition(found, "Ready")
    last = found["status"].get("lastSeen")
    since = f"not seen since {last}" if last else "not seen yet"
    return f"{since}: {why['message']}"


def kstatus(found: Object) -> str:
    """Give the status that kstatus must compute."""
    return TABLE[state_of(found).word].kstatus


def actions(found: Object) -> list[str]:
    """Give the names of the actions that have an effect now, sorted."""
    if found["kind"] == "Game":
        return []
    paused = found["metadata"].get("annotations", {}).get(PAUSED) == "true"
    if found["kind"] == "GameHost":
        return ["resume"] if paused else ["pause", "reconcile"]
    offered = {"resume" if paused else "pause"}
    if not paused and condition(found, "Ready").get("reason") != "Paused":
        offered.add("reconcile")
        if "deletionTimestamp" not in found["metadata"]:
            stopped = found["spec"].get("state") == "Stopped"
            offered |= {"start"} if stopped else {"restart", "stop"}
    return sorted(offered)
