"""The small types, where Python and CEL must say the same; and what a Game says of its words."""

from __future__ import annotations

import inspect
import time

import asyncssh
import opengsq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.unit.api.objects import Manifest, changed, sample
from warlock_agent import wire
from warlock_agent.model import Authority, DesiredHost, DesiredInstance, DesiredPort
from warlock_operator.api.rules import cel_string
from warlock_operator.api.v1alpha1 import Game, GameHost, parse
from warlock_operator.api.v1alpha1.game import port_variable, undeclared_references
from warlock_operator.api.v1alpha1.gameinstance import GameInstanceSpec
from warlock_operator.api.v1alpha1.meta import LabelSelector
from warlock_operator.api.v1alpha1.query import QueryProtocol
from warlock_operator.api.v1alpha1.values import (
    MAX_PATH,
    MAX_PORTS,
    MAX_VALUES_CHARACTERS,
    MAX_VARIABLES,
    Address,
    HostReference,
    InstancePath,
    Text,
)
from warlock_operator.api.v1alpha1.variables import (
    GameVariable,
    pattern_compiles,
    pattern_matches,
)

PATHS = TypeAdapter(InstancePath)
TEXTS = TypeAdapter(Text)


def accepts(adapter: TypeAdapter[str], value: str) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


@given(st.text(alphabet="/.ab-_ \n;~", max_size=24))
def test_an_accepted_path_is_its_own_normal_form(path: str) -> None:
    if not accepts(PATHS, path):
        return
    assert path.startswith("/")
    parts = path.split("/")[1:]
    assert all(part not in ("", ".", "..") for part in parts)
    assert not set(path) & set(" \n;~")


@given(st.lists(st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True), min_size=1, max_size=6))
def test_every_plain_path_is_accepted(parts: list[str]) -> None:
    assert accepts(PATHS, "/" + "/".join(["srv", *parts]))


@given(st.text(max_size=40))
def test_accepted_text_is_one_line_and_drives_no_terminal(text: str) -> None:
    if accepts(TEXTS, text):
        assert len(text.splitlines()) <= 1
        assert all(
            ord(character) >= 32 and ord(character) not in range(127, 160) for character in text
        )


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_all_of_printable_ascii_is_text(text: str) -> None:
    assert accepts(TEXTS, text)


@given(st.ip_addresses())
def test_addresses_are_accepted_in_their_usual_form(address: object) -> None:
    mapped = getattr(address, "ipv4_mapped", None) is not None
    for adapter in (TypeAdapter(Address), TypeAdapter(HostReference)):
        assert accepts(adapter, str(address)) is not mapped


@given(st.text())
def test_a_cel_string_is_printable_ascii_in_quotes(text: str) -> None:
    written = cel_string(text)
    assert written.isascii()
    assert written.isprintable()
    assert written[0] == written[-1] == "'"


@pytest.mark.parametrize(
    ("pattern", "value", "right"),
    [
        ("^[a-z]+$", "abc", True),
        ("[a-z]+", "abc", True),
        ("[a-z]+", "abc;", False),
        ("a|b", "ab", False),
        ("^a$|^b$", "b", True),
        ("[a-z]+", "abc\n", False),
        ("x*", "", True),
        # As the apiserver reads them, which is in ASCII.
        (r"\d+", "34", True),
        (r"\d+", "\u0663\u0664", False),
        (r"\w+", "\u00e9", False),
        ("[a&&b]+", "a&b", True),
        (r"[a-z[\]]+", "a[]", True),
        (r"\Qa.b\E", "a.b", True),
        (r"\Qa.b\E", "axb", False),
        (r"[\w .-]{0,255}", "a b", True),
        (r"[\p{L}\p{N} ]{0,64}", "\u00e9 \u0663", True),
        (".", "\u00e9", True),
        (".", "\ud800", False),
    ],
)
def test_a_pattern_is_about_the_whole_value(pattern: str, value: str, right: bool) -> None:
    assert pattern_matches(pattern, value) is right
    assert GameVariable(name="A", pattern=pattern).accepts(value) is right


def test_no_pattern_takes_any_value() -> None:
    assert GameVariable(name="A").accepts("anything; at + all")


@pytest.mark.parametrize("pattern", ["([", "(?=a)", "(?<!a)b", r"(a)\1", "a)|(b", "*", "a{2,1}"])
def test_what_is_not_linear_or_not_a_pattern_does_not_compile(pattern: str) -> None:
    assert not pattern_compiles(pattern)


def test_a_hostile_pattern_costs_no_time() -> None:
    """Python's own engine would take longer than the universe has."""
    before = time.process_time()
    assert not pattern_matches("(a+)+b", "a" * 1000)
    assert time.process_time() - before < 1


def _game(exec_: list[str]) -> Game:
    made = parse("Game", changed(sample("Game"), "spec.services.0.exec", exec_))
    assert isinstance(made, Game)
    return made


