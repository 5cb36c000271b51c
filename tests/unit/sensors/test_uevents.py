"""Real uevents of the kernel, in a network namespace of their own, where no other device speaks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
SUPPORT = REPOSITORY / "tests" / "support"
APART = ["unshare", "--user", "--map-root-user", "--net"]


def possible() -> bool:
    if sys.platform != "linux" or not shutil.which("unshare"):
        return False
    return subprocess.run([*APART, "true"], check=False, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(
    "CI" not in os.environ and not possible(),
    reason="no user namespaces here: kernel events not tried",
)


def scene(name: str, apart: list[str] = APART) -> Any:
    """Return what a scene of `kernel_events` tells."""
    done = subprocess.run(
        [*apart, sys.executable, str(SUPPORT / "kernel_events.py"), name],
        env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{SUPPORT}", "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_event_ends_the_wait_also_if_it_came_before() -> None:
    told = scene("news")
    assert told["before"] < 5
    assert 0.2 <= told["during"] < 5
    assert told["none"] is None


def test_events_of_other_devices_and_of_impostors_are_none() -> None:
    assert scene("others") is None


def test_lost_events_are_a_reason_to_look_once_and_nothing_more() -> None:
    told = scene("overflow")
    assert told["lost"] is not None
    assert told["quiet"] is None
    assert told["again"] is not None
    assert told["fault"] == ""


def test_a_storm_of_events_is_looked_at_ten_times_a_second_at_most() -> None:
    assert scene("storm") <= 11


def test_the_monitor_reads_at_once_what_the_kernel_tells() -> None:
    told = scene("outage")
    assert told["states"] == ["on_mains", "on_battery"]
    # It would have polled after a minute.
    assert told["after"] < 8
    assert told["line"].endswith(", changes by kernel events, and polled every 60 s")


def test_in_a_container_with_its_own_network_and_users_no_events_are_claimed() -> None:
    told = scene("describe")
    assert told["line"] == (
        "polled every 2 s (no kernel events: this container has a network and users of its own)"
    )
    assert told["paused"] >= 0.29


def test_with_private_users_on_the_hosts_network_events_are_not_excluded() -> None:
    """As with systemd's PrivateUsers=: whose the network is can't be seen from inside."""
    told = scene("describe", APART[:-1])
    assert told["line"] == "polled every 2 s, and by kernel events where they arrive"
