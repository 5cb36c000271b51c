from __future__ import annotations

from typing import TYPE_CHECKING

from powmonman.service.apart import apart

if TYPE_CHECKING:
    import pytest


class Beside:
    """Runs beside what counts."""

    ended = False

    def broken(self) -> None:
        self.ended = True

    @apart(-1)
    def half(self, number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number // 2


def test_an_error_ends_what_made_it_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    one = Beside()
    assert (one.half(4), one.ended) == (2, False)
    assert (one.half(3), one.ended) == (-1, True)
    assert "an error that nobody thought of ends Beside" in caplog.text
