"""Naming the plugin: whatever a piece raises in the middle of a run becomes one `PluginError` that says whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from optiscope.errors import RAISED, PluginError, told
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
    except RAISED as error:
        when = "" if step is None else f" at step {step}"
        raise PluginError(f"{called(host, kind, name)} failed{when}: {told(error)}") from error


def called(host: PluginHost, kind: str, name: str) -> str:
    """Return what the piece `name` of a `kind` is called in a message."""
    piece = host.find(kind, name)
    return f"{KINDS[kind]} '{name}' of plugin '{piece.plugin if piece else 'unknown'}'"
