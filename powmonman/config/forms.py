"""What a text in the configuration must look like, where not any text will do."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC = re.compile(r"[0-9.]+")
_SCOPE = re.compile(r"[^\s/%]{1,15}")


@dataclass(frozen=True)
class Form:
    """A form that texts can have.

    Attributes:
        words: The form in words, for the reference: "a name of ...".
        canonical: Returns the text in the spelling that tells whether two are the same.
            Raises ValueError, with the reason in words, when the text doesn't have the form.
    """

    words: str
    canonical: Callable[[str], str]


def server_address(text: str, default_port: int) -> tuple[str, int]:
    """Split an address of a server into host and port; nothing is looked up.

    Takes `192.0.2.7`, `pi.lan`, either with `:port`, `2001:db8::7`, `[2001:db8::7]:7444`, and
    link-local addresses with their scope (`fe80::1%eth0`).

    Raises:
        ValueError: It is none of these; the reason in words.
    """
    if "://" in text:
        raise ValueError("write the address alone, without what ends in '://'")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("expected [address] or [address]:port")
        return _ipv6(host), _port(rest[1:]) if rest else default_port
    if text.count(":") > 1:
        return _ipv6(text), default_port
    host, colon, port = text.partition(":")
    return _host(host), _port(port) if colon else default_port


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError("the port must be a number from 1 to 65535")
    return int(text)


def _ipv6(text: str) -> str:
    address, percent, scope = text.partition("%")
    if not _is_address(socket.AF_INET6, address) or (percent and not _SCOPE.fullmatch(scope)):
        raise ValueError("not an IPv6 address")
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, address)) + (
        percent + scope
    )


def _host(text: str) -> str:
    if _NUMERIC.fullmatch(text):
        if not _is_address(socket.AF_INET, text):
            raise ValueError("not an IPv4 address: that is four numbers from 0 to 255")
        return text
    name = text.removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError("neither an IP address nor a host name")
    return text


def _is_address(family: socket.AddressFamily, text: str) -> bool:
    try:
        socket.inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return True


def _server(text: str) -> str:
    host, port = server_address(text, 0)
    return f"{host.lower().removesuffix('.')} {port}"


def _listen(text: str) -> str:
    return _ip_address(text) if text else text


def _ip_address(text: str) -> str:
    if ":" in text:
        return _ipv6(text)
    if not _is_address(socket.AF_INET, text):
        raise ValueError("expected an IP address such as 192.0.2.7; names need a working DNS")
    return text


def _host_or_address(text: str) -> str:
    return _ipv6(text) if ":" in text else _host(text).lower()


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(
            "the path must begin with '/': it must name the same file from any directory"
        )
    return text


def _optional_path(text: str) -> str:
    return _path(text) if text else text


def _fingerprint(text: str) -> str:
    return text.replace(":", "").lower()


def _matching(
    pattern: str, words: str, canonical: Callable[[str], str] = lambda text: text
) -> Form:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"expected {words}")
        return canonical(text)

    return Form(words, check)


NAME = _matching(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
    "up to 63 letters, digits, '_', '.' or '-', the first a letter or digit",
)
HOST_NAME = _matching(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}",
    "a host's name: letters, digits, '_', '.' or '-'",
)
INTERFACE = _matching(r"[^\s/]{1,15}", "an interface's name, such as eth0")
POWER_SUPPLY = _matching(r"[^\s/]{1,63}", "a power supply's name, such as AC; `*` is any text")
USER = _matching(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", "the name of a user of this host")
FINGERPRINT = _matching(
    r"[0-9a-fA-F]{2}(:?[0-9a-fA-F]{2}){31}",
    "64 hexadecimal digits, with or without colons between pairs",
    _fingerprint,
)
EVENT = _matching("[a-z_]{1,40}", "the name of an event")
PRESET = _matching("[a-z_]{1,40}", "the name of a preset")
MAC = _matching(
    r"[0-9a-fA-F]{2}([:-]?[0-9a-fA-F]{2}){5}",
    "12 hexadecimal digits, with or without colons or dashes between pairs",
    lambda text: re.sub("[:-]", "", text).lower(),
)
IP_ADDRESS = Form("an IP address", _ip_address)
HOST = Form("an IP address or a host name", _host_or_address)
PATH = Form("an absolute path", _path)
OPTIONAL_PATH = Form("an absolute path, or empty", _optional_path)
LISTEN_ADDRESS = Form("an IP address, or empty", _listen)
SERVER_ADDRESS = Form("an IP address or a host name, with or without `:port`", _server)
