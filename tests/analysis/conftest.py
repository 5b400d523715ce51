import numpy as np
import pytest


def noise(n, phi, rng):
    """Gaussian AR(1) noise of unit variance, started from its stationary law."""
    x = rng.standard_normal(n) * np.sqrt(1 - phi**2)
    x[0] /= np.sqrt(1 - phi**2)
    for t in range(1, n):
        x[t] += phi * x[t - 1]
    return x


FAULTS = {
    "spike": lambda e, size: np.where(np.arange(e.size) == 280, e + size, e),
    "step": lambda e, size: np.where(np.arange(e.size) >= 250, e - size, e),
    "variance": lambda e, size: np.where(np.arange(e.size) >= 250, e * size, e),
    "oscillation": lambda e, size: (
        e + size * np.clip((np.arange(e.size) - 100) / 300, 0, None) * (-1.0) ** np.arange(e.size)
    ),
}


@pytest.fixture(scope="session")
def ar1():
    return noise


@pytest.fixture(scope="session")
def faults():
    return FAULTS
