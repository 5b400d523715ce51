"""Verdicts: runs the analyzers over recorded runs, and says of runs and cells what they are.

    label(run or path)              what is said about one run
    label_series(loss=...)          what is said about arrays that somebody brings
    compare(before, after)          where two sets of rules disagree about the runs of a grid
    label_folder(out, analyzers)    what is said about a whole grid; `.write(out)` makes characterization.json

The rules are in `optiscope.analysis`; what the words mean is in docs/labels.md.
"""

from optiscope.labels.cells import Cell, Probability, form_cells, probability
from optiscope.labels.characterize import build_analyzers, label, label_folder, label_run
from optiscope.labels.compare import Changed, Comparison, compare
from optiscope.labels.document import FILE_NAME, SCHEMA_VERSION, Characterization, read_document, run_to_plain
from optiscope.labels.series import SeriesRecord, label_series, make_record, read_series
from optiscope.labels.verdict import Judged, RunVerdict, form_verdict

__all__ = [
    "FILE_NAME",
    "SCHEMA_VERSION",
    "Cell",
    "Changed",
    "Characterization",
    "Comparison",
    "Judged",
    "Probability",
    "RunVerdict",
    "SeriesRecord",
    "build_analyzers",
    "compare",
    "form_cells",
    "form_verdict",
    "label",
    "label_folder",
    "label_run",
    "label_series",
    "make_record",
    "probability",
    "read_document",
    "read_series",
    "run_to_plain",
]
