"""Every hook is documented with its exact signature, has a test of its name, and a page whose example uses it."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from optiscope.cli.new_plugin import package_files
from optiscope.hooks import KINDS, specs
from optiscope.records import QUANTITIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "plugins"
HOOKS = {name: function for name, function in vars(specs).items() if hasattr(function, "optiscope_spec")}


def code(page):
    """Return the blocks of Python on a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def signatures(source):
    """Return the functions in `source` without a body of their own, as one would write them in a stub."""
    found = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {each.name: f"({ast.unparse(each.args)}) -> {ast.unparse(each.returns)}" for each in found if each.returns}


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
    text = (DOCS / "recorder.md").read_text()
    table = text.split("| quantity |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(QUANTITIES)


def test_the_docs_have_the_signature_of_every_hook_and_no_other():
    documented = {}
    for block in code("hooks.md"):
        documented |= signatures(block)
    assert documented.keys() == HOOKS.keys()
    assert documented == signatures(inspect.getsource(specs))


def test_every_hook_has_a_test_of_its_name_and_no_other_has():
    tree = ast.parse((ROOT / "tests" / "hooks" / "test_specs.py").read_text(encoding="utf-8"))
    tests = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    assert sorted(tests) == sorted(f"test_{name}" for name in HOOKS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_piece_has_a_page_whose_example_brings_one(kind):
    page = KINDS[kind].replace(" ", "")
    assert f"{page}\n" in (DOCS / "index.md").read_text(encoding="utf-8")
    assert re.search(rf"^@hookimpl\ndef optiscope_{kind}\(", code(f"{page}.md")[0], re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("heavy-ball", "optimizer"), ("update-ratio", "recorder"), ("half-life", "analyzer"), ("background", "executor")],
)
def test_the_example_is_what_the_command_writes(name, kind):
    module = name.replace("-", "_")
    assert code(f"{kind}.md")[0] == package_files(name, kind)[f"src/{module}/__init__.py"]
