"""A configuration file: every fault named, or a configuration that means the same written again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fuzzing import expect, headed, scratch

from powmonman.config import document
from powmonman.config.faults import ConfigError
from powmonman.config.loader import parse, read
from powmonman.config.schema import ClientConfig, GuardConfig, ServerConfig
from powmonman.guard import derive
from powmonman.notify import targets as notify

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS: dict[str, type] = {"server": ServerConfig, "client": ClientConfig, "guard": GuardConfig}
WORDS = (
    *(b"server\n", b"client\n", b"guard\n", b"targets\n", b"upses:\n", b"  rack:\n"),
    *(b"policy:\n  after: ", b"shutdown:\n  commands:\n  - [a]\n", b"&a ", b"*a", b"<<: ", b"- "),
    *(b"!!python/object:os.system ", b"!!binary ", b"%YAML 1.1\n---\n", b"...\n", b"? ", b"| \n"),
    *(b"1e999", b"0x10", b"1_000", b".inf", b".nan", b"12:30:45", b"yes", b"~", b"\xef\xbb\xbf"),
    *(b"\0", b"\r\n", b"\xe2\x80\xa8", b'"\\ud800"', b"\t", b"order:\n  hosts:\n"),
    *(b"gpio:\n  pin: 17\n", b"witnesses:\n", b"notify:\n  enabled: true\n", b"dry_run: true\n"),
    *(b"targets:\n  mail: mailto://", b"recovery:\n", b"clients: [nas]\n", b"quorum: 2\n"),
    *(b"wait_for: [nas]\n", b"sensor: nut\n"),
)  # fmt: skip
LARGEST = 4096


def target(data: bytes) -> None:
    kind, text = headed(data)
    path = scratch() / "settings.yml"
    path.write_bytes(text)
    path.chmod(0o640)
    if kind == "targets":
        _targets(path)
        return
    cls = KINDS.get(kind, ServerConfig)
    try:
        config = read(path, cls).config
    except ConfigError as error:
        _one_line_each(error)
        return
    if isinstance(config, GuardConfig):
        for made in (derive.server(config, "host"), derive.client(config, "host")):
            _again(made)
    else:
        _again(config)


def hostile() -> Iterator[bytes]:
    room = document.MAX_BYTES - 1000
    bomb = b"a0: &a0 [x]\n" + b"".join(
        b"a%d: &a%d [%b]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 20)
    )
    for kind in (b"server", b"client", b"guard", b"targets"):
        yield kind + b"\n" + bomb
    for kind in (b"server",):
        yield kind + b"\nclients: &c [" + b"nas," * 2000 + b"nas]\nupses: *c\n"
        yield kind + b"\n" + b"[" * room
        yield kind + b"\n" + b"{a: " * (room // 4)
        yield kind + b"\n" + b"- " * (room // 2)
        yield kind + b"\n" + b"? " * (room // 2)
        yield kind + b"\nlease: " + b"9" * room
        yield kind + b"\nlease: 0x" + b"f" * room
        yield kind + b"\nlease: " + b"1_" * (room // 2)
        yield kind + b"\nfleet: '" + b"x" * room + b"'\n"
        yield kind + b"\n" + b"k" * room + b": 1\n"
        yield kind + b"\n" + b"".join(b"k%d: 1\n" % n for n in range(5_000))
        yield kind + b"\nclients:\n" + b"".join(b"- h%d\n" % n for n in range(5_000))
        yield kind + b"\nlease: 1:" + b"0:" * 2000 + b"0\n"
        yield kind + b"\n%YAML " + b"1" * 5000 + b".1\n---\n"
        yield kind + b"\nfleet: " + b"a b " * (room // 4)
        yield kind + b"\n" + b"\n" * room
        yield kind + b"\n#" + b"x" * room
        yield kind + b"\n&" + b"a" * room + b" x"
        yield kind + b"\n!" + b"%41" * (room // 3) + b" x"


def _again(config: ServerConfig | ClientConfig) -> None:
    text = derive.as_text(config, Path("source.yml"))
    if len(text.encode()) > document.MAX_BYTES:
        return
    expect(parse(text, type(config)).config == config, "written again it means something else")


def _targets(path: Path) -> None:
    try:
        found = notify.load(path)
    except ConfigError as error:
        _one_line_each(error)
        return
    expect(found and all("://" in each.url for each in found.values()), "a target without address")


def _one_line_each(error: ConfigError) -> None:
    expect(error.faults, "refused without a reason")
    expect(len(error.faults) <= 200, "more faults than anybody reads")
    for fault in error.faults:
        expect(str(fault).isprintable(), "a fault that is more than one line")
        expect(len(str(fault)) < 10_000, "a fault that is longer than anybody reads")
