"""Aravis' fake GigE Vision camera in a process of its own, over loopback: a real peer for GVCP and GVSP.

It sends Mono8 of 512x512, heeds software triggers and nothing else of a trigger. It holds UDP port 3956 of 127.0.0.1.
"""

from __future__ import annotations

import os
import subprocess
import sys

from ...needs import require

SERIAL = f"T{os.getpid()}"
NAME = f"Aravis-Fake-{SERIAL}"
_CHILD = """
import ctypes, sys
library = ctypes.CDLL("libaravis-0.8.so.0")
library.arv_gv_fake_camera_new.restype = ctypes.c_void_p
library.arv_gv_fake_camera_new.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
library.arv_gv_fake_camera_is_running.argtypes = (ctypes.c_void_p,)
camera = library.arv_gv_fake_camera_new(b"127.0.0.1", sys.argv[1].encode())
print(library.arv_gv_fake_camera_is_running(camera), flush=True)
sys.stdin.read()
"""


def require_aravis() -> None:
    """Skip, or fail where the peers are required, without the library."""
    require("libaravis-0.8-0")


class FakeCamera:
    """The camera; it can be killed and started again."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, SERIAL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "1\n", "the fake camera does not run: is another one there?"

    def kill(self) -> None:
        self._process.kill()
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(20)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
