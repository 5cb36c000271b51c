"""The one secret of this project's own: the passphrase of the fleet CA, in quotes or in YAML."""

from __future__ import annotations

import re
from typing import ClassVar

from detect_secrets.plugins.base import RegexBasedDetector


class PassphraseDetector(RegexBasedDetector):
    """A passphrase that stands in the clear; encrypted ones begin with `!vault`."""

    secret_type = "CA passphrase"  # noqa: S105 - a name of a kind
    denylist: ClassVar = [
        re.compile(r"passphrase[\"']?\s*[:=]\s*[\"'](?!\{)([^\"']{6,})[\"']", re.IGNORECASE),
        re.compile(r"^\s*powmonman_ca_passphrase:\s+(?![\"'!{])(\S{6,})"),
    ]
