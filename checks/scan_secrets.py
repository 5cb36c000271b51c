"""Look for keys, tokens and passwords in every file that git tracks, and in none besides.

A comment in a file allows nothing here; what is no secret is listed below, with the reason. Nothing
that is found is sent anywhere, and only its place and kind are printed.

Exit code 0: nothing was found. 1: something was.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

# Keys, and what the services in question hand out: forges, registries, clouds, and whom Apprise
# tells. A detector for each service under the sun would take three times as long.
DETECTORS = (
    "AWSKeyDetector",
    "Base64HighEntropyString",
    "BasicAuthDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "HexHighEntropyString",
    "JwtTokenDetector",
    "KeywordDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SlackDetector",
    "TelegramBotTokenDetector",
)
HEURISTICS = "detect_secrets.filters.heuristic"
FILTERS = (
    "is_indirect_reference",
    "is_likely_id_string",
    "is_not_alphanumeric_string",
    "is_potential_uuid",
    "is_prefixed_with_dollar_sign",
    "is_sequential_string",
    "is_templated_secret",
)
# Texts that look like secrets wherever they stand, and are none, by the reason.
WORDS = {
    "a placeholder in examples": ("password", "PASSWORD"),
    "of accounts that exist in no place, in tests": ("hunter2", "p%40ss%2Fword"),
    "likewise, to see that it is printed nowhere": ("hunter2-of-the-mailbox", "hunter2-s3cret"),
    "of the mailbox in the lab, which is a container of that run": ("s3cret/of&the lab",),
}
# Such a text where it stands; in any other place it would be worth a look.
KEY, EC_KEY = "BEGIN PRIVATE" + " KEY", "BEGIN EC PRIVATE" + " KEY"
PLACES = {
    ("checks/passphrase.py", "CA passphrase"): "the name of a kind of secret",
    ("tests/fuzz/targets/identity.py", KEY): "first lines of keys, with nothing behind them",
    ("tests/fuzz/targets/identity.py", EC_KEY): "likewise",
    ("tests/support/postoffice.py", "pi"): "the mail server that a test starts for itself",
    ("tests/unit/test_guard.py", "secret"): "an address in a file that is refused",
    ("tests/unit/test_pki.py", KEY): "the first line of a key, and no key",
}


def tracked(root: Path) -> list[str]:
    """Return the files that git tracks below `root`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def findings(root: Path, names: list[str]) -> list[str]:
    """Return what looks like a secret in these files, a line each."""
    own = Path(__file__).resolve().with_name("passphrase.py")
    settings = {
        "plugins_used": [
            {"name": "PassphraseDetector", "path": own.as_uri()},
            *({"name": name} for name in DETECTORS),
        ],
        "filters_used": [{"path": f"{HEURISTICS}.{name}"} for name in FILTERS],
    }
    harmless = {word for words in WORDS.values() for word in words}
    found = set()
    with transient_settings(settings) as used:
        # It would ask the service itself whether the secret is good.
        used.disable_filters(
            "detect_secrets.filters.allowlist.is_line_allowlisted",
            "detect_secrets.filters.common.is_ignored_due_to_verification_policies",
        )
        for name in names:
            for each in scan_file(str(root / name)):
                value = each.secret_value or ""
                if value not in harmless and (name, value) not in PLACES:
                    found.add(f"{name}:{each.line_number}: {each.type}")
    return sorted(found)


def main() -> int:
    """Scan the repository around the working directory."""
    root = Path.cwd()
    names = tracked(root)
    # Dealt out like cards, since files that are alike lie together.
    hands = [names[start::4] for start in range(4)]
    with ProcessPoolExecutor(2) as pool:
        found = [line for hand in pool.map(partial(findings, root), hands) for line in hand]
    for line in sorted(found):
        print(line, file=sys.stderr)
    if found:
        print(f"{len(found)} to look at; what is no secret: {__file__}", file=sys.stderr)
        return 1
    print(f"no secret in {len(names)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
