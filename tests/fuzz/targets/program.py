"""What a program of the sensor `command` wrote, on both outputs, and how it ended.

The first line is the exit code; a line `---` parts what it wrote from what it complained of.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from fuzzing import Deaf, expect, headed
from words import JSON

from powmonman.config.sources import Program as Settings
from powmonman.sensors.command import CommandSensor
from powmonman.sensors.program import MAX_BYTES
from targets.messages import hostile as lines
from targets.nut import check

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = (
    *(
        *JSON,
        b'{"mains":',
        b'"on"',
        b'"off"',
        b'"unknown"',
        b'"charge":',
        b'"runtime":',
        b"\n---\n",
    ),
    *(b'"low_battery":', b'"voltage":', b'"reason":', b"0\n", b"1\n", b"-9\n", b"2\n"),
)
LARGEST = MAX_BYTES


def target(data: bytes) -> None:
    head, rest = headed(data)
    output, _, complaint = rest[: 2 * MAX_BYTES].partition(b"\n---\n")
    code = int(head) if re.fullmatch(r"-?[0-9]{1,3}", head) else 0
    run = Deaf(
        excess=len(output) > MAX_BYTES, late=False, escaped=False, code=code,
        output=bytearray(output), complaint=bytearray(complaint),
    )  # fmt: skip
    found = CommandSensor(Settings(command=("/usr/bin/mains",)))._judge(run)
    if output.strip():
        check(found, output, (b"ON", b"TRUE", b"\\U"), (b"OFF", b"FALSE", b"\\U"))
        if found.mains is not None:
            said = json.loads(output)["mains"]
            expect(said in (True, False) or str(said).lower() in {"on", "off"}, "who said so?")
    else:
        expect(found.mains is None or found.mains is (code == 0), "the exit code says otherwise")
        expect(found.reason.isprintable(), "a reason that is more than one line")


def hostile() -> Iterator[bytes]:
    for each in lines():
        yield b"0\n" + each[:MAX_BYTES]
    yield b"1\n\n---\n" + b"\n" * MAX_BYTES
    yield b"1\n\n---\n" + b"\x1b" * MAX_BYTES
    yield b'0\n{"mains":true,' + b",".join(b'"k%d":0' % n for n in range(400)) + b"}"
