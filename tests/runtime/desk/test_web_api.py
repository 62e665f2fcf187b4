"""What the page answers of the trace, commands and the system, and of itself."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regad.runtime.desk.service import Health, Surroundings
from regad.runtime.desk.web.config_view import config_view
from regad.runtime.desk.web.errors import RequestError
from regad.runtime.desk.web.routes import Route
from regad.runtime.desk.web.rows import is_good, shown_as
from regad.runtime.desk.web.site import Site
from regad.runtime.errors import InputError
from regad.runtime.station.config import DeskConfig
from regad.runtime.station.config_protocols import MetricsConfig
from regad.runtime.station.secret import Secret
from regad.runtime.station.trace.search import Query, TraceSearch

from ..station.trace.parts import ROOMY, filled, heat, part, picture
from .web_doubles import Client, Desk, config_of, desk_of


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", [4, 3, 2, 1]),
        ("verdict=PASS", [4, 1]),
        ("verdict=rejects", [4, 3, 2]),
        ("serial=A", [2, 1]),
        ("serial=B_", [3]),
        ("serial=%25", []),
        ("part_id=7", [1]),
        ("label=defect", [2]),
        ("label=none", [4, 3, 1]),
        ("label=any&verdict=PASS", []),
        ("since=1800000003", [4, 3]),
        ("until=1800000002&before=2", [1]),
        ("job=9", []),
    ],
)
def test_parts_are_found_by_what_is_known_of_them(engineer: Client, asked: str, found: list[int]) -> None:
    answer = engineer.get(f"/api/v1/parts?{asked}")
    assert [one["id"] for one in answer["parts"]] == found
    assert answer["more"] is False


def test_a_search_goes_on_where_the_last_ended(engineer: Client) -> None:
    first = engineer.get("/api/v1/parts?limit=3")
    assert ([one["id"] for one in first["parts"]], first["more"]) == ([4, 3, 2], True)
    rest = engineer.get("/api/v1/parts?limit=3&before=2")
    assert ([one["id"] for one in rest["parts"]], rest["more"]) == ([1], False)


@pytest.mark.parametrize(
    "asked", ["limit=0", "limit=201", "verdict=bad", "label=x", "job=x", "since=yesterday", "before=-1"]
)
def test_a_search_that_cannot_be_is_refused_in_one_line(engineer: Client, asked: str) -> None:
    answer = engineer.ask("GET", f"/api/v1/parts?{asked}")
    assert answer.status == 400
    assert "expected" in answer.json["error"]


def test_a_part_comes_whole_and_without_where_its_files_lie(engineer: Client) -> None:
    found = engineer.get("/api/v1/parts/2")
    assert found["part"]["verdict"] == "REJECT" and not found["part"]["good"]
    assert found["labels"][0]["value"] == "defect" and found["part"]["label"] == "defect"
    assert found["map"] and found["part"]["input"] and found["part"]["full"]
    assert "images/" not in json.dumps(found)
    image = Image.open(io.BytesIO(engineer.ask("GET", "/api/v1/parts/2/input").body))
    assert np.array_equal(np.asarray(image), picture(2))
    assert engineer.ask("GET", "/api/v1/parts/2/full").body[:2] == b"\xff\xd8"
    drawn = engineer.ask("GET", "/api/v1/parts/2/map")
    coarse = heat(2).reshape(56, 4, 56, 4).max(axis=(1, 3))
    assert float(drawn.headers["x-regad-top"]) == coarse.max()
    assert np.frombuffer(drawn.body, np.uint8).max() == 255 and len(drawn.body) == 56 * 56
    assert engineer.ask("GET", "/api/v1/parts/3/full").status == 404
    assert engineer.ask("GET", "/api/v1/parts/3/map").status == 404
    assert engineer.ask("GET", "/api/v1/parts/99").status == 400


@pytest.mark.parametrize(
    ("verdict", "output", "late", "shown"),
    [
        *(
            (1, 1, False, "PASS"),
            (1, 0, False, "PASS"),
            (1, 5, True, "LATE"),
            (1, 0, True, "LATE"),
            (2, 5, True, "LATE"),
        ),
        *((2, 2, False, "REJECT"), (2, 0, False, "REJECT"), (3, 1, False, "REVIEW"), (3, 2, False, "REJECT")),
        *((4, 4, False, "NOT_JUDGED"), (7, 0, False, "MISSED"), (1, 2, False, "REJECT"), (2, 1, False, "REJECT")),
    ],
)
def test_a_part_is_shown_as_pass_only_if_it_was_judged_good_and_let_pass(
    verdict: int, output: int, late: bool, shown: str
) -> None:
    row = {"verdict": verdict, "output": output, "late": int(late)}
    assert shown_as(row).name == shown
    assert is_good(row) is (shown == "PASS")


def test_a_part_is_taken_along_as_a_zip_and_nothing_stays_behind(desk: Desk, engineer: Client) -> None:
    answer = engineer.ask("GET", "/api/v1/parts/1/zip")
    assert answer.headers["content-disposition"] == 'attachment; filename="part-1.zip"'
    assert {"record.json", "input.png", "map.png"} <= set(zipfile.ZipFile(io.BytesIO(answer.body)).namelist())
    assert engineer.ask("GET", "/api/v1/parts/3/zip").status == 400
    assert list((desk.folder / "trace" / "desk").glob("*.zip")) == []


def test_a_range_is_judged_again_by_another_threshold(engineer: Client) -> None:
    assert engineer.post("/api/v1/rejudge", {"from_id": 1}).status == 400
    assert engineer.post("/api/v1/rejudge", {"threshold": 0}).status == 400
    assert engineer.post("/api/v1/rejudge", {"threshold": 1.0, "source": "/etc"}).status == 400
    assert engineer.post("/api/v1/rejudge", {"from_id": 1, "threshold": 1.0}).status == 200
    while (found := engineer.get("/api/v1/rejudge"))["running"]:
        pass
    assert found["error"] == ""
    assert found["result"]["judged"] == 4
    assert [(one["part"], one["before"], one["after"]) for one in found["changes"]] == [
        *((1, "PASS", "REJECT"), (3, "REVIEW", "REJECT"), (4, "PASS", "REJECT"))
    ]
    engineer.post("/api/v1/rejudge", {"version": 999})
    while (found := engineer.get("/api/v1/rejudge"))["running"]:
        pass
    assert found["error"]


def test_commands_reach_the_line_with_who_gave_them(desk: Desk, engineer: Client) -> None:
    desk.line.asked.clear()
    operator = desk.client("operator")
    assert operator.post("/api/v1/command/reset").status == 200
    assert operator.post("/api/v1/command/job", {"number": 1}).status == 200
    assert operator.post("/api/v1/acknowledge", {"event": 5}).status == 200
    assert engineer.post("/api/v1/command/trigger").json["verdict"] == "PASS"
    asked = [{k: v for k, v in one.items() if v != ""} for one in desk.line.asked if one["command"] != "status"]
    assert {"command": "job", "number": 1} in asked
    assert {"command": "acknowledge", "by": "operator", "event": 5} in asked
    assert {"command": "trigger", "serial": "page engineer"} in asked
    assert {"command": "audit", "by": "operator", "action": "job", "after": "1"} in asked
    for mode, confirm, status in (("live", "", 400), ("live", "s2", 400), ("live", "s1", 200), ("shadow", "", 200)):
        assert engineer.post("/api/v1/command/mode", {"mode": mode, "confirm": confirm}).status == status
    modes = [one for one in desk.line.asked if one["command"] == "mode"]
    assert modes == [{"command": "mode", "by": "engineer", "mode": mode} for mode in ("live", "shadow")]
    for value in ({"number": 2}, {"number": "1"}, {"number": 1, "path": "x"}, [], 7):
        assert operator.post("/api/v1/command/job", value).status == 400


def test_no_trigger_is_offered_where_the_plc_gives_them(tmp_path: Path) -> None:
    from regad.runtime.desk.web.command_api import command_routes
    from regad.runtime.station.config import ModbusConfig, TriggerConfig

    config = config_of(tmp_path, DeskConfig())
    import msgspec

    plc = msgspec.structs.replace(config, trigger=TriggerConfig(kind="modbus"), modbus=ModbusConfig())
    paths = []
    for one in (config, plc):
        around = Surroundings(one, tmp_path, None, None, print)  # type: ignore[arg-type]
        paths.append({route.path for route in command_routes(around)})
    assert paths[0] - paths[1] == {"/api/v1/command/trigger"}


def test_the_configuration_and_the_diagnostics_hold_no_secret(desk: Desk, engineer: Client) -> None:
    shown = engineer.get("/api/v1/config")
    assert shown["camera"]["source"] == "rtsp://***@cam/x"
    assert shown["webhook"][0]["password"] == "***"
    assert shown["mqtt"]["secret"]["file"] == "/etc/mqtt.secret"
    archive = zipfile.ZipFile(io.BytesIO(engineer.ask("GET", "/api/v1/diagnostics").body))
    whole = b"".join(archive.read(name) for name in archive.namelist())
    users = json.loads((desk.folder / "users.json").read_text())["users"]
    for secret in ("hunter2", engineer.cookie.partition("=")[2], engineer.csrf, users["engineer"]["hash"]):
        assert secret.encode() not in whole
    assert json.loads(archive.read("status.json"))["station"] == "s1"
    with pytest.raises(InputError):
        config_view(desk.folder / "none.toml")


def test_the_system_says_who_and_how_much(engineer: Client) -> None:
    found = engineer.get("/api/v1/system")
    assert [user["name"] for user in found["users"]] == ["engineer", "operator", "viewer"]
    assert "hash" not in json.dumps(found["users"])
    assert found["disk"]["pictures"] > 0
    assert found["versions"]["starlette"]
    assert engineer.get("/api/v1/log") == []
    assert engineer.get("/api/v1/audit") == []
    assert [job["name"] for job in engineer.get("/api/v1/jobs")] == ["plate"]
    assert engineer.get("/api/v1/versions")[0]["hash"] == "c" * 16


def test_a_desk_that_fails_is_told_in_one_line_and_the_page_goes_on(
    desk: Desk, engineer: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(TraceSearch, "search", lambda *given: 1 / 0)
    answer = engineer.ask("GET", "/api/v1/parts")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert "ZeroDivision" not in answer.json["error"]
    assert desk.said[-1] == "page: GET /api/v1/parts: ZeroDivisionError: division by zero"
    assert "Traceback" in capsys.readouterr().err, "the log has it whole"
    assert engineer.ask("GET", "/api/v1/me").status == 200


def test_two_handlers_of_one_request_are_a_fault(tmp_path: Path) -> None:
    around = Surroundings(config_of(tmp_path, DeskConfig()), tmp_path, None, None, print)  # type: ignore[arg-type]
    route = Route("/api/v1/x", lambda call: 1)
    with pytest.raises(RequestError, match="two handlers answer GET /api/v1/x"):
        Site(around, None, None, [route, route], {})  # type: ignore[arg-type]


def test_a_query_without_conditions_finds_the_newest(tmp_path: Path) -> None:
    folder = filled(tmp_path / "trace", part(1), part(2), policy=ROOMY)
    with TraceSearch(folder) as trace:
        assert [row["id"] for row in trace.search(Query(), 1)] == [2]
        assert (trace.newest(), trace.first_since(1.8e9 + 2), trace.first_since(0), trace.first_since(2e9)) == (
            2,
            2,
            1,
            3,
        )
        assert trace.counts(2) == (1, 0, 2)
        assert trace.counts(3) == (0, 0, 0)
        assert trace.pictures(0.0) == (0, 0)
        assert trace.version(1) is not None and trace.version(9) is None


def test_metrics_are_for_this_machine_for_who_is_logged_in_and_for_who_bears_the_secret(
    desk: Desk, engineer: Client, tmp_path: Path
) -> None:
    answer = desk.client().ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE regad_" in answer.body
    (tmp_path / "metrics.secret").write_text("s3cret\n")
    (tmp_path / "metrics.secret").chmod(0o600)
    metrics = MetricsConfig(secret=Secret(file=tmp_path / "metrics.secret"))
    filled(tmp_path / "trace", part(1))
    with desk_of(tmp_path, behind_proxy=True, hosts=("127.0.0.1",), tables={"metrics": metrics}) as far:
        client = far.client()
        assert client.ask("GET", "/metrics").status == 401
        assert client.ask("GET", "/metrics", headers={"Authorization": "Bearer wrong"}).status == 401
        assert client.ask("GET", "/metrics", headers={"Authorization": "Bearer s3cret"}).status == 200
        assert far.client("viewer").ask("GET", "/metrics").status == 200


def test_health_says_where_the_page_is(desk: Desk) -> None:
    assert desk.page.health() == Health(True, f"at http://127.0.0.1:{desk.page.port}/")
