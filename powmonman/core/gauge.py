"""What may be believed of a battery: its charge, its runtime, whether it is low.

What a UPS says of its battery can shut hosts down, and UPSes say odd things for one poll: a charge
of 0 after a hiccup of the bus, a runtime of seconds at the moment of the loss. So nothing that
could begin a shutdown is believed from one reading:

| value         | believed                                                                      |
|---------------|-------------------------------------------------------------------------------|
| charge        | within `JUMP` points of the last; the first, or a jump, with a second near it |
| runtime       | the longer of the last two readings                                           |
| low battery   | if the last two readings say so                                               |
| voltage       | at once: it decides nothing                                                   |

A reading without a value ends the belief: an old charge is never repeated as if it were new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from powmonman.core.power import Reading

JUMP = 10.0


@dataclass(frozen=True)
class Gauge:
    """A battery as its readings agree on it; `take` returns the next one.

    Attributes:
        charge: Percent 0-100.
        runtime: Seconds left on battery.
        voltage: Volts.
        odd: A charge that has jumped, and waits for a second reading.
        last_runtime: What the last reading alone said.
        last_low: Likewise.
    """

    charge: float | None = None
    runtime: float | None = None
    low_battery: bool = False
    voltage: float | None = None
    odd: float | None = None
    last_runtime: float | None = None
    last_low: bool = False

    def take(self, reading: Reading) -> Gauge:
        """Take one reading, of whatever the mains do."""
        charge, odd = self._charge(reading.charge)
        runtime = None
        if reading.runtime is not None and self.last_runtime is not None:
            runtime = max(reading.runtime, self.last_runtime)
        return Gauge(
            charge=charge,
            odd=odd,
            runtime=runtime,
            last_runtime=reading.runtime,
            low_battery=reading.low_battery and self.last_low,
            last_low=reading.low_battery,
            voltage=reading.voltage,
        )

    def _charge(self, new: float | None) -> tuple[float | None, float | None]:
        if new is None:
            return None, None
        for old in (self.charge, self.odd):
            if old is not None and abs(new - old) <= JUMP:
                return new, None
        return self.charge, new
