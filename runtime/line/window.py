"""The window that shows each verdict, and whether there can be one."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..imaging.opencv import ABSENT, INSTALL, build_options, is_installed, load_cv2
from ..imaging.overlay import error_panel, render
from ..result import Result
from ..text import reason_of
from .sink import Sink
from .verdict import Verdict

__all__ = ["Window", "open_window"]

_WINDOW_SIDE = 1280
_ESCAPE = 27


class Window(Sink):
    """Shows each verdict in a window; ``q``, Esc or closing the window ends the run.

    It is drawn in the thread that judges, because OpenCV's windows belong to the main thread.
    """

    def __init__(self, title: str = "regad") -> None:
        self._title = title
        self._shape = (480, 640)
        self._shown = False

    def write(self, verdict: Verdict) -> bool:
        """Show the overlay, or why there is none; False once the user has ended it. Raises DeviceError."""
        cv2 = load_cv2()
        frame, result = verdict.frame, verdict.result
        if result is None or frame.image is None:
            picture = error_panel(verdict.error or "not judged", self._shape)
        else:
            picture = render(*_shrink(frame.image, result))
            self._shape = picture.shape[:2]
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        try:
            if self._shown and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
                return False
            cv2.imshow(self._title, picture)
            self._shown = True
            return cv2.waitKey(1) & 0xFF not in (ord("q"), _ESCAPE)
        except cv2.error as error:
            raise DeviceError(f"the display failed ({reason_of(error)})", remedy="use --no-display") from error

    def close(self) -> None:
        """Close the window."""
        if self._shown:
            self._shown = False
            cv2 = load_cv2()
            with suppress(cv2.error):  # the display may be gone
                cv2.destroyAllWindows()


def _shrink(image: NDArray[np.uint8], result: Result) -> tuple[NDArray[np.uint8], Result]:
    """Scale a large image to the window before drawing, and its region of interest with it: drawing then stays fast."""
    height, width = image.shape[:2]
    factor = _WINDOW_SIDE / max(height, width)
    if factor >= 1:
        return image, result
    cv2 = load_cv2()
    new_w, new_h = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, (new_w, new_h), interpolation=cv2.INTER_AREA)
    if result.spec.roi is None:
        return small, result
    x, y, w, h = (edge * factor for edge in result.spec.roi)
    left, top = min(int(x), new_w - 1), min(int(y), new_h - 1)
    roi = (left, top, max(1, min(round(w), new_w - left)), max(1, min(round(h), new_h - top)))
    return small, replace(result, spec=replace(result.spec, roi=roi))


def open_window(wanted: bool | None) -> Window | None:
    """Return a window if one is ``wanted``, or if that is left open (None) and there is a display to show it on.

    Raises DeviceError, naming the remedy, when one is wanted and cannot be had.
    """
    if wanted is False:
        return None
    reason = _no_window()
    if reason is None:
        return Window()
    if wanted:
        raise DeviceError(f"no window can be shown: {reason}")
    return None


def _no_window() -> str | None:
    """Why no window can be shown, or None. A dead display would abort the process, so another one tries it first."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return (
            "there is no display ($DISPLAY and $WAYLAND_DISPLAY are unset); run it on the desktop, or use --overlay DIR"
        )
    if not is_installed():
        return f"{ABSENT}; {INSTALL}"
    if build_options()["GUI"] == "NONE":
        return (
            f"this OpenCV has no windows (opencv-python-headless); pip uninstall -y opencv-python-headless && {INSTALL}"
        )
    probe = "import cv2; cv2.namedWindow('regad'); cv2.waitKey(1); cv2.destroyAllWindows()"
    try:
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "the display does not answer; use --no-display"
    return None if done.returncode == 0 else "the display cannot be opened (is $DISPLAY still valid?); use --no-display"
