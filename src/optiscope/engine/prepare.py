"""From a `RunConfig` to everything a run needs: names become pieces, numbers are checked against the data.

Whatever is wrong with a configuration is found here, before anything is written or trained, as one `UsageError`.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import optiscope
from optiscope.autograd import KERNELS
from optiscope.config import Common, RunConfig
from optiscope.data import Images, from_folder
from optiscope.engine.identity import run_id
from optiscope.errors import UsageError, unknown
from optiscope.hooks import KINDS, PluginHost, create_manager, options_of
from optiscope.nn import Model
from optiscope.optim import Optimizer
from optiscope.records import Recorder, RunInfo, Signal

PROBE_SIZE = 256
EPOCH_WITHOUT_DATA = 100
"""Steps in an epoch of a problem that has no data set."""


@attrs.frozen(kw_only=True)
class Prepared:
    """A run, ready to train. `images` is None for a problem without data."""

    config: RunConfig
    info: RunInfo
    host: PluginHost
    model: Model
    optimizer: Optimizer
    schedule: Any
    images: Images | None
    recorders: tuple[Recorder, ...]
    signals: Mapping[str, tuple[Signal, ...]]


def prepare(config: RunConfig, host: PluginHost | None = None) -> Prepared:
    """Resolve `config`; UsageError or DataError says what cannot be had."""
    if host is None:
        host = host_for(config)
    check_options(config, host)
    options = config.options
    lr = {} if config.lr is None else {"lr": config.lr}
    optimizer = host.build("optimizers", config.optimizer, {**options.get(config.optimizer, {}), **lr})
    model = host.build("models", config.model, options.get(config.model, {}))
    schedule = host.build("schedules", config.schedule, options.get(config.schedule, {}))
    if config.kernels not in KERNELS:
        raise unknown("kernels", config.kernels, KERNELS)
    images = load_images(config, host) if model.needs_data else None
    info = _describe(config, host, model, optimizer, schedule, images)
    recorders = tuple(host.build("recorders", name, options.get(name, {})) for name in host.pieces("recorders"))
    signals = {recorder.name: tuple(recorder.signals(info)) for recorder in recorders}
    return Prepared(
        config=config,
        info=info,
        host=host,
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        images=images,
        recorders=tuple(recorder for recorder in recorders if signals[recorder.name]),
        signals={name: declared for name, declared in signals.items() if declared},
    )


def host_for(config: Common) -> PluginHost:
    """Return the plugin host that `config` asks for."""
    return create_manager(block=config.block, files=config.plugins, strict=config.strict)


def check_options(config: Common, host: PluginHost) -> None:
    """Raise UsageError where `config.options` names a piece that no plugin brings."""
    known = {name for kind in KINDS for name in host.pieces(kind)}
    for name in config.options:
        if name not in known:
            raise unknown("piece in --set", name, known)


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
    return _loaded(dataset, config.train_samples)


@functools.lru_cache(maxsize=1)
def _loaded(dataset: Any, train_samples: int | None) -> Images:
    """Load once for all runs of a process that use the same data."""
    images: Images = dataset.load()
    return images if train_samples is None else images.take(train_samples)


def _describe(
    config: RunConfig, host: PluginHost, model: Model, optimizer: Optimizer, schedule: Any, images: Images | None
) -> RunInfo:
    image, classes, train_samples, test_samples, digest = (1, 1, 1), 1, 0, 0, ""
    class_names: tuple[str, ...] = ()
    if images is not None:
        image = images.train_images.shape[1:]
        class_names, digest = tuple(images.class_names), images.digest
        classes, train_samples, test_samples = len(class_names), len(images.train_labels), len(images.test_labels)
        if config.batch_size > train_samples:
            raise UsageError(
                f"a batch of {config.batch_size} is larger than the {train_samples} training images of {config.data}: "
                "choose a smaller batch size"
            )
    steps_per_epoch = train_samples // config.batch_size if images is not None else EPOCH_WITHOUT_DATA
    steps = config.total_steps(steps_per_epoch)
    identity = {
        "optimizer": config.optimizer,
        "optimizer_options": options_of(optimizer, leave=["lr"]),
        "model": config.model,
        "model_options": options_of(model),
        "data_digest": digest,
        "batch_size": config.batch_size,
        "lr": optimizer.lr,
        "schedule": config.schedule,
        "schedule_options": options_of(schedule),
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
        probe_size=min(PROBE_SIZE, test_samples),
        parameters=tuple(model.shapes(image, classes).items()),
        output=model.output,
        outputs=model.outputs(classes),
        class_names=class_names,
        config=attrs.asdict(config),
        plugins=host.active,
        versions={"optiscope": optiscope.__version__, "numpy": np.__version__, "python": platform.python_version()},
    )
