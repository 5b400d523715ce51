"""Two sets of rules on the same runs: how often they agree, and on which runs they do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import attrs

from optiscope.labels.document import Characterization
from optiscope.labels.verdict import RunVerdict, Verdict

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@attrs.frozen(kw_only=True)
class Changed:
    """A run that two rule sets call by different words; `why` is what the second one says."""

    run_id: str
    path: str
    before: Verdict
    after: Verdict
    why: str


@attrs.frozen(kw_only=True)
class Comparison:
    """How many runs have which verdict `before` and after, and the runs for which they differ.

    `missing` names runs that only one of the two judged.
    """

    counts: Mapping[Verdict, Mapping[Verdict, int]]
    changed: tuple[Changed, ...]
    missing: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Return the comparison as what JSON holds."""
        return attrs.asdict(self)


def compare(before: Characterization, after: Characterization) -> Comparison:
    """Return where two characterizations of the same run files disagree."""
    old, new = _runs(before), _runs(after)
    counts: dict[Verdict, dict[Verdict, int]] = {was: dict.fromkeys(VERDICTS, 0) for was in VERDICTS}
    changed = []
    for run_id in sorted(old.keys() & new.keys()):
        was, now = old[run_id], new[run_id]
        counts[was.verdict][now.verdict] += 1
        if was.verdict != now.verdict:
            changed.append(Changed(run_id=run_id, path=now.path, before=was.verdict, after=now.verdict, why=now.why))
    return Comparison(counts=counts, changed=tuple(changed), missing=tuple(sorted(old.keys() ^ new.keys())))


def _runs(judged: Characterization) -> dict[str, RunVerdict]:
    return {run.run_id: run for cell in judged.cells for run in cell.runs}
