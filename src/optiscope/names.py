"""What a setting is called: by as little as tells it from the others.

An optimizer goes by its name and those of its options in which it differs from others of that name, spelled as one asks
for it: "adam(beta1=0.8)". Where it runs on several models the model follows, "adam(beta1=0.8) on paper-cnn", and where
something else differs on one model that as well: "adam(beta1=0.8) on paper-cnn, sum".
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from optiscope.config import spell

APART = ("optimizer", "options", "model")


def names_of(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a name for each of `settings`: "optimizer", and as far as they are known "options", "model" and others.

    Others are told in the order in which a setting has them.
    """
    names = [str(each.get("optimizer")) for each in settings]
    options = _differing(names, [each.get("options") or {} for each in settings])
    models = _differing(names, [{"model": each.get("model")} for each in settings])
    places = [(name, str(each.get("model"))) for name, each in zip(names, settings, strict=True)]
    others = _differing(places, [{key: value for key, value in each.items() if key not in APART} for each in settings])
    return [
        ", ".join([" on ".join([spell(name, own), *map(str, model.values())]), *map(str, other.values())])
        for name, own, model, other in zip(names, options, models, others, strict=True)
    ]


def _differing(groups: Sequence[Hashable], facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return of each of `facts` those that the others in its group do not all share."""
    members: dict[Hashable, list[Mapping[str, Any]]] = {}
    for group, each in zip(groups, facts, strict=True):
        members.setdefault(group, []).append(each)
    shared = {
        group: {key for key in set().union(*alike) if len({str(each.get(key)) for each in alike}) == 1}
        for group, alike in members.items()
    }
    return [
        {key: value for key, value in each.items() if key not in shared[group]}
        for group, each in zip(groups, facts, strict=True)
    ]
