"""Naming the plugin: whatever a piece raises in the middle of a run becomes one `PluginError` that says whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from optiscope.errors import PluginError, told
from optiscope.hooks import KINDS, PluginHost


@contextmanager
def blamed(host: PluginHost, kind: str, name: str, step: int | None = None) -> Iterator[None]:
    """Turn what the piece `name` of a `kind` (see `optiscope.hooks.KINDS`) raises into a PluginError that names it.

    Memory that runs out is nobody's fault: a MemoryError travels on, and the run may be tried again.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        piece = host.find(kind, name)
        plugin = piece.plugin if piece else "unknown"
        when = "" if step is None else f" at step {step}"
        raise PluginError(f"{KINDS[kind]} '{name}' of plugin '{plugin}' failed{when}: {told(error)}") from error
