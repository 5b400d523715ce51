"""A batch on several threads is the batch: its gradient, its outputs in order, its loss; and nothing is left behind."""

import threading
import time
import tracemalloc

import attrs
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from optiscope.config import RunConfig
from optiscope.engine import prepare, train
from optiscope.engine.shards import Shards
from optiscope.hooks import create_manager, hookimpl
from optiscope.nn import PaperCNN, SmallCNN
from optiscope.optim import SGD
from optiscope.records import Signal

SMALL = {"synthetic": {"train": 64, "test": 20}}
NO_DROPOUT = SMALL | {"paper-cnn": {"dropout": 0.0}}


def small(**changes):
    return RunConfig(**{"batch_size": 16, "steps": 6, "threads": 2, "options": SMALL, **changes})


def brings(kind, piece):
    host = create_manager()
    host.register(type("Plugin", (), {f"optiscope_{kind}": hookimpl(lambda self: [piece])})(), "test")
    return host


def one_pass(config):
    """Return what a forward and a backward pass in float64 give."""
    run = prepare(config)
    params = run.model.init(np.random.default_rng(3), (32, 32, 3), 10, np.float64)
    grads = params.zeros()
    shards = Shards(run, grads)
    images, labels = run.images.train_images[: config.batch_size], run.images.train_labels[: config.batch_size]
    loss = shards.forward(params, images, labels)
    shards.backward()
    shards.close()
    return {
        "loss": loss,
        "grads": grads.flat,
        "output": shards.output(),
        "output_grad": shards.output_grad(),
        "last_input": shards.last_input(),
    }


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("model", "threads", "batch_size"), [("small-cnn", 2, 9), ("small-cnn", 4, 50), ("paper-cnn", 3, 5)]
)
def test_shards_add_up_to_the_batch(model, threads, batch_size, reduction):
    config = small(model=model, batch_size=batch_size, reduction=reduction, options=NO_DROPOUT)
    whole = one_pass(attrs.evolve(config, threads=1))
    parts = one_pass(attrs.evolve(config, threads=threads))
    for name, value in whole.items():
        assert np.shape(parts[name]) == np.shape(value)
        assert np.abs(parts[name] - value).max() <= 1e-12 * np.abs(value).max(), name


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_run_on_several_threads_is_the_run_on_one_up_to_rounding(reduction):
    config = small(reduction=reduction, lr=0.01 if reduction == "mean" else 0.01 / 16)
    one, three = (train(attrs.evolve(config, threads=threads)) for threads in (1, 3))
    assert three.digest != one.digest
    assert three.epochs[-1].train_loss == pytest.approx(one.epochs[-1].train_loss, rel=1e-5)


class Dawdles(PaperCNN):
    """Takes its time, now in the calling thread, now in the others."""

    name = "dawdles"
    times = iter(())

    def forward(self, params, x, rng):
        if (threading.current_thread() is threading.main_thread()) == (next(self.times) % 2 == 0):
            time.sleep(0.02)
        return super().forward(params, x, rng)


def test_bits_depend_on_the_number_of_threads_and_not_on_their_timing(monkeypatch):
    config = small(model="paper-cnn", steps=3, batch_size=7)
    first, again = train(config), train(config)
    assert first.digest == again.digest
    counted = iter(range(100))
    monkeypatch.setattr(Dawdles, "times", counted)
    slow = train(attrs.evolve(config, model="dawdles"), brings("models", Dawdles))
    assert (slow.status, slow.digest) == ("completed", first.digest)
    assert next(counted) >= 6, "each shard has dawdled or not"
    assert len({train(attrs.evolve(config, threads=threads)).digest for threads in (1, 2, 3)}) == 3


def test_shards_drop_elements_of_their_own():
    run = prepare(small(model="paper-cnn", batch_size=6, threads=3))
    params = run.model.init(np.random.default_rng(3), (32, 32, 3), 10)
    shards = Shards(run, params.zeros())
    image = run.images.train_images[:1]
    shards.forward(params, np.repeat(image, 6, axis=0), np.repeat(run.images.train_labels[:1], 6))
    dropped = shards.last_input() == 0
    shards.close()
    assert len({row.tobytes() for row in dropped}) == 6


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"model": "quadratic"}])
def test_what_cannot_be_cut_is_the_same_on_any_number_of_threads(changes):
    one, two = (train(small(**changes, threads=threads, options={})) for threads in (1, 2))
    assert (one.status, one.digest) == ("completed", two.digest)
    run = prepare(small(**changes, options={}))
    assert len(Shards(run, run.model.init(np.random.default_rng(0), (32, 32, 3), 10).zeros())) == 1


