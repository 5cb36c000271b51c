from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from powmonman.service.files import overwrite, read_json, socket_address, write_json


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_written_is_read(file: Path, *, durable: bool) -> None:
    write_json(file, {"a": [1, "ä"]}, durable=durable)
    assert read_json(file) == {"a": [1, "ä"]}
    assert list(file.parent.iterdir()) == [file]


def test_the_world_may_not_read_it(file: Path) -> None:
    write_json(file, {}, durable=False)
    assert file.stat().st_mode & 0o777 & ~0o640 == 0


def test_a_write_that_fails_leaves_the_old_file_whole(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(file, {"a": 1}, durable=True)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_json(file, {"a": 2}, durable=True)
    assert read_json(file) == {"a": 1}
    assert list(file.parent.iterdir()) == [file]


def test_links_are_replaced_and_never_written_through(file: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    file.symlink_to(victim)
    write_json(file, {"a": 1}, durable=False)
    assert victim.read_text("utf-8") == "precious"
    assert not file.is_symlink()


@pytest.mark.parametrize("kind", ["link", "second name", "fifo", "stale"])
def test_what_lies_in_the_way_of_a_new_file_is_not_touched(
    file: Path, tmp_path: Path, kind: str
) -> None:
    victim, way = tmp_path / "victim", file.with_name(f".state.json.{os.getpid()}")
    victim.write_text("precious", encoding="utf-8")
    match kind:
        case "link":
            way.symlink_to(victim)
        case "second name":
            way.hardlink_to(victim)
        case "fifo":
            os.mkfifo(way)
        case "stale":
            way.write_text("x" * 1000, encoding="utf-8")
    write_json(file, {"a": 2}, durable=False)
    assert read_json(file) == {"a": 2}
    assert victim.read_text("utf-8") == "precious"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_what_decides_is_read_from_nobody_else(file: Path) -> None:
    write_json(file, {"a": 1}, durable=False)
    assert read_json(file, own=True) == {"a": 1}
    os.chown(file, 12345, -1)
    assert read_json(file, own=True) is None
    assert read_json(file) == {"a": 1}


def test_durable_means_that_file_and_directory_are_synced(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(file, {}, durable=True)
    write_json(file, {}, durable=False)
    assert synced == [f".state.json.{os.getpid()}", file.parent.name]


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[1]", b"{", b"[" * 100_000, b'{"a":"' + b"x" * 2**21 + b'"}']
)
def test_what_is_no_object_is_nothing(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert read_json(file) is None


def test_what_is_no_file_is_nothing(file: Path, tmp_path: Path) -> None:
    """A FIFO without a writer would else be waited for; and nothing is left open."""
    before = open_files()
    assert read_json(file) is None
    os.mkfifo(file)
    assert read_json(file) is None
    assert read_json(tmp_path) is None
    link, victim = tmp_path / "link", tmp_path / "victim"
    victim.write_text("{}", encoding="utf-8")
    link.symlink_to(victim)
    assert read_json(link) is None
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("depth", [0, 3])
def test_a_socket_can_be_had_at_any_path(tmp_path: Path, depth: int) -> None:
    """108 bytes are all that a socket's address has."""
    directory = tmp_path.joinpath(*["d" * 60] * depth)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "server.sock"
    heard: list[Any] = []
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with socket_address(path) as address:
            server.bind(address)
        server.listen()
        with socket_address(path) as address:
            client.connect(address)
        connection, _ = server.accept()
        with connection:
            client.sendall(b"{}")
            heard.append(json.loads(connection.recv(10)))
    assert heard == [{}]
    assert path.exists()


@pytest.mark.parametrize("kind", ["link", "second name", "fifo", "directory"])
def test_nothing_but_a_plain_file_is_written_over(tmp_path: Path, kind: str) -> None:
    victim, place = tmp_path / "victim", tmp_path / "place"
    victim.write_bytes(b"precious")
    match kind:
        case "link":
            place.symlink_to(victim)
        case "second name":
            place.hardlink_to(victim)
        case "fifo":
            os.mkfifo(place)
        case _:
            place.mkdir()
    with pytest.raises(OSError, match=r".+"):
        overwrite(place, b"x", create=True)
    assert victim.read_bytes() == b"precious"


def test_what_is_written_over_keeps_its_length_and_its_place(tmp_path: Path) -> None:
    """So that it needs no room on a full disk."""
    place = tmp_path / "place"
    place.write_bytes(b"x" * 100)
    before = place.stat().st_ino
    overwrite(place, b'{"a": 1}')
    assert place.stat().st_ino == before
    assert place.stat().st_size == 100
    assert read_json(place) == {"a": 1}
