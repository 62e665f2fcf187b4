"""The table ``[desk]`` of ``station.toml``: the DESK process and its page."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from ..errors import InputError
from .config_types import Port, Table, Text

__all__ = ["DeskConfig"]

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class DeskConfig(Table, frozen=True):
    """The DESK process, which the station starts and restarts: regad's own, or ``command``, a program of yours.

    Its page listens at ``host`` and ``port``. Another address than this machine's own needs a password in ``users`` and
    one of: ``tls_cert`` with ``tls_key`` (PEM files), ``behind_proxy`` (a proxy with TLS stands before it and is called
    by one of ``hosts``), ``insecure_lan``. ``hosts`` are further names by which browsers may call the page. A shift
    begins at each of ``shifts``, local times.
    """

    command: tuple[Text, ...] = ()
    host: Text = "127.0.0.1"
    port: Port = 8080
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    hosts: tuple[Text, ...] = ()
    insecure_lan: bool = False
    users: Path = Path("users.json")
    shifts: tuple[Text, ...] = ("06:00", "14:00", "22:00")

    def __post_init__(self) -> None:
        if self.host != "localhost":
            try:
                ipaddress.ip_address(self.host)
            except ValueError:
                raise InputError(
                    f"host is {self.host!r}; expected an address of this machine like 192.168.0.5"
                ) from None
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InputError("tls_cert and tls_key go together; expected both, as PEM files")
        for name in self.hosts:
            if not _NAME.fullmatch(name):
                raise InputError(f"hosts has {name!r}; expected names like 'station-3.plant.example', without port")
        if self.behind_proxy and not self.hosts:
            raise InputError("behind_proxy needs hosts, the names by which the proxy is called")
        for time in self.shifts:
            if not _TIME.fullmatch(time):
                raise InputError(f"shifts has {time!r}; expected local times like '06:00'")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the page."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    @property
    def tls(self) -> bool:
        """Whether the page itself speaks TLS."""
        return self.tls_cert is not None
