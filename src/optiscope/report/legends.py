"""What the marks of the figures mean: a legend names those that its figures have, and no others."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import numpy as np

from optiscope.analysis.detectors import WINDOW
from optiscope.labels.cells import ONE_SEED
from optiscope.report.blocks import Legend, Mark
from optiscope.report.evidence import Entry
from optiscope.report.inputs import BAND, Track
from optiscope.report.maps import Map

SHAPES = {"stable": "disc", "unstable": "cross", "undecided": "diamond"}
"""What the marker of a verdict is called."""

THEORY = "largest stable learning rate by theory, where it is known"


def signal_legend(entries: Sequence[Entry]) -> Legend:
    """Return the legend of the panels of the signal of `entries`."""
    shown, others = _tracks(entries)
    outputs = " or ".join(dict.fromkeys(track.output for track in shown))
    few = "50 images" if outputs == "logits" else "50 rows"
    marks: tuple[tuple[Mark, str, bool], ...] = (
        (
            "signal",
            f"5 % quantile of the {outputs} of {few} of the batch",
            any(np.isfinite(track.signal).any() for track in shown),
        ),
        ("minimum", "minimum over the whole batch", any(np.isfinite(track.batch_min).any() for track in shown)),
        (
            "envelope",
            f"lower envelope as it is judged, in {outputs}: running median in units of the running spread, "
            f"\N{PLUS-MINUS SIGN} {BAND:g} robust standard deviations",
            any(track.envelope for track in shown),
        ),
        ("other", "the same curve of other seeds", any(track.envelope for track in others)),
        ("burn-in", "burn-in, not judged", any(track.bound.burn for track in shown)),
        (
            "alarm",
            "first alarm, and the steps of each alarm",
            any(track.alarms or track.first_step is not None for track in shown),
        ),
    )
    return there(marks)


def training_legend(entries: Sequence[Entry]) -> Legend:
    """Return the legend of the panels of loss and accuracy of `entries`."""
    shown, others = _tracks(entries)
    counts = {len(entry.cell.tracks) for entry in entries}
    several = any(count > 1 for count in counts)
    smooth = any(track.loss.size > WINDOW for track in (*shown, *others))
    line = f"running median over {WINDOW} steps" if smooth else ""
    seeds = "over the seeds median, least and greatest"
    marks: tuple[tuple[Mark, str, bool], ...] = (
        ("minimum", "each training batch" + ", where there is one seed" * several, 1 in counts),
        ("signal", line, smooth and not several),
        ("spread", f"{line}: {seeds}" if smooth else seeds, several),
        (
            "test",
            "all test images, after each epoch" + f": {seeds}" * several,
            any(np.isfinite(track.val_accuracy).any() for track in (*shown, *others)),
        ),
        ("alarm", "first alarm", any(track.first_step is not None for track in shown)),
    )
    return there(marks)


def map_legend(found: Sequence[Map]) -> Legend:
    """Return the legend of maps."""
    cells = [cell.judged for each in found for cell in each.cells]
    words = shapes({str(cell.get("verdict")) for cell in cells})
    words += ", hollow where there is one seed" * any(cell.get("confidence") == ONE_SEED for cell in cells)
    marks: tuple[tuple[Mark, str, bool], ...] = (
        ("interval", f"P(unstable), its mean and interval: {words}", bool(cells)),
        ("theory", THEORY, any(each.near for each in found)),
    )
    return there(marks)


def shapes(verdicts: Container[str]) -> str:
    """Return what the markers of `verdicts` look like: "a disc is stable, a cross is unstable"."""
    return ", ".join(f"a {shape} is {verdict}" for verdict, shape in SHAPES.items() if verdict in verdicts)


def _tracks(entries: Iterable[Entry]) -> tuple[list[Track], list[Track]]:
    """Return what was recorded of the runs that are drawn in full, and of the other seeds of their cells."""
    runs = [(run, run is entry.cell.shown) for entry in entries for run in entry.cell.runs]
    found: tuple[list[Track], list[Track]] = ([], [])
    for run, full in runs:
        if run.track:
            found[not full].append(run.track)
    return found


def there(marks: Iterable[tuple[Mark, str, bool]]) -> Legend:
    """Return those of `marks` of which it is said that they are there."""
    return tuple((mark, text) for mark, text, there in marks if there)
