"""From a `RunConfig` to everything a run needs: names become pieces, numbers are checked against the data.

Whatever is wrong with a configuration is found here, before anything is written or trained, as one `UsageError`.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import optiscope
from optiscope.autograd.kernels import AUTO, COMPILED, FASTEST
from optiscope.autograd.kernels import resolve as resolve_kernels
from optiscope.config import Common, RunConfig
from optiscope.data import Batches, Images, child, from_folder
from optiscope.engine import blas
from optiscope.engine.blame import blamed
from optiscope.engine.identity import run_id
from optiscope.errors import UsageError, unknown
from optiscope.hooks import KINDS, PluginHost, create_manager, options_of, packages
from optiscope.nn import Model, Samples
from optiscope.optim import Optimizer
from optiscope.records import Recorder, RunInfo, Signal, thinned

PROBE_SIZE = 256
EPOCH_WITHOUT_DATA = 100
"""Steps in an epoch of a problem that has no data set."""


@attrs.frozen(kw_only=True)
class Prepared:
    """A run, ready to train. `images` and `batches` are None for a problem without data."""

    config: RunConfig
    info: RunInfo
    host: PluginHost
    model: Model
    optimizer: Optimizer
    schedule: Any
    images: Images | None
    batches: Batches | None
    streams: Streams
    recorders: tuple[Recorder, ...]
    signals: Mapping[str, tuple[Signal, ...]]


@attrs.frozen
class Streams:
    """One seed sequence for each use of randomness, spawned from the run's seed in this order.

    A new use is appended, never inserted, so that old runs keep their bits.
    """

    initial: np.random.SeedSequence
    order: np.random.SeedSequence
    dropout: np.random.SeedSequence

    @classmethod
    def of(cls, seed: int) -> Streams:
        """Return the streams of `seed`."""
        return cls(*np.random.SeedSequence(seed).spawn(3))

    def dropout_of(self, shard: int) -> np.random.SeedSequence:
        """Return the sequence of one shard of the batch (from 0): the first has the run's own, the others children."""
        if shard == 0:
            return self.dropout
        return child(self.dropout, shard)


def prepare(config: RunConfig, host: PluginHost | None = None, images: Images | None = None) -> Prepared:
    """Resolve `config`; UsageError or DataError says what cannot be had.

    `images` saves loading the data again where somebody has them already.
    """
    if host is None:
        host = host_for(config)
    check_options(config, host)
    # What this process makes of its environment holds for every worker.
    block = sorted({*config.block, *host.blocked})
    options = config.options
    lr = {} if config.lr is None else {"lr": config.lr}
    optimizer = host.build("optimizers", config.optimizer, {**options.get(config.optimizer, {}), **lr})
    model = host.build("models", config.model, options.get(config.model, {}))
    # Kernels are for images: where there are none, the compiled ones would be loaded for nothing.
    kernels = resolve_kernels(config.kernels) if model.needs_data or config.kernels != AUTO else FASTEST
    config = attrs.evolve(config, kernels=kernels, block=block)
    schedule = host.build("schedules", config.schedule, options.get(config.schedule, {}))
    if not model.needs_data:
        images = None
    elif images is None:
        images = load_images(config, host)
    streams = Streams.of(config.seed)
    batches = None
    if images is not None:
        batches = Batches(config.order, len(images.train_labels), config.batch_size, streams.order)
    info = _describe(config, host, model, optimizer, schedule, images, batches)
    recorders = tuple(host.build("recorders", name, options.get(name, {})) for name in host.pieces("recorders"))
    thin = config.thin or {}
    for name in thin:
        _check_thin(name, {recorder.name: recorder for recorder in recorders})
    signals = {}
    for recorder in recorders:
        with blamed(host, "recorders", recorder.name):
            signals[recorder.name] = thinned(recorder.signals(info), thin.get(recorder.name, 1))
    return Prepared(
        config=config,
        info=info,
        host=host,
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        images=images,
        batches=batches,
        streams=streams,
        recorders=tuple(recorder for recorder in recorders if signals[recorder.name]),
        signals={name: declared for name, declared in signals.items() if declared},
    )


def host_for(config: Common) -> PluginHost:
    """Return the plugin host that `config` asks for."""
    return create_manager(block=config.block, files=config.plugins, strict=config.strict)


def check_options(config: Common, host: PluginHost) -> None:
    """Raise UsageError where `config.options` names a piece that no plugin brings, or an option that it does not take.

    Pieces that the run does not use are checked as well: a misspelt option should not wait for its turn.
    """
    for name, options in config.options.items():
        kinds = [kind for kind in KINDS if host.find(kind, name)]
        if not kinds:
            raise unknown("piece in --set", name, {name for kind in KINDS for name in host.pieces(kind)})
        for kind in kinds:
            host.check(kind, name, options)


def is_essential(recorder: Recorder) -> bool:
    """Say whether a recorder needs every row that it declares."""
    return bool(getattr(recorder, "essential", False))


