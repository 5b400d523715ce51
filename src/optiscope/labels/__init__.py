"""Verdicts: runs the analyzers over recorded runs, and says of runs and cells what they are.

    label(run or path)              what is said about one run
    label_folder(out, analyzers)    what is said about a whole grid; `.write(out)` makes characterization.json

The rules are in `optiscope.analysis`; what the words mean is in docs/labels.md.
"""

from optiscope.labels.cells import Cell, Probability, form_cells, probability
from optiscope.labels.characterize import build_analyzers, label, label_folder, label_run
from optiscope.labels.document import FILE_NAME, SCHEMA_VERSION, Characterization, read_document
from optiscope.labels.verdict import Judged, RunVerdict, form_verdict

__all__ = [
    "FILE_NAME",
    "SCHEMA_VERSION",
    "Cell",
    "Characterization",
    "Judged",
    "Probability",
    "RunVerdict",
    "build_analyzers",
    "form_cells",
    "form_verdict",
    "label",
    "label_folder",
    "label_run",
    "probability",
    "read_document",
]
