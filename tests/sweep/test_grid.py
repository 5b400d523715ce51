import sys

import attrs
import pytest

from optiscope.autograd.kernels import available
from optiscope.config import GridConfig
from optiscope.engine import prepare
from optiscope.errors import UsageError
from optiscope.hooks.discovery import DISABLE
from optiscope.sweep import expand, plan

QUADRATIC = GridConfig(model="quadratic", optimizers=["sgd", "adam"], batch_sizes=[1, 2], steps=3)


def test_a_grid_is_every_combination_once():
    runs = expand(attrs.evolve(QUADRATIC, lrs=[0.1, 0.2, 0.3], seeds=2))
    assert len(runs) == 2 * 2 * 3 * 2
    assert len(set(map(repr, runs))) == len(runs)
    assert {run.lr for run in runs} == {0.1, 0.2, 0.3}
    assert {run.seed for run in runs} == {0, 1}
    assert all(run.model == "quadratic" and run.steps == 3 for run in runs)


def test_models_reductions_and_optimizers_with_options_are_axes():
    grid = attrs.evolve(
        QUADRATIC,
        optimizers=["adam(beta1=0.8)", "adam"],
        model=["quadratic", "noisy-quadratic"],
        reduction=["sum", "mean"],
    )
    runs = expand(attrs.evolve(grid, options={"adam": {"beta1": 0.7, "beta2": 0.9}}))
    assert len(runs) == len(set(map(repr, runs))) == 2 * 2 * 2 * 2
    assert {(run.model, run.reduction) for run in runs} == {
        (model, reduction) for model in grid.model for reduction in grid.reduction
    }
    assert [run.options["adam"] for run in runs[::8]] == [{"beta1": 0.8, "beta2": 0.9}, {"beta1": 0.7, "beta2": 0.9}]


@pytest.mark.parametrize(
    ("spelled", "changes"),
    [
        ("adam(beta1=0.8)", {"options": {"adam": {"beta1": 0.8}}}),
        ("adam(lr=0.5)", {"lrs": [0.5]}),
        ("adam(beta1=0.9)", {}),
    ],
)
def test_a_run_is_the_same_however_its_options_were_given(spelled, changes):
    """What was run with --set before is not run again when it is spelled."""
    grid = attrs.evolve(QUADRATIC, optimizers=["adam"])
    before = [run.info.run_id for run in plan(attrs.evolve(grid, **changes))]
    assert [run.info.run_id for run in plan(attrs.evolve(grid, optimizers=[spelled]))] == before


def test_an_optimizer_with_an_lr_of_its_own_runs_at_that_alone():
    runs = expand(
        attrs.evolve(QUADRATIC, optimizers=["sgd(lr=3)", "adam", "sgd(lr=4)"], batch_sizes=[1], lrs=[0.1, 0.2])
    )
    assert [(run.optimizer, run.lr) for run in runs] == [("sgd", 3), ("adam", 0.1), ("adam", 0.2), ("sgd", 4)]


def test_data_are_loaded_once_whichever_model_comes_first(monkeypatch):
    loaded = []
    module = sys.modules["optiscope.engine.prepare"]
    load = module.load_images
    monkeypatch.setattr(module, "load_images", lambda *given: loaded.append(1) or load(*given))
    options = {"synthetic": {"train": 50, "test": 10}}
    runs = plan(GridConfig(model=["quadratic", "small-cnn"], batch_sizes=[10, 20], optimizers=["sgd"], options=options))
    assert [run.info.data for run in runs] == ["none", "none", "synthetic", "synthetic"]
    assert len(loaded) == 1


def test_without_rates_each_optimizer_runs_at_its_own():
    rates = {(run.info.optimizer, run.info.lr) for run in plan(QUADRATIC)}
    assert rates == {("sgd", 0.01), ("adam", 0.001)}


def test_the_default_is_the_papers_grid():
    cells = {(run.optimizer, run.batch_size) for run in expand(GridConfig())}
    assert cells == {(name, size) for name in ("sgd", "adam") for size in (50, 100, 150, 200)}
    assert {run.info.steps for run in plan(GridConfig())} == {400}


BITS = {
    "seed": {"seeds": 2},
    "lr": {"lrs": [0.5]},
    "steps": {"steps": 4},
    "reduction": {"reduction": "sum"},
    "order": {"order": "reshuffle"},
    "schedule": {"schedule": "inverse-sqrt"},
    "kernels": {"kernels": "reference"},
    "threads": {"threads": 2},
    "option": {"options": {"adam": {"beta1": 0.8}, "sgd": {"weight_decay": 0.1}}},
    "model option": {"options": {"quadratic": {"curvature": 2.0}}},
}


@pytest.mark.parametrize("changes", BITS.values(), ids=BITS)
def test_whatever_changes_bits_changes_the_run_id(changes):
    before = {run.info.run_id for run in plan(QUADRATIC)}
    after = {run.info.run_id for run in plan(attrs.evolve(QUADRATIC, **changes))}
    assert not before & after or (changes == {"seeds": 2} and len(after) == 2 * len(before))


@pytest.mark.parametrize(
    "changes",
    [{"block": ["gradient-angle"]}, {"strict": True}, {"options": {"adam": {"beta1": 0.9}}}],
    ids=["observers", "strictness", "a default, given"],
)
def test_what_changes_no_bits_leaves_the_run_id(changes):
    before = [run.info.run_id for run in plan(QUADRATIC)]
    assert [run.info.run_id for run in plan(attrs.evolve(QUADRATIC, **changes))] == before


