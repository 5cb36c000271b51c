import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite(
    "apcupsd", "daemons", "playbook", "script", "upsd", "world", "drill_world"
)

# However slow the machine is; all else as hypothesis has it, in CI too.
settings.register_profile(
    "unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")
