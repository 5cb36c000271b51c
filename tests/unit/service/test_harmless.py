from __future__ import annotations

from typing import TYPE_CHECKING

from powmonman.service.harmless import harmless

if TYPE_CHECKING:
    import pytest


@harmless
def breaks() -> None:
    raise RuntimeError("nobody thought of this")


def test_an_error_in_what_is_only_for_the_record_stops_nobody_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(3):
        breaks()
    (said,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "breaks failed; all else goes on" in said.message
