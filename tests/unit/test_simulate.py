"""`powmonman simulate` writes what the simulated sensor reads, or says why it can't."""

from __future__ import annotations

import argparse
import asyncio
import stat
from typing import TYPE_CHECKING

import pytest

from powmonman import simulate
from powmonman.config.sources import Simulated
from powmonman.core.power import Reading
from powmonman.sensors.simulated import SimulatedSensor

if TYPE_CHECKING:
    from pathlib import Path

SERVER = """
upses:
  rack: {sensor: simulated, simulated: {file: %s}}
  desk: {sensor: gpio}
"""


def powmonman_simulate(*words: object) -> int:
    parser = argparse.ArgumentParser(prog="powmonman simulate")
    simulate.add_arguments(parser)
    return simulate.run(parser.parse_args([str(word) for word in words]))


def reading(path: Path) -> Reading:
    return asyncio.run(SimulatedSensor(Simulated(file=str(path))).read())


@pytest.mark.parametrize(("word", "mains"), [("on", True), ("off", False), ("unknown", None)])
def test_the_sensor_reads_what_was_written(tmp_path: Path, word: str, mains: bool | None) -> None:
    assert powmonman_simulate(word, "--file", tmp_path / "mains.yml") == 0
    assert reading(tmp_path / "mains.yml").mains is mains


def test_charge_runtime_and_low_battery_are_written_too(tmp_path: Path) -> None:
    path = tmp_path / "mains.yml"
    powmonman_simulate("off", "--file", path, "--charge", 12.5, "--runtime", 90, "--low-battery")
    expected = Reading(mains=False, charge=12.5, runtime=90.0, low_battery=True)
    assert reading(path) == expected


def test_what_is_not_given_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "mains.yml"
    powmonman_simulate("off", "--file", path, "--charge", 12, "--low-battery")
    powmonman_simulate("on", "--file", path)
    assert reading(path) == Reading(mains=True)


def test_the_service_user_may_read_the_file_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "mains.yml"
    powmonman_simulate("on", "--file", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_nothing_but_the_file_is_left_behind(tmp_path: Path) -> None:
    powmonman_simulate("on", "--file", tmp_path / "mains.yml")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mains.yml"]


def test_a_link_in_the_service_directory_leads_root_nowhere(tmp_path: Path) -> None:
    precious = tmp_path / "shadow"
    precious.write_text("precious")
    link = tmp_path / "mains.yml"
    link.symlink_to(precious)
    assert powmonman_simulate("off", "--file", link) == 0
    assert precious.read_text() == "precious"
    assert not link.is_symlink()


def test_the_configuration_names_the_file(tmp_path: Path) -> None:
    config, path = tmp_path / "server.yml", tmp_path / "rack.yml"
    config.write_text(SERVER % path)
    assert powmonman_simulate("off", "--config", config) == 0
    assert reading(path) == Reading(mains=False)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--ups", "desk"], "'desk' has the sensor 'gpio'; set `sensor: simulated`"),
        (["--ups", "attic"], "there is no UPS 'attic' (simulated: rack)"),
    ],
)
def test_a_ups_that_is_not_simulated_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    config = tmp_path / "server.yml"
    config.write_text(SERVER % (tmp_path / "rack.yml"))
    assert powmonman_simulate("off", "--config", config, *words) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "rack.yml").exists()


def test_one_of_several_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "server.yml"
    config.write_text("upses: {a: {sensor: simulated}, b: {sensor: simulated}}\n")
    assert powmonman_simulate("off", "--config", config) == 2
    assert "name one with --ups (simulated: a, b)" in capsys.readouterr().err


def test_a_directory_that_is_not_there_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert powmonman_simulate("on", "--file", tmp_path / "no" / "mains.yml") == 1
    assert "no such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("charge", ["101", "-1", "nan", "full"])
def test_a_charge_that_can_not_be_is_bad_usage(
    capsys: pytest.CaptureFixture[str], charge: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        powmonman_simulate("on", f"--charge={charge}")
    assert exit_.value.code == 2
    assert f"{charge!r} is not a number from 0 to 100" in capsys.readouterr().err
