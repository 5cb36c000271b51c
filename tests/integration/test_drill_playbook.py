"""`playbooks/drill.yml` and `drill_live.yml` on a fleet that was rolled out for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from .rollout import FLEET, Rollout, Run, needs_ansible

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [needs_ansible, pytest.mark.timeout(300)]

GHOST = FLEET.replace("127.0.0.14}", "127.0.0.14}, ghost: {ansible_host: 127.0.0.19}")


@dataclass(frozen=True)
class Story:
    """What the playbooks said of one fleet, run by run."""

    rolled_out: Run
    check: Run
    good: Run
    ghost: Run
    live: Run


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    rollout = Rollout(tmp_path_factory.mktemp("drill"))
    drill, live = "playbooks/drill.yml", "playbooks/drill_live.yml"
    try:
        rolled_out = rollout.run()
        check = rollout.run("--check", playbook=drill)
        good = rollout.run(playbook=drill, powmonman_drill_scale=20)
        (rollout.inventory / "hosts.yml").write_text(GHOST)
        ghost = rollout.run(playbook=drill, powmonman_drill_scale=20)
        unsure = {"drill_live": "database", "drill_live_confirm": "databas"}
        yield Story(rolled_out, check, good, ghost, rollout.run(playbook=live, **unsure))
    finally:
        rollout.stop()


def test_a_fleet_in_order_passes_and_a_check_drills_nothing(story: Story) -> None:
    assert story.rolled_out.code == 0, story.rolled_out.output
    assert story.check.code == 0, story.check.output
    assert story.good.code == 0, story.good.output
    assert "Every host is protected." in story.good.text


def test_a_host_of_the_inventory_that_the_server_never_saw_is_unprotected(story: Story) -> None:
    assert story.ghost.code != 0
    assert "ghost: the server has never heard of it: roll it out" in story.ghost.text


def test_live_wants_the_hosts_name_twice(story: Story) -> None:
    assert story.live.code != 0
    assert "Nothing is shut down." in story.live.text
