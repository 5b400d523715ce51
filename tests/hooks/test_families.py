import attrs
import pytest

from optiscope.errors import PluginError, UsageError
from optiscope.hooks import Family, create_manager, hookimpl
from optiscope.optim import Optimizer, decay_rate


@attrs.define(kw_only=True)
class Slow(Optimizer):
    name = "late:slow"
    beta: float = attrs.field(default=0.5, validator=decay_rate)


@attrs.define(kw_only=True)
class Needy(Optimizer):
    name = "late:needy"
    lr: float


class Late:
    """Brings the family "late", counts how often it is loaded, and an optimizer of its own."""

    def __init__(self, *members, hook="optiscope_optimizers"):
        self.members, self.loads = members, 0
        setattr(self, hook, hookimpl(lambda: [Family("late", self.load)]))

    def load(self):
        self.loads += 1
        return self.members


def host_with(plugin):
    host = create_manager(discover=False)
    host.register(plugin, "theirs")
    return host


def test_a_family_is_loaded_once_and_only_when_a_member_is_named():
    late = Late(Slow, Needy)
    host = host_with(late)
    assert host.pieces("optimizers") == {}
    assert host.plugins[0].registers == ("optimizer late:...",)
    assert host.find("optimizers", "slow") is None
    assert host.find("optimizers", "late") is None
    assert host.find("models", "late:slow") is None
    assert late.loads == 0
    assert host.find("optimizers", "late:slow").factory is Slow
    assert host.find("optimizers", "late:slow").plugin == "theirs"
    assert host.build("optimizers", "late:slow", {"beta": 0.25}) == Slow(beta=0.25)
    assert late.loads == 1
    assert host.pieces("optimizers") == {}


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("late:slaw", {}, "unknown optimizer 'late:slaw': did you mean 'late:slow'? known: late:needy, late:slow"),
        ("sgd", {}, "unknown optimizer 'sgd': known: late:..."),
        ("late:slow", {"bta": 1}, "unknown option of late:slow 'bta': did you mean 'beta'? known: beta, lr"),
        ("late:slow", {"beta": 2.0}, "late:slow: beta must be >= 0 and < 1, not 2.0"),
        ("late:needy", {}, "late:needy has no default for lr: give it one with --set late:needy.lr=VALUE"),
    ],
)
def test_what_a_family_does_not_have_is_one_sentence(name, options, sentence):
    with pytest.raises(UsageError) as raised:
        host_with(Late(Slow, Needy)).build("optimizers", name, options)
    assert str(raised.value) == sentence


def test_a_family_that_cannot_be_loaded_is_named_where_it_is_needed():
    def fails():
        raise ImportError("no late")

    late = Late()
    late.load = fails
    host = host_with(late)
    assert host.plugins[0].state == "active"
    with pytest.raises(PluginError, match=r"'theirs' could not load the optimizers late:\.\.\.: ImportError: no late"):
        host.check("optimizers", "late:slow", {})


@pytest.mark.parametrize("kind", ["recorders", "analyzers"])
def test_what_is_always_used_is_no_family(kind):
    with pytest.raises(PluginError, match=f"'late' is a family of {kind}, and every one of these is used"):
        host_with(Late(hook=f"optiscope_{kind}"))


def test_a_family_that_two_plugins_bring_is_a_clash():
    host = host_with(Late(Slow))
    with pytest.raises(PluginError, match=r"two plugins bring the optimizer 'late:\.\.\.', theirs and others"):
        host.register(Late(Slow), "others")
