import pytest

from optiscope.names import names_of


def adam(**more):
    return {"optimizer": "adam", "options": {"beta1": 0.9, "epsilon": 1e-8}, "model": "m", "reduction": "mean"} | more


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ([], []),
        ([adam()], ["adam"]),
        ([adam(), adam()], ["adam", "adam"]),
        ([adam(), adam(optimizer="sgd", options={"momentum": 0.5}, model="n", reduction="sum")], ["adam", "sgd"]),
        (
            [adam(), adam(options={"beta1": 0.8, "epsilon": 1e-8}), adam(optimizer="sgd")],
            ["adam(beta1=0.9)", "adam(beta1=0.8)", "sgd"],
        ),
        ([adam(), adam(options={"epsilon": 1e-8})], ["adam(beta1=0.9)", "adam"]),
        ([adam(), adam(model="n")], ["adam on m", "adam on n"]),
        ([adam(), adam(reduction="sum")], ["adam, mean", "adam, sum"]),
        (
            [adam(), adam(options={"betas": [0.8, 1]}, model="n", reduction="sum"), adam(model="n")],
            [
                "adam(beta1=0.9, epsilon=1e-08) on m",
                "adam(betas=[0.8, 1]) on n, sum",
                "adam(beta1=0.9, epsilon=1e-08) on n, mean",
            ],
        ),
        ([{"optimizer": "adam"}, {"optimizer": "adam", "options": None}], ["adam", "adam"]),
    ],
)
def test_a_name_says_as_little_as_tells_it_from_the_others(settings, names):
    assert names_of(settings) == names
