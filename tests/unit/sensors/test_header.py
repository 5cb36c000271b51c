"""Where a GPIO is on the header. The truth here is copied from the board's own drawing."""

from __future__ import annotations

import pytest

from powmonman.sensors.header import GROUNDS, PHYSICAL, locate

# Both rows of the header, as printed on it: odd pins, then even pins.
DRAWING = """
3V3 2 3 4 GND 17 27 22 3V3 10 9 11 GND 0 5 6 13 19 26 GND
5V 5V GND 14 15 18 GND 23 24 GND 25 8 7 1 GND 12 GND 16 20 21
"""
ODD, EVEN = (row.split() for row in DRAWING.strip().splitlines())
HEADER = dict(zip((*range(1, 40, 2), *range(2, 41, 2)), (*ODD, *EVEN), strict=True))


def test_every_gpio_is_where_the_drawing_has_it() -> None:
    drawn = {int(name): pin for pin, name in HEADER.items() if name.isdigit()}
    assert dict(sorted(drawn.items())) == PHYSICAL


def test_every_ground_is_where_the_drawing_has_it() -> None:
    assert tuple(sorted(pin for pin, name in HEADER.items() if name == "GND")) == GROUNDS


def test_gpio4_is_physical_pin_7_with_ground_on_9_or_6() -> None:
    assert str(locate(4)) == "GPIO4 (physical pin 7, ground on 9 or 6)"


@pytest.mark.parametrize("bcm", range(28))
def test_no_ground_is_nearer_than_the_first_that_is_named(bcm: int) -> None:
    def place(physical: int) -> complex:
        return complex((physical - 1) // 2, physical % 2)

    pin = locate(bcm)
    distances = sorted(abs(place(pin.physical) - place(ground)) for ground in GROUNDS)
    assert [abs(place(pin.physical) - place(ground)) for ground in pin.grounds] == distances[:2]


@pytest.mark.parametrize("bcm", [-1, 28, 40, 53])
def test_what_is_no_gpio_of_the_header_is_refused(bcm: int) -> None:
    with pytest.raises(ValueError, match=f"pin {bcm} is no GPIO of the 40-pin header"):
        locate(bcm)


@pytest.mark.parametrize(
    ("bcm", "word"),
    [(0, "HAT"), (1, "HAT"), (2, "fixed"), (3, "wakes"), (4, "1-Wire"), (8, "SPI"), (14, "serial")],
)
def test_a_pin_with_another_duty_is_known_for_it(bcm: int, word: str) -> None:
    assert word in locate(bcm).caution


@pytest.mark.parametrize("bcm", [17, 22, 23, 24, 25, 27])
def test_a_free_pin_has_no_caution(bcm: int) -> None:
    assert locate(bcm).caution == ""
