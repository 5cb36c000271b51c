from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from powmonman.config import reference
from powmonman.config.loader import ConfigError, Loaded, parse
from powmonman.config.schema import ClientConfig, GuardConfig, ServerConfig

if TYPE_CHECKING:
    from pathlib import Path


def test_the_committed_page_is_current() -> None:
    """If this fails: python -m powmonman.config.reference."""
    assert reference.PAGE.read_text("utf-8") == reference.page()


def test_a_page_out_of_date_is_noticed_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.md"
    path.write_text("old")
    assert reference.main(["--check", str(path)]) == 1
    assert path.read_text() == "old"
    assert "out of date" in capsys.readouterr().err

    assert reference.main([str(path)]) == 0
    assert reference.main(["--check", str(path)]) == 0
    assert path.read_text("utf-8") == reference.page()


@pytest.mark.parametrize(
    ("text", "cls"),
    [
        (reference.SERVER_EXAMPLE, ServerConfig),
        (reference.CLIENT_EXAMPLE, ClientConfig),
        (reference.GUARD_EXAMPLE, GuardConfig),
    ],
)
def test_the_examples_are_good_and_draw_no_warning(
    text: str, cls: type[ServerConfig | ClientConfig | GuardConfig]
) -> None:
    loaded: Loaded[ServerConfig | ClientConfig | GuardConfig] = parse(text, cls)
    assert loaded.warnings == ()
    assert text in reference.page()


def test_the_faults_on_the_page_are_what_the_loader_says() -> None:
    text = "fleet: home\npolicy:\n  aftr: 300\n  confirm: 2s\n"
    with pytest.raises(ConfigError) as error:
        parse(text, ClientConfig, "client.yml")
    assert f"```\n{error.value}\n```" in reference.page()


def test_every_row_of_every_table_has_all_its_cells() -> None:
    rows = [line for line in reference.page().splitlines() if line.startswith("|")]
    assert len(rows) > 60
    assert {6} == {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
