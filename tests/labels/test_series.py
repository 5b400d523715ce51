"""Arrays and CSV files that somebody brings are judged by the code that judges runs."""

import numpy as np
import pytest

import optiscope
from optiscope.analysis import spread
from optiscope.errors import FileError, UsageError
from optiscope.labels import label_series, make_record, read_series


def finding(verdict, name):
    return next(one for one in verdict.findings if one.name == name)


@pytest.fixture
def given(steps):
    return {name: steps[name] for name in ("loss", "grad_norm", "update_norm", "logits_q05", "logits_iqr")}


def test_series_of_a_healthy_run_are_stable_as_the_run_is(given, make_run, steps):
    verdict = optiscope.label_series(**given, steps_per_epoch=50, batch_size=100)
    assert (verdict.verdict, verdict.outcome, verdict.signal) == ("stable", "trained", "steady")
    run = optiscope.label(make_run(steps))
    assert [(one.name, one.statistic, one.result) for one in verdict.findings] == [
        (one.name, one.statistic, one.result) for one in run.findings
    ]


def test_logits_are_reduced_as_a_recorder_does(given):
    logits = given["logits_q05"][:, None, None] + np.random.default_rng(0).standard_normal((400, 6, 4))
    told = [spread(row) for row in logits]
    by_logits = label_series(given["loss"], logits=logits.reshape(400, -1))
    by_quantiles = label_series(
        given["loss"], logits_q05=[row["q05"] for row in told], logits_iqr=[row["iqr"] for row in told]
    )
    assert by_logits == by_quantiles
    of_four = label_series(given["loss"], logits=logits).findings  # three axes tell how many classes there are
    ratio = next(finding.statistic for finding in of_four if finding.name == "outcome")
    assert ratio == pytest.approx(np.median(given["loss"][-40:]) / np.log(4))
    assert finding(by_logits, "envelope").statistic is not None


def test_what_is_missing_is_said_by_the_analyzers_that_need_it(given):
    verdict = label_series(list(given["loss"]))
    assert (verdict.verdict, verdict.outcome) == ("undecided", "undecided")
    assert finding(verdict, "outcome").result == "pass"
    assert finding(verdict, "envelope").why == "the record has no logits_q05 and no logits_iqr"
    assert finding(label_series(grad_norm=np.ones(60)), "outcome").why == "the record has no loss"


def test_a_loss_that_is_no_number_is_unstable(given):
    given["loss"][200] = np.nan
    verdict = label_series(given["loss"])
    assert (verdict.verdict, verdict.first_step) == ("unstable", 201)


def test_a_known_minimum_decides():
    assert label_series(0.9 ** np.arange(200), minimum=0.0).verdict == "stable"
    assert label_series(1.1 ** np.arange(200), minimum=0.0).dynamics == "growing"


def test_the_logits_of_the_same_images_tell_the_step(given):
    probe = np.cumsum(np.full((400, 3, 2), [0.0, 0.1]), axis=0)
    found = finding(label_series(given["loss"], probe_logits=probe), "softmax-step")
    assert (found.result, found.statistic) == ("pass", pytest.approx(0.1 / np.pi))


@pytest.mark.parametrize(
    ("series", "part"),
    [
        ({}, "there is nothing to judge"),
        ({"loss": np.ones(49)}, "49 steps are too few to judge: give at least 50"),
        ({"loss": np.ones(60), "grad_norm": np.ones(59)}, "grad_norm has 59 steps and not 60"),
        ({"loss": ["high", "low"]}, "loss is not an array of numbers"),
        ({"loss": [[1, 2], [3]]}, "loss is not an array of numbers"),
        ({"loss": 3.0}, "loss is a single number"),
        ({"probe_logits": np.ones((60, 2))}, "probe_logits must be steps x images x classes"),
    ],
)
def test_what_cannot_be_judged_is_one_sentence(series, part):
    with pytest.raises(UsageError, match=part) as error:
        label_series(**series)
    assert "\n" not in str(error.value)


def write(path, columns, rows):
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_a_csv_file_is_the_arrays_in_it(tmp_path, given):
    names = ["step", "loss", "grad_norm/a", "grad_norm/b", "grad_norm/c", "logits_q05", "logits_iqr", "what"]
    rows = np.column_stack(
        [np.arange(1, 401), given["loss"], given["grad_norm"], given["logits_q05"], given["logits_iqr"]]
    ).tolist()
    record = read_series(write(tmp_path / "run.csv", names, [[*row, "x"] for row in rows]))
    assert set(record.steps) == {"loss", "grad_norm", "logits_q05", "logits_iqr"}
    for name, values in record.steps.items():
        np.testing.assert_array_equal(values, given[name])


def test_an_empty_field_is_a_number_that_is_missing(tmp_path):
    rows = [[1.0, ""] if step != 7 else ["", ""] for step in range(60)]
    record = read_series(write(tmp_path / "run.csv", [" loss ", "x"], rows))
    assert np.flatnonzero(np.isnan(record.steps["loss"])).tolist() == [7]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "has no column 'loss' \\(its columns: none\\)"),
        ("step,los\n1,2\n", "has no column 'loss' \\(its columns: step, los\\)"),
        ("loss\n1\nhigh\n", "line 3: loss is 'high', which is no number"),
        ("loss\n1\n2\n", "2 steps are too few"),
        ("loss\n", "0 steps are too few"),
    ],
)
def test_a_csv_file_that_cannot_be_judged_is_one_sentence(tmp_path, text, part):
    (tmp_path / "run.csv").write_text(text)
    with pytest.raises(UsageError, match=part):
        read_series(tmp_path / "run.csv")


def test_what_is_no_text_cannot_be_read(tmp_path):
    (tmp_path / "run.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="cannot be read"):
        read_series(tmp_path / "run.csv")
    with pytest.raises(FileError, match="No such file"):
        read_series(tmp_path / "other.csv")


def test_a_record_says_what_it_is(given):
    record = make_record(given, "mine", config={"steps_per_epoch": 50})
    assert (record.run_id, record.n_steps, record.status, record.config["batch_size"]) == ("mine", 400, "completed", 1)
