"""optiscope: what an optimizer does to the training of a network."""

__version__ = "0.1.0"
