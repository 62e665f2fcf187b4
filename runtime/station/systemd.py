"""What is sent to systemd: ready, stopping, and that the watchdog need not bite."""

from __future__ import annotations

import os
import socket

__all__ = ["Notifier"]


class Notifier:
    """Speaks to the socket in $NOTIFY_SOCKET; without one it does nothing. Never blocks and never raises."""

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def tell(self, state: str) -> bool:
        """Send a state like ``READY=1``, ``WATCHDOG=1`` or ``STATUS=text``; whether it was taken."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto(state.encode(), self._address)
        except OSError:  # nobody listens, or its queue is full: not the line's concern
            return False
        return True

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
