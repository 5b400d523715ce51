"""Seeds that are added one at a time, to cells whose verdicts are known beforehand."""

import io
import json
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

import optiscope
from optiscope.cli.console import open_console
from optiscope.cli.live import QuietWatcher
from optiscope.config import GridConfig
from optiscope.engine import host_for
from optiscope.errors import PluginError, UsageError
from optiscope.labels import RunVerdict
from optiscope.sweep import execute as sweep_execute
from optiscope.sweep import first_seeds, plan
from optiscope.sweep.seeds import Seeds, verdict_of
from optiscope.sweep.watch import Watch

WORDS = {0.1: "SSSSS", 0.2: "UUUU", 0.3: "SUSSSSSS", 0.4: "SUSUSUSUS", 0.5: "?????", 0.6: "S?S?SS", 0.7: "???SS???"}
"""Whether seeds 0, 1, 2 ... of a learning rate are stable, unstable or undecided."""

SEEDS = {0.1: 4, 0.2: 4, 0.3: 8, 0.4: 9, 0.5: 4, 0.6: 6, 0.7: 9}
"""How many it takes at 95 %, of at most 9. With 1 of n unstable, P(unstable) is below 0.5 with 95.3 % at n = 6, 97.48 %
at 7 and 98.7 % at 8, by the recurrence of the incomplete beta function, where 97.5 % are asked; 4 that are undecided
are given up."""

GRID = GridConfig(
    model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=WORDS, steps=120, seeds="auto", max_seeds=9
)


def verdict_that_says(word):
    """Return a verdict of which nothing counts but its word."""
    return RunVerdict(
        run_id="",
        seed=0,
        path="",
        status="completed",
        verdict={"S": "stable", "U": "unstable", "?": "undecided"}[word],
        outcome="",
        dynamics="",
        signal="",
        why="",
        first_step=None,
        findings=(),
    )


class Pretended:
    """A folder of a grid whose runs are made without training: a run that has a file is over."""

    def __init__(self, folder, grid):
        self.folder, self.grid, self.host = folder, grid, host_for(grid)
        self.plan = plan(grid, self.host)
        self.made = {run.info.run_id: run for run in self.plan}
        self.judged = []

    def begin(self):
        """Return the seeds that are there or begun with, and the runs to make."""
        seeds = Seeds(self.grid, self.plan, self.folder, self.host, self.judge)
        self.made |= {run.info.run_id: run for run in seeds.runs}
        pending = [run for run in seeds.runs if not self.path(run).exists()]
        return seeds, pending + self.noted(seeds.begin(pending))

    def make(self, run):
        self.path(run).touch(exist_ok=False)

    def path(self, run):
        return self.folder / f"{run.info.run_id}.h5"

    def noted(self, runs):
        self.made |= {run.info.run_id: run for run in runs}
        return runs

    def judge(self, path):
        self.judged.append(path)
        info = self.made[path.stem].info
        return verdict_that_says(WORDS[info.lr][info.seed])


@pytest.fixture
def pretended(tmp_path):
    return Pretended(tmp_path, GRID)


def counted(runs):
    """Return how many seeds there are of each lr; they must be 0, 1, 2 ..."""
    found = {}
    for run in runs:
        found.setdefault(run.info.lr, []).append(run.info.seed)
    assert all(sorted(seeds) == list(range(len(seeds))) for seeds in found.values())
    return {lr: len(seeds) for lr, seeds in found.items()}


def test_a_cell_gets_seeds_until_it_is_decided_or_given_up_or_has_all_it_may_have(pretended):
    seeds, queue = pretended.begin()
    assert counted(queue) == dict.fromkeys(WORDS, 4)
    while queue:
        run = queue.pop(0)
        pretended.make(run)
        more = pretended.noted(seeds.after(run, None))
        assert len(more) <= 1
        queue += more
    assert counted(seeds.runs) == SEEDS
    assert len(pretended.judged) == len(set(pretended.judged)), "no run is judged twice"


def test_what_a_worker_judged_is_not_judged_again(pretended):
    seeds, queue = pretended.begin()
    while queue:
        run = queue.pop(0)
        pretended.make(run)
        words = WORDS[run.info.lr] + "?"  # what the last of all seeds is decides nothing
        queue += pretended.noted(seeds.after(run, verdict_that_says(words[run.info.seed])))
    assert counted(seeds.runs) == SEEDS
    assert pretended.judged == []
    assert seeds.verdicts.keys() == {run.info.run_id for run in seeds.runs}


