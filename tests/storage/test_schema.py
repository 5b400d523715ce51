import json
import math

import attrs
import h5py
import numpy as np
import pytest

from optiscope.errors import PluginError
from optiscope.records import PluginInfo, Signal, thinned
from optiscope.storage import schema

T, E, M, P, K, B = 95, 5, 3, 3, 10, 64
NORMS = ["grad_norm", "update_norm"]
SCALARS = ["logits_q05", "logits_min", "logits_median", "logits_iqr", "logits_batch_min"]
SCALARS += ["dlogits_norm", "last_input_mean", "last_input_q95"]
STATISTICS = ["q05", "min", "median", "iqr"]

TABLE = {
    "/bin": ("<i8", (B,), ["bin"]),
    "/run_state": ("<i8", (4,), ["run_state_field"]),
    "/observer_time": ("<f8", (5,), ["observer"]),
    "/step/step": ("<i8", (T,), ["step"]),
    "/step/loss": ("<f8", (T,), ["step"]),
    "/step/accuracy": ("<f4", (T,), ["step"]),
    "/step/lr": ("<f8", (T,), ["step"]),
    "/step/wall_time": ("<f8", (T,), ["step"]),
    **{f"/step/{name}": ("<f4", (T, P), ["step", "param"]) for name in NORMS},
    **{f"/step/{name}": ("<f4", (T,), ["step"]) for name in SCALARS},
    "/probe/step": ("<i8", (M,), ["step"]),
    "/probe/probe": ("<i8", (256,), ["probe"]),
    "/probe/logits": ("<f4", (M, 256, K), ["step", "probe", "class"]),
    **{f"/probe/{name}": ("<f4", (M,), ["step"]) for name in STATISTICS},
    "/epoch/epoch": ("<i8", (E,), ["epoch"]),
    "/epoch/step": ("<i8", (E,), ["epoch"]),
    "/epoch/byte": ("<i8", (32,), ["byte"]),
    "/epoch/digest": ("|u1", (E, 32), ["epoch", "byte"]),
    **{f"/epoch/{name}": ("<f8", (E,), ["epoch"]) for name in ("train_loss", "val_loss")},
    **{f"/epoch/{name}": ("<f4", (E,), ["epoch"]) for name in ("train_accuracy", "val_accuracy")},
    "/epoch/histograms": ("<i8", (E, P, B), ["epoch", "param", "bin"]),
    "/plugins/third-party/step_1": ("<i8", (T,), ["step_1"]),
    "/plugins/third-party/step_7": ("<i8", (14,), ["step_7"]),
    "/plugins/third-party/epoch": ("<i8", (E,), ["epoch"]),
    "/plugins/third-party/layer": ("<i8", (3,), ["layer"]),
    "/plugins/third-party/table_0": ("<i8", (2,), ["table_0"]),
    "/plugins/third-party/table_1": ("<i8", (3,), ["table_1"]),
    "/plugins/third-party/table_2": ("<i8", (4,), ["table_2"]),
    "/plugins/third-party/spread": ("<f8", (T, 3), ["step_1", "layer"]),
    "/plugins/third-party/flags": ("|i1", (14,), ["step_7"]),
    "/plugins/third-party/table": ("<u2", (14, 2, 3, 4), ["step_7", "table_0", "table_1", "table_2"]),
    "/plugins/third-party/norms": ("<f4", (E, P), ["epoch", "param"]),
}
"""The layout that was agreed on, typed out: type, shape and axes of every dataset of a run of 95 steps."""


def test_every_dataset_of_a_live_file_is_as_agreed(make):
    path = make(0).path
    with h5py.File(path, "r") as file:
        names = []
        file.visititems(lambda name, item: names.append(f"/{name}") if isinstance(item, h5py.Dataset) else None)
        assert set(names) == set(TABLE) | {"/param", "/class", "/run_state_field", "/observer"}
        for name, (dtype, shape, dims) in TABLE.items():
            item = file[name]
            assert (item.dtype.str, item.shape) == (dtype, shape), name
            found = (
                [name.rpartition("/")[2]] if item.is_scale else [axis[0].name.rpartition("/")[2] for axis in item.dims]
            )
            assert found == dims, name
            assert item.attrs["units"] == ("s" if name.endswith("_time") else "1"), name
            assert isinstance(item.attrs["long_name"], str), name
            if not name.startswith("/plugins"):
                assert item.attrs["long_name"], name
            assert item.chunks is None, name
            if item.dtype.kind == "f":
                assert np.isnan(item[...]).all(), name
        assert list(file["param"].asstr()) == ["conv1.weight", "conv1.bias", "out.weight"]
        assert list(file["class"].asstr()) == list("abcdefghij")
        assert list(file["run_state_field"].asstr()) == ["n_steps", "n_epochs", "status", "commits"]
        assert list(file["observer"].asstr()) == [
            "recorder epoch",
            "recorder probe",
            "recorder step",
            "recorder third-party",
            "writer",
        ]
        assert (file["step/step"][...] == -1).all()
        assert dict(file["step"].attrs) == {"NX_class": "NXdata", "signal": "loss", "axes": "step"}
        assert file["run_state"].id.get_offset() % 8 == 0


def test_root_attributes_describe_the_run(make, info):
    with h5py.File(make(0).path, "r") as file:
        found = dict(file.attrs)
    assert found["schema_version"] == 1
    assert (found["run_id"], found["optimizer"], found["batch_size"]) == ("adam-b150-0123", "adam", 150)
    assert (found["lr"], found["seed"]) == (1e-3, 3)
    assert json.loads(found["versions_json"]) == {"numpy": "2.4"}
    config = json.loads(found["config_json"])
    assert set(config) == {field.name for field in attrs.fields(type(info))} - {"run_id", "versions"}
    assert config["parameters"][0] == ["conv1.weight", [9, 4]]
    assert config["optimizer_options"] == {"lr": 1e-3, "clip": "inf"}
    assert config["config"]["options"] == {"adam": {"beta1": 0.9}}


