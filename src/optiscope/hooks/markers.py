"""The two pluggy markers of the project. Plugin authors need `hookimpl` only."""

import pluggy

PROJECT = "optiscope"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
