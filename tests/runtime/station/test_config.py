"""station.toml: what is read, and that each fault names key, value and what is allowed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from regad.runtime.errors import InputError
from regad.runtime.station import config as structs
from regad.runtime.station.config import (
    CameraConfig,
    CommandsConfig,
    Config,
    JobConfig,
    ModbusConfig,
    ModelConfig,
    TriggerConfig,
)
from regad.runtime.station.config_file import parse_config, read_config
from regad.runtime.station.secret import Secret

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

SHA = "ab" * 32
LEAST = f"""
model.path = "model.regad"
camera.source = "camera:0"
[[job]]
number = 3
name = "gear"
category = "gear.safetensors"
sha256 = "{SHA}"
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def put(text: str) -> Path:
        path = tmp_path / "station.toml"
        path.write_text(text)
        return path

    return put


def faults(text: str) -> list[str]:
    return [fault.text for fault in parse_config(tomllib.loads(text), Path("/s"))[1]]


def test_the_least_that_is_a_station(write: Any, tmp_path: Path) -> None:
    config = read_config(write(LEAST))
    assert config.model.path == tmp_path / "model.regad"
    assert config.jobs[0].category == tmp_path / "gear.safetensors"
    assert config.trace.folder == tmp_path / "trace"
    assert config.commands.socket == tmp_path / "station.sock"
    assert (config.station.mode, config.trigger.kind, config.modbus) == ("shadow", "command", None)


