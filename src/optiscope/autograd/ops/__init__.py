"""The built-in operations, by family, and the table of their rows."""

from collections.abc import Mapping
from types import MappingProxyType

from optiscope.autograd.ops import activations, arithmetic, images, linear, losses
from optiscope.autograd.vjp import Operation

TABLE: Mapping[str, Operation] = MappingProxyType(
    {row.name: row for family in (arithmetic, linear, activations, images, losses) for row in family.ROWS}
)
"""Every built-in operation, by name."""
