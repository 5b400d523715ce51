"""The kit as a pytest plugin: a fixture that fails a test with every sentence that the checks have to say.

    pytest_plugins = ["optiscope.testing.pytest"]       # conftest.py at the root, or pytest -p optiscope.testing.pytest

    def test_mine(conformance):
        conformance(Mine, against="adam", beta1=0.8)

It is named by whoever wants it, not found through an entry point: that would import NumPy into every pytest run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from optiscope.errors import unknown
from optiscope.testing.kit import CHECKS, check_all
from optiscope.testing.result import Result
from optiscope.testing.subject import subject_of

SLOW = ("step-time",)
"""What a test has no use for: its result is a time, and a fact."""


@pytest.fixture
def conformance() -> Callable[..., dict[str, Result]]:
    """Return a function that checks an optimizer and returns the results by name.

    It takes a class with its options, or an instance; `against` names the optimizer that it has to equal, `without`
    the checks to leave out. The test fails if a check does, and is told all that failed.
    """

    def run(
        piece: Any, *, against: str | None = None, without: Iterable[str] = SLOW, **options: Any
    ) -> dict[str, Result]:
        left = set(without)
        if wrong := left - CHECKS.keys():
            raise unknown("check", min(wrong), CHECKS)
        subject = subject_of(piece, against=against, **options)
        results = check_all(subject, [name for name in CHECKS if name not in left])
        broken = [f"{result.name}: {result.why}" for result in results if result.outcome == "failed"]
        if broken:
            pytest.fail("\n".join([f"{subject.name} does not conform:", *broken]), pytrace=False)
        return {result.name: result for result in results}

    return run
