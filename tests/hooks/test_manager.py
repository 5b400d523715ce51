import itertools
import textwrap
import warnings
from types import SimpleNamespace

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


class Observes:
    """Hears of the ends of runs, and returns (or calls) what it is given for registration hooks."""

    def __init__(self, heard, **returned):
        self.heard = heard
        for name, value in returned.items():
            hook = hookimpl(value if callable(value) else lambda value=value: value)
            setattr(self, name, hook)

    @hookimpl
    def on_run_end(self, result):
        self.heard.append(result)


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


CLASH = "two plugins bring the optimizer 'mine', one and two: block one of them with --no-plugin"


def test_a_name_given_twice_names_both_plugins(install):
    install(("one", Brings(Mine)), ("two", Observes([], optiscope_optimizers=[Mine])))
    host = create_manager()
    for ask in (
        lambda: host.pieces("optimizers"),
        lambda: host.pieces("models"),
        lambda: host.build("optimizers", "mine", {}),
        lambda: create_manager(strict=True),
        lambda: create_manager(block=["two"]).register(Brings(Mine), "three"),
    ):
        with pytest.raises(PluginError, match=r"two plugins bring the optimizer 'mine', one and (two|three): block"):
            ask()


def test_a_name_given_twice_is_shown_as_the_state_of_the_second_of_which_nothing_runs(install):
    heard = []
    install(("one", Brings(Mine)), ("two", Observes(heard, optiscope_optimizers=[Mine])))
    host = create_manager()
    assert [(state.state, state.why) for state in host.plugins] == [("active", ""), ("broken", CLASH)]
    assert [info.name for info in host.active] == ["one"]
    host.notify_all("on_run_end", run=None, result=1)
    assert heard == []
    assert list(create_manager(block=["one"]).pieces("optimizers")) == ["mine"]


def test_a_name_given_twice_is_shown_of_a_file_that_was_asked_for_too(tmp_path):
    text = """
        from optiscope.hooks import hookimpl
        from optiscope.optim import SGD

        @hookimpl
        def optiscope_optimizers():
            return [SGD]
    """
    host = create_manager(files=[write_plugin(tmp_path, text)])
    assert "the optimizer 'sgd', optiscope-builtin and theirs" in state_of(host, "theirs").why
    with pytest.raises(PluginError, match="the optimizer 'sgd', optiscope-builtin and theirs"):
        host.pieces("analyzers")


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
    for ask in (host.build, host.check):
        with pytest.raises(UsageError) as raised:
            ask("optimizers", name, options)
        for part in parts:
            assert part in str(raised.value)


@pytest.mark.parametrize("error", [RuntimeError("no license"), SystemExit("no license")])
def test_what_a_piece_raises_when_it_is_made_is_told_with_its_plugin(error):
    class Unmade(Optimizer):
        name = "unmade"

        def __init__(self):
            raise error

    host = create_manager(discover=False)
    host.register(Brings(Unmade), "theirs")
    with pytest.raises(PluginError, match=r"^optimizer 'unmade' of plugin 'theirs' cannot be made: .*no license"):
        host.build("optimizers", "unmade", {})


@attrs.define(kw_only=True)
class Needy(Optimizer):
    name = "needy"
    gain: float
    beta: float = attrs.field(default=0.5, validator=attrs.validators.lt(1))


@attrs.define
class Opens:
    """An executor opens a pool when it is made, so it must not be made in order to be checked."""

    name = "opens"
    jobs: int = 1
    queue: str = ""

    def __attrs_post_init__(self):
        raise RuntimeError("made")


