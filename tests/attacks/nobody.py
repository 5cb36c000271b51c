"""A host as the roll-out leaves it, with root's files, and the user who may change none of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from powmonman import bundle
from tests.integration.cable import unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATES = Path(__file__).parents[2] / "roles" / "powmonman_client" / "templates"
USER, GROUP = 65534, 65534


class Host:
    """Below `root`: `etc`, `lib`, `run/check` are root's, `run/powmonman` is the user's.

    `systemctl` is a script that leaves a trace.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.etc, self.lib, self.tools = root / "etc", root / "lib", root / "tools"
        self.runtime, self.checked = root / "run" / "powmonman", root / "run" / "check"
        for place in (self.etc, self.lib, self.tools, self.runtime, self.checked):
            place.mkdir(parents=True)
        os.chown(self.runtime, USER, GROUP)
        self.program = self.lib / "powmonman.pyz"
        self.program.write_bytes(bundle.program())
        self.program.chmod(0o755)
        self.trace = self.tools / "trace"
        systemctl = self.tools / "systemctl"
        systemctl.write_text(f'#!/bin/sh\necho systemctl "$@" >> {self.trace}\n', encoding="utf-8")
        systemctl.chmod(0o755)
        self.config = self.etc / "client.yml"
        self.configure(self.config, "own")

    def configure(self, path: Path, mark: str, **changes: Any) -> None:
        """Write a configuration whose commands leave `mark` in the trace."""
        command = ["sh", "-c", f"echo {mark} >> {self.trace}"]
        shutdown = {"commands": [{"command": command}], "final": {"command": command}, **changes}
        path.write_text(yaml.safe_dump({"shutdown": shutdown}), encoding="utf-8")

    @property
    def ran(self) -> list[str]:
        """What has left a trace."""
        return self.trace.read_text("utf-8").split("\n")[:-1] if self.trace.exists() else []

    def root_runs(self, *, config: Path | None = None, **environment: str) -> str:
        """Do what root's unit does; return what it says."""
        done = subprocess.run(
            [
                self.program,
                "run-shutdown",
                "--request",
                f"{self.runtime}-shutdown",
                "--config",
                config or self.config,
            ],
            env={"PATH": f"{self.tools}:/usr/bin:/bin", **environment},
            cwd=self.runtime,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stderr

    def unit(self, name: str, key: str) -> None:
        """Run the commands of `key` in root's unit `name`, with this host's paths."""
        for line in (TEMPLATES / f"{name}.j2").read_text("utf-8").splitlines():
            if line.startswith(f"{key}="):
                command = line.partition("=")[2].replace("/run/powmonman", str(self.runtime))
                may_fail = command.startswith("-")
                subprocess.run(command.lstrip("-").split(), check=not may_fail, timeout=30)

    def user_runs(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script as the unprivileged user."""
        return subprocess.run(
            ["sh", "-c", script],
            user=USER,
            group=GROUP,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin"},
            cwd=self.runtime,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def host() -> Iterator[Host]:
    """Build a host in a place that the user gets at, unlike pytest's own."""
    if os.geteuid() != 0:
        unavailable("needs root, who alone can be somebody else")
    root = Path(tempfile.mkdtemp(prefix="powmonman-host-"))
    root.chmod(0o755)
    yield Host(root)
    shutil.rmtree(root)
