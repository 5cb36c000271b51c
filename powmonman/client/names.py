"""The addresses of host names, found out beside everything else.

A resolver whose DNS server has lost its power hangs for as long as it likes, and nothing ends it.
Each name is looked up in a thread of its own, of which there is one at most: whoever asks again
meanwhile waits for the same answer, and not for long.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

MOST_ADDRESSES = 4
WAIT = 1.0


class Names:
    """Looks names up; used by one thread."""

    def __init__(self) -> None:
        self._lookups: dict[str, _Lookup] = {}

    def ask(self, name: str) -> None:
        """Begin to look `name` up, unless that is under way, or an answer has come too late."""
        if name not in self._lookups:
            self._lookups[name] = _Lookup(name)

    def addresses(self, name: str, give_up: float) -> tuple[str, ...]:
        """Return the addresses of a name, by `give_up` (monotonic).

        Raises:
            OSError: There are none, or it is not known yet (TimeoutError).
        """
        self.ask(name)
        lookup = self._lookups[name]
        if not lookup.over.wait(max(0.0, give_up - time.monotonic())):
            raise TimeoutError("no answer to the question for its address yet")
        del self._lookups[name]
        if lookup.fault is not None:
            raise lookup.fault
        return lookup.addresses


class _Lookup:
    def __init__(self, name: str) -> None:
        self.addresses: tuple[str, ...] = ()
        self.fault: OSError | None = None
        self.over = threading.Event()
        self._name = name
        threading.Thread(target=self._run, name="resolver", daemon=True).start()

    def _run(self) -> None:
        try:
            self.addresses = _resolve(self._name)
        except OSError as error:
            self.fault = error
        except (ValueError, OverflowError) as error:
            # A name that can't be one.
            self.fault = OSError(0, str(error))
        finally:
            self.over.set()


def is_address(host: str) -> bool:
    """Whether nobody need be asked where that is."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host.partition("%")[0])
            return True
    return False


def _resolve(name: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(place[0]) for *_, place in found))[:MOST_ADDRESSES]
