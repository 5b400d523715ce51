import os

import pytest
from my_plugin import MyPlugin

from optiscope.hooks import create_manager


def test_it_is_found_by_its_entry_point() -> None:
    assert create_manager().pieces("executors")["my-plugin"].factory is MyPlugin


def test_what_runs_in_it_is_nicer_than_this_process() -> None:
    with MyPlugin(jobs=1, niceness=3) as workers:
        assert workers.submit(os.nice, 0).result(timeout=60) == min(os.nice(0) + 3, 19)


@pytest.mark.parametrize("niceness", [-1, 20])
def test_niceness_is_checked(niceness: int) -> None:
    with pytest.raises(ValueError, match="niceness must be"):
        MyPlugin(niceness=niceness)
