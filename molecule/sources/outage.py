"""What real sources say of a failing supply, and a record of what each host did when.

1. The UPS alone says that it is on battery, and the meter says otherwise: nobody may notice.
2. An outage that ends soon: all count down that hang on the lost supply, and all stop.
3. An outage that lasts. The UPS discharges until its battery is low, the laptop's battery drains.
   The hosts go, each at the trigger that is its own. Then the mains return, and they are switched
   on again.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from stage import PATIENCE, Stage, play

SERVER = "pi"
GUARD = "laptop"
UPSD = "upsd"
MAIL = "mail"
DUAL_FED = "hypervisor"
GOING = ["nas", "database"]
MAILBOX = "/var/mail/operator"
QUIET = 4.0
LONGEST_OUTAGE = 90.0

# In fast motion, but slowly enough that no step passes for a jump of the charge.
PER_SECOND = 4
LOW = 20
ON_MAINS = """ups.status: OL CHRG
battery.charge: {charge}
battery.runtime: {runtime}
input.voltage: 230.0
"""
ON_BATTERY = """ups.status: {status}
battery.charge: {charge}
battery.runtime: {runtime}
input.voltage: 0.0
TIMER 1
"""
FULL = ON_BATTERY.format(status="OB DISCHRG", charge=100, runtime=1800)
# dummy-ups reads a file again when the second in which it was written is another.
WRITE = """
now=$(date +%s); old=$(stat -c %Y "$1")
[ "$now" -gt "$old" ] || now=$((old + 1))
cp -p "$1" "$1.new"; cat > "$1.new"; touch -d "@$now" "$1.new"; mv "$1.new" "$1"
"""
# A reader must not find a file empty, which the kernel's never are.
SUPPLIES = """
cd /srv/power_supply
say() { echo "$2" > "$1.new"; mv "$1.new" "$1"; }
"""
PLUG = SUPPLIES + 'say AC/online "$1"; say BAT0/status "$2"'
DRAIN = (
    SUPPLIES
    + """
full=$(cat BAT0/energy_full)
while sleep 1; do
    now=$(($(cat BAT0/energy_now) - full * $1 / 100))
    [ $now -gt 0 ] || exit
    say BAT0/energy_now $now
    say BAT0/capacity $((now * 100 / full))
done
"""
)
# Not as a unit: in containers on cgroup v1 systemd never sees that its processes are gone, and the
# way down would wait for it.
IN_BACKGROUND = 'setsid sh -euc "$1" sh "$2" < /dev/null > /dev/null 2>&1 &'


def write(stage: Stage, host: str, path: str, text: str) -> None:
    """Give a file on a host other contents, at once."""
    stage.fleet.run(host, "sh", "-euc", WRITE, "sh", path, given=text)


def ups(stage: Stage, text: str) -> None:
    """Let the rack's UPS say this. What stands before a TIMER holds for that long."""
    write(stage, UPSD, "/etc/nut/rack.dev", text)


def meter(stage: Stage, word: str) -> None:
    """Let the witness say this."""
    write(stage, SERVER, "/srv/meter.json", json.dumps({"mains": word}))


def adapter(stage: Stage, word: str) -> None:
    """Pull the laptop's adapter, or put it back."""
    says = {"on": ("1", "Charging"), "off": ("0", "Discharging")}
    stage.fleet.run(GUARD, "sh", "-euc", PLUG, "sh", *says[word])


def discharge() -> str:
    """Return what the UPS says from a full battery to an empty one."""
    return "".join(
        ON_BATTERY.format(
            status="OB DISCHRG LB" if charge <= LOW else "OB DISCHRG",
            charge=charge,
            runtime=18 * charge,
        )
        for charge in range(100, 0, -PER_SECOND)
    )


def lose(stage: Stage, said: str) -> float:
    """Take the mains from both, the rack's UPS saying this; return when it began."""
    began = stage.at()
    ups(stage, said)
    meter(stage, "off")
    adapter(stage, "off")
    return began


def restore(stage: Stage, charge: int) -> float:
    """Put the mains back, with the UPS charged as far as this; return when it was done."""
    ups(stage, ON_MAINS.format(charge=charge, runtime=18 * charge))
    meter(stage, "on")
    return stage.at()


def phases(stage: Stage) -> dict[str, str]:
    """Return what each client does."""
    return {name: row["phase"] for name, row in stage.hosts().items()}


