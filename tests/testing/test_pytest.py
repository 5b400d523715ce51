"""The pytest plugin, in a pytest of its own."""

import subprocess
import sys

CONFTEST = 'pytest_plugins = ["optiscope.testing.pytest"]\n'

TESTS = """
import attrs
from optiscope.optim import Adam, AdamInside, SGD

class Forgetful(SGD):
    def update(self, params, grads, state, step):
        grads.flat[...] *= self.lr
        params.flat[...] -= grads.flat

FEW = "fresh-process step-time rosenbrock logistic stable-lr closed-form option-effects fingerprint".split()

def test_right(conformance):
    results = conformance(Adam, against="adam", beta1=0.8)
    assert results["against"].outcome == "passed"
    assert "step-time" not in results

def test_an_instance(conformance):
    assert conformance(SGD(lr=0.5), without=FEW)["lr"].outcome == "passed"

def test_misspelt(conformance):
    conformance(SGD, without=["step-tim"])

def test_broken(conformance):
    conformance(Forgetful, without=FEW)

def test_another_method(conformance):
    conformance(AdamInside, against="adam", without=FEW)
"""


def test_every_failure_is_told_in_the_report(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_mine.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_mine.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "3 failed, 2 passed" in done.stdout
    assert "sgd does not conform:" in done.stdout
    assert "gradients: update must leave the gradients as they are, and changed them at step 1" in done.stdout
    assert "against: leaves adam at step 1 in 'small'" in done.stdout
    assert "unknown check 'step-tim': did you mean 'step-time'?" in done.stdout
    assert "Traceback" not in done.stdout
