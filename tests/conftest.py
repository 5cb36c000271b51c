import pytest

pytest.register_assert_rewrite("playbook", "world", "upsd", "apcupsd", "daemons")
