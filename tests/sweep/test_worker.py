"""What a worker hands back: the verdict that anybody else would form from the file that it left."""

import json
import pickle

import attrs
import pytest

import optiscope
from optiscope.config import GridConfig, RunConfig
from optiscope.labels import label_folder
from optiscope.sweep import execute as sweep_execute
from optiscope.sweep import run as sweep_run
from optiscope.sweep.worker import run_to_verdict

ANALYZER = """
from optiscope.analysis import Finding
from optiscope.hooks import hookimpl

class Strange:
    name = "strange"
    rule_version = "1"
    axis = "outcome"
    required = True

    def __init__(self, result="pass"):
        self.result = result

    def analyze(self, run):
        return Finding(name=self.name, rule_version="1", result=self.result, why=f"{run.status}, says who asks")

@hookimpl
def optiscope_analyzers():
    return [Strange]
"""

RAISING = """
from optiscope.hooks import hookimpl
from optiscope.optim import SGD

class Raising(SGD):
    name = "raising"

    def update(self, params, grads, state, step):
        raise RuntimeError("not today")

@hookimpl
def optiscope_optimizers():
    return [Raising]
"""

QUADRATIC = RunConfig(model="quadratic", optimizer="sgd", batch_size=1, lr=0.5, steps=120)


@pytest.fixture
def plugin(tmp_path):
    def write(text):
        path = tmp_path / "plugin.py"
        path.write_text(text)
        return [str(path)]

    return write


@pytest.mark.parametrize(("lr", "status"), [(0.5, "completed"), (50.0, "diverged")])
def test_the_verdict_is_that_of_the_file(tmp_path, lr, status):
    ended = pickle.loads(pickle.dumps(run_to_verdict(attrs.evolve(QUADRATIC, lr=lr), str(tmp_path))))
    assert ended.result.status == ended.verdict.status == status
    assert ended.verdict == optiscope.label(ended.result.path)


@pytest.mark.parametrize("result", ["pass", "fail"])
def test_plugins_judge_with_the_options_of_the_run(tmp_path, plugin, result):
    config = attrs.evolve(QUADRATIC, plugins=plugin(ANALYZER), options={"strange": {"result": result}})
    found = run_to_verdict(config, str(tmp_path)).verdict
    assert next(each for each in found.findings if each.name == "strange").result == result


def test_judging_counts_as_what_a_run_costs_apart_from_its_steps(tmp_path, plugin):
    slow = ANALYZER.replace("        return Finding", "        import time; time.sleep(0.3)\n        return Finding")
    assert run_to_verdict(attrs.evolve(QUADRATIC, plugins=plugin(slow)), str(tmp_path)).result.overhead > 0.3


def test_a_run_whose_optimizer_raised_is_undecided_for_that_reason(tmp_path, plugin):
    config = attrs.evolve(QUADRATIC, optimizer="raising", plugins=plugin(RAISING))
    ended = run_to_verdict(config, str(tmp_path))
    assert ended.result.status == "failed"
    assert ended.verdict.verdict == "undecided"
    assert "not today" in ended.verdict.why


def test_a_grid_says_the_same_as_judging_it_again(tmp_path, monkeypatch):
    grid = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.5, 1.5, 50.0], steps=120)
    here = []
    formed = sweep_run.label_folder
    monkeypatch.setattr(
        sweep_run, "label_folder", lambda *given: here.append(given[4]) or formed(given[0], (), *given[2:])
    )
    optiscope.characterize(grid, tmp_path / "out", jobs=2)
    assert {*here[0]} == {path.stem for path in (tmp_path / "out" / "runs").glob("*.h5")}, "the host judged none"
    written = json.loads((tmp_path / "out" / "characterization.json").read_text())
    again = label_folder(tmp_path / "out", sweep_run.build_analyzers(sweep_run.host_for(grid), {}))
    again.write(tmp_path / "out")
    assert written == json.loads((tmp_path / "out" / "characterization.json").read_text())


def test_a_worker_that_formed_no_verdict_leaves_it_to_the_host(tmp_path, monkeypatch):
    grid = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.5], steps=120)
    monkeypatch.setattr(
        sweep_execute,
        "run_to_verdict",
        lambda config, folder: attrs.evolve(run_to_verdict(config, folder), verdict=None),
    )
    found = optiscope.characterize(grid, tmp_path / "out", executor="in-process")
    assert [run.verdict for cell in found.cells for run in cell.runs] == ["stable"]
