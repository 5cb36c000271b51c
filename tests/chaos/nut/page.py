"""docs/safety-beside-nut.md: how it was measured, on what, and the table."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman import __version__

from .bench import AFTER
from .nut import VARIANTS
from .scripts import FAULT
from .table import SLACK, table, tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .table import Row

OURS = "PowMonMan"
PRODUCTS = (OURS, *(variant.name for variant in VARIANTS))

PAGE = """\
# Safety beside NUT

The same faults, at the same seconds of an outage, done to PowMonMan and to
[NUT](https://networkupstools.org). One question: does the host go down when it has to, and only
then? Written by `make chaos-nut`; don't edit the figures. Many more faults of our own, with times
scaled down, are in `make chaos`.

## The table

Both are told the same: **down after {after:.0f} s on battery**. Times are seconds after the loss of
the mains. Faults "on battery" come at {fault:.0f} s. {runs} runs of each; what differs between them
is told apart. **Bold** is not what was expected: down too early, more than {slack:.0f} s late,
never, or although the mains are back.

{table}
{tally}
## What follows from it

For PowMonMan:

- **It counts on.** Once a host knows of the outage, nobody has to tell it anything more. Server,
  switch, address, DNS and sensor may go, and it goes down at its own time.
- **It can't know what it never heard.** If contact is lost before the outage, or with it, the host
  stays up until the battery is empty, like NUT's. Put the switch on the UPS, or let the host go by
  evidence of its own: [lost-contact.md](lost-contact.md).
- **Mains count as back only after 5 s** (`restore_confirm`), so a return in the last seconds comes
  too late. The server wakes the host again: [recovery.md](recovery.md).
- **A wrong certificate is no protection.** The client says so in its log, the server logs the
  refusal, and `powmonman verify` finds it before you need it.
- **A host that boots in an outage** first wants a minute on battery of its own (`min_observe`),
  from when its client runs. Python takes its time to start where the machine is busy.

For NUT:

- **A lost server soon decides.** At its defaults a host that was on battery goes down some 20 s
  after it has lost contact, whatever the timer says: safe for the data, early for you. Let
  `DEADTIME` be longer than your timer, and most of these rows are as expected (last column); a
  server that hangs still makes it two minutes late.
- **Give addresses, not names.** With a name, upsmon asks a dead DNS for ever and does nothing else.
- **The timer is a process**, upssched. When it goes, so does the shutdown; upsmon doesn't see it.
  upsmon itself may be restarted; Debian's unit doesn't do it by itself.
  A timer that ran out while the host stood still fires when it goes on, though the mains are back.
- **A shutdown command that fails** is not tried again.
- **Mains that flap** start the timer anew each time, until the battery is empty.
- **FSD stays set** in upsd until that is restarted. A host that boots before goes down again.
- **Watch one upsd per host**, if it must not wait: upsmon 2.8.0 connects to one server at a time.
- **A wrong password** doesn't keep upsmon from reading, nor the timer from running. The primary
  doesn't wait for such a host, though.

NUT does well when nothing else is broken, when anything breaks on mains, on a bad cable, and when
the mains come back in time, even in the last second (its timer began later). Its clients are far
smaller, start at once, and it speaks to far more UPSes. This is one version of it; others differ.

## How it was measured

| | |
|---|---|
| when | {date}, {took:.0f} minutes, {count} runs beside each other{failed} |
| machine | {machine} |
| load | {load} (mean of 1 and 15 minutes at the end) |
| PowMonMan | {version}, Python {python}, from this tree |
| NUT | {nut} |

Each run has a LAN of its own: network namespaces for a server `pi`, a host `nas`, and the switch
between them. Processes, sockets and cables are real; mains and shutdown are not. For NUT they are a
file that its `dummy-ups` reads and a `SHUTDOWNCMD` that leaves a trace, for PowMonMan the simulated
sensor and a `shutdown.final` that does. Nothing is scaled.

- **PowMonMan**: `policy.after: {after:.0f}`, the server's address (or name), and a certificate. All
  else is the default.
- **NUT**: upsd and an upsmon as primary on `pi`, an upsmon as secondary on `nas`. There upssched
  does what NUT's pages say for a time on battery: `START-TIMER` at `ONBATT`, `CANCEL-TIMER` at
  `ONLINE`, `upsmon -c fsd` at the end. Three ways:
{variants}

  All else is the default, `FINALDELAY` 5 s among it. That, and its polls, are why NUT is due some
  8 s later; it is not held against it.

Again, on your machine (root, Debian; nothing outside of the namespaces is touched):
```
apt install nut-client nut-server
make chaos-nut
```
"""


def page(rows: Sequence[Row], runs: int, failed: int, took: float) -> str:
    """Return the page.

    Args:
        rows: What was seen.
        runs: Of each scenario, on each product.
        failed: How many could not be played, and so are not in the table.
        took: How long all of it took, in seconds.
    """
    return PAGE.format(
        after=AFTER,
        fault=FAULT,
        slack=SLACK,
        runs=runs,
        table=table(rows, PRODUCTS),
        tally=tally(rows, PRODUCTS),
        date=dt.datetime.now(tz=dt.UTC).date(),
        took=took / 60,
        count=len(rows) * len(PRODUCTS) * runs,
        failed=f", {failed} of which could not be played" if failed else "",
        machine=machine(),
        load=f"{os.getloadavg()[0]:.0f} and {os.getloadavg()[2]:.0f}",
        version=__version__,
        python=platform.python_version(),
        nut=nut_version(),
        variants="\n".join(f"  - *{variant.name}*: {variant}." for variant in VARIANTS),
    )


def machine() -> str:
    """Return what this machine is."""
    cpuinfo = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    release = platform.freedesktop_os_release()["PRETTY_NAME"]
    kernel = platform.release().partition("-")[0]
    model = models[0] if models else platform.machine()
    return f"{os.cpu_count()} cores of an {model}, {release}, Linux {kernel}"


def nut_version() -> str:
    """Return which NUT is installed, as a package where it is one."""
    package = subprocess.run(
        ["dpkg-query", "-W", "-f", "Debian's nut-server ${Version}", "nut-server"],
        check=False,
        capture_output=True,
        text=True,
    )
    return package.stdout or "of no package"
