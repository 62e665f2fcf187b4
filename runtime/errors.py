"""The errors of the toolkit. Each message is one line: what came, what was wanted, what to do."""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "CategoryError",
    "DeviceError",
    "InputError",
    "OutputError",
    "RegadError",
    "SourceError",
]


class RegadError(Exception):
    """Base of every error that a user can fix. Library code raises it; only a command line prints it.

    ``message`` says what is wrong and ``remedy``, where it is given apart, what to do; ``str()`` joins them to a line.
    ``code`` is a short word for programs. Code that needs one of the three reads the attribute, never the text.
    """

    def __init__(self, message: str, *, remedy: str = "", code: str = "") -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
        self.code = code


class ArtifactError(RegadError):
    """The artifact folder is missing, damaged, of another version, or not an artifact."""


class CategoryError(RegadError):
    """The category file is damaged, of another version, or was taught on another artifact."""


class InputError(RegadError):
    """An image, array, folder or option cannot be used as it is."""


class SourceError(RegadError):
    """A camera, stream, video or folder cannot be opened or has failed."""


class DeviceError(RegadError):
    """The device or the backend asked for is not available on this machine, has failed, or was closed."""


class OutputError(RegadError):
    """Something could not be written; nothing half-written is left."""
