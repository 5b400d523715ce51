"""Hooks: what a plugin implements, and the host that calls it."""

from optiscope.hooks.discovery import PluginState
from optiscope.hooks.manager import KINDS, Family, Piece, PluginHost, create_manager, options_of
from optiscope.hooks.markers import hookimpl

__all__ = ["KINDS", "Family", "Piece", "PluginHost", "PluginState", "create_manager", "hookimpl", "options_of"]
