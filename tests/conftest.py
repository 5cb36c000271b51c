import pytest

pytest.register_assert_rewrite(
    "apcupsd", "daemons", "playbook", "script", "upsd", "world", "drill_world"
)