def alone(stage: Stage) -> dict[str, Any]:
    """Let the UPS test its battery, which the meter knows nothing of."""
    ups(stage, FULL)
    seen: set[str] = set()
    end = time.monotonic() + QUIET
    while time.monotonic() < end:
        seen |= set(phases(stage).values())
    said = stage.fleet.run(UPSD, "upsc", "rack@localhost", "ups.status").split()
    restore(stage, 100)
    return {"ups": said, "phases": sorted(seen), "states": stage.fleet.states()}


def short_outage(stage: Stage) -> dict[str, Any]:
    """Lose the mains until everybody counts who hangs on them alone, and put them back."""
    lost = lose(stage, FULL)
    counting = stage.until(
        "every client but the dual-fed one counts",
        lambda: phases(stage),
        lambda seen: (
            {name for name, phase in seen.items() if phase == "counting"} == {*GOING, GUARD}
        ),
        PATIENCE,
    )
    counted = stage.at()
    back = restore(stage, 100)
    adapter(stage, "on")
    stage.all_in("idle")
    return {
        "lost": lost,
        "counted": counted,
        "phases": counting,
        "back": back,
        "cancelled": stage.at(),
        "states": stage.fleet.states(),
    }


def mailed(stage: Stage, *words: str) -> None:
    """Wait until the operator has mail with each of these, in whatever order."""
    stage.until(
        f"mail with: {'; '.join(words)}",
        lambda: stage.fleet.run(MAIL, "sh", "-c", f"cat {MAILBOX} || :").replace("=\n", ""),
        lambda text: all(each in text for each in words),
        3 * PATIENCE,
    )


def laptop_charge(stage: Stage) -> float:
    """Return the charge of the laptop's battery in percent, which it keeps while it is off."""
    read = "cd /srv/power_supply/BAT0; echo $((10000 * $(cat energy_now) / $(cat energy_full)))"
    return int(stage.fleet.run(GUARD, "sh", "-c", read)) / 100


def real_outage(stage: Stage) -> dict[str, Any]:
    """Lose the mains for good, and note what the UPS said when each host was found off."""
    start = laptop_charge(stage)
    lost = lose(stage, discharge())
    stage.fleet.run(GUARD, "sh", "-euc", IN_BACKGROUND, "sh", DRAIN, str(PER_SECOND))
    off: dict[str, float] = {}
    said: list[list[Any]] = []

    def look() -> dict[str, float]:
        answer = stage.fleet.run(UPSD, "sh", "-c", "upsc rack@localhost 2> /dev/null")
        values = dict(line.split(": ", 1) for line in answer.splitlines())
        said.append([stage.at(), float(values["battery.charge"]), values["ups.status"]])
        return stage.note_exits(off)

    stage.until(
        "every host is off that hangs on the lost supply alone",
        look,
        {*GOING, GUARD}.issubset,
        LONGEST_OUTAGE,
    )
    mailed(stage, *(f"{name} has shut down" for name in GOING))
    return {
        "lost": lost,
        "ups": said,
        "laptop_start": start,
        "off": off,
        "phases": {name: row["phase"] for name, row in stage.hosts(SERVER).items()},
        "states": stage.fleet.states(),
    }


def recovery(stage: Stage) -> dict[str, Any]:
    """Put the mains back, switch everything on, and wait for the last word of it."""
    back = restore(stage, LOW)
    # Its adapter first: it is off, and so are its files.
    stage.fleet.boot(GUARD)
    adapter(stage, "on")
    charge = laptop_charge(stage)
    stage.switch_on()
    stage.all_in("idle", limit=3 * PATIENCE)
    power = stage.until(
        "the mains are known to be back", stage.power, {"on_mains"}.__eq__, PATIENCE
    )
    connected = stage.at()
    mailed(stage, *(f"{name} is connected again" for name in (*GOING, GUARD)))
    time.sleep(QUIET)
    return {
        "back": back,
        "laptop_charge": charge,
        "connected": connected,
        "power": sorted(power),
        "phases": phases(stage),
        "states": stage.fleet.states(),
    }


def acts(stage: Stage) -> dict[str, Any]:
    """Play all three, and what follows."""
    stage.all_in("idle")
    return {
        "alone": alone(stage),
        "short": short_outage(stage),
        "real": real_outage(stage),
        "recovery": recovery(stage),
    }


if __name__ == "__main__":
    sys.exit(play(sys.argv[1:], {SERVER: [*GOING, DUAL_FED], GUARD: [GUARD]}, acts))
