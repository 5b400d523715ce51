"""A real characterize, killed with SIGKILL at random moments and taken up again (the long version: kills.py)."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import kills

SMALLER = {
    "synthetic.train=400": "synthetic.train=160",
    "synthetic.test=40": "synthetic.test=20",
    "50": "20",
    "100": "40",
}


@pytest.mark.timeout(400)
def test_killed_again_and_again_it_ends_with_the_content_of_one_that_was_not(capsys, monkeypatch):
    """Kills fall at a share of the steps, so in the same places of a short run: 60 steps are seven epochs, or more.

    The data, and with them the batches, are 2 / 5 of what they are there, which leaves as many steps an epoch.
    """
    monkeypatch.setattr(kills, "STEPS", 60)
    monkeypatch.setattr(kills, "GRID", [SMALLER.get(word, word) for word in kills.GRID])
    kills.main(["--kills", "10", "--seed", "1"])
    told = {
        what: int(count) for count, what in (line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    }
    assert told["kills"] == 10
    assert told["files opened after a kill"] > 0
    assert told["runs with the content of one that was not killed"] == 4 * told["grids that came to their end"] > 0
