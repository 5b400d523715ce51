"""The optimizers that people expect, one file each, written as a third party would write them.

Each file states its update in the notation of the paper that it comes from, where its defaults come from, and in what
it differs from PyTorch's or optax's optimizer of that name. The rest is the protocol of `optiscope.optim`: options as
attrs fields, state as named arrays, an update in place.

The files share a few conventions. Momentum is v <- b v + g, without dampening. A weight decay is coupled, g + d w with
the weights at which g was taken, unless its option says that it is decoupled, w - lr d w. Sums that a method takes
over a layer run over one named array.
"""

from collections.abc import Sequence

from optiscope.hooks import hookimpl
from optiscope.optim import Optimizer
from optiscope_optimizers.adadelta import Adadelta
from optiscope_optimizers.adagrad import Adagrad
from optiscope_optimizers.adamax import Adamax
from optiscope_optimizers.adamw import AdamW
from optiscope_optimizers.adan import Adan
from optiscope_optimizers.amsgrad import AMSGrad
from optiscope_optimizers.hyadamc import HyAdamC
from optiscope_optimizers.lamb import LAMB
from optiscope_optimizers.lion import Lion
from optiscope_optimizers.momentum import Momentum
from optiscope_optimizers.muon import Muon
from optiscope_optimizers.nadam import NAdam
from optiscope_optimizers.nag import NAG
from optiscope_optimizers.nag_reformulated import NAGReformulated
from optiscope_optimizers.radam import RAdam
from optiscope_optimizers.rmsprop import RMSProp
from optiscope_optimizers.sign_sgd import SignSGD

__all__ = [
    "LAMB",
    "NAG",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "AdamW",
    "Adamax",
    "Adan",
    "HyAdamC",
    "Lion",
    "Momentum",
    "Muon",
    "NAGReformulated",
    "NAdam",
    "RAdam",
    "RMSProp",
    "SignSGD",
]


@hookimpl
def optiscope_optimizers() -> Sequence[type[Optimizer]]:
    """Bring the optimizers."""
    return [
        Momentum,
        NAG,
        NAGReformulated,
        SignSGD,
        Adagrad,
        Adadelta,
        RMSProp,
        AMSGrad,
        AdamW,
        NAdam,
        RAdam,
        Adamax,
        HyAdamC,
        Adan,
        Lion,
        LAMB,
        Muon,
    ]
