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


def stated(dist: importlib.metadata.Distribution | None, *fields: str) -> tuple[str, ...]:
    """Return what a package says of itself; "unknown" of one that was removed by half, and has no metadata."""
    told = _metadata(dist)
    return tuple(((told.get_all(field) if told else None) or ["unknown"])[0] for field in fields)


def _metadata(dist: importlib.metadata.Distribution | None) -> importlib.metadata.PackageMetadata | None:
    """Return the metadata of a package, which is read anew each time."""
    try:
        return dist.metadata if dist else None
    except FileNotFoundError:  # as importlib_metadata has it, which takes the place of Python's own once imported
        return None


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
        name, version = stated(dist, "Name", "Version")
        if name not in found:
            found[name] = version
            required = _required(dist)
            waiting += required if PROJECT in required else []
    return dict(sorted(found.items()))


def _required(dist: importlib.metadata.Distribution) -> list[str]:
    """Return the names of what a package requires, without what only its extras do."""
    told = _metadata(dist)
    needs = (told.get_all("Requires-Dist") if told else None) or ()
    return [re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in needs if "extra ==" not in need]
