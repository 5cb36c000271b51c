"""Try what a service must not be able to do; print what was refused. Runs as that service."""

import ctypes
import json
import mmap
import os
import pathlib
import socket
import subprocess
import sys


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


NEW_USER = 0x10000000
ATTEMPTS = {
    "write the configuration": lambda: write("/etc/powmonman/client.yml"),
    "write a unit": lambda: write("/etc/systemd/system/powmonman-evil.service"),
    "write the program": lambda: write("/usr/local/lib/powmonman/evil"),
    "replace the command": lambda: write("/usr/local/bin/evil"),
    "write another service's state": lambda: write("/var/lib/evil"),
    "look into homes": list_home,
    "become root": become_root,
    "make a user namespace": lambda: call("unshare", NEW_USER),
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
for left_behind in ("/run/powmonman/probe", "/var/lib/powmonman/probe"):
    pathlib.Path(left_behind).unlink(missing_ok=True)
json.dump(sorted(allowed), sys.stdout)
