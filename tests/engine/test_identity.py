import hashlib

import numpy as np
import pytest

from optiscope.engine.identity import run_id, state_digest
from optiscope.params import Parameters

STATE = {"m": np.arange(3.0), "v": np.ones(3)}


def params():
    return Parameters.from_arrays({"a": [1.0, 2.0], "b": [3.0]})


def test_the_digest_sees_every_bit_of_parameters_and_state():
    digests = {state_digest(params(), STATE)}
    for change in (0, 1, 2):
        other = params()
        other.flat[change] = np.nextafter(other.flat[change], np.float32(9))
        digests.add(state_digest(other, STATE))
    for name in STATE:
        other_state = {key: array.copy() for key, array in STATE.items()}
        other_state[name][1] = np.nextafter(other_state[name][1], 9)
        digests.add(state_digest(params(), other_state))
    digests.add(state_digest(params(), {"m": STATE["v"], "v": STATE["m"]}))
    digests.add(state_digest(params(), {"m": STATE["m"], "w": STATE["v"]}))
    assert len(digests) == 8
    assert state_digest(params(), dict(reversed(STATE.items()))) in digests


@pytest.mark.parametrize("prefix", ["torch:RAdam-b5", "../../etc", "a b\n"])
def test_a_run_id_is_fit_for_a_file_name(prefix):
    name = run_id(prefix, {"x": 1})
    assert all(letter.isalnum() or letter in "._-" for letter in name)
    assert "/" not in name


@pytest.mark.parametrize(
    ("prefix", "begins"),
    [
        ("[red]x-b5", "red-x-b5-"),
        (":smile:-b5", "smile--b5-"),
        ("-x-b5", "x-b5-"),
        (".hidden-b5", "hidden-b5-"),
        ("../../etc", "etc-"),
        ("日本-b5", "b5-"),
        ("", "run-"),
        ("-.", "run-"),
        ("_x-b5", "_x-b5-"),
        ("torch:RAdam-b5-lr0.1-s0", "torch-RAdam-b5-lr0.1-s0-"),
    ],
)
def test_a_run_id_begins_as_neither_an_option_nor_a_hidden_file(prefix, begins):
    digest = hashlib.sha256(b'{"x": 1}').hexdigest()[:10]
    assert run_id(prefix, {"x": 1}) == begins + digest


def test_a_run_id_takes_options_that_json_does_not_know():
    assert run_id("a", {"x": np.float32(1)}) != run_id("a", {"x": float("inf")}) != run_id("a", {"x": None})
