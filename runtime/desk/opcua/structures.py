"""The structures of the NodeSet as Python classes, also those that it derives without a definition of their own."""

from __future__ import annotations

from copy import copy
from dataclasses import is_dataclass
from typing import Any

from asyncua import Server, ua

__all__ = ["load_structures"]

_BASE = 3019
_DERIVED = {3002: 5002, 3013: 5268, 3008: 5090}
"""The three identifications that are BinaryIdBaseDataType by another name, each with its binary encoding's number."""


async def load_structures(server: Server, namespace: int) -> None:
    """Give each derived structure the definition that it inherits, and make the classes anew in `ua`.

    Without it a client cannot decode them, and asyncua sends the base in their place.
    """
    base = await server.get_node(ua.NodeId(_BASE, namespace)).read_data_type_definition()
    for number, encoding in _DERIVED.items():
        definition = copy(base)
        definition.BaseDataType = ua.NodeId(_BASE, namespace)
        definition.DefaultEncodingId = ua.NodeId(encoding, namespace)
        value = ua.DataValue(ua.Variant(definition, ua.VariantType.ExtensionObject))
        await server.get_node(ua.NodeId(number, namespace)).write_attribute(ua.AttributeIds.DataTypeDefinition, value)
    for name, kind in list(vars(ua).items()):
        if is_dataclass(kind) and _namespace_of(kind) == namespace:
            delattr(ua, name)
    await server.load_data_type_definitions()


def _namespace_of(kind: Any) -> int | None:
    return getattr(getattr(kind, "data_type", None), "NamespaceIndex", None)
