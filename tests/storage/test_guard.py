"""Files that are damaged, or made to do harm: our error and nothing else, whatever is asked of them."""

import contextlib
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optiscope.errors import FileError, UsageError
from optiscope.storage import open_grid, open_run, recover, verify, write_index
from optiscope.storage.grid import INDEX_VERSION


def everything(path):
    """Ask all that can be asked of a run file; return what was refused. Errors that are not ours come through."""
    refused = []

    def ask(question):
        try:
            question()
        except (FileError, UsageError) as error:
            refused.append(str(error))

    def read(rows):
        return [rows[name] for name in rows]

    def all_of(run):
        questions = [
            lambda: run.config,
            lambda: run.observer_time,
            lambda: (run.status, run.why, run.first_bad_step, run.run_id),
            *(lambda rows=rows: read(rows) for rows in (run.steps, run.probe, run.epochs)),
            lambda: [read(rows) for rows in run.plugins.values()],
            *(lambda group=group: run.columns(group) for group in ("step", "epoch", "plugins/third-party")),
            run.to_dataframe,
            run.tree,
        ]
        for question in questions:
            ask(question)

    def opened():
        with open_run(path) as run:
            all_of(run)

    ask(opened)
    ask(lambda: verify(path))
    saved = path.with_name("saved")
    ask(lambda: recover(path, saved))
    if saved.exists():
        assert verify(saved).intact
        saved.unlink()
    assert not any("\n" in said for said in refused)
    grid = open_grid(path.parent)
    for name in ("loss", "val_loss", "probe/logits", "plugins/third-party/spread"):
        ask(lambda name=name: grid.load(name))
    return refused


@pytest.fixture(params=["live", "finished"])
def run(request, make, kit):
    run = make(60)
    if request.param == "finished":
        run.writer.finish(kit.result(run.info, 60))
    else:
        run.writer.close()
    return run


def test_of_a_sound_file_nothing_is_refused_but_to_recover_it(run):
    refused = everything(run.path)
    whole = "content_sha256" in h5py.File(run.path).attrs
    assert len(refused) == 2 if whole else 1
    assert "step_1, step_7" in refused[0]
    assert whole is ("nothing to recover" in refused[-1])


def replace(file, name, **made):
    del file[name]
    return file.create_dataset(name, **made)


def elsewhere(path):
    """Another HDF5 file beside it, with something secret in it."""
    with h5py.File(path.with_name("other"), "w") as file:
        file["secret"] = np.arange(60.0)
    return str(path.with_name("other"))


def external_link(file, path):
    del file["step/loss"]
    file["step/loss"] = h5py.ExternalLink(elsewhere(path), "/secret")


def external_group(file, path):
    del file["step"]
    file["step"] = h5py.ExternalLink(elsewhere(path), "/")


def soft_link(file, path):
    del file["step/loss"]
    file["step/loss"] = h5py.SoftLink("/step/lr")


def dangling_link(file, path):
    del file["run_state"]
    file["run_state"] = h5py.SoftLink("/nowhere")


def external_storage(file, path):
    replace(file, "step/loss", shape=(60,), dtype="f8", external=[(elsewhere(path), 0, 480)])


def virtual(file, path):
    layout = h5py.VirtualLayout(shape=(60,), dtype="f8")
    layout[:] = h5py.VirtualSource(elsewhere(path), "secret", shape=(60,))
    del file["step/loss"]
    file.create_virtual_dataset("step/loss", layout)


def absurd_size(file, path):
    replace(file, "step/loss", shape=(2**50,), dtype="f8", chunks=(1024,))


def absurd_row(file, path):
    replace(file, "epoch/histograms", shape=(5, 2**20, 2**20), dtype="i8", chunks=(1, 1024, 1))


def absurd_counts(file, path):
    file["run_state"][0] = 2**62


def negative_counts(file, path):
    file["run_state"][0] = -5


def no_such_status(file, path):
    file["run_state"][2] = 77


def counts_as_floats(file, path):
    replace(file, "run_state", data=np.array([np.nan, 1, 1, 1]))


def counts_of_another_shape(file, path):
    replace(file, "run_state", data=np.zeros((4, 4), "i8"))


def counts_without_values(file, path):
    replace(file, "run_state", dtype=h5py.Empty("i8").dtype, data=h5py.Empty("i8"))


def compound(file, path):
    replace(file, "step/loss", data=np.zeros(60, [("a", "f4"), ("b", "i4")]))


def references(file, path):
    replace(file, "step/loss", shape=(60,), dtype=h5py.ref_dtype)


def text_for_numbers(file, path):
    replace(file, "step/loss", data=["a"] * 60)


def no_steps(file, path):
    del file["step"]


def no_scale(file, path):
    del file["step/step"]


def a_group_for_a_dataset(file, path):
    del file["step/loss"]
    file.create_group("step/loss")


def a_loop(file, path):
    file["step/again"] = file["step"]
    file["step/root"] = file["/"]


def schedule_of_zero(file, path):
    file["probe/step"].attrs["every"] = 0


def schedule_in_words(file, path):
    file["probe/step"].attrs["every"] = "often"


def schedule_of_many(file, path):
    file["probe/step"].attrs["every"] = np.arange(3)


def no_json(file, path):
    file.attrs["config_json"] = "{"


def json_of_another_kind(file, path):
    file.attrs["config_json"] = "[1, 2]"


def json_without_bottom(file, path):
    file.attrs["config_json"] = "[" * 30_000


def a_number_for_a_name(file, path):
    file.attrs["run_id"] = 3


def no_learning_rate(file, path):
    del file.attrs["lr"]