def test_recorders_and_observers_see_the_whole_batch_in_its_order():
    seen = {}

    class Sees:
        name = "sees"

        def signals(self, run):
            return (Signal("x", needs=("logits", "dlogits", "last_input", "labels", "params", "update")),)

        def record(self, step, quantities):
            seen.update({name: np.array(quantities[name]) for name in ("logits", "dlogits", "last_input", "labels")})
            seen["weights"] = {
                name: quantities["params"][name] - quantities["update"][name] for name in quantities["params"]
            }
            return {"x": 0.0}

    class Watches:
        @hookimpl
        def on_forward(self, logits):
            seen["observed"] = logits.copy()

    class Nowhere:
        path = kept = None
        write_step = write_epoch = keep = finish = close = lambda self, *args: None

    host = brings("recorders", Sees)
    host.register(Watches(), "watches")
    result = train(small(steps=1, batch_size=7, threads=3), host, lambda info, signals: Nowhere())
    assert result.status == "completed", result.why
    logits, labels = seen["logits"].astype(np.float64), seen["labels"]
    assert np.array_equal(seen["observed"], seen["logits"])
    weights = seen["weights"]
    assert logits == pytest.approx(seen["last_input"] @ weights["linear1.weight"] + weights["linear1.bias"], abs=1e-5)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    softmax[np.arange(7), labels] -= 1
    assert seen["dlogits"] == pytest.approx(softmax / 7, abs=1e-6)


def test_the_optimizer_is_asked_once_a_step_where_to_take_the_gradient():
    asked = []

    class Asked(SGD):
        name = "asked"

        def evaluation_params(self, params, state):
            asked.append(threading.current_thread())
            return params

    assert train(small(optimizer="asked", threads=3), brings("optimizers", Asked)).status == "completed"
    assert asked == [threading.main_thread()] * 6


class FailsOnAThread(SmallCNN):
    name = "fails"

    def forward(self, params, x, rng):
        if rng is not None and threading.current_thread() is not threading.main_thread():
            raise RuntimeError("on purpose")
        return super().forward(params, x, rng)


class FailsBackward(SmallCNN):
    name = "fails"

    def loss(self, output, labels, reduction):
        return output.tape.constant(np.float32(1))


def shard_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("shard")]


@pytest.mark.parametrize(
    ("model", "threads", "part"),
    [
        (FailsOnAThread, 3, "on purpose"),
        (FailsBackward, 2, "depends on a leaf"),
        (FailsBackward, 1, "depends on a leaf"),
    ],
)
def test_what_a_shard_raises_fails_the_run_with_the_plugin_named(model, threads, part):
    result = train(small(model="fails", threads=threads), brings("models", model))
    assert result.status == "failed"
    assert result.why.startswith("model 'fails' of plugin 'test' failed at step 1")
    assert part in result.why
    assert not shard_threads()


def test_ctrl_c_waits_for_the_other_shards_and_ends_the_threads():
    done = []

    class Interrupted(SmallCNN):
        name = "interrupted"

        def forward(self, params, x, rng):
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt
            time.sleep(0.1)
            done.append(threading.current_thread().name)
            return super().forward(params, x, rng)

    result = train(small(model="interrupted"), brings("models", Interrupted))
    assert (result.status, result.steps) == ("interrupted", 0)
    assert len(done) == 1
    assert not shard_threads()


def test_threads_live_as_long_as_the_run_and_none_is_made_for_one():
    names = []

    class Watches:
        @hookimpl
        def on_step(self, step):
            names.append(sorted(thread.name for thread in shard_threads()))

    for threads in (1, 3):
        host = create_manager()
        host.register(Watches(), "watches")
        train(small(steps=4, threads=threads), host)
        assert not shard_threads()
    assert names == [[]] * 4 + [["shard_0", "shard_1"]] * 4


@pytest.mark.filterwarnings("error")
def test_overflow_on_a_thread_is_a_result_as_on_one():
    result = train(small(lr=1e30))
    assert (result.status, result.why) == ("diverged", train(small(lr=1e30, threads=1)).why)


def test_every_thread_of_a_run_has_one_blas_thread():
    seen = []

    class Looks(SmallCNN):
        name = "looks"

        def forward(self, params, x, rng):
            seen.extend(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
            return super().forward(params, x, rng)

    assert train(small(model="looks", steps=1), brings("models", Looks)).status == "completed"
    assert set(seen) <= {1}


def test_nothing_large_is_allocated_after_the_first_step():
    run = prepare(small(batch_size=200, options={"synthetic": {"train": 200, "test": 20}}))
    params = run.model.init(np.random.default_rng(3), (32, 32, 3), 10)
    shards = Shards(run, params.zeros())
    images, labels = run.images.train_images, run.images.train_labels

    def step():
        shards.forward(params, images, labels)
        shards.backward()
        return shards.output(), shards.output_grad(), shards.last_input()

    for _ in range(2):
        kept = step()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        again = step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        shards.close()
    assert peak - before < 180_000, "NumPy's own buffers take 70 kB a thread; the last input alone has 205 kB"
    assert all(new is old for new, old in zip(again, kept, strict=True))
