"""`powmonman wake-arm`: let a magic packet wake this host, on every wired card that can.

Root's unit powmonman-wake.service runs it at boot and once more at shutdown: drivers forget it with
each boot, and a setting of NetworkManager, networkd or ifupdown would hold for one of them alone.
A card that refuses is named, and nothing fails over it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from powmonman.net import ethtool

if TYPE_CHECKING:
    import argparse


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman wake-arm`: none."""


def run(_: argparse.Namespace) -> int:
    """Print `{"changed", "armed", "unable"}`, with a reason for each card that is unable."""
    armed: list[str] = []
    unable: dict[str, str] = {}
    changed = False
    for card in ethtool.cards():
        try:
            if card.wireless:
                unable[card.name] = "wireless: nothing wakes it once the host is off"
            else:
                changed = ethtool.arm(card.name) or changed
                armed.append(card.name)
        except OSError as error:
            unable[card.name] = error.strerror or str(error)
    print(json.dumps({"changed": changed, "armed": armed, "unable": unable}))
    return 0
