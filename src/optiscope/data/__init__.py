"""Data: what a data set is, the two built-in ones, the order of batches, and fetching."""

from optiscope.data.base import Dataset, Images, to_batch
from optiscope.data.batches import Batch, Batches, child
from optiscope.data.cifar10 import Cifar10, from_folder
from optiscope.data.synthetic import Synthetic

__all__ = [
    "Batch",
    "Batches",
    "Cifar10",
    "Dataset",
    "Images",
    "Synthetic",
    "child",
    "from_folder",
    "to_batch",
]
