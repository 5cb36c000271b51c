"""A host that waits, to its bound, for another that does not go down."""

from __future__ import annotations

from .scenario import AFTER, Goes, Host, Layout, Need

TIMEOUT = 4.0
NEEDS = frozenset({Need.WAITING})
LAYOUT = Layout((Host("web", wait_for=("nas",), wait_timeout=TIMEOUT), Host("nas", after=600.0)))
WEB_GOES = Goes("web", AFTER + TIMEOUT)
