"""The file of OPC 40100-1's types, which its publisher gives away, and which does not come with regad."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..text import shown, system_reason

__all__ = ["read_nodeset"]

_MODEL = 'ModelUri="http://opcfoundation.org/UA/MachineVision" Version="1.0'
_HEAD, _MOST = 8192, 4_000_000  # characters before its name has to stand, and bytes at most
_REMEDY = (
    "take Opc.Ua.MachineVision.NodeSet2.xml from the folder MachineVision of the OPC Foundation's UA-Nodeset "
    "(MIT licence), and name it in opcua.nodeset"
)


def read_nodeset(path: Path) -> str:
    """Return the NodeSet of OPC 40100-1, version 1.0. Raises InputError where ``path`` is another file, or none."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST + 1).decode()
    except OSError as error:
        raise InputError(
            f"opcua.nodeset {shown(path)} cannot be read ({system_reason(error)})", remedy=_REMEDY
        ) from error
    except UnicodeDecodeError:
        text = ""
    if len(text) > _MOST or _MODEL not in text[:_HEAD]:
        raise InputError(f"opcua.nodeset {shown(path)} is not the NodeSet of OPC 40100-1, version 1.0", remedy=_REMEDY)
    return text
