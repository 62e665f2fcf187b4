"""Aravis, the library for GenICam cameras (GigE Vision, USB3 Vision), through ctypes: loaded when one is asked for.

Only what is needed, with its types; a GError becomes a SourceError. Debian's package is ``libaravis-0.8-0``.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_bool, c_char_p, c_int, c_size_t, c_uint, c_uint32, c_uint64, c_void_p
from functools import lru_cache
from typing import Any, NamedTuple

from ..errors import SourceError
from ..text import shown

__all__ = ["PACKAGE", "Aravis", "Found", "load_aravis"]

PACKAGE = "libaravis-0.8-0"
_LIBRARIES = ("libaravis-0.8.so.0", "libgobject-2.0.so.0", "libglib-2.0.so.0")


class _Error(Structure):
    _fields_ = (("domain", c_uint32), ("code", c_int), ("message", c_char_p))


class _Function(NamedTuple):
    result: Any
    arguments: tuple[Any, ...]
    raises: bool = False


_FUNCTIONS = {
    "arv_update_device_list": _Function(None, ()),
    "arv_get_n_devices": _Function(c_uint, ()),
    "arv_get_device_id": _Function(c_char_p, (c_uint,)),
    "arv_get_device_vendor": _Function(c_char_p, (c_uint,)),
    "arv_get_device_model": _Function(c_char_p, (c_uint,)),
    "arv_get_device_serial_nbr": _Function(c_char_p, (c_uint,)),
    "arv_get_device_address": _Function(c_char_p, (c_uint,)),
    "arv_get_device_protocol": _Function(c_char_p, (c_uint,)),
    "arv_camera_new": _Function(c_void_p, (c_char_p,), raises=True),
    "arv_camera_get_device": _Function(c_void_p, (c_void_p,)),
    "arv_camera_get_payload": _Function(c_uint, (c_void_p,), raises=True),
    "arv_camera_set_acquisition_mode": _Function(None, (c_void_p, c_int), raises=True),
    "arv_camera_set_trigger": _Function(None, (c_void_p, c_char_p), raises=True),
    "arv_camera_clear_triggers": _Function(None, (c_void_p,), raises=True),
    "arv_camera_software_trigger": _Function(None, (c_void_p,), raises=True),
    "arv_camera_create_stream": _Function(c_void_p, (c_void_p, c_void_p, c_void_p), raises=True),
    "arv_camera_start_acquisition": _Function(None, (c_void_p,), raises=True),
    "arv_camera_stop_acquisition": _Function(None, (c_void_p,), raises=True),
    "arv_device_set_features_from_string": _Function(c_bool, (c_void_p, c_char_p), raises=True),
    "arv_gv_device_get_type": _Function(c_size_t, ()),
    "arv_gv_device_is_controller": _Function(c_int, (c_void_p,)),
    "arv_stream_push_buffer": _Function(None, (c_void_p, c_void_p)),
    "arv_stream_try_pop_buffer": _Function(c_void_p, (c_void_p,)),
    "arv_stream_timeout_pop_buffer": _Function(c_void_p, (c_void_p, c_uint64)),
    "arv_buffer_new_allocate": _Function(c_void_p, (c_size_t,)),
    "arv_buffer_get_status": _Function(c_int, (c_void_p,)),
    "arv_buffer_get_frame_id": _Function(c_uint64, (c_void_p,)),
    "arv_buffer_get_image_data": _Function(c_void_p, (c_void_p, POINTER(c_size_t))),
    "arv_buffer_get_image_pixel_format": _Function(c_uint32, (c_void_p,)),
    "arv_buffer_get_image_width": _Function(c_int, (c_void_p,)),
    "arv_buffer_get_image_height": _Function(c_int, (c_void_p,)),
    "arv_buffer_get_image_padding": _Function(None, (c_void_p, POINTER(c_int), POINTER(c_int))),
    "g_type_check_instance_is_a": _Function(c_int, (c_void_p, c_size_t)),
    "g_object_unref": _Function(None, (c_void_p,)),
    "g_error_free": _Function(None, (c_void_p,)),
}


class Found(NamedTuple):
    """A camera on the network or the bus. ``name`` is what `Aravis.open` takes."""

    name: str
    vendor: str
    model: str
    serial: str
    address: str
    protocol: str


class Aravis:
    """The library. `call` may be used in any thread; one camera's functions are for one thread at a time."""

    def __init__(self) -> None:
        libraries = [ctypes.CDLL(name) for name in _LIBRARIES]
        self._functions: dict[str, Any] = {}
        for name, (result, arguments, raises) in _FUNCTIONS.items():
            function = next(getattr(library, name) for library in libraries if hasattr(library, name))
            function.restype = result
            function.argtypes = (*arguments, POINTER(POINTER(_Error))) if raises else arguments
            self._functions[name] = function

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function by its name. Raises SourceError with the library's own words."""
        if not _FUNCTIONS[name].raises:
            return self._functions[name](*arguments)
        error = POINTER(_Error)()
        result = self._functions[name](*arguments, byref(error))
        if error:
            said = (error.contents.message or b"").decode("utf-8", "replace")
            self._functions["g_error_free"](error)
            raise SourceError(shown(said) or name)
        return result

    def cameras(self) -> list[Found]:
        """Look for cameras; takes about a second."""
        self.call("arv_update_device_list")
        asked = ("id", "vendor", "model", "serial_nbr", "address", "protocol")
        return [
            Found(
                *(shown((self.call(f"arv_get_device_{one}", index) or b"").decode("utf-8", "replace")) for one in asked)
            )
            for index in range(self.call("arv_get_n_devices"))
        ]

    def has_lost_control(self, device: int) -> bool:
        """Whether another program, or a restart, took a GigE Vision camera away; of others it is not known."""
        is_gige = self.call("g_type_check_instance_is_a", device, self.call("arv_gv_device_get_type"))
        return bool(is_gige) and not self.call("arv_gv_device_is_controller", device)


@lru_cache(maxsize=1)
def load_aravis() -> Aravis:
    """Return the library. Raises SourceError, with the command that installs it, where it is missing or too old."""
    try:
        return Aravis()
    except (OSError, StopIteration) as error:
        raise SourceError(f"a GenICam camera needs {PACKAGE}; install it: sudo apt install {PACKAGE}") from error
