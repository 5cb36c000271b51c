from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from powmonman.config.loader import ConfigError, parse
from powmonman.config.schema import ClientConfig, ServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable


def _faults(text: str, cls: type, name: str) -> list[str]:
    try:
        parse(text, cls, name)
    except ConfigError as error:
        return str(error).splitlines()
    return []


@pytest.fixture
def server_faults() -> Callable[[str], list[str]]:
    """The faults of a text as server.yml."""
    return lambda text: _faults(text, ServerConfig, "server.yml")


@pytest.fixture
def client_faults() -> Callable[[str], list[str]]:
    """The faults of a text as client.yml."""
    return lambda text: _faults(text, ClientConfig, "client.yml")
