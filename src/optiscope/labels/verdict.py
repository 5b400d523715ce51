"""From what the analyzers found to what is said about a run.

A verdict stands on three axes that stay visible beside it:

    outcome    trained, failed and in which way, or not learned; undecided where that cannot be said
    dynamics   where the run was relative to the edge of stability; "not measured" where no analyzer looks
    signal     steady, rough (with the alarms), undecided, or not measured

and follows from them:

    unstable   the run failed, or the loss was set back where the signal alarms (`optiscope.analysis.setback`)
    stable     every required analyzer passes, with margin; what alarmed for a while did the loss no harm
    undecided  anything else, with the reason

Where an analyzer is decisive, because the least possible loss is known, it takes the place of all others on outcome
and signal but for a number that is not finite: they infer what it knows, and stay as they are beside it.

A run that did not come to its end is undecided, whatever its numbers say so far; only one that ended itself because
a number was not finite is judged. So is a run in which an optimizer or a recorder raised: that is no divergence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from optiscope.analysis import Alarm, Axis, Finding, RunRecord, Setback, chance_loss, series, setback
from optiscope.analysis.setback import HARMFUL
from optiscope.analysis.thresholds import LIMITS

Verdict = Literal["stable", "unstable", "undecided"]

NOT_MEASURED, NOT_LEARNED = "not measured", "not learned"
_KINDS = ("non-finite", "collapsed", "diverged")
"""Ways of failing, the one that explains the others first: a collapse comes before what it does to the loss."""


@attrs.frozen
class Judged:
    """A finding, and what its analyzer said of itself: the axis, whether a stable run needs it to pass, and whether it
    takes the place of the others.
    """

    finding: Finding
    axis: Axis
    required: bool
    decisive: bool = False


@attrs.frozen(kw_only=True)
class RunVerdict:
    """What is said about one run, and why.

    `path` is the file, relative to the folder of the characterization where there is one. `first_step` is the first
    step of what made the run unstable or rough.
    """

    run_id: str
    seed: int
    path: str
    status: str
    verdict: Verdict
    outcome: str
    dynamics: str
    signal: str
    why: str
    first_step: int | None
    findings: tuple[Finding, ...]


def form_verdict(run: RunRecord, judged: Sequence[Judged]) -> RunVerdict:
    """Return the verdict that follows from what was `judged` of `run`."""
    findings = tuple(one.finding for one in judged)
    judged = _by_the_decisive(judged)
    ended = run.status in ("completed", "diverged")
    failures = sorted((one.finding for one in judged if _failed(one)), key=_rank) if ended else []
    rough = [one.finding for one in judged if one.axis == "signal" and one.finding.result in ("alarm", "fail")]
    worst = _worst(run, rough) if rough and ended and not failures else None
    harmless = worst is not None and worst.size <= LIMITS.harmless and not any(map(_lasting, rough))
    open_questions = [
        one
        for one in judged
        if one.required and one.finding.result != "pass" and not (harmless and one.finding in rough)
    ]
    first_step = min((one.first_step for one in rough if one.first_step is not None), default=None)
    verdict: Verdict = "undecided"
    if failures:
        verdict, why, first_step = "unstable", failures[0].why, failures[0].first_step
    elif not ended:
        why = _unfinished(run)
    elif run.status == "diverged":
        why = "the run stopped because a number was not finite, and no analyzer looked at that"
    elif worst is not None and worst.size >= HARMFUL:
        verdict, why, first_step = (
            "unstable",
            f"{rough[0].why}; {_told(worst)}",
            min(first_step or worst.step, worst.step),
        )
    elif rough and not harmless:
        why = f"{rough[0].why}; {_told(worst)}"
    elif open_questions:
        why = open_questions[0].finding.why
    elif not any(one.required for one in judged):
        why = "no required analyzer judged the run"
    else:
        verdict = "stable"
        told = sorted((one for one in judged if one.required and one.finding.name not in _SILENT), key=_outcome_first)
        why = "; ".join([*(one.finding.why for one in told), *([_told(worst)] if rough else [])])
    return RunVerdict(
        run_id=run.run_id,
        seed=int(run.config.get("seed", 0)),
        path=str(run.path),
        status=run.status,
        verdict=verdict,
        outcome=_outcome(judged, failures, ended),
        dynamics=_dynamics(judged),
        signal=_signal(judged, rough, harmless),
        why=why,
        first_step=first_step,
        findings=findings,
    )


def _by_the_decisive(judged: Sequence[Judged]) -> Sequence[Judged]:
    """Return what counts: where a decisive analyzer says something, the others on outcome and signal are reported."""
    if not any(map(_decides, judged)):
        return judged
    return [
        attrs.evolve(one, required=True)
        if _decides(one)
        else attrs.evolve(one, axis="report", required=False)
        if one.axis in ("outcome", "signal") and one.finding.kind != "non-finite" and one.finding.name != "finite"
        else one
        for one in judged
    ]


def _decides(one: Judged) -> bool:
    return one.decisive and one.finding.result != "info"


_SILENT = ("finite", "collapse")
"""Analyzers whose passing goes without saying."""


def _unfinished(run: RunRecord) -> str:
    if run.status == "failed":
        said = "the run ended with an error, which says nothing about its stability"
        return f"{said}: {run.why}" if run.why else said
    known = {"running": "the run has not ended", "interrupted": "the run was interrupted before its end"}
    return known.get(run.status, f"the run is {run.status}")


def _outcome_first(one: Judged) -> bool:
    return one.axis != "outcome"


def _failed(one: Judged) -> bool:
    return (one.axis == "outcome" or _decides(one)) and one.finding.result == "fail"


def _rank(finding: Finding) -> int:
    return _KINDS.index(finding.kind) if finding.kind in _KINDS else len(_KINDS)


def _worst(run: RunRecord, rough: Sequence[Finding]) -> Setback | None:
    """Return the largest setback of the loss over the steps of the alarms; None where one of them cannot be judged."""
    try:
        loss, chance = series(run, "loss"), chance_loss(run)
    except (OSError, RuntimeError):  # a damaged file: what cannot be read says nothing
        return None
    alarms = [finding.alarms or _whole(finding) for finding in rough]
    found = [setback(loss, alarm.steps, chance) for each in alarms for alarm in each]
    sizes = [one for one in found if one is not None]
    worst = max(sizes, key=lambda one: one.size, default=None)
    if worst is None or worst.size >= HARMFUL or (all(alarms) and len(sizes) == len(found)):
        return worst
    return None


def _whole(finding: Finding) -> tuple[Alarm, ...]:
    """Return the finding itself as its one alarm, for analyzers that do not tell their alarms apart."""
    if finding.steps is None:
        return ()
    limit = 0.0 if finding.threshold is None else finding.threshold
    value = limit if finding.statistic is None else finding.statistic
    alarm = Alarm(name=finding.name, statistic=value, threshold=limit, p_value=finding.p_value, steps=finding.steps)
    return (alarm,)


def _lasting(finding: Finding) -> bool:
    """Say whether an alarm is about all that was judged: that is no event which the loss could have come through."""
    return any(alarm.steps == finding.steps for alarm in finding.alarms or _whole(finding))


def _told(worst: Setback | None) -> str:
    if worst is None:
        return "whether it harmed the loss cannot be said"
    said = f"of the untrained (at step {worst.step})"
    if worst.size <= LIMITS.harmless:
        return f"no harm to the loss, which was set back by {max(worst.size, 0.0):.2g} {said}"
    return f"the loss was set back by {worst.size:.2g} {said}"


def _outcome(judged: Sequence[Judged], failures: Sequence[Finding], ended: bool) -> str:
    if failures:
        return f"failed: {failures[0].kind or failures[0].name}"
    looked = [one.finding for one in judged if (one.axis == "outcome" or _decides(one)) and one.required]
    if not ended or not looked:
        return "undecided"
    open_questions = [finding for finding in looked if finding.result != "pass"]
    if any(finding.kind == NOT_LEARNED for finding in open_questions):
        return NOT_LEARNED
    return "undecided" if open_questions else "trained"


def _dynamics(judged: Sequence[Judged]) -> str:
    looked = [one.finding for one in judged if one.axis == "dynamics" and one.finding.result != "info"]
    return ", ".join(finding.kind or finding.result for finding in looked) or NOT_MEASURED


def _signal(judged: Sequence[Judged], rough: Sequence[Finding], harmless: bool) -> str:
    if rough:
        names = [alarm.name for finding in rough for alarm in finding.alarms] or [finding.name for finding in rough]
        return f"rough: {', '.join(dict.fromkeys(names))}{' (harmless)' if harmless else ''}"
    looked = [one.finding for one in judged if one.axis == "signal"]
    if not looked:
        return NOT_MEASURED
    return "steady" if all(finding.result == "pass" for finding in looked) else "undecided"
