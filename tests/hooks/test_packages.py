"""Which packages a plugin runs on is what they say themselves, in folders of metadata as installers leave them."""

import importlib.metadata

import pytest

import optiscope
from optiscope.hooks import create_manager
from optiscope.hooks.packages import imported, versions

INSTALLED = {
    "A-Bridge": ("1.2", ["optiscope", "engine-room>=3", 'gone ; python_version < "3"', 'tests ; extra == "dev"']),
    "engine_room": ("3.1", ["boiler"]),
    "boiler": ("9", []),
    "tests": ("1", []),
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    for name, (version, required) in INSTALLED.items():
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {one}" for one in required]
        (folder / "METADATA").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("installed")
def test_a_plugin_is_asked_what_it_requires_and_another_package_is_not():
    own = {"optiscope": importlib.metadata.version("optiscope")}
    assert versions(["a_bridge"]) == {"A-Bridge": "1.2", "engine_room": "3.1", **own}
    assert versions(["engine-room", "boiler"]) == {"boiler": "9", "engine_room": "3.1"}
    assert versions(["no-such-package", ""]) == {}


def test_a_package_without_metadata_has_an_unknown_version(tmp_path, monkeypatch):
    (tmp_path / "half_removed-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert list(versions(["half-removed"]).values()) in ([], ["unknown"])


def test_a_file_runs_on_what_it_imports():
    source = b"""
import os.path
import numpy as np, attrs
from a_bridge.parts import one
from . import two

def later():
    import engine_room.pump
"""
    assert imported(source) == ("a_bridge", "attrs", "engine_room", "numpy")
    assert imported(b"import ?") == imported(b"\xff") == imported(b"\0") == ()


FILE = """
from engine_room import pump
import a_bridge

from optiscope.hooks import hookimpl
from optiscope.optim import SGD


class Mine(SGD):
    name = "mine"


@hookimpl
def optiscope_optimizers():
    return [Mine]
"""


@pytest.mark.usefixtures("installed")
def test_a_host_tells_of_its_pieces(tmp_path):
    for module in ("engine_room", "a_bridge"):
        (tmp_path / f"{module}.py").write_text("pump = None")
    (tmp_path / "mine.py").write_text(FILE)
    host = create_manager(files=[str(tmp_path / "mine.py")])
    assert host.versions([("optimizers", "sgd"), ("optimizers", "no-such-optimizer")]) == {
        "optiscope": optiscope.__version__
    }
    assert host.versions([("optimizers", "mine")]).keys() == {"A-Bridge", "engine_room", "optiscope"}
