"""Run PowMonMan: `python -m powmonman`, or as the single file that the roll-out installs.

The single file is started through a link that an upgrade points elsewhere. Modules are imported
when they are needed, so a process that kept reading through the link would load half of another
version in the middle of an outage. It goes on with the file that the link named at its start.
"""

from __future__ import annotations

import sys
from pathlib import Path


def _keep_to_this_file() -> None:
    program = Path(sys.path[0]).resolve()
    if not program.is_file():
        return
    compiled = program.with_name(f"{program.name}.{sys.implementation.cache_tag}")
    # In a directory for all, others might lay one.
    ours = compiled.is_dir() and compiled.stat().st_uid == program.stat().st_uid
    sys.path[0] = str(compiled if ours else program)


if __name__ == "__main__":
    _keep_to_this_file()

    from powmonman.cli import main

    sys.exit(main())