def test_options_are_checked_without_what_else_a_piece_needs():
    host = create_manager(discover=False)
    host.register(Observes([], optiscope_optimizers=[Mine, Needy], optiscope_executors=[Opens]), "one")
    host.check("optimizers", "mine", {"beta": 0.25})
    host.check("optimizers", "needy", {"beta": 0.25})
    host.check("executors", "opens", {"queue": "short"})
    host.check("executors", "opens", {"jobs": 2})
    for kind, name, options, part in [
        ("optimizers", "needy", {"bta": 0.25}, "did you mean 'beta'"),
        ("optimizers", "needy", {"beta": "much"}, "beta must be a number"),
        ("optimizers", "needy", {"beta": 2.0, "gain": 1.0}, "needy: 'beta' must be < 1"),
        ("executors", "opens", {"queue": 1}, "queue must be a text"),
        ("executors", "opens", {"lane": "fast"}, "unknown option of opens 'lane': known: jobs, queue"),
    ]:
        with pytest.raises(UsageError, match=part):
            host.check(kind, name, options)
    with pytest.raises(UsageError, match="gain"):
        host.build("optimizers", "needy", {})


@pytest.mark.parametrize("kind", KINDS)
def test_every_built_in_piece_passes_without_options_and_refuses_one_it_does_not_have(kind):
    host = create_manager()
    for name in host.pieces(kind):
        host.check(kind, name, {})
        with pytest.raises(UsageError, match=f"unknown option of {name} 'xyz'"):
            host.check(kind, name, {"xyz": 1})


def test_of_a_plain_piece_the_options_given_are_known():
    class Plain:
        name = "plain"

        def __init__(self, depth=1, width=2):
            self.depth = depth

    assert options_of(Plain()) == {}
    assert options_of(Plain(3), given={"depth": 3, "lr": 0.1}, leave=["lr"]) == {"depth": 3}
    assert options_of(Mine(beta=0.25), given={"beta": 0.25}, leave=["lr"]) == {"beta": 0.25}


def test_options_go_by_the_names_under_which_they_are_given():
    @attrs.define
    class Private:
        _depth: int = 1
        made: int = attrs.field(init=False, default=0)

    assert options_of(Private(depth=3)) == {"depth": 3}


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


def fails():
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ({"optiscope_recorders": fails}, "its optiscope_recorders failed: RuntimeError: no"),
        ({"optiscope_recorders": [object]}, "its optiscope_recorders failed: <class 'object'> has no name"),
        ({"optiscope_executors": None}, "its optiscope_executors failed: TypeError"),
        ({"optiscope_models": [Mine, Mine]}, "it brings the model 'mine' twice"),
        (
            {"optiscope_analyzers": [type("Rule", (), {"name": "rule"})]},
            "analyzer 'rule' has no rule_version: give it a class attribute rule_version = '1'",
        ),
    ],
)
def test_of_a_plugin_that_cannot_say_what_it_brings_nothing_runs(install, returned, why):
    heard = []
    other = attrs.make_class("Other", [], class_body={"name": "other"})
    install(("one", Brings(Mine)), ("two", Observes(heard, optiscope_optimizers=[other], **returned)))
    host = create_manager()
    assert why in state_of(host, "two").why
    assert (state_of(host, "two").state, state_of(host, "two").registers) == ("broken", ())
    assert [info.name for info in host.active] == ["one"]
    assert list(host.pieces("optimizers")) == ["mine"]
    host.notify("on_run_end", run=None, result=1)
    host.notify_all("on_run_end", run=None, result=1)
    assert heard == []
    with pytest.raises(UsageError, match="two could not be loaded, ") as missing:
        host.build("optimizers", "other", {})
    assert why in str(missing.value)
    with pytest.raises(PluginError, match="'two' from installed_1:plugin is broken: ") as raised:
        create_manager(strict=True)
    assert why in str(raised.value)


def test_a_file_that_cannot_say_what_it_brings_was_asked_for_in_vain(tmp_path):
    text = "from optiscope.hooks import hookimpl\n@hookimpl\ndef optiscope_recorders(): raise RuntimeError('no')"
    with pytest.raises(PluginError, match=r"'theirs' .* its optiscope_recorders failed: RuntimeError: no"):
        create_manager(discover=False, files=[write_plugin(tmp_path, text)])


