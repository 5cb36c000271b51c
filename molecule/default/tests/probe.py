"""Try what a service must not be able to do; print what was possible. Runs as that service.

Nothing here does harm where it succeeds.
"""

import contextlib
import ctypes
import json
import mmap
import os
import pathlib
import socket
import subprocess
import sys

TEMPORARY = pathlib.Path(os.sep, "tmp")


def write(path):
    with pathlib.Path(path).open("a"):
        pass


def list_home():
    if not list(pathlib.Path("/home").iterdir()):
        raise OSError("empty")


def read_environment_of_init():
    pathlib.Path("/proc/1/environ").read_bytes()


def become_root():
    subprocess.run(["sudo", "-n", "true"], check=True, capture_output=True)


def call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


def open_socket(family, kind):
    socket.socket(family, kind).close()


def lend_the_rights_of_a_file():
    path = pathlib.Path(os.environ.get("STATE_DIRECTORY", TEMPORARY)) / "probe"
    write(path)
    path.chmod(0o4755)


def change_its_kind():
    if ctypes.CDLL(None, use_errno=True).personality(0x0040000) == -1:
        raise OSError(ctypes.get_errno(), "personality")


NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000
HOST = socket.gethostname().encode()
ATTEMPTS = {
    "write the configuration": lambda: write("/etc/powmonman/client.yml"),
    "write a unit": lambda: write("/etc/systemd/system/powmonman-evil.service"),
    "write the program": lambda: write("/usr/local/lib/powmonman/evil"),
    "replace the command": lambda: write("/usr/local/bin/evil"),
    "write another service's state": lambda: write("/var/lib/evil"),
    "look into homes": list_home,
    "become root": become_root,
    "make a user namespace": lambda: call("unshare", NEW_USER),
    "make a network of its own": lambda: call("unshare", NEW_NETWORK),
    "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "change the root": lambda: call("chroot", b"/"),
    "set the clock": lambda: call("settimeofday", None, None),
    "rename the host": lambda: call("sethostname", HOST, len(HOST)),
    "let itself be debugged": lambda: call("ptrace", 0, 0, None, None),
    "change its kind of machine": change_its_kind,
    "run before all others": lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)),
    "lend its rights by a file": lend_the_rights_of_a_file,
    "set a kernel parameter": lambda: write("/proc/sys/kernel/core_pattern"),
    "move between control groups": lambda: write("/sys/fs/cgroup/cgroup.procs"),
    "read the memory of the machine": pathlib.Path("/dev/mem").open,
    "send packets by hand": lambda: open_socket(socket.AF_PACKET, socket.SOCK_RAW),
    "read what others leave in /tmp": (TEMPORARY / "powmonman-marker").read_bytes,
    "read the environment of init": read_environment_of_init,
    "map memory to write and run": lambda: mmap.mmap(
        -1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    ),
    "talk to the machine below": lambda: open_socket(socket.AF_VSOCK, socket.SOCK_STREAM),
    "write its run-time directory": lambda: write("/run/powmonman/probe"),
    "write its state": lambda: write("/var/lib/powmonman/probe"),
    "open a connection": lambda: open_socket(socket.AF_INET, socket.SOCK_STREAM),
}

allowed = []
for what, attempt in ATTEMPTS.items():
    # A system call that the filter kills must not end the probe.
    child = os.fork()
    if child == 0:
        try:
            attempt()
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1] == 0:
        allowed.append(what)
for left_behind in ("/run/powmonman/probe", "/var/lib/powmonman/probe", TEMPORARY / "probe"):
    with contextlib.suppress(OSError):
        pathlib.Path(left_behind).unlink()
json.dump(sorted(allowed), sys.stdout)