def _check_thin(name: str, recorders: Mapping[str, Recorder]) -> None:
    if name not in recorders:
        raise unknown("recorder in --thin", name, recorders)
    if is_essential(recorders[name]):
        raise UsageError(f"recorder '{name}' cannot be thinned, because it needs every row: leave it out of --thin")


def load_images(config: Common, host: PluginHost) -> Images:
    """Return the images of `config.data`, a registered data set's name or a folder of CIFAR-10 binary files."""
    if config.data in host.pieces("datasets"):
        dataset = host.build("datasets", config.data, config.options.get(config.data, {}))
    elif Path(config.data).exists():
        dataset = from_folder(config.data)
    elif "/" in config.data:
        raise UsageError(f"there is no folder {config.data}: give --data a data set's name or an existing folder")
    else:
        raise unknown("data set or folder", config.data, host.pieces("datasets"))
    images: Images = dataset.load()
    return images.take(config.train_samples)


def input_of(images: Images | None) -> tuple[tuple[int, int, int], int]:
    """Return the shape of an image (height, width, channels) and the number of classes; ones where there is no data."""
    if images is None:
        return (1, 1, 1), 1
    height, width, channels = images.train_images.shape[1:]
    return (height, width, channels), len(images.class_names)


def probe_of(model: Model) -> Samples:
    """Return the samples of a problem's own that its output is watched on, if some are held out."""
    x, labels = model.evaluation()["val"]
    return None if x is None else x[:PROBE_SIZE], labels


def _held_out(model: Model) -> int:
    x, _ = model.evaluation().get("val", (None, None))
    return 0 if x is None else len(x)


def _describe(
    config: RunConfig,
    host: PluginHost,
    model: Model,
    optimizer: Optimizer,
    schedule: Any,
    images: Images | None,
    batches: Batches | None,
) -> RunInfo:
    class_names = images.class_names if images else ()
    digest = images.digest if images else ""
    train_samples, test_samples = (len(images.train_labels), len(images.test_labels)) if images else (0, 0)
    steps_per_epoch = batches.steps_per_epoch if batches else EPOCH_WITHOUT_DATA
    steps = config.total_steps(steps_per_epoch)
    image, classes = input_of(images)

    def given(name: str) -> Mapping[str, Any]:
        return config.options.get(name, {})

    identity: dict[str, Any] = {
        "optimizer": config.optimizer,
        "optimizer_options": options_of(optimizer, ["lr"], given(config.optimizer)),
        "model": config.model,
        "model_options": options_of(model, given=given(config.model)),
        "data_digest": digest,
        "batch_size": config.batch_size,
        "lr": optimizer.lr,
        "schedule": config.schedule,
        "schedule_options": options_of(schedule, given=given(config.schedule)),
        "seed": config.seed,
        "reduction": config.reduction,
        "order": config.order,
        "steps": steps,
        "train_samples": train_samples,
        "kernels": config.kernels,
        "threads": config.threads,
    }
    prefix = f"{config.optimizer}-b{config.batch_size}-lr{optimizer.lr:g}-s{config.seed}"
    return RunInfo(
        run_id=run_id(prefix, identity),
        optimizer=config.optimizer,
        optimizer_options=identity["optimizer_options"],
        model=config.model,
        model_options=identity["model_options"],
        data=config.data if model.needs_data else "none",
        data_digest=digest,
        batch_size=config.batch_size,
        lr=optimizer.lr,
        seed=config.seed,
        reduction=config.reduction,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        epochs=-(-steps // steps_per_epoch),
        train_samples=train_samples,
        test_samples=test_samples,
        probe_size=min(PROBE_SIZE, test_samples if images else _held_out(model)),
        parameters=tuple(model.shapes(image, classes).items()),
        output=model.output,
        outputs=model.outputs(classes),
        class_names=tuple(class_names),
        minimum=model.minimum,
        gradient_noise=model.gradient_noise(config.batch_size)
        * (config.batch_size if config.reduction == "sum" else 1),
        stable_lr=_stable_lr(config, host, model, optimizer),
        config=attrs.asdict(config),
        plugins=host.active,
        versions=_versions(config, host),
        blas=blas.in_use(),
    )


def _versions(config: RunConfig, host: PluginHost) -> dict[str, str]:
    """Return the versions that the bits of the run depend on, by package."""
    pieces = {
        "optimizers": config.optimizer,
        "models": config.model,
        "schedules": config.schedule,
        "datasets": config.data,
    }
    return {
        **host.versions(pieces.items()),
        **(packages.versions([COMPILED]) if config.kernels == COMPILED else {}),
        "optiscope": optiscope.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _stable_lr(config: RunConfig, host: PluginHost, model: Model, optimizer: Optimizer) -> float | None:
    """Return what theory says of the largest stable learning rate; PluginError where the optimizer cannot tell."""
    if config.schedule != "constant":
        return None
    with blamed(host, "optimizers", config.optimizer):
        return model.stable_lr(optimizer, config.batch_size, config.reduction)
