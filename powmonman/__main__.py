"""Run PowMonMan: `python -m powmonman`, or as the single file that the roll-out installs.

The single file is started through a link that an upgrade points elsewhere. Modules are imported
when they are needed, so a process that kept reading through the link would load half of another
version in the middle of an outage. It goes on with the file that the link named at its start.
"""

from __future__ import annotations

import os.path
import sys


def _keep_to_this_file() -> None:
    program = os.path.realpath(sys.path[0])
    if not os.path.isfile(program):
        return
    compiled = f"{program}.{sys.implementation.cache_tag}"
    # In a directory for all, others might lay one.
    ours = os.path.isdir(compiled) and os.stat(compiled).st_uid == os.stat(program).st_uid
    sys.path[0] = compiled if ours else program


if __name__ == "__main__":
    _keep_to_this_file()

    from powmonman.later import later

    # For addresses in URLs, of which pathlib knows, and for texts of a process without an encoding.
    later("ipaddress")
    later("locale")

    from powmonman.cli import main

    sys.exit(main())
