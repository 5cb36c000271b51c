"""The UPSes through a reload: who goes on, who begins anew, who is no longer watched."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from powmonman.config.schema import ServerConfig
from powmonman.config.sources import Simulated, Ups
from powmonman.core.outage import Outage
from powmonman.server.memory import Memory
from powmonman.server.upses import Upses

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path


async def nothing(_: object) -> None: ...


def test_a_reload_touches_only_what_it_changes_and_no_outage(tmp_path: Path) -> None:
    rack = Ups(sensor="simulated", simulated=Simulated(poll=60.0))
    config = ServerConfig(upses={"rack": rack, "desk": rack, "shed": rack})

    async def story() -> None:
        def keep_running(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            return asyncio.create_task(work)

        upses = Upses(Memory(str(tmp_path), str(tmp_path)), nothing, keep_running)
        upses.watch(config)
        before, watches = dict(upses.monitors), dict(upses.watches)
        before["desk"].supply = replace(before["desk"].supply, outage=Outage("o1", 1.0), spent=9.0)
        assert upses.in_outage
        after = replace(config, upses={"rack": rack, "desk": replace(rack, confirm=9.0)})
        upses.watch(after, config)
        await asyncio.sleep(0.01)
        assert set(upses.monitors) == set(upses.watches) == {"rack", "desk"}
        assert upses.monitors["rack"] is before["rack"]
        assert upses.monitors["desk"] is not before["desk"]
        desk = upses.supplies()["desk"]
        assert (desk.outage, desk.spent) == (Outage("o1", 1.0), 9.0)
        assert [name for name, task in watches.items() if task.cancelled()] == ["desk", "shed"]
        upses.watch(replace(after, refill_ratio=2.0), after)
        assert upses.monitors["rack"] is not before["rack"]
        for task in upses.watches.values():
            task.cancel()

    asyncio.run(story())
