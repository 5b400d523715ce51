"""A sample of the mutants, and that they are what they say."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import mutants  # noqa: E402

SOURCE = '''"""A text stays."""

@define(kw_only=True, version=3)
class Thing:
    """So does this one."""

    def update(self, w, g):
        w *= 0.9
        w += g
        if g > 0:
            return w
'''


def test_every_mutant_is_one_change():
    found = list(mutants.mutants(SOURCE))
    plain = ast.unparse(ast.parse(SOURCE)).splitlines()
    assert {mutant.what.partition(":")[0] for mutant in found} == {
        "Mult is Div",
        "Add is Sub",
        "Gt is GtE",
        "0.9 is 0.45",
        "0 is 1",
        "condition negated",
        "dropped",
        "swapped",
    }
    for mutant in found:
        lines = ast.unparse(mutant.tree).splitlines()
        assert lines != plain
        assert (mutant.inside, '"""A text stays."""' in lines) == ("Thing", True)
    assert ast.unparse(ast.parse(SOURCE)).splitlines() == plain


@pytest.mark.timeout(300)
def test_most_of_a_sample_are_killed():
    command = [sys.executable, HERE / "mutants.py", "--only", "sgd", "adam", "adam-inside", "--every", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    killed, total = map(int, re.search(r"^(\d+) of (\d+) mutants killed", done.stdout, re.MULTILINE).groups())
    assert total >= 15
    assert killed >= 0.9 * total, done.stdout
