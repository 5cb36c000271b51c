"""What clients are told of the configuration."""

from __future__ import annotations

from powmonman.config.schema import ServerConfig
from powmonman.config.sources import Ups
from powmonman.server.report import policy_of


def test_the_ups_that_takes_its_mains_for_back_soonest_bounds_every_host() -> None:
    """A host that waited for a longer unbroken outage would wait for ever on flapping mains."""
    upses = {"rack": Ups(restore_confirm=9.0), "desk": Ups(restore_confirm=3.0)}
    assert policy_of(ServerConfig(fleet="f", upses=upses)).restore_confirm == 3.0
