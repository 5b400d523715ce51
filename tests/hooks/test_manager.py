import textwrap

import attrs
import pytest

from optiscope.errors import PluginError, UsageError
from optiscope.hooks import KINDS, create_manager, hookimpl, options_of
from optiscope.optim import Optimizer


@attrs.define(kw_only=True)
class Mine(Optimizer):
    name = "mine"
    beta: float = attrs.field(default=0.5, validator=attrs.validators.lt(1))


class Brings:
    def __init__(self, *pieces):
        self.pieces = pieces

    @hookimpl
    def optiscope_optimizers(self):
        return self.pieces


def write_plugin(tmp_path, text, name="theirs.py"):
    path = tmp_path / name
    path.write_text(textwrap.dedent(text))
    return str(path)


def state_of(host, name):
    return next(state for state in host.plugins if state.name == name)


def test_the_built_in_pieces_come_through_an_entry_point_and_can_be_blocked():
    assert {"sgd", "adam", "adam-inside"} <= create_manager().pieces("optimizers").keys()
    blocked = create_manager(block=["optiscope-builtin"])
    assert state_of(blocked, "optiscope-builtin").state == "blocked"
    assert "sgd" not in blocked.pieces("optimizers")
    assert create_manager(discover=False).plugins == ()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_piece_has_a_built_in_one(kind):
    assert any(piece.plugin == "optiscope-builtin" for piece in create_manager().pieces(kind).values())


def test_two_hosts_do_not_know_of_each_other():
    one, other = create_manager(discover=False), create_manager(discover=False)
    one.register(Brings(Mine), "one")
    assert list(one.pieces("optimizers")) == ["mine"]
    assert list(other.pieces("optimizers")) == []


def test_a_name_given_twice_names_both_plugins():
    host = create_manager(discover=False)
    host.register(Brings(Mine), "one")
    host.register(Brings(Mine), "two")
    with pytest.raises(PluginError, match="'mine'") as raised:
        host.pieces("optimizers")
    assert "one" in str(raised.value)
    assert "two" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("mien", {}, ["unknown optimizer 'mien'", "did you mean 'mine'"]),
        ("mine", {"bta": 0.1}, ["option of mine", "did you mean 'beta'", "lr"]),
        ("mine", {"beta": 1.5}, ["mine:", "beta"]),
        ("mine", {"lr": -1.0}, ["mine:", "learning rate", "-1.0"]),
        ("mine", {"lr": "fast"}, ["mine:", "lr must be a number", "'fast'"]),
    ],
)
def test_what_cannot_be_built_is_one_sentence(name, options, parts):
    host = create_manager(discover=False)
    host.register(Brings(Mine), "one")
    with pytest.raises(UsageError) as raised:
        host.build("optimizers", name, options)
    for part in parts:
        assert part in str(raised.value)


def test_options_are_complete_and_can_be_built_from_again():
    host = create_manager(discover=False)
    host.register(Brings(Mine), "one")
    piece = host.build("optimizers", "mine", {"beta": 0.25})
    assert options_of(piece) == {"lr": 0.01, "beta": 0.25}
    assert options_of(piece, leave=["lr"]) == {"beta": 0.25}
    assert host.build("optimizers", "mine", options_of(piece)) == piece


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("def optiscope_optimizers(): return []", "no hook"),
        (
            "from optiscope.hooks import hookimpl\n@hookimpl\ndef optiscope_optimisers(): return []",
            "did you mean 'optiscope_optimizers'",
        ),
        ("from optiscope.hooks import hookimpl\n@hookimpl\ndef on_step(run, stepp): ...", "stepp"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_plugin_file_that_cannot_be_loaded_is_named_with_the_reason(tmp_path, text, why):
    with pytest.raises(PluginError, match="theirs") as raised:
        create_manager(discover=False, files=[write_plugin(tmp_path, text)])
    assert why in str(raised.value)


def test_a_plugin_file_that_is_not_there_is_named():
    with pytest.raises(PluginError, match=r"no plugin file nowhere\.py"):
        create_manager(discover=False, files=["nowhere.py"])


def test_a_class_in_place_of_an_instance_is_refused():
    with pytest.raises(PluginError, match="class Brings"):
        create_manager(discover=False).register(Brings, "theirs")


def test_a_single_file_plugin_brings_its_pieces(tmp_path):
    path = write_plugin(
        tmp_path,
        """
        import attrs
        from optiscope.hooks import hookimpl
        from optiscope.optim import Optimizer

        @attrs.define(kw_only=True)
        class Theirs(Optimizer):
            name = "theirs"

        @hookimpl
        def optiscope_optimizers():
            return [Theirs]

        @hookimpl
        def on_step(run, step):
            pass
        """,
    )
    host = create_manager(discover=False, files=[path])
    assert state_of(host, "theirs").registers == ("optimizer theirs", "on_step")
    assert host.build("optimizers", "theirs", {"lr": 2.0}).lr == 2.0


def test_a_plugin_that_cannot_say_what_it_brings_is_broken_and_leaves_the_rest():
    class Broken:
        @hookimpl
        def optiscope_optimizers(self):
            raise RuntimeError("no")

    host = create_manager(discover=False)
    host.register(Brings(Mine), "one")
    host.register(Broken(), "two")
    assert list(host.pieces("optimizers")) == ["mine"]
    assert state_of(host, "two").why == "its optiscope_optimizers failed: RuntimeError: no"
    with pytest.raises(UsageError, match="two could not be loaded"):
        host.build("optimizers", "theirs", {})


def test_a_piece_without_a_name_is_the_plugins_fault():
    host = create_manager(discover=False)
    host.register(Brings(object), "one")
    host.pieces("optimizers")
    assert "has no name" in state_of(host, "one").why


def test_blocking_what_is_not_there_is_refused():
    with pytest.raises(UsageError, match="did you mean 'optiscope-builtin'"):
        create_manager(block=["optiscope-bultin"])


class Hears:
    def __init__(self, heard, error=None):
        self.heard = heard
        self.error = error

    @hookimpl
    def on_run_end(self, result):
        self.heard.append(result)
        if self.error:
            raise self.error


def test_the_plugin_that_raises_is_named():
    host = create_manager(discover=False)
    host.register(Hears([]), "quiet")
    host.register(Hears([], RuntimeError("oh")), "loud")
    with pytest.raises(PluginError, match="'loud' failed in on_run_end: RuntimeError: oh"):
        host.notify("on_run_end", run=None, result=1)


def test_the_end_reaches_every_plugin_whatever_one_raises():
    heard = []
    host = create_manager(discover=False)
    for name in "abc":
        host.register(Hears(heard, RuntimeError("oh")), name)
    with pytest.warns(RuntimeWarning, match="failed in on_run_end") as warned:
        host.notify_all("on_run_end", run=None, result=7)
    assert heard == [7, 7, 7]
    assert len(warned) == 3
