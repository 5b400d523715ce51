"""Every hook is documented with its exact arguments, and what the docs show works."""

import inspect
import re
from pathlib import Path

import pytest

from optiscope.hooks import create_manager, specs
from optiscope.records import QUANTITIES

DOCS = Path(__file__).parents[2] / "docs" / "plugins"
HOOKS = {name: function for name, function in vars(specs).items() if hasattr(function, "optiscope_spec")}


def test_there_are_hooks():
    assert {"on_step", "optiscope_optimizers"} <= HOOKS.keys()


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_documented_with_its_arguments(name):
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert f"| `{name}({arguments})` |" in (DOCS / "hooks.md").read_text()


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_a_docstring_of_its_own(name):
    assert inspect.getdoc(HOOKS[name])


def test_the_docs_name_every_quantity_and_no_other():
    text = (DOCS / "gradient-angle.md").read_text()
    table = text.split("| quantity |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(QUANTITIES)


def test_the_optimizer_of_the_docs_is_a_plugin_that_trains(tmp_path):
    from optiscope import RunConfig
    from optiscope.engine import train

    code = re.search(r"```python\n(.*?)```", (DOCS / "optimizer.md").read_text(), re.DOTALL).group(1)
    path = tmp_path / "heavy_ball.py"
    path.write_text(code)
    host = create_manager(files=[str(path)])
    limit = host.build("optimizers", "heavy-ball", {}).stable_lr(1.0)
    assert limit == pytest.approx(3.8)
    for factor, status in [(0.95, "completed"), (1.3, "diverged")]:
        config = RunConfig(model="quadratic", optimizer="heavy-ball", lr=factor * limit, steps=400)
        assert train(config, host).status == status
