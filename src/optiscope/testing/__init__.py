"""For authors of plugins: is this optimizer implemented right? The conformance kit, and its pytest plugin."""

from optiscope.testing.kit import CHECKS, CONTRACT, check, check_all, check_optimizer
from optiscope.testing.result import CheckFailed, Result
from optiscope.testing.subject import Again, Subject, checked, load, subject_of

__all__ = [
    "CHECKS",
    "CONTRACT",
    "Again",
    "CheckFailed",
    "Result",
    "Subject",
    "check",
    "check_all",
    "check_optimizer",
    "checked",
    "load",
    "subject_of",
]
