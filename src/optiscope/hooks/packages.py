"""Which packages a plugin runs on, in which versions: the bits of a run depend on them.

A package says itself what it requires, and a single file what it imports. Only what requires optiscope, and so is a
plugin too, is asked in its turn: the file of somebody who builds on `optiscope_optax` runs on optax and JAX, but what
PyTorch is made of is PyTorch's business.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterable

from optiscope.hooks.markers import PROJECT


def stated(dist: importlib.metadata.Distribution | None, field: str) -> str:
    """Return what a package says of itself; "unknown" of one that was removed by half, and has no metadata."""
    return next(iter(_told(dist, field)), "unknown")


def _told(dist: importlib.metadata.Distribution | None, field: str) -> list[str]:
    """Return all that the metadata of a package has in a field."""
    try:
        told = dist.metadata if dist else None
    except FileNotFoundError:  # as importlib_metadata has it, which takes the place of Python's own once imported
        return []
    return (told.get_all(field) if told else None) or []


def imported(source: bytes) -> tuple[str, ...]:
    """Return the packages that a Python source imports, by their modules; none where it cannot be parsed."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return ()
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return tuple(sorted({name.partition(".")[0] for name in names} - sys.stdlib_module_names))


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return name -> version of those of `names` that are installed, and of what their plugins require."""
    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        try:
            dist = importlib.metadata.distribution(waiting.pop())
        except (importlib.metadata.PackageNotFoundError, ValueError):
            continue  # a module that is called otherwise than its package
        name = stated(dist, "Name")
        if name not in found:
            found[name] = stated(dist, "Version")
            required = _required(dist)
            waiting += required if PROJECT in required else []
    return dict(sorted(found.items()))


def _required(dist: importlib.metadata.Distribution) -> list[str]:
    """Return the names of what a package requires, without what only its extras do."""
    return [
        re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in _told(dist, "Requires-Dist") if "extra ==" not in need
    ]
