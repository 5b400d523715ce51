"""A run that is taken up after any epoch has the bits, and the rows, of one that was never interrupted."""

from contextlib import nullcontext

import attrs
import numpy as np
import pytest

from optiscope.config import RunConfig
from optiscope.engine import train
from optiscope.hooks import create_manager, hookimpl
from optiscope.records import Signal
from optiscope.storage import checkpoint

SMALL = {"synthetic": {"train": 64, "test": 20}}


class Sink:
    """Keeps what it is given; a checkpoint goes through its file, as it does between two processes."""

    path = None

    def __init__(self, folder, kept=None):
        self.folder, self.kept = folder, kept
        self.steps, self.epochs, self.checkpoints = {}, {}, []

    def open(self, info, signals):
        return self

    def write_step(self, step, facts, recorded):
        values = {(name, key): np.array(value) for name, said in recorded.items() for key, value in said.items()}
        self.steps[step] = {**{name: value for name, value in facts.items() if name != "wall_time"}, **values}

    def write_epoch(self, record, recorded):
        self.epochs[record.epoch] = (record, {name: sorted(said) for name, said in recorded.items()})

    def keep(self, kept):
        path = self.folder / f"{kept.step}.state"
        checkpoint.write(path, kept)
        self.checkpoints.append(checkpoint.read(path))

    def finish(self, result):
        self.result = result

    def close(self):
        pass


class Counter:
    """A recorder that remembers how often it was called."""

    name = "counter"

    def __init__(self):
        self.memory = {}

    def signals(self, run):
        return (Signal("count", needs=("loss",)),)

    def record(self, step, quantities):
        self.memory["count"] = self.memory.get("count", np.zeros(())) + 1
        return {"count": self.memory["count"]}


class Brings:
    @hookimpl
    def optiscope_recorders(self):
        return [Counter]


def small(**changes):
    return RunConfig(**{"batch_size": 16, "steps": 14, "options": SMALL, **changes})


def run(config, folder, kept=None):
    sink = Sink(folder, kept)
    host = create_manager()
    host.register(Brings(), "brings")
    return train(config, host, sink.open), sink


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, values in one.items():
        assert values.keys() == other[key].keys()
        for name, value in values.items():
            np.testing.assert_array_equal(value, other[key][name], err_msg=f"{name} at {key}")


def optimizers():
    return sorted(create_manager().pieces("optimizers"))


VARIANTS = [
    *({"optimizer": name, "steps": 9} for name in optimizers()),
    {"order": "reshuffle"},
    {"threads": 2},
    {"schedule": "cosine"},
    {"model": "quadratic", "steps": 250, "optimizer": "adam"},
    {"model": "paper-cnn", "batch_size": 32, "steps": 5, "threads": 2},
]
"""Every optimizer, and everything else that a step depends on: order, shards, schedule, dropout, no data."""


BRIDGED = [
    *(("optiscope_torch", name, {}) for name in ("torch:Adam", "torch:SGD")),
    ("optiscope_torch", "torch:NAdam", {"momentum_decay": 0.01, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("optiscope_torch", "torch:Adafactor", {"d": 2.0, "weight_decay": 0.1}),
    ("optiscope_optax", "optax:lion", {"lr": 1e-3}),
]
"""Optimizers whose state is another library's, the package that brings them, and options."""


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def test_taken_up_after_any_epoch_it_has_the_same_bits_and_rows(tmp_path, variant):
    assert_taken_up(small(**variant), tmp_path)


@pytest.mark.oracle
@pytest.mark.parametrize(("package", "name", "options"), BRIDGED)
def test_so_it_has_with_an_optimizer_of_another_library(tmp_path, package, name, options):
    pytest.importorskip(package, reason="needs the dependency group 'oracle'")
    assert_taken_up(small(optimizer=name, kernels="im2col", steps=9, options=SMALL | {name: options}), tmp_path)


def assert_taken_up(config, tmp_path):
    whole, sink = run(config, tmp_path)
    assert len(sink.checkpoints) == len(whole.epochs) - 1 >= 2
    for kept in sink.checkpoints:
        again, rest = run(config, tmp_path, kept)
        assert (again.status, again.taken_up, again.steps) == ("completed", kept.step, whole.steps)
        assert str(again.epochs) == str(whole.epochs)  # NaN where there are no images
        assert again.digest == whole.digest
        assert_same(rest.steps, {step: values for step, values in sink.steps.items() if step > kept.step})
        later = {epoch: said for epoch, said in sink.epochs.items() if epoch > len(kept.epochs)}
        assert str(rest.epochs) == str(later)


def test_the_clock_goes_on(tmp_path):
    _, sink = run(small(), tmp_path)
    kept = attrs.evolve(sink.checkpoints[0], wall_time=1000.0, observer_time={"recorder step": 500.0})
    again, _ = run(small(), tmp_path, kept)
    assert again.wall_time > 1000
    assert again.observer_time["recorder step"] > 500


def test_what_is_kept_is_everything_and_not_a_view(tmp_path):
    """A bit of parameters, of state, of a generator or of a recorder's memory more, and it is another run."""
    config = small(model="paper-cnn", batch_size=32, steps=4, optimizer="adam")
    whole, sink = run(config, tmp_path)
    kept = sink.checkpoints[0]
    generator = {**kept.generators[0], "state": {**kept.generators[0]["state"], "state": 1}}
    for changed in (
        attrs.evolve(kept, params=np.nextafter(kept.params, np.float32(9))),
        attrs.evolve(kept, state={**kept.state, "v": kept.state["v"] * 2}),
        attrs.evolve(kept, generators=(generator,)),
    ):
        assert run(config, tmp_path, changed)[0].digest != whole.digest
    _, rest = run(config, tmp_path, attrs.evolve(kept, memory={}))
    assert rest.steps[4]["counter", "count"] == 4 - kept.step


def test_an_optimizer_may_make_state_on_the_way(tmp_path):
    class Lazy(type(create_manager().pieces("optimizers")["sgd"].factory())):
        name = "lazy"

        def update(self, params, grads, state, step):
            state.setdefault("sum", np.zeros_like(grads.flat))
            state["sum"] += grads.flat
            params.flat -= self.lr * state["sum"]

    class Brings:
        @hookimpl
        def optiscope_optimizers(self):
            return [Lazy]

    def lazily(kept=None):
        host, sink = create_manager(), Sink(tmp_path, kept)
        host.register(Brings(), "brings")
        return train(small(optimizer="lazy"), host, sink.open), sink

    with nullcontext(lazily()) as (whole, sink):
        again, _ = lazily(sink.checkpoints[-1])
        assert again.digest == whole.digest
