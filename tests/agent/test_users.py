"""System users: read from /etc/passwd, asked for in lines that can mean nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_agent.files import FileError, Tree
from warlock_agent.users import NewUser, User, UserError, Users, parse_passwd, sysusers_config

_PASSWD = "root:x:0:0:root:/root:/bin/bash\nwl-1:x:998:997:a:/srv/a:/usr/sbin/nologin\n"


def test_users_are_read_and_what_is_none_is_left_out() -> None:
    users = parse_passwd(_PASSWD + "+::::::\nshort:x:1\n\nbad:x:a:b:c:d:e\n")
    assert users == {
        "root": User("root", 0, 0, "/root"),
        "wl-1": User("wl-1", 998, 997, "/srv/a"),
    }


@given(st.text(max_size=200))
def test_any_passwd_is_read(text: str) -> None:
    parse_passwd(text)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    users = Users(Tree(str(tmp_path)))
    with pytest.raises(FileError):
        users.all()
    passwd = tmp_path / "etc/passwd"
    passwd.write_text(_PASSWD)
    assert set(users.find(["wl-1", "wl-2"])) == {"wl-1"}
    assert (users.name_of(998), users.name_of(5)) == ("wl-1", "5")
    passwd.write_text(_PASSWD + "wl-2:x:996:996::/srv/b:/bin/false\n")
    assert set(users.find(["wl-1", "wl-2"])) == {"wl-1", "wl-2"}


def test_a_name_is_of_the_users_as_they_were_seen_last(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    passwd = tmp_path / "etc/passwd"
    passwd.write_text(_PASSWD + "again:x:998:1::/srv/b:/bin/false\n")
    users = Users(Tree(str(tmp_path)))
    assert users.name_of(998) == "wl-1"
    passwd.unlink()  # the owners of a thousand files take one look
    assert (users.name_of(998), users.name_of(5)) == ("wl-1", "5")


def test_those_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(_PASSWD)
    users = Users(Tree(str(tmp_path)))
    assert users.create([NewUser("wl-1", "/elsewhere")])["wl-1"].uid == 998


def test_the_lines_ask_for_no_shell_and_a_home() -> None:
    line = sysusers_config([NewUser("wl-1", "/srv/a")])
    assert line == 'u wl-1 - "Warlock instance" /srv/a /usr/sbin/nologin\n'


_ODD = st.text("wl-0/ .%\"'\\:\n\tA", max_size=8)


@given(st.just("wl-1") | _ODD, st.just("/srv") | _ODD.map(lambda text: f"/{text}"))
def test_a_line_has_six_words_whatever_the_names(name: str, home: str) -> None:
    try:
        text = sysusers_config([NewUser(name, home)])
    except UserError:
        return
    assert text.count("\n") == 1
    assert len(text.replace('"Warlock instance"', "x").split()) == 6
    assert "%" not in text


@pytest.mark.parametrize("name", ["", "Root", "a b", "a:b", "-a", "a" * 40, "a\nu root 0", "ü"])
def test_names_that_are_not_plain_are_refused(name: str) -> None:
    with pytest.raises(UserError):
        sysusers_config([NewUser(name, "/srv/a")])


def test_this_machine_s_root_is_root() -> None:
    assert Users().name_of(0) == "root"
    assert Users().find(["root"])["root"].uid == 0
    assert os.getuid() in {user.uid for user in Users().all().values()}
