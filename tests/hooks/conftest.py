import importlib.metadata
import sys

import pytest


@pytest.fixture
def install(monkeypatch):
    """Return a function that puts pairs of name and plugin in the place of the installed plugins."""

    def replace(*plugins):
        found = []
        for number, (name, plugin) in enumerate(plugins):
            module = type(sys)(f"installed_{number}")
            module.plugin = plugin
            monkeypatch.setitem(sys.modules, module.__name__, module)
            found.append(importlib.metadata.EntryPoint(name, f"{module.__name__}:plugin", "optiscope"))
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found)

    return replace
