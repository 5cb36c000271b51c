"""Host names of servers. A DNS that died with the mains can hang for half a minute.

So each look-up runs in a thread of its own, is waited for only so long, and goes on meanwhile.
"""

from __future__ import annotations

import socket
import threading

from powmonman.client.link import LinkError

TIMEOUT = 3.0


class Names:
    """The addresses of host names; of each name, one look-up at a time."""

    def __init__(self) -> None:
        self._asked: dict[str, _Question] = {}

    def addresses(self, host: str) -> list[str]:
        """Return the addresses of `host`, which may be one itself. Blocks for `TIMEOUT` at most.

        Raises:
            LinkError: There is none, or nobody says so in time.
        """
        if _is_address(host):
            return [host]
        question = self._asked.get(host)
        if question is None or not question.hangs:
            # A second one beside it would hang too.
            question = self._asked[host] = _Question(host)
        return question.answer(TIMEOUT)


class _Question:
    """One look-up."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._found: list[str] = []
        self._fault = ""
        self._thread = threading.Thread(target=self._ask, name="resolver", daemon=True)
        self._thread.start()

    @property
    def hangs(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def answer(self, timeout: float) -> list[str]:
        self._thread.join(timeout)
        if self.hangs:
            raise LinkError(f"the DNS does not answer within {timeout:g} s")
        if self._fault:
            raise LinkError(self._fault)
        return self._found

    def _ask(self) -> None:
        try:
            found = socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            # A name that can't be one is a ValueError.
            self._fault = getattr(error, "strerror", None) or str(error)
        else:
            self._found = list(dict.fromkeys(str(address[0]) for *_, address in found))


def _is_address(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return False
    return True