@pytest.mark.parametrize("jobs", [1, 2, 7])
def test_the_runs_do_not_depend_on_how_many_go_at_a_time(pretended, monkeypatch, jobs):
    def pretend(config, folder):
        time.sleep(random.Random(f"{jobs} {config.lr} {config.seed}").random() / 200)
        pretended.make(next(run for run in list(pretended.made.values()) if run.config == config))
        raise PluginError("nobody is told")

    def after(run, verdict):
        return pretended.noted(seeds.after(run, None))

    monkeypatch.setattr(sweep_execute, "run_to_verdict", pretend)
    seeds, pending = pretended.begin()
    watch = Watch(seeds.runs, pretended.folder)
    with sweep_execute.Workers(lambda: ThreadPoolExecutor(jobs)) as workers:
        sweep_execute.execute(pending, workers, jobs + 2, pretended.folder, watch, None, after)
    assert counted(seeds.runs) == SEEDS
    assert all(pretended.path(run).exists() for run in seeds.runs)


@pytest.mark.parametrize("seed", range(2))
def test_a_grid_that_is_killed_at_any_moment_goes_on_as_if_it_had_not_been(pretended, seed):
    """Kills fall between any two runs, whatever their order; what a killed process knew is lost but for the files."""
    chance = random.Random(seed)
    kills = 0
    while True:
        seeds, queue = pretended.begin()
        while queue and chance.random() > 0.2:
            run = queue.pop(chance.randrange(len(queue)))
            pretended.make(run)
            queue += pretended.noted(seeds.after(run, None))
        if not queue:
            break
        kills += 1
    assert kills > 2
    assert counted(seeds.runs) == SEEDS


def test_a_number_of_seeds_is_gone_on_with_one_at_a_time(tmp_path):
    number = Pretended(tmp_path, attrs.evolve(GRID, lrs=[0.1, 0.3], seeds=5))
    seeds, pending = number.begin()
    assert counted(pending) == {0.1: 5, 0.3: 5}
    for run in pending:
        number.make(run)
        assert seeds.after(run, None) == []
    auto = Pretended(tmp_path, attrs.evolve(number.grid, seeds="auto"))
    seeds, pending = auto.begin()
    assert counted(seeds.runs) == {0.1: 5, 0.3: 6}
    assert [(run.info.lr, run.info.seed) for run in pending] == [(0.3, 5)]


@pytest.mark.parametrize(("confidence", "first"), [(0.5, 1), (0.9, 3), (0.95, 4)])
def test_a_cell_begins_with_the_fewest_that_can_decide(confidence, first):
    asked = attrs.evolve(GRID, lrs=[0.1, 0.2], confidence=confidence)
    assert first_seeds(asked) == first
    assert counted(plan(asked)) == {0.1: first, 0.2: first}
    assert first_seeds(attrs.evolve(asked, seeds=7)) == 7


def test_too_few_to_decide_anything_are_refused(tmp_path):
    sentence = "--max-seeds 3 is too few to decide anything: at --confidence 0.95 it takes 4 seeds that agree"
    with pytest.raises(UsageError, match=sentence):
        optiscope.characterize(attrs.evolve(GRID, max_seeds=3), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"not HDF5"])
def test_a_run_without_a_file_that_can_be_read_is_undecided(tmp_path, content):
    path = tmp_path / "run.h5"
    if content is not None:
        path.write_bytes(content)
    assert verdict_of(path, ()) is None


PLUGIN = f"""
import os
from optiscope.analysis import Finding
from optiscope.hooks import hookimpl

WORDS = {WORDS}


class Oracle:
    name = "oracle"
    rule_version = "1"
    axis = "outcome"
    decisive = True

    def analyze(self, run):
        letter = WORDS[run.config["lr"]][run.config["seed"]]
        result = {{"S": "pass", "U": "fail", "?": "undecided"}}[letter]
        return Finding(name="oracle", rule_version="1", result=result, why=f"the oracle says {{letter}}")


@hookimpl
def optiscope_analyzers():
    return [Oracle]


@hookimpl
def on_step(run, step):
    if f"{{run.seed}} {{step}}" == os.environ.get("STOP_AT"):
        raise KeyboardInterrupt
"""
"""Real runs, judged by an oracle."""