def test_a_run_has_the_plugins_of_where_it_was_planned(monkeypatch):
    """A worker on another machine has the configuration, and not the environment."""
    monkeypatch.setenv(DISABLE, "gradient-angle,not-there")
    run = plan(attrs.evolve(QUADRATIC, block=["spike-score"]))[0]
    assert run.config.block == ("gradient-angle", "spike-score")
    monkeypatch.delenv(DISABLE)
    there = prepare(run.config)
    assert there.info == run.info
    assert "gradient-angle" not in there.signals


@pytest.mark.parametrize("numba", [True, False], ids=["as installed", "without numba"])
def test_the_kernels_of_a_plan_have_their_own_name(monkeypatch, numba):
    """A run that was planned with "auto" is the run that is planned with the name that it stands for."""
    if not numba:
        monkeypatch.setitem(sys.modules, "optiscope.autograd.kernels.compiled", None)
        monkeypatch.delattr("optiscope.autograd.kernels.compiled", raising=False)
    expected = "numba" if numba and "numba" in available() else "winograd"
    grid = GridConfig(optimizers=["sgd"], batch_sizes=[10], steps=1, options={"synthetic": {"train": 50, "test": 10}})
    automatic, named = (plan(attrs.evolve(grid, kernels=kernels)) for kernels in ("auto", expected))
    assert [run.info.run_id for run in automatic] == [run.info.run_id for run in named]
    assert {run.config.kernels for run in automatic} == {run.info.config["kernels"] for run in automatic} == {expected}


def test_without_images_the_compiled_kernels_are_not_loaded():
    assert {run.config.kernels for run in plan(QUADRATIC)} == {"winograd"}


def test_where_the_data_lies_does_not_change_the_run_id(tmp_path):
    from optiscope.data import Synthetic
    from optiscope.data.cifar10 import make

    ids = []
    for name in ("here", "there"):
        make(tmp_path / name, Synthetic(train=50, test=10))
        grid = GridConfig(data=str(tmp_path / name), batch_sizes=[10], optimizers=["sgd"], steps=1)
        ids.append(plan(grid)[0].info.run_id)
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"optimizers": ["sgd", "adm"]}, "did you mean 'adam'"),
        ({"model": "quadratc"}, "did you mean 'quadratic'"),
        ({"model": "small-cnn", "data": "synthetc"}, "did you mean 'synthetic'"),
        ({"model": "small-cnn", "data": "no/such/folder"}, "no folder no/such/folder"),
        ({"model": "small-cnn", "batch_sizes": [5001]}, "5001"),
        ({"model": "small-cnn", "train_samples": 5001}, "5001"),
        ({"schedule": "constnt"}, "did you mean 'constant'"),
        ({"kernels": "im2cool"}, "did you mean 'im2col'"),
        ({"options": {"adam": {"beta3": 1}}}, "did you mean 'beta"),
        ({"options": {"adm": {"beta1": 0.5}}}, "did you mean 'adam'"),
        ({"options": {"adam": {"beta1": 1.5}}}, "beta1"),
        ({"batch_sizes": [50, 50]}, "twice"),
        ({"optimizers": ["adam", "adam(beta1=0.9)"]}, "twice"),
        ({"optimizers": ["adam(beta3=1)"]}, "unknown option of adam 'beta3': did you mean 'beta"),
        ({"optimizers": ["adm(beta1=1)"]}, "did you mean 'adam'"),
    ],
)
def test_what_cannot_be_had_is_said_before_anything_runs(changes, part):
    with pytest.raises(UsageError) as raised:
        plan(attrs.evolve(QUADRATIC, **changes))
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"envelope": {"xyz": 1}}, "option of envelope 'xyz'"),
        ({"adam": {"xyz": 1}}, "option of adam 'xyz'"),
        ({"processes": {"xyz": 1}}, "option of processes 'xyz'"),
        ({"adam": {"beta1": 2.0}}, "beta1"),
    ],
)
def test_options_of_pieces_that_no_run_uses_are_checked_too(options, part):
    with pytest.raises(UsageError) as raised:
        plan(attrs.evolve(QUADRATIC, optimizers=["sgd"], options=options))
    assert part in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"model": "quadratic", "options": {"quadratic": {"curvature": 4}}}, 0.5),
        ({"model": "quadratic", "schedule": "cosine"}, None),
        ({"model": "noisy-quadratic", "options": {"noisy-quadratic": {"dimension": 9}}}, 20 / 20),
        ({"model": "rosenbrock"}, None),
    ],
)
def test_what_theory_says_of_the_learning_rate_is_part_of_the_run(changes, limit):
    """2 / L for gradient descent; in mean square 2 B / (B + d + 1), here with B = 10 and d = 9."""
    (run,) = plan(GridConfig(optimizers=["sgd"], batch_sizes=[10], **changes))
    assert run.info.stable_lr == (None if limit is None else pytest.approx(limit))


@pytest.mark.parametrize(
    ("axes", "count"),
    [
        ({"seeds": 10_000_000}, "20,000,000"),
        ({"lrs": [0.1, 0.2], "optimizers": ["sgd", "adam(lr=0.5)"], "seeds": 333_334}, "1,000,002"),
        ({"model": ["a", "b"], "reduction": ["mean", "sum"], "batch_sizes": range(1, 200_001)}, "1,600,000"),
    ],
    ids=["seeds", "lrs", "others"],
)
def test_a_grid_that_nobody_can_run_is_refused_at_once(axes, count):
    grid = GridConfig(**{"batch_sizes": [1]} | axes)
    with pytest.raises(UsageError, match=f"^a grid may have 1,000,000 runs, and this one has {count}: give fewer"):
        expand(grid)
    assert len(expand(attrs.evolve(grid, seeds=1, batch_sizes=[1]))) < 10
