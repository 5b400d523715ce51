import importlib

import pytest

from optiscope import errors


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("adma", ["sgd", "adam"], "unknown optimizer 'adma': did you mean 'adam'? known: adam, sgd"),
        ("lion", ["sgd", "adam"], "unknown optimizer 'lion': known: adam, sgd"),
        ("sgd", [], "unknown optimizer 'sgd': known: none"),
        ("adam-insid", ["adam", "adam-inside"], "'adam-insid': did you mean 'adam-inside'? known: adam, adam-inside"),
    ],
)
def test_unknown_names_what_is_known_and_what_is_near(name, known, message):
    error = errors.unknown("optimizer", name, iter(known))
    assert type(error) is errors.UsageError
    assert str(error).endswith(message)


def test_a_data_error_is_a_usage_error_and_all_are_ours():
    assert issubclass(errors.DataError, errors.UsageError)
    for kind in (errors.UsageError, errors.FileError, errors.PluginError):
        assert issubclass(kind, errors.OptiscopeError)
    assert not issubclass(errors.FileError, errors.UsageError)
    assert not issubclass(errors.PluginError, errors.UsageError)


def test_what_somebody_elses_code_raised_is_told_with_its_place():
    def theirs():
        return {}["nope"]

    with pytest.raises(KeyError) as raised:
        theirs()
    line = raised.value.__traceback__.tb_next.tb_lineno
    assert errors.told(raised.value) == f"KeyError: 'nope' (test_errors.py, line {line})"
    assert errors.told(errors.UsageError("a sentence")) == "a sentence"
    assert errors.told(ValueError("two\nlines")) == "ValueError: two lines"
    assert errors.told(ValueError("a\0b \ud800 \u00e9")) == r"ValueError: a\0b \ud800 \u00e9".replace(
        r"\u00e9", "\u00e9"
    )


def test_the_place_is_that_in_the_code_of_a_package_and_not_in_pythons_own(tmp_path, monkeypatch):
    """Which __init__.py it is, is told as well."""
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "__init__.py").write_text("import json\n\njson.loads('{')\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("\ndef f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, place in (("half", "half/__init__.py, line 3"), ("broken", "broken/__init__.py, line 2")):
        with pytest.raises((ValueError, SyntaxError)) as raised:
            importlib.import_module(name)
        assert errors.told(raised.value).endswith(f" ({place})")
        assert errors.told(raised.value).count("line 2") == (name == "broken")
