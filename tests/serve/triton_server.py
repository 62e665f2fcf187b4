"""A real ``tritonserver`` for the tests: the one that PyPI's wheel ``nvidia-pytriton`` carries, bound to loopback.

Its Python backend embeds a Python of the machine, with its shared library, and takes NumPy 1 only, which Python 3.13
has no wheels of: the server gets the tests' Python where that is older, else an older one that is found, with packages
of its own. As a script it prints which Python that is, or fails with the reason why there is none; and it serves:

    python tests/serve/triton_server.py                        # which Python
    python tests/serve/triton_server.py server/ repository/    # install into the one, serve the other, until Ctrl-C
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import signal
import site
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Running", "UnavailableError", "find_python", "install", "serve"]

WHEEL = "nvidia-pytriton==0.7.0"
_READY_S = 60.0
_VERSIONS = ("3.12", "3.11", "3.10")
_PACKAGES = ("pillow", "safetensors", "click", "onnx", "onnxruntime")
_ROOT = Path(__file__).resolve().parents[2]


class UnavailableError(Exception):
    """Why the server cannot run on this machine."""


class Running(NamedTuple):
    """A server that is ready: its gRPC address, its process and its log."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def resident(self, model: str) -> int:
        """Resident bytes of the process that runs a model of the Python backend."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
                words = (folder / "cmdline").read_bytes().split(b"\0")
                ours = int(status["PPid"]) == self.process.pid and "VmRSS" in status
                if ours and any(f"/{model}/".encode() in word for word in words):
                    return int(status["VmRSS"].split()[0]) * 1024
        raise UnavailableError(f"no process runs the model {model}")


class _Python(NamedTuple):
    """An interpreter for the server: the program, its version and where its shared library may lie."""

    program: str
    version: str
    libraries: str


def find_python() -> _Python:
    """The tests' own Python, or another that NumPy 1 has wheels for. Raises UnavailableError."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    others = [shutil.which(f"python{version}") for version in _VERSIONS]
    others += [str(path) for version in _VERSIONS for path in sorted(pyenv.glob(f"{version}.*/bin/python"))]
    tell = "import sys, sysconfig; print('%d.%d' % sys.version_info[:2], sysconfig.get_config_var('LIBDIR'))"
    for program in filter(None, [sys.executable, *others]):
        done = subprocess.run([program, "-c", tell], capture_output=True, text=True)
        version, _, libraries = done.stdout.strip().partition(" ")
        if done.returncode == 0 and version in _VERSIONS and _has_library(version, libraries):
            return _Python(program, version, libraries)
    raise UnavailableError(
        f"the server of {WHEEL} takes NumPy 1, so Python {' or '.join(_VERSIONS)} with its shared library: none is "
        "here (with Debian's Python: apt-get install libpython3.11, or that of its version)"
    )


def _has_library(version: str, libraries: str) -> bool:
    name = f"libpython{version}.so.1.0"
    if (Path(libraries) / name).is_file():
        return True
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def install(folder: Path) -> Path:
    """Install the wheel without what it depends on, and lay out its Python backend and the Python that it embeds.

    Returns ``folder``. Raises UnavailableError.
    """
    if platform.machine() != "x86_64" or not sys.platform.startswith("linux"):
        raise UnavailableError(
            f"{WHEEL} has a server for Linux on x86-64 only; this is {sys.platform} {platform.machine()}"
        )
    python = find_python()
    _pip(WHEEL, "--no-deps", "--target", str(folder))
    triton = folder / "pytriton" / "tritonserver"
    stub = triton / "python_backend_stubs" / python.version / "triton_python_backend_stub"
    backend = triton / "backends" / "python"
    shutil.copy2(stub, backend / stub.name)
    for program in (backend / stub.name, triton / "bin" / "tritonserver"):
        program.chmod(0o755)
    _make_python(folder / "python", python)
    (folder / "libraries").write_text(python.libraries)
    return folder


def _pip(*words: str, python: Path | None = None) -> None:
    where = [] if python is None else ["--python", str(python)]
    command = [sys.executable, "-m", "pip", *where, "install", "--quiet", "--no-compile", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError(f"pip cannot install {' '.join(words)}: {done.stderr.strip().splitlines()[-1]}")


def _make_python(folder: Path, python: _Python) -> None:
    """A virtual environment with NumPy 1, regad as the tests import it, and the tests' packages or some of its own.

    The interpreter in the server reads no variable but PATH: it takes the environment of the first python3 there.
    """
    subprocess.run([python.program, "-m", "venv", "--without-pip", str(folder)], check=True)
    own = python.program == sys.executable
    wanted = () if own else [f"{name}=={metadata.version(name)}" for name in _PACKAGES]
    _pip("numpy<2", *wanted, python=folder / "bin" / "python3")
    (links := folder / "regad" / "regad").mkdir(parents=True)
    for package in ("runtime", "calib"):
        (links / package).symlink_to(_ROOT / package)
    places = [f"import site; site.addsitedir({place!r})" for place in site.getsitepackages()] if own else []
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "tests.pth").write_text("\n".join([str(folder / "regad"), *places, ""]))


def _environment(folder: Path) -> dict[str, str]:
    """What the server's Python needs: its virtual environment, and its shared library before any other."""
    libraries = [(folder / "libraries").read_text(), str(folder / "nvidia_pytriton.libs")]
    return {
        "PATH": os.pathsep.join([str(folder / "python" / "bin"), os.environ["PATH"]]),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "OMP_NUM_THREADS": "1",
    }


def _ports(count: int) -> list[int]:
    """Ports that are free on loopback now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextlib.contextmanager
def serve(folder: Path, repository: Path, log: Path) -> Iterator[Running]:
    """Run a server of ``repository`` in explicit mode until the block ends; ``folder`` is what `install` returned.

    Raises UnavailableError if it does not start.
    """
    triton = folder / "pytriton" / "tritonserver"
    http, grpc, metrics = _ports(3)
    command = [
        str(triton / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={triton / 'backends'}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--exit-timeout-secs=10",
        *(f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")),
        f"--http-port={http}",
        f"--grpc-port={grpc}",
        f"--metrics-port={metrics}",
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=_environment(folder), start_new_session=True
        )
    try:
        address = f"127.0.0.1:{grpc}"
        _wait(process, address, log)
        yield Running(address, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    from tritonclient import grpc

    client: Any = grpc.InferenceServerClient(address)
    end = time.monotonic() + _READY_S
    with contextlib.closing(client):
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(grpc.InferenceServerException):
                if client.is_server_ready(client_timeout=2):
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
    tail = " | ".join(log.read_text(errors="replace").splitlines()[-5:])
    raise UnavailableError(f"tritonserver did not become ready within {_READY_S:.0f} s: {tail}")


def main(words: Sequence[str]) -> str:
    """Say which Python the server gets, or, given two folders, serve until interrupted; returns what went wrong."""
    try:
        if not words:
            print(find_python().program)
            return ""
        folder, repository = (Path(word).resolve() for word in words)
        if not (folder / "libraries").is_file():
            install(folder)
        with serve(folder, repository, folder / "log") as running:
            print(f"serving on {running.address} (gRPC), log {running.log}", flush=True)
            return f"tritonserver ended with {running.process.wait()}"
    except UnavailableError as error:
        return str(error)
    except KeyboardInterrupt:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
