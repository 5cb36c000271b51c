"""`make demo` does what it says, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGE = ROOT / ".demo"

pytestmark = pytest.mark.timeout(420)


@pytest.fixture(autouse=True)
def alone():
    if left_running():
        pytest.fail("another demo is running in this checkout")


def start():
    return subprocess.Popen(
        # Also where the tests are run in the background, and so with SIGINT ignored.
        ["env", "--default-signal=INT", sys.executable, "-m", "powmonman", "demo"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def left_running():
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal() and directory.name != str(os.getpid()):
            try:
                line = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                line = f"{directory.name} {line}"
            except OSError:
                continue
            if f"{STAGE}/" in line:
                found.append(line)
    return found


def test_the_demo_runs_to_its_end_and_leaves_nothing_behind():
    output, _ = start().communicate(timeout=400)
    assert "shut down" in output, output[-3000:]
    assert "stays up: dry run" in output
    assert "FAULT" not in output
    assert "WARNING: powmonman" not in output
    record = output[output.index("`powmonman history show`") :]
    assert record.index("hypervisor down") < record.index("nas shuts down")
    assert "nas down" in record
    assert [] == left_running()
    assert not STAGE.exists()


def daemons_run():
    return any(STAGE.glob("*/run/powmonman/*.pid"))


@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGTERM, left_running), (signal.SIGTERM, daemons_run), (signal.SIGINT, daemons_run)],
)
def test_a_demo_that_is_interrupted_leaves_nothing_behind(number, moment):
    demo = start()
    deadline = time.monotonic() + 300
    while not moment() and demo.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    # As a terminal does: the signal goes to everything in the foreground.
    if number is signal.SIGINT:
        os.killpg(demo.pid, number)
    else:
        demo.send_signal(number)
    output, _ = demo.communicate(timeout=100)
    assert 130 == demo.returncode, output[-3000:]
    assert [] == left_running()
    assert not STAGE.exists()
