"""What the documentation names is there, and what it tells people to type is understood."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from powmonman import cli
from powmonman.config.loader import ConfigError, parse
from powmonman.config.schema import ClientConfig, GuardConfig, ServerConfig
from powmonman.notify import targets

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
PAGES = sorted(
    [
        README,
        REPOSITORY / "CHANGELOG.md",
        REPOSITORY / "SECURITY.md",
        *REPOSITORY.glob("docs/*.md"),
        *REPOSITORY.glob("roles/*/README.md"),
    ]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
TEST = re.compile(r"(?P<file>[\w/]+\.py)::(?:\w+::)?(?P<name>\w+)(?:\[.*\])?")
VARIABLE = re.compile(r"(?<![\w/.-])powmonman_[a-z_]*[a-z]\b")
# Groups of the inventory and roles, and the two other names of the program.
NO_VARIABLES = {"powmonman_server", "powmonman_client", "powmonman_guard"}

each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text("utf-8"))]


def prose(page: Path) -> str:
    """Return the page without its fenced blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def spans(page: Path) -> list[str]:
    """Return what the page sets in code within its lines."""
    return [" ".join(span.split()) for span in SPAN.findall(prose(page))]


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the names that the headings of a page get."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)|`", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return frozenset(
        slug if not n else f"{slug}-{n}" for slug, last in found.items() for n in range(last + 1)
    )


def test_headings_get_the_names_that_links_use() -> None:
    assert {"keys-of-serveryml", "upsesname", "log", "log-1"} <= anchors(
        REPOSITORY / "docs" / "configuration.md"
    )


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(prose(page)):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert [] == dead


@each_page
def test_every_test_that_is_named_is_there(page: Path) -> None:
    """Below `tests`, or as a path of the repository; the name may end in what is in brackets."""
    missing = []
    for span in spans(page):
        if not (named := TEST.fullmatch(span)):
            continue
        file, name = named["file"], named["name"]
        sources = [one for root in ("tests", ".") if (one := REPOSITORY / root / file).is_file()]
        if not any(
            re.search(rf"^ *def {name}\(", one.read_text("utf-8"), re.MULTILINE) for one in sources
        ):
            missing.append(span)
    assert [] == missing


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {
        (REPOSITORY / link.partition("#")[0]).resolve() for link in LINK.findall(prose(README))
    }
    assert set() == {page for page in PAGES if page.parent.name == "docs"} - linked


def shell_commands(text: str) -> Iterator[list[str]]:
    """Return the commands in a piece of shell, each as its words, redirections left out."""
    text = re.sub(r"\\\n", " ", text)
    for line in text.splitlines():
        lexer = shlex.shlex(
            re.sub(r"^[$#] (?=\w)", "", line), posix=True, punctuation_chars="|&;<>"
        )
        lexer.whitespace_split = True
        words: list[str] = []
        redirected = False
        for word in lexer:
            if set(word) <= set("|&;"):
                yield words
                words, redirected = [], False
            elif set(word) <= set("<>"):
                redirected = True
            elif not redirected:
                words.append(word)
        yield words


def ours(words: list[str]) -> Iterator[list[str]]:
    """Return the arguments where `words` is a call of powmonman, here or on another host."""
    while words and (words[0] == "sudo" or re.match(r"\w+=", words[0])):
        words = words[1:]
    if not words:
        return
    if words[0] == "ssh" and len(words) == 3:
        for inner in shell_commands(words[2]):
            yield from ours(inner)
    elif words[:2] == ["podman", "exec"]:
        rest = [word for word in words[2:] if not word.startswith("-")]
        yield from ours(rest[1:])
    elif words[0].rpartition("/")[2] == "powmonman":
        yield words[1:]


def calls(page: Path) -> list[list[str]]:
    """Return the arguments of every call of powmonman in the blocks of a page."""
    return [
        call
        for block in blocks(page)
        if block.language in {"", "sh", "console"}
        for words in shell_commands_of(block)
        for call in ours(words)
    ]


def shell_commands_of(block: Block) -> Iterator[list[str]]:
    if block.language == "sh":
        yield from shell_commands(block.text)
        return
    # A transcript or a drawing: only what stands behind a prompt, or begins with the program.
    for line in block.text.splitlines():
        if re.match(r"[$#] \w|powmonman |podman exec ", line):
            yield from shell_commands(line)


