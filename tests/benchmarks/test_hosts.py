"""What is read off Ansible's output."""

from __future__ import annotations

from benchmarks.hosts import Play

# Shortened; of ssh's options only the port is left.
OUTPUT = r"""
<127.0.0.1> SSH: EXEC ssh -o Port=22210 127.0.0.1 'sudo -n  /bin/sh -c '"'"'echo BECOME-SUCCESS-x ; # the probe
<127.0.0.1> SSH: EXEC ssh -o Port=22211 127.0.0.1 '/bin/sh -c '"'"'echo ~admin && sleep 0'"'"''
<127.0.0.1> SSH: EXEC ssh -o Port=22211 127.0.0.1 '/bin/sh -c '"'"'sudo -n -u root /bin/sh -c '"'"'"'"'"'"'"'"'echo BECOME-SUCCESS-x ; /usr/bin/python3'"'"'"'"'"'"'"'"' && sleep 0'"'"''
<127.0.0.1> EXEC /bin/sh -c 'PYTHONPATH=/clone /clone/.venv/bin/python3 && sleep 0'

PLAY RECAP *********
host01                     : ok=15   changed=0    unreachable=0    failed=0    skipped=22   rescued=0    ignored=0
localhost                  : ok=1    changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
pi                         : ok=19   changed=2    unreachable=0    failed=0    skipped=20   rescued=0    ignored=0
"""  # noqa: E501 - as Ansible prints it


def test_modules_on_hosts_count_and_neither_the_probe_nor_what_the_control_node_runs() -> None:
    play = Play(1.0, 1.0, OUTPUT)
    assert (play.modules(22210), play.modules(22211)) == (0, 1)


def test_skipped_tasks_are_tasks() -> None:
    play = Play(1.0, 1.0, OUTPUT)
    assert (play.tasks()["host01"], play.tasks()["pi"], play.changed()) == (37, 39, 2)
