"""The datagrams of discovery: JSON, one object of at most 512 bytes.

A server announces `{"powmonman":1,"kind":"server","fleet":F,"port":7444}`, unasked and as the
answer to `{"powmonman":1,"kind":"probe","fleet":F,"pad":"…"}`. A probe is padded so that no answer
is longer than the question: a forged sender address can't make a server an amplifier.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DATAGRAM = 512


def announcement(fleet: str, port: int) -> bytes:
    """Return the datagram that says where `fleet`'s server listens."""
    return _encode({"powmonman": 1, "kind": "server", "fleet": fleet, "port": port})


def probe(fleet: str) -> bytes:
    """Return the datagram that asks for `fleet`'s server, as long as the longest answer."""
    question = {"powmonman": 1, "kind": "probe", "fleet": fleet, "pad": ""}
    question["pad"] = " " * (len(announcement(fleet, 65535)) - len(_encode(question)))
    return _encode(question)


def announced_port(datagram: bytes, fleet: str) -> int | None:
    """Return where `fleet`'s server listens; None if this is no announcement of that fleet."""
    port = _decode(datagram, "server", fleet).get("port")
    return port if type(port) is int and 0 < port < 65536 else None


def asks_for(datagram: bytes, fleet: str) -> bool:
    """Whether this is a probe for `fleet`."""
    return bool(_decode(datagram, "probe", fleet))


def _decode(datagram: bytes, kind: str, fleet: str) -> dict[str, Any]:
    """Return the message; empty if it is garbage, of another kind, or of another fleet."""
    if len(datagram) > MAX_DATAGRAM:
        return {}
    try:
        message = json.loads(datagram)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(message, dict):
        return {}
    said = (message.get("powmonman"), message.get("kind"), message.get("fleet"))
    return message if said == (1, kind, fleet) else {}


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
