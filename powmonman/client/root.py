"""What root does when it is asked to: it runs the commands of a file that only root can write."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from powmonman.client import shutdown, stamp
from powmonman.config.client_schema import ClientConfig, Log
from powmonman.config.loader import ConfigError, load
from powmonman.config.shutdown_keys import Shutdown
from powmonman.service.logs import Logs

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("powmonman.client")


def run_shutdown(path: Path, request: Path | None = None) -> int:
    """Run the shutdown commands of the configuration in `path`, as the root-owned unit does.

    `request` is what the client asked with: an old one is refused. A configuration that can't be
    read, or that others than root can write, doesn't keep the host up: the client has decided, so
    the default final command is run, and nothing of the file.
    """
    Logs("powmonman").apply(Log())
    if request is not None and (why := stamp.refusal(request)):
        log.critical("the request for a shutdown is refused: %s · nothing is run", why)
        return 0
    try:
        config = load(shutdown.check_trusted(path), ClientConfig)
    except (ConfigError, OSError) as error:
        commands = Shutdown()
        log.critical("%s · running %s alone", error, " ".join(commands.final.command))
        return shutdown.run(commands)
    if config.dry_run:
        shutdown.rehearse(config.shutdown)
        return 0
    return shutdown.run(config.shutdown)


def run_given(text: str) -> int:
    """Run the shutdown commands that a client hands over on standard input.

    Raises:
        ValueError: They are none.
    """
    Logs("powmonman").apply(Log())
    return shutdown.run(shutdown.handed_over(text))
