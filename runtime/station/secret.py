"""A secret that is named in a configuration and stands elsewhere: in a file of its own, or in the environment."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from ..errors import InputError

__all__ = ["PLACEHOLDER", "Secret"]

PLACEHOLDER = "{secret}"
"""What stands in an address where its secret goes."""

_MOST = 4096


class Secret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a secret stands: exactly one of ``file`` (its first line) and ``env`` (a variable). Raises InputError."""

    file: Path | None = None
    env: str | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (not self.env):
            raise InputError("file and env: exactly one of them is expected")

    def read(self) -> str:
        """Return the secret. Raises InputError where it is missing, empty, or a file that others may read."""
        value = self._from_file(self.file) if self.file is not None else os.environ.get(self.env or "", "")
        if not value:
            where = f"the file {self.file}" if self.file is not None else f"the variable {self.env}"
            raise InputError(f"{where} holds no secret", remedy="write one into it")
        return value

    def fill(self, address: str) -> str:
        """Return ``address`` with the secret in place of `PLACEHOLDER`, escaped as a URL demands where it is one."""
        value = self.read()
        is_url = "://" in address and " ! " not in address
        return address.replace(PLACEHOLDER, quote(value, safe="") if is_url else value)

    @staticmethod
    def _from_file(path: Path) -> str:
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(_MOST + 1)
        except OSError as error:
            raise InputError(
                f"the secret {path} cannot be read ({error.strerror})", remedy="create it: mode 600"
            ) from error
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise InputError(f"the secret {path} may be read by other users", remedy=f"forbid it: chmod 600 {path}")
        try:
            lines = data.decode().splitlines()
        except UnicodeDecodeError:
            lines = []
        if len(data) > _MOST or len(lines) > 1:
            raise InputError(
                f"the secret {path} is not one line of at most {_MOST} bytes", remedy="write only the secret into it"
            )
        return lines[0].strip() if lines else ""