def test_registering_a_broken_plugin_is_an_error_that_leaves_nothing_behind():
    heard = []
    host = create_manager(discover=False)
    with pytest.raises(PluginError, match="its optiscope_models failed: RuntimeError: no"):
        host.register(Observes(heard, optiscope_models=fails), "theirs")
    host.notify("on_run_end", run=None, result=1)
    assert (heard, host.plugins) == ([], ())
    host.register(Observes(heard), "theirs")
    host.notify("on_run_end", run=None, result=2)
    assert heard == [2]


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


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
@pytest.mark.parametrize("order", [["quiet", "loud"], ["loud", "quiet"]])
def test_the_plugin_that_raises_is_named(order, kind):
    host = create_manager(discover=False)
    for name in order:
        host.register(Hears([], kind("oh") if name == "loud" else None), name)
    with pytest.raises(PluginError, match=f"'loud' failed in on_run_end: {kind.__name__}: oh"):
        host.notify("on_run_end", run=None, result=1)


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_the_end_reaches_every_plugin_whatever_one_raises(kind):
    heard = []
    host = create_manager(discover=False)
    for name in "abc":
        host.register(Hears(heard, kind(f"oh {name}")), name)
    with pytest.warns(RuntimeWarning, match="failed in on_run_end") as warned:
        host.notify_all("on_run_end", run=None, result=7)
    assert heard == [7, 7, 7]
    (warning,) = warned
    said = str(warning.message).split("; ")
    for sentence, name in zip(said, "cba", strict=True):
        assert sentence.startswith(f"plugin '{name}' failed in on_run_end: {kind.__name__}: oh {name} (test_manager.py")


def test_the_end_reaches_every_plugin_where_warnings_are_errors():
    heard = []
    host = create_manager(discover=False)
    for name in "abc":
        host.register(Hears(heard, RuntimeError("oh")), name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="plugin 'c' failed"):
            host.notify_all("on_run_end", run=None, result=7)
    assert heard == [7, 7, 7]


def test_no_built_in_name_serves_two_kinds_so_that_set_is_clear():
    names = [name for kind in KINDS for name in create_manager().pieces(kind)]
    assert len(names) == len(set(names))


def test_an_instance_in_place_of_its_class_is_refused():
    with pytest.raises(PluginError, match="is an instance: return its class, Mine"):
        create_manager(discover=False).register(Brings(Mine()), "one")


def test_the_time_in_a_hook_is_told_with_the_plugin(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr("optiscope.hooks.manager.time", SimpleNamespace(perf_counter=lambda: next(clock)))

    class Slow:
        @hookimpl
        def on_step(self, step):
            for _ in range(step):
                next(clock)

    host, told = create_manager(discover=False), []
    host.register(Slow(), "slow")
    host.register(Slow(), "slower")
    host.notify("on_step", lambda *spent: told.append(spent), run=None, step=3, params=None, state={})
    assert sorted(told) == [("slow", 4), ("slower", 4)]


def test_the_hooks_of_a_plugin_are_known():
    class Watches:
        @hookimpl
        def on_step(self):
            pass

        @hookimpl
        def optiscope_optimizers(self):
            return [Mine]

    host = create_manager(discover=False)
    host.register(Watches(), "watches")
    host.register(Brings(), "brings")
    assert [(plugin.name, plugin.hooks) for plugin in host.active] == [("watches", ("on_step",)), ("brings", ())]


@pytest.mark.parametrize("name", ["alert(1)", " mine", "a(b"])
def test_an_optimizer_that_no_grid_can_name_is_refused(install, name):
    install(("one", Brings(attrs.make_class("Odd", [], class_body={"name": name}))))
    state = state_of(create_manager(), "one")
    assert state.state == "broken"
    assert f"optimizer '{name}' cannot be asked for: take parentheses and outer spaces out of its name" in state.why
