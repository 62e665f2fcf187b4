"""What `regad-doctor` looks at. Each check returns findings: what is there, and the exact command that fixes it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, get_args

from ..backends.base import Precision
from ..backends.openvino.library import devices as openvino_devices
from ..backends.openvino.library import load_core, load_openvino, openvino_available
from ..backends.ort import load_onnxruntime
from ..backends.table import DEVICES, Device
from ..errors import DeviceError, RegadError, SourceError
from ..formats.artifact import Artifact
from ..formats.normalization import PLAIN
from ..formats.places import DEFAULT_MODEL, MODEL_VARIABLE, find_model
from ..imaging.opencv import ABSENT, INSTALL, build_options, is_installed, load_cv2
from ..selftest import self_test, worst_of
from ..sources.aravis import load_aravis
from ..text import reason_of

__all__ = ["CHECKS", "Finding", "Severity", "examine"]

Severity = Literal["ok", "note", "problem"]

_ORT = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-rocm")
_OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless")
_TENSORRT = ("tensorrt", "tensorrt-rtx-cu13")
_JETPACK = {"32": "4", "34": "5", "35": "5", "36": "6", "38": "7"}
_JETSON_INDEX = "https://pypi.jetson-ai-lab.io/jp6/cu126"
_LITTLE_MEMORY = 1.5e9


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``problem`` stops the toolkit from working, a ``note`` does not; ``remedy`` is a command."""

    topic: str
    level: Severity
    text: str
    remedy: str | None = None


