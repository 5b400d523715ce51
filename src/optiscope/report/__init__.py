"""What the files of a characterization look like to a person: tables, figures, pages, and what changed.

    characterization.json, runs/*.h5  ->  inputs  ->  page, card  ->  html, markdown  ->  report.html, report.md

`page` and `card` say what there is to say as `blocks`: tables, and figures that are drawn when their turn comes.
`changes` compares two characterizations.

The room reads files and nothing else, so a report can be drawn again years later, on a machine that never trained.
The same files give the same bytes: no clock is read, and identifiers inside the figures are derived from what they
show. matplotlib and h5py are imported where they are used, because the command line shows verdicts without them.
"""

from optiscope.report.changes import CellChange, Changes, compare_folders
from optiscope.report.max_lr import draw_max_lr
from optiscope.report.observers import ObserverRow, observer_rows, read_observers
from optiscope.report.tables import VerdictRow, spent, verdict_rows
from optiscope.report.write import Form, write_card, write_report

__all__ = [
    "CellChange",
    "Changes",
    "Form",
    "ObserverRow",
    "VerdictRow",
    "compare_folders",
    "draw_max_lr",
    "observer_rows",
    "read_observers",
    "spent",
    "verdict_rows",
    "write_card",
    "write_report",
]