def refusal(call: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return why the command line refuses these arguments; empty if it takes them."""
    command = next((word for word in call if not word.startswith("-")), "")
    try:
        cli._parser(command).parse_args(call)
    except SystemExit as end:
        return capsys.readouterr().err.splitlines()[-1] if end.code else ""
    return ""


@each_page
def test_every_command_in_a_block_is_understood(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = [(call, why) for call in calls(page) if (why := refusal(call, capsys))]
    assert [] == refused


def test_the_blocks_hold_many_commands() -> None:
    assert sum(len(calls(page)) for page in PAGES) > 25


@each_page
def test_every_command_within_a_line_is_understood(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = []
    for span in spans(page):
        # Not what the program says: "powmonman server: ..."
        if not re.match(r"\S*powmonman [a-z-]+( |$)", span):
            continue
        for call in (call for words in shell_commands(span) for call in ours(words)):
            # A command by its name alone is a mention, without what it needs.
            why = refusal([*call, "--help"] if len(call) == 1 else call, capsys)
            refused += [(span, why)] if why else []
    assert [] == refused


@each_page
def test_every_target_of_make_exists(page: Path) -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    )
    assert {"demo", "test"} <= targets
    pieces = [*spans(page), *(line for block in blocks(page) for line in block.text.splitlines())]
    named = {found[1] for piece in pieces if (found := re.match(r"make ([a-z-]+)", piece))}
    assert set() == named - targets


@each_page
def test_every_playbook_exists(page: Path) -> None:
    named = set(
        re.findall(r"\bplaybooks/[\w.-]+\.yml|(?<![\w/.-])site\.yml", page.read_text("utf-8"))
    )
    assert set() == {name for name in named if not (REPOSITORY / name).is_file()}


@cache
def variables() -> frozenset[str]:
    """Return the variables that a roll-out knows."""
    found: set[str] = set()
    for path in REPOSITORY.glob("roles/*/meta/argument_specs.yml"):
        found |= set(yaml.safe_load(path.read_text("utf-8"))["argument_specs"]["main"]["options"])
    return frozenset(found)


@cache
def tags() -> frozenset[str]:
    """Return the tags that select a part of a roll-out."""
    texts = (
        path.read_text("utf-8")
        for pattern in ("roles/*/tasks/*.yml", "playbooks/*.yml")
        for path in REPOSITORY.glob(pattern)
    )
    found = (
        tag
        for text in texts
        for line in re.findall(r"tags: \[(.*)\]", text)
        for tag in line.split(",")
    )
    return frozenset(tag.strip() for tag in found)


@each_page
def test_every_variable_of_the_inventory_exists(page: Path) -> None:
    named = set(VARIABLE.findall(page.read_text("utf-8")))
    assert set() == named - variables() - tags() - NO_VARIABLES


def faults(text: str, kind: type[ServerConfig | ClientConfig | GuardConfig]) -> list[str]:
    try:
        parse(text, kind)
    except ConfigError as error:
        return [str(fault) for fault in error.faults]
    return []


def documents(page: Path) -> list[dict[str, Any]]:
    """Return the YAML of a page that isn't a piece out of the middle of a file."""
    loaded = [
        yaml.safe_load(b.text) for b in blocks(page) if b.language == "yaml" and b.text[0] != " "
    ]
    return [document for document in loaded if isinstance(document, dict)]


def names(kind: type[ServerConfig | ClientConfig | GuardConfig]) -> set[str]:
    return {field.name for field in fields(kind)}


@each_page
def test_every_configuration_file_loads(page: Path, tmp_path: Path) -> None:
    for document in documents(page):
        if set(document) == {"targets"}:
            file = tmp_path / "notify.yml"
            file.touch(0o600)
            file.write_text(yaml.safe_dump(document))
            assert targets.load(file)
            continue
        if any(key.startswith("powmonman_") for key in document):
            continue
        kinds = [
            kind
            for kind in (ServerConfig, ClientConfig, GuardConfig)
            if set(document) <= names(kind)
        ]
        assert kinds, f"neither server.yml nor client.yml nor guard.yml: {document}"
        text = yaml.safe_dump(document, sort_keys=False)
        assert [] in [faults(text, kind) for kind in kinds], text


@each_page
def test_every_key_given_through_the_inventory_exists(page: Path) -> None:
    for document in documents(page):
        pieces = [
            (document.get("powmonman_server_config"), ServerConfig),
            (document.get("powmonman_client_config"), ClientConfig),
            ({"upses": document.get("powmonman_server_upses")}, ServerConfig),
        ]
        for piece, kind in pieces:
            if piece and all(piece.values()):
                found = faults(yaml.safe_dump(piece), kind)
                assert [] == [fault for fault in found if "unknown key" in fault]


def test_the_examples_hold_files_of_every_kind() -> None:
    keys = [set(document) for page in PAGES for document in documents(page)]
    assert any("upses" in each for each in keys)
    assert any("shutdown" in each for each in keys)
    assert any("powmonman_server_upses" in each for each in keys)
