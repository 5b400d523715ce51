"""Who may import whom: the layers of pyproject.toml, and what they cannot say."""

import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("optiscope", include_external_packages=True, cache_dir=None)


def imports_of(graph: grimp.ImportGraph, room: str) -> set[str]:
    """Everything that a room imports directly, outside itself."""
    modules = {room, *graph.find_descendants(room)}
    found = {imported for module in modules for imported in graph.find_modules_directly_imported_by(module)}
    return found - modules


def test_rooms_import_left_to_right_only() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_has_its_place_in_the_layers(graph: grimp.ImportGraph) -> None:
    placed = {room.strip() for layer in LAYERS for room in layer.replace(":", "|").split("|")}
    assert graph.find_children("optiscope") - {"optiscope.builtin"} == placed


def test_nobody_imports_the_builtin_plugins(graph: grimp.ImportGraph) -> None:
    builtin = {"optiscope.builtin", *graph.find_descendants("optiscope.builtin")}
    importers = {importer for module in builtin for importer in graph.find_modules_that_directly_import(module)}
    assert importers <= builtin


COMPILED = {f"optiscope.autograd.kernels.{name}" for name in ("compiled", "loops", "vectors")}


@pytest.mark.parametrize("room", ["optiscope.params", "optiscope.autograd"])
def test_the_differentiation_needs_numpy_only(graph: grimp.ImportGraph, room: str) -> None:
    """But for the set of kernels that is there for numba, which is imported when somebody asks for it."""
    modules = {room, *graph.find_descendants(room)} - COMPILED
    found = {imported for module in modules for imported in graph.find_modules_directly_imported_by(module)}
    outside = {name for name in found if not name.startswith("optiscope")}
    assert outside - sys.stdlib_module_names == {"numpy"}


def test_compiled_kernels_are_imported_by_nobody_else(graph: grimp.ImportGraph) -> None:
    importers = {importer for name in COMPILED for importer in graph.find_modules_that_directly_import(name)}
    assert importers - COMPILED == {"optiscope.autograd.kernels"}
    done = subprocess.run([sys.executable, "-c", LAZY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


LAZY = "import sys, optiscope.cli, optiscope.engine; print({'numba', 'llvmlite'} & set(sys.modules))"


@pytest.mark.parametrize("other", ["optiscope.storage", "optiscope.labels", "rich"])
def test_the_engine_neither_stores_nor_judges_nor_prints(graph: grimp.ImportGraph, other: str) -> None:
    assert not {name for name in imports_of(graph, "optiscope.engine") if f"{name}.".startswith(f"{other}.")}
