"""Modules that others import and hardly ever use: loaded when they are used.

`dataclasses` imports `inspect`, and with it the parser and the disassembler of Python's own code,
for the signature of a class that has no docstring. That is 5 ms of every start, and 1.4 MB of every
client's memory. `importlib.util.LazyLoader` doesn't help: the second `import` of a module looks at
it, and so loads it.

No daemon may use one in an outage: the disk that it would be loaded from may be gone by then.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


class _Later(types.ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def later(name: str) -> None:
    """Let the module `name` be loaded when something of it is used for the first time."""
    sys.modules.setdefault(name, _Later(name))