@pytest.mark.parametrize(
    ("every", "n_steps", "n_epochs", "expected"),
    [(1, 7, 0, 7), (5, 0, 0, 0), (5, 1, 0, 1), (5, 5, 0, 1), (5, 6, 0, 2), ("epoch", 40, 2, 2)],
)
def test_rows_follow_from_the_committed_counts(every, n_steps, n_epochs, expected):
    assert schema.rows(every, n_steps, n_epochs) == expected
    if every != "epoch":
        assert expected == sum(Signal("x", every=every).due(step) for step in range(1, n_steps + 1))


@pytest.mark.parametrize(("batch_size", "every"), [(50, 128), (100, 64), (150, 43), (200, 32), (7000, 1)])
def test_probes_cost_about_as_much_at_every_batch_size(info, batch_size, every):
    assert {s.every for s in schema.probe_signals(attrs.evolve(info, batch_size=batch_size))} == {every}


def test_a_model_without_images_declares_less(info):
    quadratic = attrs.evolve(info, probe_size=0, output="coordinates", outputs=2, class_names=())
    names = {s.name for s in schema.step_signals(quadratic)}
    assert names == {*NORMS, *SCALARS[:5]}
    assert "coordinates" in next(s for s in schema.step_signals(quadratic) if s.name == "logits_q05").long_name
    paths = {d.path for d in schema.layout(quadratic, {n: declare(quadratic) for n, declare in schema.CORE.items()})}
    assert not any(path.startswith("/probe") for path in paths)
    assert {"/step/logits_q05", "/epoch/histograms"} <= paths


def test_histogram_bins_cover_every_number_once():
    edges = schema.HISTOGRAM_EDGES
    assert edges[0] == -math.inf
    assert edges[-1] == math.inf
    assert (np.diff(edges) > 0).all()
    np.testing.assert_array_equal(edges, -edges[::-1])
    values = np.array([-1e30, -0.02, -1e-9, 0.0, 1e-9, 0.02, 5.0, np.inf, np.nan])
    assert np.histogram(values, edges)[0].sum() == 8


@pytest.mark.parametrize(
    ("recorder", "signals", "said"),
    [
        ("r", [Signal("a", dtype="c8")], "type 'c8'"),
        ("r", [Signal("a", dtype="f2")], "type 'f2'"),
        ("r", [Signal("a/b")], "a/b"),
        ("r/s", [Signal("a")], "r/s"),
        ("r", [Signal("a"), Signal("a", (2,))], "declared twice"),
        ("r", [Signal("a", long_name="of a\0")], r"text 'of a\\x00'"),
        ("r", [Signal("a", units="\ud800")], r"text '\\ud800'"),
        ("r", [Signal("a", (0,))], r"shape \(0,\)"),
        ("r", [Signal("a", (2, 3), dims=("x",))], "1 dims"),
        ("r", [Signal("a", (4,), dims=("param",))], "'param' has 3 entries"),
        ("r", [Signal("a", (3, 3), dims=("x", "x"))], "'x' has 3 entries"),
        ("r", [Signal("a", (3,), dims=("x",)), Signal("b", (4,), dims=("x",))], "'x' has 3 entries"),
        ("r", [Signal("a", (95,), dims=("step",))], "'step' has 95 entries"),
        ("r", [Signal("a", every="epoch"), Signal("b", (5,), dims=("epoch",))], "'epoch' has 5 entries"),
        ("r", [Signal("param")], "'param' names a signal and also an axis"),
        ("r", [Signal("step")], "'step' names a signal and also an axis"),
        ("r", [Signal("x", (3,), dims=("x",))], "'x' names a signal and also an axis"),
        ("step", [Signal("mine")], "recorder 'step' declares mine"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(info, recorder, signals, said):
    with pytest.raises(PluginError, match=said) as raised:
        schema.layout(info, {recorder: tuple(signals)})
    assert f"'{recorder}'" in str(raised.value)


def test_booleans_are_stored_as_bytes(info):
    layout = schema.layout(info, {"r": (Signal("a", dtype="?"),)})
    assert next(d for d in layout if d.path == "/plugins/r/a").dtype == "i1"


def test_a_recorder_that_is_thinned_has_as_many_rows_less(info, kit):
    thin = attrs.evolve(info, config={"thin": {"probe": 2}})
    signals = kit.core(info) | {"probe": thinned(schema.probe_signals(info), 2)}
    rows = {d.path: d.shape[0] for d in schema.layout(thin, signals)}
    assert (rows["/probe/q05"], rows["/probe/step"], rows["/step/loss"]) == (2, 2, T)
    assert {d.path for d in schema.layout(thin, signals)} == {d.path for d in schema.layout(info, kit.core(info))}


def test_core_signals_on_a_schedule_that_nobody_asked_for_are_refused(info, kit):
    signals = kit.core(info) | {"probe": thinned(schema.probe_signals(info), 2)}
    with pytest.raises(PluginError, match="recorder 'probe' declares logits"):
        schema.layout(info, signals)


def test_plugins_with_hooks_are_observers(info, kit):
    plugins = (
        PluginInfo(name="silent", version="1", origin="here"),
        PluginInfo(name="loud", version="1", origin="here", hooks=("on_step",)),
    )
    found = {d.path: d for d in schema.layout(attrs.evolve(info, plugins=plugins), kit.core(info))}
    assert found["/observer"].values[-2:] == ("hooks of loud", "writer")
    assert found["/observer_time"].shape == (5,)
