"""The second half of a run in a process that saw nothing of the first: `python -m optiscope.testing.afresh FOLDER`.

FOLDER has an .npz a dtype, parameters and state half way. stdin says in JSON what optimizer it is; stdout tells the
bits that each dtype comes to, in hexadecimal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from optiscope.errors import OptiscopeError
from optiscope.hooks import create_manager
from optiscope.testing.drive import STEPS, fill, go, gradients, quiet, start
from optiscope.testing.subject import Factory, load


def _found(request: dict[str, Any]) -> Factory:
    host = create_manager(files=request["files"], block=request["block"])
    why = ""
    for target in request["targets"]:
        try:
            return load(target, host)
        except OptiscopeError as error:
            why = str(error)
    raise SystemExit(why)


def _second_half(factory: Factory, options: dict[str, Any], file: Path, dtype: str) -> str:
    optimizer = factory(**options)
    params, state = start(optimizer, dtype)
    with np.load(file) as kept:
        params.flat[...] = kept["flat"]
        fill(state, {name.removeprefix("state."): kept[name] for name in kept.files if name != "flat"})
    half = STEPS // 2
    return go(optimizer, params, state, gradients(params)[half:], half + 1).flat.tobytes().hex()


def main() -> None:
    """Read the request, run, and print."""
    request = json.load(sys.stdin)
    sys.path.extend(path for path in request["path"] if path not in sys.path)
    factory, folder = _found(request), Path(sys.argv[1])
    with quiet():
        ends = [_second_half(factory, request["options"], folder / f"{name}.npz", name) for name in request["dtypes"]]
    json.dump(ends, sys.stdout)


if __name__ == "__main__":
    main()
