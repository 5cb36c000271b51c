"""What must not be read by others, taken out of what others may read.

An address of a target holds its password, and libraries like to quote it. Whatever comes back
from a delivery goes through here before it is logged, kept or shown.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus, urlsplit

from powmonman.core.records import printable

HIDDEN = "***"
LONGEST = 300
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,20})://[^\s\"'<>]+")
# With these the first part is a server's name, which helps to find the fault, not a token.
_SERVERS = frozenset({"mailto", "mailtos", "ntfy", "ntfys", "gotify", "gotifys", "json", "jsons"})
_DELIMITERS = re.compile(r"[/?&=@:;,+#\s]+")
# A shorter one can't be told from a part of a word.
_SHORTEST = 3
_PRIVATE = 0xE000
_NO_SECRETS = frozenset({"yes", "true", "false", "starttls", "ssl", "smtp", "user", "verify"})


def redacted(text: str, *urls: str) -> str:
    """Return `text` on one short line, without any address and any part of `urls`."""
    text = _URL.sub(rf"\1://{HIDDEN}", text)
    # A server's name helps, and may hold what is a part of an address too.
    servers = [name for url in urls if (name := _server(url))]
    for place, name in enumerate(servers):
        text = text.replace(name, chr(_PRIVATE + place))
    for secret in sorted({part for url in urls for part in _parts(url)}, key=len, reverse=True):
        text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
    for place, name in enumerate(servers):
        text = text.replace(chr(_PRIVATE + place), name)
    text = printable(" ".join(text.split()))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _parts(url: str) -> set[str]:
    """Return what in `url` nobody else should read: all but its scheme, server and port."""
    _scheme, _, rest = url.partition("://")
    found = set(_DELIMITERS.split(rest)) | _password(url)
    found |= {unquote(part) for part in found} | {unquote_plus(part) for part in found}
    found |= {piece for part in found for piece in _DELIMITERS.split(part)}
    return {part for part in found if len(part) >= _SHORTEST and part.lower() not in _NO_SECRETS}


def _password(url: str) -> set[str]:
    """Return user and password whole: they may hold delimiters."""
    try:
        split = urlsplit(url)
        return {part for part in (split.username, split.password) if part}
    except ValueError:
        return set()


def _server(url: str) -> str:
    """Return the name of the server, where it is one and no token."""
    try:
        split = urlsplit(url)
    except ValueError:
        return ""
    return split.hostname or "" if split.scheme.lower() in _SERVERS else ""
