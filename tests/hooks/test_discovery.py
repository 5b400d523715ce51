import hashlib
import importlib.metadata
import os
import sys

import pytest

from optiscope.errors import PluginError
from optiscope.hooks import create_manager, hookimpl
from optiscope.hooks.discovery import DISABLE

BRINGS = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from optiscope.hooks import hookimpl

@dataclass
class Halves:
    name: ClassVar[str] = "halves"
    factor: float = 0.5

@hookimpl
def optiscope_schedules():
    return [Halves]
"""

HEARS = """
from optiscope.hooks import hookimpl

@hookimpl
def on_run_start():
    pass
"""


class Hears:
    def __init__(self):
        self.heard = 0

    @hookimpl
    def on_run_start(self):
        self.heard += 1


@pytest.fixture
def plugin_file(tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text(BRINGS)
    return path


def load(path):
    return create_manager(discover=False, files=[str(path)])


def put_in(site, name, version, at):
    """Install a plugin without pieces in the folder `site`, at a time of its own."""
    (site / f"{name}.py").write_text(HEARS)
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[optiscope]\n{name} = {name}\n")
    os.utime(site, (at, at))
    return info


def versions_of(*names):
    return {state.name: state.version for state in create_manager().plugins if state.name in names}


def test_packages_that_come_and_go_are_noticed_by_the_next_host(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert versions_of("comes") == {}
    info = put_in(tmp_path, "comes", "1.0", 1)
    assert versions_of("comes") == {"comes": "1.0"}
    info.rename(tmp_path / "gone")
    put_in(tmp_path, "comes", "2.0", 2)
    assert versions_of("comes") == {"comes": "2.0"}
    other = tmp_path / "other"
    other.mkdir()
    put_in(other, "more", "3.0", 3)
    monkeypatch.syspath_prepend(other)
    assert versions_of("comes", "more") == {"comes": "2.0", "more": "3.0"}
    monkeypatch.setattr(sys, "path", sys.path[2:])
    assert versions_of("comes", "more") == {}


def test_packages_that_stay_are_read_once_for_hosts_that_share_nothing_else(monkeypatch):
    read = []

    def counted(group, found=importlib.metadata.entry_points):
        read.append(group)
        return found(group=group)

    monkeypatch.setattr(importlib.metadata, "entry_points", counted)
    first, second = create_manager(), create_manager(block=["optiscope-builtin"])
    assert read == ["optiscope"]
    assert "sgd" in first.pieces("optimizers")
    assert "sgd" not in second.pieces("optimizers")
    assert (first.blocked, second.blocked) == ((), ("optiscope-builtin",))


def test_the_version_of_a_file_is_its_digest(plugin_file):
    before = load(plugin_file).active[0].version
    assert before == hashlib.sha256(plugin_file.read_bytes()).hexdigest()[:12]
    plugin_file.write_text(BRINGS + "\n")
    assert load(plugin_file).active[0].version != before


def test_a_dataclass_whose_annotations_are_texts_finds_its_module(plugin_file):
    assert load(plugin_file).build("schedules", "halves", {}).factor == 0.5


def test_what_runs_is_what_the_version_tells_of_whatever_bytecode_is_there(plugin_file, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    load(plugin_file)
    times = plugin_file.stat()
    plugin_file.write_text(BRINGS.replace("0.5", "0.7"))
    os.utime(plugin_file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert load(plugin_file).build("schedules", "halves", {}).factor == 0.7


def test_a_file_that_fails_leaves_no_module_behind(plugin_file):
    plugin_file.write_text("raise RuntimeError('no')")
    with pytest.raises(PluginError, match="RuntimeError: no"):
        load(plugin_file)
    assert "optiscope_plugin_theirs" not in sys.modules


def test_what_is_no_python_file_is_named(plugin_file, tmp_path):
    other = plugin_file.rename(tmp_path / "theirs.txt")
    with pytest.raises(PluginError, match=r"give --plugin a file that ends in \.py"):
        load(other)
    with pytest.raises(PluginError, match=r"there is no plugin file .* that can be read"):
        load(tmp_path)


def test_of_two_plugins_of_one_name_the_second_is_broken(install):
    first, second = Hears(), Hears()
    install(("theirs", first), ("theirs", second))
    host = create_manager()
    assert [state.state for state in host.plugins] == ["active", "broken"]
    assert [state.registers for state in host.plugins] == [("on_run_start",), ()]
    assert host.plugins[1].why == "a plugin called 'theirs' is there already, from installed_0:plugin: rename one"
    host.notify("on_run_start", run=None)
    assert (first.heard, second.heard) == (1, 0)
    with pytest.raises(PluginError, match="'theirs' is there already"):
        create_manager(strict=True)


@pytest.mark.parametrize("marks", [{"wrapper": True}, {"hookwrapper": True}])
def test_a_wrapper_is_refused(marks):
    class Wraps:
        @hookimpl(**marks)
        def on_run_end(self):
            yield

    with pytest.raises(PluginError, match="its on_run_end is a wrapper"):
        create_manager(discover=False).register(Wraps(), "theirs")


def test_a_hook_may_stand_under_another_name():
    class Renames:
        @hookimpl(specname="on_run_start")
        def begin(self):
            raise RuntimeError("called")

    host = create_manager(discover=False)
    host.register(Renames(), "theirs")
    with pytest.raises(PluginError, match="called"):
        host.notify("on_run_start", run=None)


@pytest.mark.parametrize(
    ("value", "blocked"), [("", ()), ("one", ("one",)), (" two , one,,", ("one", "two")), ("One,other", ())]
)
def test_the_variable_blocks_those_of_its_names_that_are_there(install, monkeypatch, value, blocked):
    install(("one", Hears()), ("two", Hears()))
    monkeypatch.setenv(DISABLE, value)
    host = create_manager()
    assert host.blocked == blocked
    assert {info.name for info in host.active} == {"one", "two"} - set(blocked)
    assert {state.why for state in host.plugins if state.state == "blocked"} <= {f"by {DISABLE}"}


def test_the_variable_blocks_a_file_too_and_says_less_than_the_flag(plugin_file, install, monkeypatch):
    install(("one", Hears()))
    monkeypatch.setenv(DISABLE, "theirs,one")
    host = create_manager(files=[str(plugin_file)], block=["one"])
    assert {state.name: state.why for state in host.plugins} == {"one": "by --no-plugin", "theirs": f"by {DISABLE}"}


def test_a_plugin_that_ends_the_process_when_it_is_loaded_is_broken(install, plugin_file):
    class Leaves:
        @hookimpl
        def optiscope_models(self):
            sys.exit(3)

    install(("leaves", Leaves()))
    assert create_manager().plugins[0].why.startswith("its optiscope_models failed: SystemExit: 3")
    plugin_file.write_text("import sys\nsys.exit()")
    with pytest.raises(PluginError, match=r"'theirs' .* is broken: SystemExit"):
        load(plugin_file)


def test_ctrl_c_while_a_plugin_is_loaded_goes_through(plugin_file):
    plugin_file.write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(plugin_file)
