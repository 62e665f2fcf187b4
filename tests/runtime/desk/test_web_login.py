"""Login, sessions, the one-time link, and where the page may listen."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from regad.runtime.desk.web.login import Login
from regad.runtime.desk.web.sessions import FIRST, Sessions
from regad.runtime.errors import InputError, OutputError
from regad.runtime.station.config import DeskConfig
from regad.runtime.station.desk_access import bind_page, check_access
from regad.runtime.station.users import remove_user, set_password

from ...needs import require
from .web_doubles import PASSWORD, add_users, desk_of


def test_a_first_start_prints_a_link_that_opens_the_page_once(tmp_path: Path) -> None:
    with desk_of(tmp_path, users=False) as desk:
        assert desk.said[0].startswith(f"page: http://127.0.0.1:{desk.page.port}/#first=")
        client = desk.client()
        answer = client.post("/api/v1/link", {"token": desk.link()})
        assert (answer.status, answer.json["role"], answer.json["first"]) == (200, "engineer", True)
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
        assert desk.client().post("/api/v1/link", {"token": desk.link()}).status == 401

        client.cookie, client.csrf = cookie.partition(";")[0], answer.json["csrf"]
        assert client.post("/api/v1/password", {"user": "anna", "password": "short"}).status == 400
        changed = client.post("/api/v1/password", {"user": "anna", "password": PASSWORD})
        assert (changed.status, changed.json["user"], changed.json["role"]) == (200, "anna", "engineer")
        assert client.ask("GET", "/api/v1/me").status == 401, (
            "the first user's session has ended with the first password"
        )
        assert client.login("anna").status == 200


def test_a_start_with_users_prints_no_link(tmp_path: Path) -> None:
    with desk_of(tmp_path) as desk:
        assert desk.said == [f"page: http://127.0.0.1:{desk.page.port}/"]
        assert desk.client().post("/api/v1/link", {"token": "x"}).status == 401


def test_the_link_is_good_for_a_quarter_of_an_hour(tmp_path: Path) -> None:
    now = [0.0]
    with Sessions(tmp_path / "s.db", tmp_path / "users.json") as sessions:
        login = Login(sessions, lambda: now[0])
        for seconds, good in ((899, True), (901, False)):
            token = login.link()
            assert token is not None
            now[0] += seconds
            assert not login.redeem("x" + token)
            assert login.redeem(token) is good
            assert not login.redeem(token), "it is good once"
        token = login.link()
        add_users(tmp_path / "users.json", ("viewer",))
        assert token is not None and not login.redeem(token)
        assert login.link() is None


def test_a_session_ends_with_its_user_its_password_and_its_time(tmp_path: Path) -> None:
    users, now = tmp_path / "users.json", [1e9]
    add_users(users)
    with Sessions(tmp_path / "s.db", users, lambda: now[0]) as sessions:
        token = sessions.begin("operator")
        found = sessions.find(token)
        assert found is not None and (found.user, found.role) == ("operator", "operator")
        assert sessions.find(token + "x") is None and sessions.find("") is None

        set_password(users, "operator", "another password", "viewer")
        assert sessions.find(token) is None
        token, other = sessions.begin("operator"), sessions.begin("viewer")
        changed = sessions.find(token)
        assert changed is not None and changed.role == "viewer"
        remove_user(users, "operator")
        assert sessions.find(token) is None

        now[0] += 11 * 3600
        assert sessions.find(other) is not None
        now[0] += 11 * 3600
        assert sessions.find(other) is not None, "each request makes it live on"
        now[0] += 12 * 3600
        assert sessions.find(other) is None
        token = sessions.begin("viewer")
        for _ in range(30 * 4):
            now[0] += 6 * 3600
            alive = sessions.find(token)
        assert alive is None, "30 days are the most"
        assert sessions.begin(FIRST) and sessions.find(sessions.begin(FIRST)) is not None


def test_sessions_outlive_the_desk_but_not_a_logout(tmp_path: Path) -> None:
    add_users(tmp_path / "users.json")
    store = tmp_path / "desk" / "s.db"
    with Sessions(store, tmp_path / "users.json") as sessions:
        kept, ended = sessions.begin("viewer"), sessions.begin("viewer")
        sessions.end(ended)
    with Sessions(store, tmp_path / "users.json") as sessions:
        assert sessions.find(kept) is not None
        assert sessions.find(ended) is None


def test_a_store_that_is_a_link_or_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x" * 1000)
    (tmp_path / "link").symlink_to(tmp_path / "other")
    for name in ("link", "other"):
        with pytest.raises(OutputError, match="cannot be written"):
            Sessions(tmp_path / name, tmp_path / "users.json")
    assert (tmp_path / "other").read_text() == "x" * 1000


def test_ones_own_password_is_changed_with_the_current_one(tmp_path: Path) -> None:
    with desk_of(tmp_path) as desk:
        client = desk.client("operator")
        assert client.post("/api/v1/password", {"password": "a new password", "current": "wrong"}).status == 400
        assert (
            client.post(
                "/api/v1/password", {"password": "a new password", "current": PASSWORD, "user": "engineer"}
            ).status
            == 200
        )
        assert client.login("operator", "a new password").status == 200
        assert desk.client().login("engineer").status == 200, "another's is left alone"


def test_beyond_this_machine_a_password_and_a_protected_way_are_needed(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    check_access(DeskConfig(users=users))
    for desk in (
        DeskConfig(host="192.168.0.5", users=users),
        DeskConfig(host="0.0.0.0", insecure_lan=True, users=users),
    ):
        with pytest.raises(InputError, match="nobody has a password; regad-station passwd"):
            check_access(desk)
    add_users(users, ("viewer",))
    with pytest.raises(InputError, match=r"readable on their way; give desk\.tls_cert"):
        check_access(DeskConfig(host="192.168.0.5", users=users))
    check_access(DeskConfig(host="192.168.0.5", users=users, insecure_lan=True))
    check_access(DeskConfig(host="192.168.0.5", users=users, behind_proxy=True, hosts=("a.example",)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": "plant"}, "host is 'plant'"),
        ({"tls_cert": Path("c.pem")}, "tls_cert and tls_key go together"),
        ({"behind_proxy": True}, "behind_proxy needs hosts"),
        ({"hosts": ("a:8080",)}, "hosts has 'a:8080'"),
        ({"hosts": ("*",)}, r"hosts has '\*'"),
        ({"shifts": ("6",)}, "shifts has '6'"),
    ],
)
def test_a_table_that_cannot_be_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DeskConfig(**fields)  # type: ignore[arg-type]


def test_a_port_in_use_or_an_address_of_another_machine_is_told_with_its_remedy() -> None:
    with bind_page("127.0.0.1", 0) as bound:
        bound.listen()
        with pytest.raises(InputError, match=r"in use\); set desk\.host and desk\.port"):
            bind_page("127.0.0.1", bound.getsockname()[1])
    with pytest.raises(InputError, match=r"cannot listen at 192\.0\.2\.1"):
        bind_page("192.0.2.1", 0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-subj", "/CN=localhost", "-days", "2", "-keyout", "page.key", "-out", "page.pem"]
    require("openssl")
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return folder


def test_over_tls_the_cookie_is_secure(tmp_path: Path, certificate: Path) -> None:
    import http.client
    import json
    import ssl

    with desk_of(tmp_path, tls_cert=certificate / "page.pem", tls_key=certificate / "page.key") as desk:
        assert desk.said == [f"page: https://127.0.0.1:{desk.page.port}/"]
        context = ssl.create_default_context(cafile=str(certificate / "page.pem"))
        context.check_hostname = False
        connection = http.client.HTTPSConnection("127.0.0.1", desk.page.port, timeout=20, context=context)
        body = json.dumps({"user": "viewer", "password": PASSWORD})
        connection.request("POST", "/api/v1/login", body, {"Origin": f"https://127.0.0.1:{desk.page.port}"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert "; Secure" in answer.headers["set-cookie"]
        assert "max-age" in answer.headers["strict-transport-security"]
        connection.close()


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path, certificate: Path) -> None:
    desk = DeskConfig(users=tmp_path / "u", tls_cert=certificate / "page.pem", tls_key=certificate / "page.pem")
    with pytest.raises(InputError, match="cannot be used"):
        check_access(desk)
