"""What may be in the file, and what becomes of everything else."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.config.sources import Simulated
from powmonman.core.power import Reading
from powmonman.sensors import simulated
from powmonman.sensors.simulated import SimulatedSensor, SimulationError, parse, render
from powmonman.simulate import write


def sensor(path: Path) -> SimulatedSensor:
    return SimulatedSensor(Simulated(file=str(path)))


def read(sensor: SimulatedSensor) -> Reading:
    return asyncio.run(sensor.read())


@pytest.mark.parametrize(
    ("word", "mains"),
    [
        ("on", True),
        ("ON", True),
        ("'on'", True),
        ("true", True),
        ("yes", True),
        ("off", False),
        ('"off"', False),
        ("False", False),
        ("no", False),
        ("unknown", None),
    ],
)
def test_on_and_off_are_words_booleans_or_quoted(word: str, mains: bool | None) -> None:
    assert parse(f"mains: {word}\n".encode()).mains is mains


def test_everything_that_the_file_can_say_is_read() -> None:
    text = b"# drill\nmains: off\ncharge: 80.5\nruntime: 1200\nlow_battery: yes\n"
    assert parse(text) == Reading(mains=False, charge=80.5, runtime=1200.0, low_battery=True)


def test_an_empty_value_is_one_that_is_not_known() -> None:
    assert parse(b"mains: on\ncharge:\nruntime: ~\nlow_battery:\n") == Reading(mains=True)


def test_unknown_by_request_says_so() -> None:
    assert parse(b"mains: unknown\ncharge: 50\n") == Reading(
        mains=None, charge=50.0, reason="the file says unknown"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"charge: 5\n", "no key 'mains' (on, off or unknown)"),
        (b"mains: maybe\n", "mains: 'maybe' is none of on, off, unknown"),
        (b"mains:\n", "mains: '' is none of on, off, unknown"),
        (b"mains: on\nchrage: 5\n", "line 2: unknown key"),
        (b"mains: on\nmains: off\n", "line 2: mains is there twice"),
        (b"mains: [on]\n", "line 1: not a plain 'key: value'"),
        (b"- mains\n", "line 1: not a plain 'key: value'"),
        (b"on\n", "line 1: not a plain 'key: value'"),
        (b"mains: &a on\ncharge: *a\n", "line 2: not a plain 'key: value'"),
        (b"mains: on\n---\nmains: off\n", "line 3: not a plain 'key: value'"),
        (b"mains: on\ncharge: 101\n", "charge: 101 is not 0 to 100"),
        (b"mains: on\ncharge: nan\n", "charge: nan is not 0 to 100"),
        (b"mains: on\ncharge: full\n", "charge: 'full' is no number"),
        (b"mains: on\nruntime: -1\n", "runtime: -1 is not 0 or more"),
        (b"mains: on\nlow_battery: 2\n", "low_battery: '2' is neither true nor false"),
        (b"mains: 'on\n", "line 2: found unexpected end of stream"),
        (b"mains: on\xff", "not a text file"),
        (b"mains: \x00", "not YAML"),
        (b'mains: "\\UFFFFFFFF"', "not YAML"),
        (b"[" * 1000, "line 1: not a plain 'key: value'"),
        (b"mains: on #" + b"x" * 2000, "longer than 1024 bytes"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: bytes, complaint: str) -> None:
    with pytest.raises(SimulationError) as error:
        parse(text)
    assert str(error.value).startswith(complaint)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=200))
def test_no_bytes_can_do_more_than_be_refused(data: bytes) -> None:
    try:
        parse(data)
    except SimulationError as error:
        assert len(str(error)) < 200  # noqa: PT017 - either outcome is right


@given(
    mains=st.sampled_from(["on", "off", "unknown"]),
    charge=st.none() | st.integers(0, 100),
    runtime=st.none() | st.integers(0, 100_000),
    low_battery=st.booleans(),
)
def test_what_is_rendered_is_read_back(
    mains: str, charge: int | None, runtime: int | None, *, low_battery: bool
) -> None:
    reading = parse(render(mains, charge, runtime, low_battery=low_battery).encode())
    expected = {"on": True, "off": False, "unknown": None}[mains]
    assert (reading.mains, reading.low_battery) == (expected, low_battery)
    assert (reading.charge, reading.runtime) == (charge, runtime)


def test_a_file_that_is_not_there_is_unknown_and_how_to_write_it(tmp_path: Path) -> None:
    path = tmp_path / "mains.yml"
    assert read(sensor(path)).reason == (
        f"{path}: no such file or directory; to mend it: powmonman simulate on --file {path}"
    )


@pytest.mark.parametrize("kind", ["directory", "fifo", "device"])
def test_what_is_no_file_is_unknown_and_blocks_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mains.yml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    watched = sensor(path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        assert "not a regular file" in read(watched).reason
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "mains.yml"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert "longer than 1024 bytes" in read(sensor(path)).reason


def test_an_unchanged_file_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mains.yml"
    write(path, "mains: off\n")
    watched = sensor(path)
    for _ in range(2):
        assert read(watched).mains is False
    monkeypatch.setattr(simulated, "parse", lambda _: pytest.fail("it was read again"))
    for _ in range(10):
        assert read(watched).mains is False


def test_two_writes_in_one_tick_of_the_clock_are_both_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mains.yml"
    watched = sensor(path)
    monkeypatch.setattr(simulated, "_stamp", lambda _: (1, 2, 3, 4))
    path.write_text("mains: on\ncharge: 50\n")
    assert read(watched).charge == 50
    path.write_text("mains: on\ncharge: 40\n")
    assert read(watched).charge == 40


def test_a_fault_keeps_its_reason_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "mains.yml"
    write(path, "mains: maybe\n")
    watched = sensor(path)
    for _ in range(4):
        assert "'maybe'" in read(watched).reason
    write(path, "mains: on\n")
    assert read(watched) == Reading(mains=True)


def test_a_file_replaced_all_the_time_is_never_half_read(tmp_path: Path) -> None:
    path = tmp_path / "mains.yml"
    texts = ["mains: on\ncharge: 100\n", "mains: off\n"]
    write(path, texts[0])
    stop = threading.Event()

    def replace_it() -> None:
        while not stop.is_set():
            for text in texts:
                write(path, text)

    writer = threading.Thread(target=replace_it)
    writer.start()
    try:
        watched = sensor(path)
        seen = {read(watched) for _ in range(300)}
    finally:
        stop.set()
        writer.join()
    assert seen <= {Reading(mains=True, charge=100.0), Reading(mains=False)}
