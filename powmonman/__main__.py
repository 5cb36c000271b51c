"""Run PowMonMan: `python -m powmonman`, or as the single file that the roll-out installs.

The single file is started through a link that an upgrade points elsewhere. Modules are imported
when they are needed, so a process that kept reading through the link would load half of another
version in the middle of an outage. It goes on with the file that the link named at its start.
"""

from __future__ import annotations

import sys
from pathlib import Path


def _keep_to_this_file() -> None:
    started_from = Path(sys.path[0])
    behind_the_link = started_from.resolve()
    if behind_the_link.is_file():
        sys.path[0] = str(behind_the_link)


if __name__ == "__main__":
    _keep_to_this_file()

    from powmonman.cli import main

    sys.exit(main())
