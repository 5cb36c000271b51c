import pytest

pytest.register_assert_rewrite("playbook", "script", "world")
