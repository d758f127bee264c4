"""Settings come from the environment, and a bad one says what would be right."""

from __future__ import annotations

import dataclasses

import pytest

from warlock_operator import settings
from warlock_operator.settings import SettingInvalid, Settings


def test_without_variables_every_knob_has_its_default() -> None:
    assert settings.from_environment({"HOME": "/"}) == Settings()


def test_variables_set_knobs_of_every_type() -> None:
    found = settings.from_environment(
        {
            "WARLOCK_NAMESPACE": " games-system ",
            "WARLOCK_RESYNC_SECONDS": "12.5",
            "WARLOCK_WEB_PORT": "0",
            "WARLOCK_TRANSPORT": "fixture",
        }
    )
    assert (found.namespace, found.resync_seconds) == ("games-system", 12.5)
    assert (found.web_port, found.transport) == (0, "fixture")


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("WARLOCK_RESYNC_SECONDS", "soon", "a number of at least 0.05"),
        ("WARLOCK_RESYNC_SECONDS", "-1", "a number of at least 0.05"),
        ("WARLOCK_RESYNC_SECONDS", "nan", "a number of at least 0.05"),
        ("WARLOCK_RESYNC_SECONDS", "inf", "a number of at least 0.05"),
        ("WARLOCK_WEB_PORT", "65536", "a whole number of at least 0 and at most 65535"),
        ("WARLOCK_WEB_PORT", "80.5", "a whole number"),
        ("WARLOCK_TRANSPORT", "telnet", "one of ssh, fixture"),
        ("WARLOCK_API_PAGE_SIZE", "0", "a whole number of at least 1"),
    ],
)
def test_a_bad_value_names_variable_value_and_what_would_be_right(
    variable: str, value: str, wanted: str
) -> None:
    with pytest.raises(SettingInvalid) as caught:
        settings.from_environment({variable: value})
    message = str(caught.value)
    assert message.startswith(f"{variable}={value}: must be ")
    assert wanted in message


def test_a_lease_that_others_could_take_before_we_let_go_is_refused() -> None:
    with pytest.raises(SettingInvalid, match="WARLOCK_LEASE_RENEW_SECONDS=20"):
        settings.from_environment({"WARLOCK_LEASE_RENEW_SECONDS": "20"})


def test_code_is_held_to_the_same_bounds() -> None:
    with pytest.raises(SettingInvalid):
        Settings(connects_in_flight=0)


def test_typing_errors_are_found() -> None:
    given = {"WARLOCK_RESYNC_SECOND": "1", "WARLOCK_RESYNC_SECONDS": "1", "PATH": ""}
    assert settings.unknown_variables(given) == ["WARLOCK_RESYNC_SECOND"]


def test_every_knob_says_why_and_its_default_is_within_its_bounds() -> None:
    described = settings.describe()
    assert len(described) == len(dataclasses.fields(Settings))
    assert all(len(why) > 10 for _, _, why in described)


def test_numbers_of_time_say_their_unit() -> None:
    for knob in dataclasses.fields(Settings):
        if isinstance(knob.default, float):
            assert knob.name.rpartition("_")[2] in {
                "seconds", "second", "percent", "millicores", "bytes",
            }  # fmt: skip