def test_absolute_paths_and_the_home_folder_stay_what_they_are(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    config = read_config(write(LEAST.replace("model.regad", "/m/x.regad").replace("gear.safe", "~/gear.safe")))
    assert config.model.path == Path("/m/x.regad")
    assert config.jobs[0].category == Path("/home/anna/gear.safetensors")


def test_a_folder_of_pictures_beside_the_file_is_the_source(write: Any, tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    assert read_config(write(LEAST.replace("camera:0", "shots"))).camera.source == str(tmp_path / "shots")
    assert read_config(write(LEAST)).camera.source == "camera:0"


FAULTS = [
    (
        'station.nam = "x"',
        'station.nam = "x" is not known; did you mean name? station takes name, mode, autostart, job',
    ),
    ('staton.name = "x"', "staton = a table is not known; did you mean station? station.toml takes model, camera,"),
    ("trigger.wait = 5", "trigger.wait = 5 is not known; trigger takes kind, deadline_ms, hold_ms, review_is"),
    ('station.mode = "life"', 'station.mode is "life"; expected "shadow" or "live" or "simulate"'),
    ("station.autostart = 1", "station.autostart is 1; expected true or false"),
    ('station.name = "a b"', 'station.name is "a b"; expected 1 to 64 letters, digits, dots, dashes and underscores'),
    ("trigger.deadline_ms = 0", "trigger.deadline_ms is 0; expected a whole number of milliseconds from 1 to 600000"),
    ("trigger.deadline_ms = 2.5", "trigger.deadline_ms is 2.5; expected a whole number of milliseconds from 1"),
    ("trigger.deadline_ms = true", "trigger.deadline_ms is true; expected a whole number of milliseconds"),
    ("modbus.port = 70000", "modbus.port is 70000; expected a port from 1 to 65535 (0: any free one)"),
    ('modbus.allow = ["plc"]', "modbus.allow is wrong ('plc' does not appear to be an IPv4 or IPv6 network); expected"),
    ('modbus.allow = "plc"', 'modbus.allow is "plc"; expected a list of text, not empty'),
    ("trace.folder = 3", "trace.folder is 3; expected the name of a file or folder"),
    ('trace.folder = "a\\u0000b"', 'trace.folder is "a\ufffdb"; expected the name of a file or folder'),
    ("trace = 3", "trace is 3; expected a table with folder, before_result,"),
    ("trace.max_gb = -1", "trace.max_gb is -1; expected gigabytes from 0 to 1000000"),
    ("trace.full_goods_percent = nan", "trace.full_goods_percent is nan; expected a number from 0 to 100"),
    ("station.job = 4", "station.job is 4; expected the number of a [[job]]: 3"),
    ('trigger.kind = "modbus"', "trigger.kind is 'modbus'; expected a table [modbus] without control = false"),
    ('model.device = "gpu"', "model.device is 'gpu'; expected one of auto, cuda, cpu, tensorrt, ort-tensorrt"),
    ('model.precision = "bf8"', 'model.precision is "bf8"; expected "f32" or "bf16" or "f16"'),
    ('model.precision = "bf16"', "model.precision is 'bf16', and auto takes f32 only; bf16 and f16 are for --device"),
    ("trigger.deadline_ms = 0x" + "f" * 5000, "trigger.deadline_ms is a number of very many digits; expected a whole"),
    ("camera.secret = {}", "camera.secret.file and env: exactly one of them is expected"),
    ('desk.command = ["a", ""]', "desk.command is ['a', '']; expected a list of text, not empty"),
    ('trace.password = "hunter2"', "trace.password = *** is not known; keep secrets out of the file:"),
]


@pytest.mark.parametrize(("line", "text"), FAULTS, ids=[line for line, _ in FAULTS])
def test_a_fault_names_key_value_and_what_is_allowed(line: str, text: str) -> None:
    found = faults(f"{line}\n{LEAST}")
    assert len(found) == 1
    assert found[0].startswith(text)
    assert "\n" not in found[0]


def test_what_is_missing_is_named() -> None:
    assert faults("") == [
        "model is missing; expected a table with path, device, precision, threads, jobs_mb",
        "camera is missing; expected a table with source, secret, max_age_ms, reopen_ms, settle_ms, frozen_frames",
        "job is missing; expected a table with number, name, category, sha256, deadline_ms, threshold, warn_threshold, "
        "challenge_at_start, challenge_every_h",
    ]
    assert faults(LEAST.replace(f'sha256 = "{SHA}"', "")) == [
        "job 1.sha256 is missing; expected the 64 hexadecimal digits that sha256sum FILE prints"
    ]


def test_all_faults_are_found_in_one_go(write: Any) -> None:
    text = LEAST.replace("number = 3", "number = 0") + "\n[[job]]\nnumber = 3\n[trigger]\nhold = 1"
    assert len(faults(text)) == 5
    with pytest.raises(InputError, match=r"station\.toml: job 1\.number is 0; .* \(and 4 more: regad-station check"):
        read_config(write(text))


def test_two_jobs_of_one_number_are_refused() -> None:
    job = LEAST[LEAST.index("[[job]]") :]
    assert faults(LEAST + job) == ["job.number 3 is given 2 times; expected each once"]


def test_a_warn_limit_above_the_threshold_is_refused() -> None:
    assert faults(LEAST + "threshold = 1.0\nwarn_threshold = 1") == [
        "job 1.warn_threshold is 1.0; expected less than the threshold 1.0"
    ]


def test_a_socket_that_the_kernel_cannot_name_is_refused() -> None:
    (text,) = faults(f'commands.socket = "{"a" * 120}.sock"\n{LEAST}')
    assert text.startswith("commands.socket is '/s/aaa")
    assert "expected at most 107" in text
    assert "95 of its folder" in faults(f'commands.socket = "/{"a" * 95}/s"\n{LEAST}')[0]
    assert CommandsConfig(socket=Path(f"/{'a' * 94}/s")).socket.name == "s"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[station\n", "is not valid TOML: .*line 1"),
        (b"\xff\xfe", "is not valid TOML"),
        (b"a = " + b"[" * 5000, "is not valid TOML"),
        (b"a = " + b"9" * 5000, "is not valid TOML"),
        (b"#" * 1_000_001, "more than 1000000 bytes"),
    ],
    ids=["syntax", "bytes", "depth", "digits", "size"],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "station.toml").write_bytes(content)
    with pytest.raises(InputError, match=text):
        read_config(tmp_path / "station.toml")


def test_a_file_that_is_missing_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No such file or directory\); write one with: regad-station init"):
        read_config(tmp_path / "station.toml")


def test_a_folder_in_place_of_the_file_names_the_file_in_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Is a directory\); name the file in it: .*/station\.toml$"):
        read_config(tmp_path)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_configuration_or_a_fault_of_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


KEYS = sorted({row.encode_name for name in structs.__all__ for row in fields(getattr(structs, name))})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(), VALUES, max_size=6))
def test_any_document_is_a_configuration_or_has_faults_of_one_line(document: dict[str, Any]) -> None:
    config, found = parse_config(document, Path("/s"))
    assert (config is None) == bool(found)
    assert all("\n" not in fault.text and "\0" not in fault.text for fault in found)


