"""Whether this host is going down, asked when the client is told to stop."""

from __future__ import annotations

import os
import subprocess

ASK_TIMEOUT = 2.0
_RUNNING = frozenset({"initializing", "starting", "running", "degraded", "maintenance"})


def is_going_down(*, committed: bool) -> bool:
    """Whether the client is stopped because its host is; otherwise somebody restarts it.

    systemd knows: a shutdown is a job of its own. Nobody else does, neither /run/nologin (there
    minutes before the time of a scheduled shutdown, and in no other) nor the signal. Where it can't
    be asked, a host that has `committed` is taken to be going down.
    """
    if "NOTIFY_SOCKET" not in os.environ:
        return committed
    try:
        answer = subprocess.run(
            ["systemctl", "is-system-running"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            timeout=ASK_TIMEOUT,
            check=False,
        ).stdout.strip()
    except (OSError, UnicodeDecodeError, subprocess.TimeoutExpired):
        return committed
    return answer == "stopping" or (committed and answer not in _RUNNING)
