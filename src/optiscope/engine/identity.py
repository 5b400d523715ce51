"""Names and fingerprints: what makes two runs the same run.

`run_id` hashes everything that changes bits, and nothing else: no path, no version, no plugin that only observes.
`state_digest` hashes what training has come to, so that two runs can be compared bit for bit at every epoch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from optiscope.params import Parameters


def run_id(prefix: str, identity: Mapping[str, Any]) -> str:
    """Return a readable prefix and ten hexadecimal digits of the SHA-256 of `identity`, fit for a file name.

    It begins as neither a hidden file nor an option of a command does.
    """
    text = json.dumps(identity, sort_keys=True, default=str)
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", prefix).lstrip("-.") or "run"
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def state_digest(params: Parameters, state: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return the SHA-256, in hexadecimal, of the parameters and the optimizer's state, names included."""
    digest = hashlib.sha256(np.ascontiguousarray(params.flat).data)
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(state[name]).data)
    return digest.hexdigest()