SECRETS = [
    "rtsp://anna:hunter2@cam/live",
    "rtsp://anna:hunter2@cam/live?user={secret}",
    "http://cam/stream?token=hunter2",
    'rtspsrc location=rtsp://cam/live user-id=anna user-pw="hunter2" ! decodebin ! appsink',
]


@pytest.mark.parametrize("source", SECRETS)
def test_a_literal_password_is_refused_and_not_repeated(source: str) -> None:
    with pytest.raises(InputError, match=r"with a password in the file; expected \{secret\} in its place") as caught:
        CameraConfig(source=source)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "source", ["camera:0", "rtsp://cam/live", "shots/*.png", "v4l2src device=/dev/video0 ! appsink"]
)
def test_a_source_without_a_password_is_taken(source: str) -> None:
    assert CameraConfig(source=source).uri() == source


def test_the_secret_is_put_into_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM", "p@ss/word")
    camera = CameraConfig(source="rtsp://anna:{secret}@cam/live", secret=Secret(env="CAM"))
    assert camera.uri() == "rtsp://anna:p%40ss%2Fword@cam/live"
    pipeline = CameraConfig(source='rtspsrc user-id=anna user-pw="{secret}" ! appsink', secret=Secret(env="CAM"))
    assert pipeline.uri() == 'rtspsrc user-id=anna user-pw="p@ss/word" ! appsink'


def test_placeholder_and_secret_go_together() -> None:
    with pytest.raises(InputError, match=r"source and secret go together; expected secret too"):
        CameraConfig(source="rtsp://a:{secret}@cam")
    with pytest.raises(InputError, match=r"expected \{secret\} in source too"):
        CameraConfig(source="rtsp://cam", secret=Secret(env="CAM"))


def test_a_secret_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "camera.password"
    path.write_text("hunter2\n")
    path.chmod(0o640)
    with pytest.raises(InputError, match=r"may be read by other users; forbid it: chmod 600"):
        Secret(file=path).read()
    path.chmod(0o600)
    assert Secret(file=path).read() == "hunter2"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "holds no secret"),
        (b"a\nb\n", "is not one line"),
        (b"\xff", "holds no secret"),
        (b"a" * 5000, "is not one"),
    ],
)
def test_a_secret_file_that_cannot_be_used(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError, match=text):
        Secret(file=path).read()


def test_a_secret_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAM", raising=False)
    with pytest.raises(InputError, match="the variable CAM holds no secret"):
        Secret(env="CAM").read()
    with pytest.raises(InputError, match=r"cannot be read \(No such file or directory\); create it"):
        Secret(file=tmp_path / "none").read()
    for given_ in ({}, {"file": tmp_path, "env": "CAM"}):
        with pytest.raises(InputError, match="file and env: exactly one of them"):
            Secret(**given_)


def test_a_secret_in_the_file_is_resolved_beside_it(write: Any, tmp_path: Path) -> None:
    source = 'camera.source = "rtsp://a:{secret}@cam"\ncamera.secret = { file = "camera.password" }'
    config = read_config(write(LEAST.replace('camera.source = "camera:0"', source)))
    assert config.camera.secret == Secret(file=tmp_path / "camera.password")


def test_a_configuration_can_be_made_in_python() -> None:
    job = JobConfig(number=1, name="a", category=Path("a"), sha256=SHA)
    camera, model = CameraConfig(source="0"), ModelConfig(path=Path("m"))
    made = Config(model=model, camera=camera, jobs=(job,), modbus=ModbusConfig(), trigger=TriggerConfig(kind="modbus"))
    assert made.trigger.kind == "modbus"
    with pytest.raises(InputError, match=r"expected at least one \[\[job\]\]"):
        Config(model=model, camera=camera, jobs=())
    with pytest.raises(AttributeError):
        made.station.name = "other"  # type: ignore[misc]


def test_every_struct_refuses_what_it_does_not_know() -> None:
    for name in structs.__all__:
        kind = getattr(structs, name)
        assert issubclass(kind, msgspec.Struct)
        assert kind.__struct_config__.forbid_unknown_fields
        assert kind.__struct_config__.frozen
