"""What the files of a characterization look like to a person: tables, figures, one self-contained page.

    characterization.json, runs/*.h5  ->  inputs  ->  tables, figures  ->  html  ->  report.html

The room reads files and nothing else, so a report can be drawn again years later, on a machine that never trained.
The same files give the same bytes: no clock is read, and identifiers inside the figures are derived from what they
show. matplotlib and h5py are imported where they are used, because the command line shows verdicts without them.
"""

from optiscope.report.html import write_report
from optiscope.report.max_lr import draw_max_lr
from optiscope.report.observers import ObserverRow, observer_rows, read_observers
from optiscope.report.tables import VerdictRow, spent, verdict_rows

__all__ = [
    "ObserverRow",
    "VerdictRow",
    "draw_max_lr",
    "observer_rows",
    "read_observers",
    "spent",
    "verdict_rows",
    "write_report",
]
