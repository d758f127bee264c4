"""Which credentials count, and where a token is read again from."""

from __future__ import annotations

from pathlib import Path

from warlock_operator.kube import credentials

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: b
contexts:
- {name: a, context: {cluster: c, user: one}}
- {name: b, context: {cluster: c, user: two}}
users:
- {name: one, user: {token: x}}
- {name: two, user: {tokenFile: token}}
"""


def test_the_setting_wins_then_the_environment_then_the_pod_then_home() -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "198.19.0.1"}
    named = {"KUBECONFIG": "/b"}
    assert credentials.kubeconfig_path("/a", named | pod) == "/a"
    assert credentials.kubeconfig_path("", named | pod) == "/b"
    assert credentials.kubeconfig_path("", pod) is None
    assert credentials.kubeconfig_path("", {}) == str(Path("~/.kube/config").expanduser())


def test_the_token_file_is_the_current_users_and_lies_beside_the_kubeconfig(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECONFIG, encoding="utf-8")
    assert credentials.token_file(str(path)) == tmp_path / "token"
    path.write_text(KUBECONFIG.replace("current-context: b", "current-context: a"), "utf-8")
    assert credentials.token_file(str(path)) is None


def test_a_login_does_not_show_its_token() -> None:
    login = credentials.Login("https://198.18.0.1", None, False, "TOKEN", None, None)
    assert "TOKEN" not in repr(login)