def test_references_to_what_nobody_sets_are_found_once_and_in_order() -> None:
    words = ["/bin/x", "${NOPE}:${MAP}", "${PORT_GAME}", "${PORT_RCON}", "${NOPE}", "${PATH}"]
    assert undeclared_references(_game(words).spec) == ("NOPE", "PORT_RCON", "PATH")


def test_variables_ports_and_what_the_agent_sets_are_known() -> None:
    words = ["/bin/x", "${SERVER_NAME}${PORT_GAME}${HOME}${WARLOCK_INSTANCE_ID}${WARLOCK_PATH}"]
    assert undeclared_references(_game(words).spec) == ()


def test_the_catalogue_refers_to_nothing_undeclared() -> None:
    made = parse("Game", sample("Game"))
    assert isinstance(made, Game)
    assert undeclared_references(made.spec) == ()


def test_the_catalogues_patterns_keep_the_engines_signs_out() -> None:
    made = parse("Game", sample("Game"))
    assert isinstance(made, Game)
    for variable in made.spec.variables:
        for sign in ("+", ";", '"', "\\", "$", "%"):
            assert not variable.accepts(f"{variable.default}{sign}quit"), (variable.name, sign)


def test_ports_have_variables() -> None:
    assert port_variable("game") == "PORT_GAME"
    assert port_variable("steam-query") == "PORT_STEAM_QUERY"


@pytest.mark.parametrize("protocol", [one for one in QueryProtocol if one != QueryProtocol.NONE])
def test_every_query_protocol_is_one_of_opengsq_that_needs_address_and_port_alone(
    protocol: QueryProtocol,
) -> None:
    found = inspect.signature(getattr(opengsq, protocol).__init__).parameters
    assert set(found) - {"self"} == {"host", "port", "timeout"}


def _host(changes: Manifest) -> GameHost:
    manifest = sample("GameHost")
    for path, value in changes.items():
        manifest = changed(manifest, path, value)
    made = parse("GameHost", manifest)
    assert isinstance(made, GameHost)
    return made


def test_a_host_allows_ports_in_its_ranges_that_are_not_reserved() -> None:
    ports = _host(
        {
            "spec.ports": {
                "ranges": [{"from": 10, "to": 12}, {"from": 20, "to": 20}],
                "reserved": [11],
            }
        }
    ).spec.ports
    assert [number for number in range(30) if ports.allows(number)] == [10, 12, 20]


@pytest.mark.parametrize(
    "algorithm",
    [
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
    ],
)
def test_host_keys_as_machines_have_them_are_accepted(algorithm: str) -> None:
    line = asyncssh.generate_private_key(algorithm).export_public_key().decode()
    key = " ".join(line.split()[:2])
    assert _host({"spec.ssh.hostKeys": [key]}).spec.ssh.host_keys == (key,)


LABELS = {"team": "red", "tier": "1"}


@pytest.mark.parametrize(
    ("selector", "admits"),
    [
        ({}, True),
        ({"matchLabels": {"team": "red"}}, True),
        ({"matchLabels": {"team": "blue"}}, False),
        ({"matchLabels": {"team": "red", "absent": ""}}, False),
        (
            {"matchExpressions": [{"key": "team", "operator": "In", "values": ["red", "blue"]}]},
            True,
        ),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["red"]}]}, True),
        ({"matchExpressions": [{"key": "absent", "operator": "In", "values": ["red"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_selector_admits_as_kubernetes_does(selector: Manifest, admits: bool) -> None:
    assert LabelSelector.model_validate(selector).admits(LABELS) is admits


def test_three_hundred_of_the_largest_instances_fit_into_one_message() -> None:
    """No few of one tenant can keep a host from being served."""
    wide = "\U0001f3ae"  # six bytes twice, as JSON writes it
    env = [
        {"name": f"{'V' * 62}{number:02}", "value": wide * (MAX_VALUES_CHARACTERS // MAX_VARIABLES)}
        for number in range(MAX_VARIABLES)
    ]
    spec = {**sample("GameInstance")["spec"], "env": env, "instance_name": wide * 128}
    assert len(GameInstanceSpec.model_validate(spec).env) == MAX_VARIABLES
    largest = DesiredInstance(
        spec["guid"],
        "i" * 36,
        "n" * 63,
        "n" * 253,
        "u" * 36,
        wire.MAX_NUMBER - 1,
        f"/{'p' * (MAX_PATH - 1)}",
        spec["instance_name"],
        tuple(DesiredPort("p" * 32, "UDP", 65535) for _ in range(MAX_PORTS)),
        tuple((each["name"], each["value"]) for each in env),
        restart="r" * 64,
        reconcile="r" * 64,
    )
    whole = DesiredHost("h", ("/opt",), converge=(largest,) * 300)
    frame = wire.encode(wire.Converge(1, Authority("o", 1, "h", "u"), whole))
    assert len(frame) <= wire.MAX_FRAME_BYTES