def _installed(names: tuple[str, ...]) -> dict[str, str]:
    """The distributions among ``names`` that are installed, with their versions."""
    return {name: number for name in names if (number := _version(name)) is not None}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _first_line(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace").splitlines()[0].strip("\0 ")
    except (OSError, IndexError):
        return None


def jetson_release() -> tuple[str, str] | None:
    """Return the Jetson Linux release as (major, whole), like ("36", "36.4.3"); None on another machine."""
    match = re.search(r"R(\d+).*REVISION: ([\d.]+)", _first_line("/etc/nv_tegra_release") or "")
    return (match.group(1), f"{match.group(1)}.{match.group(2)}") if match else None


def gpus() -> list[str]:
    """Return one line for each NVIDIA GPU that nvidia-smi lists: name, driver, memory."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def check_python() -> list[Finding]:
    """The interpreter and the packages that are always needed."""
    packages = _installed(("regad", "numpy", "pillow", "safetensors"))
    listed = ", ".join(f"{name} {number}" for name, number in packages.items())
    return [Finding("python", "ok", f"{platform.python_version()} ({sys.executable}); {listed}")]


def check_platform() -> list[Finding]:
    """The operating system, and the Jetson release if it is one."""
    found = [Finding("platform", "ok", f"{platform.platform()}, {os.cpu_count()} CPU cores")]
    if release := jetson_release():
        model = _first_line("/proc/device-tree/model") or "Jetson"
        jetpack = _JETPACK.get(release[0])
        text = f"{model}, Jetson Linux {release[1]}{f' (JetPack {jetpack})' if jetpack else ''}"
        found.append(Finding("platform", "ok", text))
    return found


def check_memory() -> list[Finding]:
    """Main memory, total and free."""
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE))
    if "MemTotal" not in sizes or "MemAvailable" not in sizes:
        return [Finding("memory", "note", "unknown: /proc/meminfo cannot be read")]
    total, free = (int(sizes[name]) * 1024 for name in ("MemTotal", "MemAvailable"))
    text = f"{total / 1e9:.1f} GB, {free / 1e9:.1f} GB free"
    if free < _LITTLE_MEMORY:
        return [Finding("memory", "note", f"{text}; teaching from 8 images needs 1.5 GB", "regad-run ... --shot 4")]
    return [Finding("memory", "ok", text)]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _ort_install() -> str:
    """The command that installs the ONNX Runtime that suits this machine."""
    release = jetson_release()
    if release:  # JetPack's own OpenCV stays: it has GStreamer
        fits = release[0] == "36"
        return f"pip install onnxruntime-gpu --index-url {_JETSON_INDEX}" if fits else "pip install 'regad[embed]'"
    return "pip install 'regad[gpu]'" if gpus() else "pip install 'regad[cpu]'"


def check_onnxruntime() -> list[Finding]:
    """ONNX Runtime: exactly one of its packages, importable, with the providers that the machine can use."""
    topic, packages = "onnxruntime", _installed(_ORT)
    listed = ", ".join(f"{name} {number}" for name, number in packages.items())
    if len(packages) > 1:
        text = f"{listed} are installed over each other: they share one folder, so the GPU may be lost without a word"
        return [Finding(topic, "problem", text, f"pip uninstall -y {' '.join(packages)} && {_ort_install()}")]
    try:
        ort = load_onnxruntime()
        providers: list[str] = list(ort.get_available_providers())
    except (DeviceError, AttributeError) as error:
        again = f"pip uninstall -y {' '.join(packages)} && " if packages else ""
        return [Finding(topic, "problem", f"{listed or 'not installed'} ({error})", again + _ort_install())]
    found = [Finding(topic, "ok", f"{ort.__version__} with {', '.join(providers)}")]
    if gpus() and "CUDAExecutionProvider" not in providers:
        remedy = f"pip uninstall -y {' '.join(packages) or 'onnxruntime'} && {_ort_install()}"
        found.append(Finding(topic, "note", "there is an NVIDIA GPU, but this build cannot use it", remedy))
    return found


def check_scorer() -> list[Finding]:
    """The compiled scorer: without it the NumPy scorer runs, several times slower and with twice the memory."""
    from .. import kernels

    try:
        if kernels.available():
            return [Finding("scorer", "ok", f"compiled, {kernels.kernels()} instructions")]
    except RegadError as error:
        return [Finding("scorer", "problem", error.message, error.remedy)]
    text = "not compiled with this installation: NumPy scores instead, several times slower and with more memory"
    return [Finding("scorer", "note", text, kernels.BUILD)]


def check_gpu() -> list[Finding]:
    """NVIDIA GPUs, CUDA and TensorRT; all optional."""
    cards, jetson = gpus(), jetson_release() is not None
    if not cards and not jetson:
        text = "no NVIDIA GPU (nvidia-smi lists none): the CPU is used, CUDA and TensorRT are not needed"
        return [Finding("cuda", "note", text)]
    found = [Finding("cuda", "ok", card) for card in cards]
    # JetPack's own packages live in the system's Python.
    remedy = "python3 -m venv --system-site-packages .venv" if jetson else "pip install 'regad[tensorrt]'"
    for topic, names in (("cuda", ("cuda-python", "cuda-bindings")), ("tensorrt", _TENSORRT)):
        if packages := _installed(names):
            found.append(Finding(topic, "ok", ", ".join(f"{name} {number}" for name, number in packages.items())))
        else:
            found.append(Finding(topic, "note", f"{names[0]} is not installed (optional)", remedy))
    return found


def check_openvino() -> list[Finding]:
    """OpenVINO, the devices that it finds, and what each computes in itself; optional."""
    topic, remedy = "openvino", "pip install 'regad[openvino]'"
    if not openvino_available():
        return [Finding(topic, "note", "not installed (optional): Intel's GPUs, NPUs and bf16 need it", remedy)]
    try:
        number = str(load_openvino().get_version()).partition("-")[0]
        found = openvino_devices(load_core())
    except (RegadError, RuntimeError) as error:
        return [Finding(topic, "problem", f"cannot be used: {reason_of(error)}", remedy)]
    lines = []
    for info in found:
        own = [name for name in get_args(Precision) if info.computes(name)]
        lines.append(Finding(topic, "ok", f"{info.name} ({info.full_name}) computes in {', '.join(own)}"))
    return [Finding(topic, "ok", number), *lines]


def check_opencv() -> list[Finding]:
    """OpenCV and what it was built with; an installation may do without."""
    if not is_installed():
        return [Finding("opencv", "note", ABSENT, INSTALL)]
    try:
        cv2, options = load_cv2(), build_options()
    except RegadError as error:
        return [Finding("opencv", "problem", error.message, error.remedy or None)]
    text = f"{cv2.__version__}, " + ", ".join(f"{name} {value}" for name, value in options.items())
    found = [Finding("opencv", "ok", text)]
    packages = _installed(_OPENCV)
    if len(packages) > 1:
        remedy = f"pip uninstall -y {' '.join(packages)} && {INSTALL}"
        found.append(Finding("opencv", "note", f"{' and '.join(packages)} are installed over each other", remedy))
    if options["FFMPEG"] != "YES":
        remedy = "pip install --force-reinstall opencv-python"
        found.append(Finding("opencv", "note", "built without FFmpeg: no rtsp:// and few videos", remedy))
    if jetson_release() and options["GStreamer"] != "YES":
        remedy = f"pip uninstall -y {' '.join(packages) or 'opencv-python'} && sudo apt install python3-opencv"
        found.append(Finding("opencv", "note", "built without GStreamer: CSI cameras cannot be opened", remedy))
    return found


def check_cameras() -> list[Finding]:
    """The cameras of this machine, and whether they may be used."""
    devices = sorted(Path("/dev").glob("video*"), key=lambda path: (len(path.name), path.name))
    if not devices:
        return [Finding("cameras", "note", "none (/dev/video*): plug one in, or judge files or a stream with --source")]
    found: list[Finding] = []
    for device in devices:
        name = _first_line(f"/sys/class/video4linux/{device.name}/name") or "camera"
        if os.access(device, os.R_OK | os.W_OK):
            found.append(Finding("cameras", "ok", f"{device} {name}"))
        else:
            remedy = "sudo usermod -aG video $USER   # then log in again"
            found.append(Finding("cameras", "note", f"{device} {name}: access denied", remedy))
    return found


def check_genicam() -> list[Finding]:
    """The GenICam cameras that answer, by the names that --source takes; looking takes a second."""
    try:
        found = load_aravis().cameras()
    except SourceError as error:
        return [Finding("genicam", "note", f"cameras on Ethernet or USB3 Vision are not looked for: {error}")]
    if not found:
        return [Finding("genicam", "note", "no camera answers on Ethernet or USB3 Vision")]
    return [
        Finding("genicam", "ok", f"genicam:{one.name}  {one.vendor} {one.model} at {one.address} ({one.protocol})")
        for one in found
    ]


def check_artifact(model: Path | None) -> list[Finding]:
    """The artifact: its files, and the golden self-test on every device that is there."""
    try:
        path = find_model(model)
    except RegadError:
        text = f"not tested: none is given (--model FOLDER, ${MODEL_VARIABLE}, ./{DEFAULT_MODEL})"
        made = f"regad-export --ckpt model.pt --out {DEFAULT_MODEL}   # or: regad-pull REF --out {DEFAULT_MODEL}"
        return [Finding("artifact", "note", text, made)]
    again = f"regad-export --ckpt model.pt --out {path}"
    try:
        artifact = Artifact.open(path)
    except RegadError as error:
        return [Finding("artifact", "problem", str(error), again)]
    kind = f"{artifact.dtype}, {artifact.hash[:16]}"
    if artifact.normalization != PLAIN:
        kind += f", features normalised: {artifact.normalization}"
    found = [Finding("artifact", "ok", f"{path} ({kind}): all files are intact")]
    try:
        devices = [device for device in sorted(DEVICES, key=lambda row: not row.required) if device.is_present()]
    except RegadError as error:
        return [*found, Finding("self-test", "problem", f"not run: {error}", _ort_install())]
    tests = [_self_test(artifact, device, name) for device in devices for name in device.precisions]
    return found + [finding for finding in tests if finding is not None]


def _self_test(artifact: Artifact, device: Device, precision: Precision) -> Finding | None:
    """The test's outcome; None for a precision that the device would emulate, or that the artifact cannot take."""
    said = device.name if len(device.precisions) == 1 else f"{device.name} in {precision}"
    try:
        backend = device.open(artifact, precision=precision)
        try:
            worst = worst_of(self_test(artifact, backend))
        finally:
            backend.close()
    except RegadError as error:
        if error.code in ("emulated", "transforms"):
            return None
        remedy = error.remedy or device.remedy.format(artifact=artifact.path, onnxruntime=_ort_install())
        if device.required:
            return Finding("self-test", "problem", error.message, remedy)
        return Finding("self-test", "note", f"{said} cannot be used: {error.message}", remedy)
    text = f"passed on {said}: worst is {worst.output}, {worst.max_rel:.1e} of {worst.tolerance:.0e} allowed"
    return Finding("self-test", "ok", text)


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    check_python,
    check_platform,
    check_memory,
    check_onnxruntime,
    check_scorer,
    check_gpu,
    check_openvino,
    check_opencv,
    check_cameras,
    check_genicam,
)
"""Everything that is looked at besides the artifact, in the order of the report."""


def examine(model: Path | None) -> list[Finding]:
    """Run every check, the artifact's last. ``model`` is an artifact folder, or None to look where regad-run looks."""
    return [finding for check in CHECKS for finding in check()] + check_artifact(model)
