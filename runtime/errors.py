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
    """Base of every error that a user can mend. Library code raises it; only a command line prints it."""


class ArtifactError(RegadError):
    """The artifact folder is missing, damaged, of another version, or not an artifact."""


class CategoryError(RegadError):
    """The category file is damaged, of another version, or was taught on another artifact."""


class InputError(RegadError):
    """An image, array, folder or option cannot be used as it is."""


class SourceError(RegadError):
    """A camera, stream, video or folder cannot be opened or has failed."""


class DeviceError(RegadError):
    """The device or the backend asked for is not available on this machine."""


class OutputError(RegadError):
    """Something could not be written; nothing half-written is left."""
