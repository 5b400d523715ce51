"""docs/data-format.md says what is so: its recipes run, and its tables name what a file holds."""

import re
import shutil
import subprocess
from pathlib import Path

import h5py
import pytest

from optiscope.storage import schema

PAGE = (Path(__file__).parents[2] / "docs" / "data-format.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
ROW = re.compile(r"^\| `(/[^`]+)` \| (\S+) \| \[(.*?)\] \|", re.MULTILINE)


@pytest.fixture(params=["live", "finished"])
def run(request, make, kit, tmp_path, monkeypatch):
    """The folder of a run file named run.h5, and of one that was left behind, as the recipes have it."""
    monkeypatch.chdir(tmp_path)
    run = make(40)
    shutil.copy("run.h5", "left.h5")
    if request.param == "finished":
        run.writer.finish(kit.result(run.info, 40))
    return run


@pytest.mark.parametrize("recipe", PYTHON)
def test_recipes_in_python_run(run, kit, recipe):
    found = {}
    exec(recipe, found)
    expected = kit.expected(run.info, run.signals, 40, 2)
    for name, path in {"loss": "step/loss", "q05": "probe/q05", "probe_logits": "probe/logits"}.items():
        if name in found:
            assert found[name].tolist() == expected[path].tolist()
    if "grad_norm" in found:
        assert found["grad_norm"]["out.weight"].tolist() == expected["step/grad_norm"][:, 2].tolist()
    if "best" in found:
        assert found["best"] == (0.75, run.info.run_id)


def test_recipes_for_the_shell_run(run):
    if not shutil.which("h5dump"):
        pytest.skip("h5dump is not installed (Debian package hdf5-tools)")
    said = subprocess.run(["sh", "-e", "-c", "\n".join(SHELL)], capture_output=True, text=True, check=True, timeout=60)
    assert "(0): 40, 2, " in said.stdout
    assert 'ATTRIBUTE "NX_class"' in said.stdout


def test_the_page_has_all_recipes():
    assert len(PYTHON) == 8
    for tool in ("h5py", "to_dataframe", "open_datatree", "open_grid", "verify", "columns", "recover"):
        assert any(tool in recipe for recipe in PYTHON), tool


def test_the_table_of_datasets_is_that_of_the_file(info, kit):
    lengths = {"T": 95, "E": 5, "M": 3, "P": 3, "K": 10, "O": 4}
    said = {}
    for path, dtype, axes in ROW.findall(PAGE):
        shape = tuple(lengths.get(axis) or int(axis) for axis in axes.split(", "))
        said[path] = ("str" if dtype == "UTF-8" else dtype, shape)
    assert said == {d.path: (d.dtype, d.shape) for d in schema.layout(info, kit.core(info))}


def test_the_tables_of_attributes_are_those_of_the_file(make, kit):
    run = make(5)
    run.writer.finish(kit.result(run.info, 5))
    with h5py.File(run.path, "r") as file:
        attributes = set(file.attrs)
    section = PAGE.partition("## Attributes")[2].partition("## Many runs")[0]
    first_cells = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)} == attributes


def test_the_status_codes_and_version_are_those_of_the_schema():
    assert ", ".join(f"{code} {name}" for name, code in schema.STATUS_CODES.items()) in PAGE
    assert f"schema version {schema.SCHEMA_VERSION}." in PAGE
