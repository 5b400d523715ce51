"""Where two sets of rules disagree."""

import attrs
import pytest

from optiscope.builtin.analyzers import ANALYZERS, Outcome
from optiscope.labels import Characterization, compare, form_cells, label_run


@pytest.fixture
def judge(make_run):
    def characterization(rules, runs=3):
        made = [make_run(run_id=f"run-{seed}", seed=seed) for seed in range(runs)]
        return Characterization(cells=form_cells((run.config, label_run(run, rules)) for run in made), versions={})

    return characterization


def test_rules_agree_with_themselves(judge):
    rules = [analyzer() for analyzer in ANALYZERS]
    found = compare(judge(rules), judge(rules))
    assert found.counts["stable"] == {"stable": 3, "unstable": 0, "undecided": 0}
    assert (found.changed, found.missing) == ((), ())


def test_the_runs_on_which_they_disagree_are_named(judge):
    rules = [analyzer() for analyzer in ANALYZERS]
    stricter = [Outcome(limit=0.1) if isinstance(rule, Outcome) else rule for rule in rules]
    found = compare(judge(rules), judge(stricter, runs=2))
    assert found.counts["stable"] == {"stable": 0, "unstable": 0, "undecided": 2}
    assert sum(sum(row.values()) for row in found.counts.values()) == 2
    assert [(run.run_id, run.before, run.after) for run in found.changed] == [
        ("run-0", "stable", "undecided"),
        ("run-1", "stable", "undecided"),
    ]
    assert "not below 0.1" in found.changed[0].why
    assert found.missing == ("run-2",)
    assert found.plain()["changed"][0] == attrs.asdict(found.changed[0])
