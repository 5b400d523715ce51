"""What a run says of the packages that its bits depend on."""

import importlib.metadata
import platform

import attrs
import numpy as np
import pytest

import optiscope
from optiscope.config import RunConfig
from optiscope.engine.prepare import prepare

ALWAYS = {"optiscope": optiscope.__version__, "numpy": np.__version__, "python": platform.python_version()}

FILE = """
import attrs
from optiscope.hooks import hookimpl
from optiscope.optim import SGD


@attrs.define(kw_only=True)
class Mine(SGD):
    name = "mine"


@hookimpl
def optiscope_optimizers():
    return [Mine]
"""


@pytest.mark.parametrize("kernels", ["winograd", "numba"])
def test_numba_is_among_them_where_its_kernels_run(kernels):
    numba = {"numba": importlib.metadata.version("numba")} if kernels == "numba" else {}
    assert prepare(RunConfig(model="quadratic", kernels=kernels)).info.versions == ALWAYS | numba


def test_so_is_what_the_file_of_an_optimizer_imports(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    config = RunConfig(model="quadratic", optimizer="mine", plugins=[str(tmp_path / "mine.py")])
    assert prepare(config).info.versions == ALWAYS | {"attrs": attrs.__version__}
    other = attrs.evolve(config, optimizer="sgd")
    assert prepare(other).info.versions == ALWAYS, "what no piece of the run comes from has no say"
