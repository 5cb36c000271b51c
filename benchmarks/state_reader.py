"""States read as `powmonman.core.messages` reads them, at less cost for a process of many clients.

One push is the same for everybody, up to its own part: what it says to all is read once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from powmonman.core.messages import Own, ProtocolError, State, decode
from powmonman.core.records import from_json, parse

_OWN = b',"own":'


def heard(line: bytes) -> State:
    """Return the state in a line, as `messages.decode` does.

    Raises:
        ProtocolError: It is none.
    """
    shared, mark, own = line.partition(_OWN)
    if not mark:
        raise ProtocolError(f"not a state: {decode(line)}")
    rest = parse(b'{"own":' + own)
    said = from_json(Own, rest["own"]) if rest["own"] else Own()
    return replace(_shared(shared), own=said, seq=rest["seq"], echo=rest["echo"])


@lru_cache(16)
def _shared(part: bytes) -> State:
    message = decode(part + b"}")
    if not isinstance(message, State):
        raise ProtocolError(f"not a state: {message}")
    return message
