"""The 40-pin header of a Raspberry Pi: BCM numbers, physical pins, grounds.

Two numberings meet here. *BCM* counts the GPIOs of the chip and is what the configuration means;
*physical* counts the pins of the header, which is what a person with a wire in hand counts.
"""

from __future__ import annotations

from dataclasses import dataclass

PHYSICAL = {
    0: 27, 1: 28, 2: 3, 3: 5, 4: 7, 5: 29, 6: 31, 7: 26, 8: 24, 9: 21,
    10: 19, 11: 23, 12: 32, 13: 33, 14: 8, 15: 10, 16: 36, 17: 11, 18: 12, 19: 35,
    20: 38, 21: 40, 22: 15, 23: 16, 24: 18, 25: 22, 26: 37, 27: 13,
}  # fmt: skip
GROUNDS = (6, 9, 14, 20, 25, 30, 34, 39)

_FIXED_PULL_UP = (
    "has a fixed 1.8 kOhm pull-up to 3.3 V, so a cut wire reads high whatever `pull` is"
)
_ID_EEPROM = "is read at boot for the ID of a HAT; leave it free"
_UART = "is the serial console where that is on (enable_uart=1)"
_SPI = "belongs to SPI where that is on (dtparam=spi=on)"
_CAUTIONS = {
    0: _ID_EEPROM,
    1: _ID_EEPROM,
    2: f"{_FIXED_PULL_UP}; it is also I2C",
    3: f"{_FIXED_PULL_UP}; it is also I2C, and low on it wakes a halted Pi",
    4: "is the default pin of 1-Wire (dtoverlay=w1-gpio), which makes it busy, and it is pulled "
    "up until the server claims it",
    7: _SPI,
    8: _SPI,
    9: _SPI,
    10: _SPI,
    11: _SPI,
    14: _UART,
    15: _UART,
}


@dataclass(frozen=True)
class HeaderPin:
    """One GPIO on the header.

    Attributes:
        bcm: The number in the configuration.
        physical: The pin to count to.
        grounds: The two nearest ground pins (physical), the nearest first.
        caution: What else wants this pin, or empty.
    """

    bcm: int
    physical: int
    grounds: tuple[int, int]
    caution: str

    def __str__(self) -> str:
        nearest, next_one = self.grounds
        return f"GPIO{self.bcm} (physical pin {self.physical}, ground on {nearest} or {next_one})"


def locate(bcm: int) -> HeaderPin:
    """Return where GPIO `bcm` is on the header.

    Raises:
        ValueError: There is no such GPIO on the header; the message says why.
    """
    physical = PHYSICAL.get(bcm)
    if physical is None:
        raise ValueError(
            f"pin {bcm} is no GPIO of the 40-pin header: give the BCM number, 0 to 27, not the "
            f"physical pin (GPIO4 is physical pin 7)"
        )
    first, second = sorted(GROUNDS, key=lambda ground: (_distance(physical, ground), ground))[:2]
    return HeaderPin(bcm, physical, (first, second), _CAUTIONS.get(bcm, ""))


def _distance(one: int, other: int) -> int:
    # Two columns: odd pins in one, even pins in the other. Squared, in units of 2.54 mm.
    rows = (one - 1) // 2 - (other - 1) // 2
    columns = one % 2 - other % 2
    return rows * rows + columns * columns
