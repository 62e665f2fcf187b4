"""Ray on two nodes in network namespaces of the test's own: nothing of it listens on another address.

Needs root and ``ip``. Ray lives in an environment of its own ($REGAD_RAY_VENV, else made and removed), which sees this
one's packages behind its own: only what those lack is installed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

PATIENCE = 120.0
HEAD, OTHER = "10.213.0.1", "10.213.0.2"
_ROOT = Path(__file__).parents[3]


def wait_until(found: Callable[[], bool], what: str) -> None:
    """Look again and again until something is so."""
    end, pause = time.monotonic() + PATIENCE, threading.Event()
    while not found():
        assert time.monotonic() < end, f"waited {PATIENCE:.0f} s for {what}"
        pause.wait(0.05)


@contextmanager
def ray_environment(folder: Path) -> Iterator[Path]:
    """Yield the Python of an environment with ray[data]."""
    given = os.environ.get("REGAD_RAY_VENV")
    venv = Path(given) if given else folder / "ray"
    python = venv / "bin" / "python"
    made = not python.exists()
    if made:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (links := folder / "links" / "regad").mkdir(parents=True)
    for package in ("runtime", "calib", "train", "export"):
        (links / package).symlink_to(_ROOT / package)
    (site / "behind.pth").write_text(f"{links.parent}\n{sysconfig.get_path('purelib')}\n")
    if made:
        install = ("-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile", "ray[data]>=2.40")
        subprocess.run([sys.executable, *install], check=True)
    try:
        yield python
    finally:
        if not given:
            shutil.rmtree(venv, ignore_errors=True)


class Nodes:
    """One or two nodes with a CPU each, a throwaway token between them."""

    def __init__(self, python: Path, folder: Path, count: int = 2) -> None:
        self._python = python
        self._names = [f"regad{os.getpid()}n{number}" for number in range(count)]
        self._folder = folder
        self._env = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "",  # else each of two dozen processes compiles Ray and all that it needs
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_health_check_period_ms": "1000",  # a node that was killed is missed after 5 s, not after 15
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._stack = ExitStack()

    def __enter__(self) -> Nodes:
        with ExitStack() as stack:
            for name in self._names:
                _ip("netns", "add", name)
                stack.callback(_ip, "netns", "del", name)
                _ip("-n", name, "link", "set", "lo", "up")
                stack.callback(self.kill_node, self._names.index(name))
            self._connect(stack)
            for number, address in enumerate((HEAD, OTHER)[: len(self._names)]):
                self._start(number, address)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _connect(self, stack: ExitStack) -> None:
        """A cable between the namespaces; of one node it goes nowhere."""
        ends = [f"rg{os.getpid() % 100000}{side}" for side in "ab"]
        _ip("link", "add", ends[0], "netns", self._names[0], "type", "veth", "peer", ends[1], "netns", self._names[-1])
        for name, end, address in zip((self._names[0], self._names[-1]), ends, (HEAD, OTHER), strict=True):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", end)
            _ip("-n", name, "link", "set", end, "up")

    def _start(self, number: int, address: str) -> None:
        role = ["--head", "--port=6379", "--include-dashboard=false"] if number == 0 else [f"--address={HEAD}:6379"]
        words = [
            *("ray", "start", *role, f"--node-ip-address={address}", "--num-cpus=1", "--disable-usage-stats"),
            *("--object-store-memory=100000000", f"--temp-dir={self._folder}/ray{number}"),
        ]
        if number:
            words.pop()  # only a head may choose
        subprocess.run(self._inside(number, words), env=self._env, check=True, stdout=subprocess.DEVNULL)

    def _inside(self, number: int, words: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self._names[number], *words]

    def command(self, *words: object) -> subprocess.Popen[str]:
        """Start a Python program on the head's node."""
        line = self._inside(0, [str(self._python), *map(str, words)])
        return subprocess.Popen(line, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def pids(self, number: int) -> list[int]:
        """The processes of a node."""
        found = subprocess.run(["ip", "netns", "pids", self._names[number]], capture_output=True, text=True, check=True)
        return [int(pid) for pid in found.stdout.split()]

    def detectors(self, number: int) -> list[int]:
        """The processes of a node that hold a detector."""
        return [pid for pid in self.pids(number) if b"Pooled" in _command_line(pid)]

    def kill_node(self, number: int) -> None:
        """End every process of a node, as a power cut does."""
        for pid in self.pids(number):
            kill(pid)


def kill(pid: int) -> None:
    """SIGKILL one process, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