def version_in_words(file, path):
    file.attrs["schema_version"] = "one"


def from_the_future(file, path):
    file.attrs["schema_version"] = 99


def bytes_that_are_no_text(file, path):
    file.attrs.create("why", np.bytes_(b"\xff\xfe\xfd"))
    file.attrs.create("first_bad_step", "soon")


HOSTILE = [
    external_link, external_group, soft_link, dangling_link, external_storage, virtual, absurd_size, absurd_row,
    absurd_counts, negative_counts, no_such_status, counts_as_floats, counts_of_another_shape, counts_without_values,
    compound, references, text_for_numbers, no_steps, no_scale, a_group_for_a_dataset, a_loop, schedule_of_zero,
    schedule_in_words, schedule_of_many, no_json, json_of_another_kind, json_without_bottom, a_number_for_a_name,
    no_learning_rate, version_in_words, from_the_future, bytes_that_are_no_text,
]  # fmt: skip


@pytest.mark.parametrize("harm", HOSTILE, ids=lambda harm: harm.__name__)
def test_what_makes_no_sense_is_refused_in_a_sentence(run, harm):
    with h5py.File(run.path, "r+") as file:
        harm(file, run.path)
    refused = everything(run.path)
    words = ("damaged", "run file", "version", "unknown", "--to")
    assert any(word in said for said in refused for word in words) or verify(run.path).intact is False


@pytest.mark.parametrize("harm", [external_link, external_group, external_storage, virtual])
def test_nothing_of_another_file_is_shown(run, harm):
    with h5py.File(run.path, "r+") as file:
        harm(file, run.path)
    with open_run(run.path) as found:
        for show in (lambda: found.steps["loss"], found.tree):
            with pytest.raises((FileError, KeyError)):
                show()
        with contextlib.suppress(FileError, UsageError):
            assert "loss" not in found.columns()


@pytest.mark.timeout(300)
def test_flipped_bits_raise_our_error_or_none(run, tmp_path):
    whole = run.path.read_bytes()
    random = np.random.default_rng(0)
    (tmp_path / "flipped").mkdir()
    path = tmp_path / "flipped" / "run.h5"
    refused = []
    for _ in range(12):
        data = bytearray(whole)
        for at in random.integers(0, 8 * len(whole), random.integers(1, 4)):
            data[at // 8] ^= 1 << (at % 8)
        path.write_bytes(data)
        refused += everything(path)
    assert refused  # most flips lie in rows, which a live file has no checksums of; some lie elsewhere


def test_a_flipped_bit_in_a_finished_file_is_found(make, kit, tmp_path):
    run = make(60)
    run.writer.finish(kit.result(run.info, 60))
    whole, random = run.path.read_bytes(), np.random.default_rng(1)
    unused = 0
    for at in random.integers(0, 8 * len(whole), 120):
        data = bytearray(whole)
        data[at // 8] ^= 1 << (at % 8)
        run.path.write_bytes(data)
        with contextlib.suppress(FileError):
            unused += verify(run.path).intact is True
    assert unused <= 20  # bits of the file that carry no content: free space, times, padding


@pytest.mark.timeout(300)
@given(st.data())
@settings(max_examples=6, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_or_filled_anywhere_raises_our_error_or_none(run, tmp_path, data):
    whole = run.path.read_bytes()
    folder = tmp_path / "spoilt"
    folder.mkdir(exist_ok=True)
    path = folder / "run.h5"
    begin = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.sampled_from([0, 1, 8, 64, 4096]))
    filling = data.draw(st.binary(min_size=length, max_size=length))
    rest = b"" if data.draw(st.booleans()) else whole[begin + length :]
    path.write_bytes(whole[:begin] + filling + rest)
    everything(path)
    shutil.rmtree(folder)


VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
    st.binary(min_size=1, max_size=8).filter(lambda value: b"\0" not in value),
)


@pytest.mark.timeout(300)
@given(st.data())
@settings(max_examples=6, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_attributes_of_any_kind_raise_our_error_or_none(run, tmp_path, data):
    folder = tmp_path / "spoilt"
    folder.mkdir(exist_ok=True)
    path = folder / "run.h5"
    shutil.copy(run.path, path)
    with h5py.File(path, "r+") as file:
        name = data.draw(st.sampled_from(["/", "step/step", "probe/step", "step/loss", "epoch/epoch", "param"]))
        keys = [key for key in file[name].attrs if not key.endswith("_LIST")]
        file[name].attrs[data.draw(st.sampled_from([*keys, "every"]))] = data.draw(VALUES)
    everything(path)
    shutil.rmtree(folder)


@given(st.binary(max_size=300))
@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_raise_our_error(tmp_path, data):
    path = tmp_path / "run.h5"
    path.write_bytes(data)
    assert len(everything(path)) >= 3
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + data)
    assert len(everything(path)) >= 3


def test_a_hostile_index_is_ignored(make, kit, tmp_path):
    run = make(95, "runs/a.h5")
    run.writer.finish(kit.result(run.info, 95))
    expected = open_grid(tmp_path).runs
    index = write_index(tmp_path)
    whole, random = index.read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        data = bytearray(whole)
        for at in random.integers(0, 8 * len(whole), 3):
            data[at // 8] ^= 1 << (at % 8)
        index.write_bytes(data)
        assert [row["run_id"] for row in open_grid(tmp_path).runs]
    with h5py.File(index, "w") as file:
        file.attrs["index_version"] = INDEX_VERSION
        file["run"] = h5py.ExternalLink("other", "/")
    assert open_grid(tmp_path).runs == expected
