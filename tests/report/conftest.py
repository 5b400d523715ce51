"""A small characterization as the other rooms leave it: run files through the real writer, the JSON by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from optiscope.config import RunConfig
from optiscope.labels.reproduction import FILE_NAME
from optiscope.records import EpochRecord, PluginInfo, RunInfo, RunResult
from optiscope.report.inputs import Track
from optiscope.storage import RunWriter, schema

STEPS, PER_EPOCH = 400, 100
AGREEMENT = {"claim": "c", "claimed": 8, "measured": 2, "mean": 0.61, "low": 0.4, "high": 0.8, "chance": 0.5}
SETTING = {"reduction": "sum", "lr": 0.01, "epsilon": "outside the root", "agreements": [AGREEMENT] * 4}

STEP = {"seeds": 0.1234, "along": None, "across": 0.5678, "says": "undecided"}
DOCUMENT = {"settings": [SETTING], "effective_step": {"loss": STEP}, "boundary": {"told": "k = 0.52."}}

ALARM = {"name": "X", "statistic": 9.0, "threshold": 4.0, "p_value": 0.01, "steps": [172, 190]}


def run_info(optimizer: str, batch_size: int, seed: int) -> RunInfo:
    config = RunConfig(optimizer=optimizer, batch_size=batch_size, seed=seed, budget=5, thin={"probe": 20})
    return RunInfo(
        plugins=(PluginInfo(name="mine", version="1", origin="here", hooks=("on_step",)),),
        run_id=f"{schema_name(optimizer)}-b{batch_size}-s{seed}",
        optimizer=optimizer,
        optimizer_options={},
        model=config.model,
        model_options={},
        data=config.data,
        data_digest="0" * 64,
        batch_size=batch_size,
        lr=0.01,
        seed=seed,
        reduction=config.reduction,
        steps=STEPS,
        steps_per_epoch=PER_EPOCH,
        epochs=STEPS // PER_EPOCH,
        train_samples=5000,
        test_samples=1000,
        probe_size=0,
        parameters=(("linear.weight", (10, 64)),),
        output="logits",
        outputs=10,
        class_names=(),
        config=attrs.asdict(config),
        stable_lr=0.08 if optimizer == "sgd" else None,
        versions={"numpy": "2.9.9"},
    )


def schema_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def write_run(path: Path, info: RunInfo, blows_up_at: int | None, dies_at: int | None = None) -> None:
    """Write a run that learns, with noise; from step `blows_up_at` on it grows without bound and ends.

    After step `dies_at` its process is gone.
    """
    rng = np.random.default_rng([info.batch_size, info.seed, len(info.optimizer)])
    signals = tuple(signal for signal in schema.step_signals(info))
    with RunWriter.create(path, info, {"step": signals}) as writer:
        for step in range(1, info.steps + 1):
            loss = 0.6 + 1.7 * np.exp(-step / 120) + 0.05 * rng.standard_normal()
            low = -1 - 1.2 * np.log1p(step / 40) + 0.15 * rng.standard_normal()
            if blows_up_at and step >= blows_up_at:
                loss, low = loss * 1.5 ** (step - blows_up_at), low * 1.5 ** (step - blows_up_at)
            values = dict.fromkeys((signal.name for signal in signals), np.float32(1.0))
            values |= {"grad_norm": np.ones(1, "f4"), "update_norm": np.ones(1, "f4")}
            values |= {"logits_q05": np.float32(low), "logits_batch_min": np.float32(1.6 * low - rng.random())}
            facts = {"loss": loss, "accuracy": 1 - np.exp(-step / 150) / 1.1, "lr": info.lr, "wall_time": step / 100}
            if blows_up_at and step == blows_up_at + 40:
                facts["loss"] = np.nan
                writer.write_step(step, facts, {"step": values})
                writer.finish(RunResult(run_id=info.run_id, status="diverged", steps=step, first_bad_step=step))
                return
            writer.write_step(step, facts, {"step": values})
            if step == dies_at:
                writer.close()
                return
            if step % PER_EPOCH == 0:
                train, val = 1 - np.exp(-step / 150), 0.95 - 0.85 * np.exp(-step / 150)
                record = EpochRecord(
                    epoch=step // PER_EPOCH,
                    step=step,
                    train_loss=loss,
                    train_accuracy=train,
                    val_loss=loss,
                    val_accuracy=val,
                    digest="00" * 32,
                )
                writer.write_epoch(record, {})
        times = {"recorder step": 0.25, "hooks of mine": 1.0, "writer": 0.0}
        result = RunResult(run_id=info.run_id, status="completed", steps=info.steps, wall_time=8, observer_time=times)
        writer.finish(result)


def judged_run(out: Path, optimizer: str, batch_size: int, seed: int, verdict: str) -> dict[str, Any]:
    info = run_info(optimizer, batch_size, seed)
    path = f"runs/{info.run_id}.h5"
    bad = 160 if verdict == "unstable" else None
    write_run(out / path, info, bad, 10 if verdict == "lost" else None)
    if verdict == "lost":
        facts = {"run_id": info.run_id, "seed": seed, "path": path, "status": "running", "verdict": "undecided"}
        return facts | {"outcome": "undecided", "why": "the run has not ended", "first_step": None, "analyzers": []}
    return {
        "run_id": info.run_id,
        "seed": seed,
        "path": path,
        "status": "diverged" if bad else "completed",
        "verdict": verdict,
        "outcome": "failed" if bad else "trained",
        "dynamics": "not measured",
        "signal": "rough" if bad else "steady",
        "why": "the loss was not finite at step 200" if bad else "the signal is steady: roughness 0.04 is below 0.25",
        "first_step": 172 if bad else None,
        "analyzers": [
            {"name": "finite", "rule_version": "1", "statistic": 1.0 if bad else 0.0, "threshold": 0.5}
            | {"result": "fail" if bad else "pass", "why": "a loss is not finite" if bad else "every loss is finite"},
            {"name": "envelope", "rule_version": "1-provisional", "statistic": 0.0412345, "threshold": 0.25}
            | {"result": "alarm" if bad else "pass", "why": "R is 0.04", "alarms": [ALARM] if bad else []},
        ],
    }


def cell(out: Path, optimizer: str, batch_size: int, verdicts: list[str], verdict: str) -> dict[str, Any]:
    unstable = verdicts.count("unstable")
    decided = unstable + verdicts.count("stable")
    return {
        "optimizer": optimizer,
        "options": {},
        "batch_size": batch_size,
        "lr": 0.01,
        "reduction": "mean",
        "model": "small-cnn",
        "data": "synthetic",
        "verdict": verdict,
        "confidence": "one seed" if len(verdicts) == 1 else 0.95,
        "p_unstable": {"unstable": unstable, "decided": decided, "undecided": len(verdicts) - decided}
        | {"mean": (unstable + 0.5) / (decided + 1), "low": 0.0, "high": 0.853},
        "runs": [judged_run(out, optimizer, batch_size, seed, found) for seed, found in enumerate(verdicts)],
    }


def write_study(out: Path, cells: list[tuple[str, int, list[str], str]]) -> Path:
    document = {
        "schema_version": 1,
        "versions": {"optiscope": "0.1.0", "numpy": np.__version__},
        "cells": [cell(out, *each) for each in cells],
    }
    (out / "characterization.json").write_text(json.dumps(document))
    return out


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cells: stable, one that blew up, one whose seeds disagree, and one whose name is an attack."""
    return write_study(
        tmp_path_factory.mktemp("study"),
        [
            ("sgd", 50, ["stable"], "stable"),
            ("sgd", 200, ["unstable"], "unstable"),
            ("adam", 100, ["stable", "stable", "unstable"], "undecided"),
            ("<script>alert(1)</script> $x_1$", 50, ["stable"], "stable"),
        ],
    )


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Path]:
    return write_study


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three parts of a reproduction, with what it found written down here."""
    out = tmp_path_factory.mktemp("paper")
    parts: dict[str, list[Any]] = {
        "adam-mean": [("adam-inside", 100, ["unstable"], "unstable")],
        "others-sum": [("nag", 100, ["stable"], "stable")],
        "sgd-sum": [("sgd", 200, ["unstable"], "unstable"), ("sgd", 50, ["stable"], "stable")],
    }
    for part, cells in parts.items():
        (out / part).mkdir()
        write_study(out / part, cells)
    (out / FILE_NAME).write_text(json.dumps(DOCUMENT))
    return out


@pytest.fixture
def make_track() -> Callable[..., Track]:
    return track


def track(
    signal: np.ndarray, steps_per_epoch: int = 1, first_step: int | None = None, spread: np.ndarray | None = None
) -> Track:
    step = np.arange(1, signal.size + 1, dtype=np.float64)
    nothing = np.full(signal.size, np.nan)
    return Track(
        step=step,
        signal=signal,
        spread=np.ones(signal.size) if spread is None else spread,
        batch_min=signal - 1,
        loss=np.abs(signal),
        accuracy=nothing,
        epoch_step=np.empty(0),
        val_accuracy=np.empty(0),
        status="completed",
        steps_per_epoch=steps_per_epoch,
        first_step=first_step,
    )
