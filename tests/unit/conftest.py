from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a fleet CA: `server.pem`, `hosts/nas.pem`, `hosts/db.pem`."""
    from powmonman.pki.authority import Authority

    directory = tmp_path_factory.mktemp("ca")
    Authority(directory).issue(["powmonman-server", "nas", "db"])
    return directory