def run(grid, out, **more):
    return optiscope.characterize(grid, out, executor="in-process", **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A grid of two cells that was made in one go, its folder, and what was told of it."""
    plugin = tmp_path_factory.mktemp("plugin") / "oracle.py"
    plugin.write_text(PLUGIN)
    grid = attrs.evolve(GRID, lrs=[0.5, 0.3], confidence=0.9, plugins=[str(plugin)])
    out, seen = tmp_path_factory.mktemp("whole") / "out", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_execute, "LOOK_EVERY", 0.0)
        yield grid, out, run(grid, out, on_progress=seen.append), seen


def names(out):
    return sorted(path.name for path in (out / "runs").iterdir())


def test_runs_are_made_judged_and_told_of(whole):
    _, out, found, seen = whole
    assert [(cell.lr, cell.seeds, cell.verdict) for cell in found.cells] == [(0.3, 6, "stable"), (0.5, 3, "undecided")]
    assert found.cells[0].why.startswith(
        "1 of 6 runs is unstable: P(unstable) is between 0.03 and 0.49 with 90 %; seed 0: the oracle says S; "
    )
    assert found.cells[1].why == "3 of 3 runs are undecided, the first because the oracle says ?"
    assert len(names(out)) == json.loads((out / "characterization.json").read_text())["seeds"] == 9
    assert [[cell.runs for cell in progress.cells] for progress in (seen[0], seen[-1])] == [[3, 3], [3, 6]]
    assert [sum(cell.finished for cell in progress.cells) for progress in seen] == list(range(10))
    assert seen[-1].remaining == 0


def test_a_cell_that_grows_ends_once_for_who_watches(whole):
    file = io.StringIO()
    watcher = QuietWatcher(open_console(file))
    for progress in whole[3]:
        watcher(progress)
    lines = [line.partition(", loss")[0] for line in file.getvalue().splitlines()]
    ended = "completed after {} steps of {} runs"
    assert lines == [f"sgd, batch 1, lr 0.5: {ended.format(360, 3)}", f"sgd, batch 1, lr 0.3: {ended.format(720, 6)}"]
    assert watcher.runs == 9


def test_a_grid_that_is_interrupted_within_a_run_and_between_two_has_the_files_of_one_that_was_not(
    whole, tmp_path, monkeypatch
):
    grid, there, found, _ = whole

    def stop(progress):
        if progress.cells[0].finished == 5:
            raise KeyboardInterrupt

    monkeypatch.setenv("STOP_AT", "3 60")
    with pytest.raises(KeyboardInterrupt):
        run(attrs.evolve(grid, lrs=[0.3]), tmp_path)
    assert len(names(tmp_path)) >= 4
    monkeypatch.delenv("STOP_AT")
    with pytest.raises(KeyboardInterrupt):
        run(attrs.evolve(grid, lrs=[0.3]), tmp_path, resume=True, on_progress=stop)
    assert len(names(tmp_path)) == 5
    (cell,) = run(attrs.evolve(grid, lrs=[0.3]), tmp_path, resume=True).cells
    assert cell == found.cells[0]
    assert names(tmp_path) == [name for name in names(there) if "lr0.3" in name]
    for name in names(tmp_path):
        with optiscope.open_run(tmp_path / "runs" / name) as one, optiscope.open_run(there / "runs" / name) as other:
            assert one.attrs["digest"] == other.attrs["digest"]


def test_more_confidence_goes_on_from_what_is_there(whole, tmp_path):
    grid, there, _, _ = whole
    out = tmp_path / "out"
    shutil.copytree(there, out)
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("runs/*.h5")}
    found = run(attrs.evolve(grid, confidence=0.95), out, resume=True)
    assert [(cell.lr, cell.seeds, cell.confidence) for cell in found.cells] == [(0.3, 8, 0.95), (0.5, 4, 0.95)]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    held = json.loads((out / "grid.json").read_text())["grid"]
    assert (held["seeds"], held["confidence"]) == ("auto", 0.95)
    with pytest.raises(UsageError, match=r"seeds may grow .* was 8 in .*, not 7"):
        run(attrs.evolve(grid, seeds=7), out, resume=True)
