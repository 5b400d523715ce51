"""Hooks: what a plugin implements, and the host that calls it."""

from optiscope.hooks.discovery import PluginState
from optiscope.hooks.manager import PluginHost, create_manager
from optiscope.hooks.markers import hookimpl
from optiscope.hooks.pieces import KINDS, Family, Piece, options_of

__all__ = ["KINDS", "Family", "Piece", "PluginHost", "PluginState", "create_manager", "hookimpl", "options_of"]
