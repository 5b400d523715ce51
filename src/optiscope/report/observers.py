"""What observing cost: the times that run files hold of their observers, added up over the runs of a grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from optiscope.errors import FileError


@attrs.frozen(kw_only=True)
class ObserverRow:
    """One observer: "recorder NAME", "hooks of PLUGIN" or "writer".

    `seconds` are those of all runs, and `share` is their percentage of the runs' own time.
    """

    observer: str
    seconds: float
    share: float

    @property
    def words(self) -> tuple[str, str, str]:
        """Name, time and share as a person would write them."""
        return self.observer, f"{self.seconds:.3g} s", f"{self.share:.1f} %"


def observer_rows(runs: Iterable[tuple[Mapping[str, float], float]]) -> tuple[ObserverRow, ...]:
    """Return a row an observer, the costliest first, from the `observer_time` and the `wall_time` of each run.

    Observers that took no time, such as a plugin whose hooks were never called, are left out.
    """
    seconds: dict[str, float] = {}
    total = 0.0
    for times, wall_time in runs:
        total += wall_time if times else 0.0
        for name, took in times.items():
            seconds[name] = seconds.get(name, 0.0) + took
    costly = sorted((-took, name) for name, took in seconds.items() if took > 0)
    return tuple(
        ObserverRow(observer=name, seconds=-took, share=100 * -took / total if total else 0.0) for took, name in costly
    )


def read_observers(out: Path) -> tuple[ObserverRow, ...]:
    """Return the rows of all runs in the folder `out` that have ended."""
    return observer_rows(_read(out))


def _read(out: Path) -> Iterable[tuple[Mapping[str, float], float]]:
    from optiscope.storage import open_run

    for path in sorted((out / "runs").glob("*.h5")):
        try:
            with open_run(path) as run:
                yield run.observer_time, float(run.attrs.get("wall_time", 0.0))
        except FileError:
            continue
