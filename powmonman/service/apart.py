"""For what runs beside what counts, and may fail alone: an error ends it, and nothing else."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("powmonman.service")


class Breakable(Protocol):
    """Something with an end of its own."""

    def broken(self) -> None:
        """End, after an error that nobody thought of."""


P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")
B = TypeVar("B", bound=Breakable)


def apart(
    otherwise: D,
) -> Callable[[Callable[Concatenate[B, P], R]], Callable[Concatenate[B, P], R | D]]:
    """Let a method's errors end its object alone; it returns `otherwise` then."""

    def decorate(method: Callable[Concatenate[B, P], R]) -> Callable[Concatenate[B, P], R | D]:
        @functools.wraps(method)
        def guarded(self: B, /, *args: P.args, **kwargs: P.kwargs) -> R | D:
            try:
                return method(self, *args, **kwargs)
            except Exception:
                log.exception("an error that nobody thought of ends %s", type(self).__name__)
                self.broken()
                return otherwise

        return guarded

    return decorate
