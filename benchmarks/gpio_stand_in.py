"""A module in the place of `RPi.GPIO`, whose pins this process drives itself."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def wired(pins: dict[int, bool]) -> Iterator[None]:
    """Let the sensor `gpio` read `pins`: by BCM number, whether the circuit holds it high.

    Every pin is held by its circuit, so that the wire check is made and finds nothing.
    """
    package, gpio = ModuleType("RPi"), ModuleType("RPi.GPIO")
    package.GPIO = gpio  # type: ignore[attr-defined]
    functions = {
        "setwarnings": lambda _: None,
        "setmode": lambda _: None,
        "setup": lambda _bcm, _direction, pull_up_down: pull_up_down,
        "input": lambda bcm: int(pins[bcm]),
        "cleanup": lambda _=None: None,
    }
    constants = {"BCM": 11, "IN": 1, "PUD_OFF": 20, "PUD_DOWN": 21, "PUD_UP": 22}
    vars(gpio).update(functions | constants | {"VERSION": "a stand-in"})
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="powmonman-bench-") as directory:
        os.environ["LG_WD"] = directory
        sys.modules.update({"RPi": package, "RPi.GPIO": gpio})
        try:
            yield
        finally:
            for name in ("RPi", "RPi.GPIO"):
                del sys.modules[name]
            os.environ.clear()
            os.environ.update(before)
