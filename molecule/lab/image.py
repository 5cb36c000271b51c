"""The image of a lab host: Debian with systemd and ssh, and nothing that a plain host lacks.

It is made from Debian's packages, so no registry is needed. Its tag carries a digest of the
recipe: an unchanged recipe is built once, a changed one always.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from engine import Engine, LabError

SUITE = "bookworm"
# Without libpam-systemd: in containers on cgroup v1 a user's manager never sees that its processes
# are gone, and every login would wait for it for minutes.
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "python3",
    "openssh-server",
    "iproute2",
    "procps",
    "sudo",
    "ca-certificates",
)
# `admin` may sudo, as the first user of Raspberry Pi OS may. Each host makes an ssh key of its own
# at its first boot, as one installed from a medium does.
SETUP = r"""
useradd --create-home --shell /bin/bash admin
echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin
chmod 0440 /etc/sudoers.d/admin
install -d -o admin -g admin -m 0700 /home/admin/.ssh
rm -f /etc/ssh/ssh_host_*
mkdir -p /etc/systemd/system/ssh.service.d
cat > /etc/systemd/system/ssh.service.d/host-key.conf <<'UNIT'
[Service]
Environment=KEY=/etc/ssh/ssh_host_ed25519_key
ExecStartPre=
ExecStartPre=/bin/sh -c 'test -e $KEY || ssh-keygen -q -t ed25519 -N "" -f $KEY'
ExecStartPre=/usr/sbin/sshd -t
UNIT
echo 'HostKey /etc/ssh/ssh_host_ed25519_key' > /etc/ssh/sshd_config.d/host-key.conf
: > /etc/machine-id
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
"""
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")


def tag() -> str:
    """Return the name of the image that this recipe makes, or the one asked for."""
    asked = os.environ.get("POWMONMAN_LAB_IMAGE")
    if asked:
        return asked
    recipe = repr((SUITE, PACKAGES, SETUP, LEFT_OUT))
    return f"localhost/powmonman-lab:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure(engine: Engine) -> str:
    """Return the image's name; make the image if it isn't there (about 30 s).

    Raises:
        LabError: It can't be made here.
    """
    name = tag()
    if engine.succeeds("image", "exists", name):
        return name
    if os.environ.get("POWMONMAN_LAB_IMAGE"):
        engine.call("pull", name)
        return name
    print(f"making {name} from Debian's packages", file=sys.stderr, flush=True)
    if shutil.which("mmdebstrap"):
        _from_packages(engine, name)
    else:
        _from_registry(engine, name)
    return name


def _from_packages(engine: Engine, name: str) -> None:
    mirror = os.environ.get("POWMONMAN_LAB_MIRROR")
    command = [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
        '--customize-hook=chroot "$1" sh -euc "$POWMONMAN_LAB_SETUP"',
        SUITE,
        "-",
        *([mirror] if mirror else []),
    ]
    with tempfile.TemporaryDirectory() as directory:
        rootfs = Path(directory, "rootfs.tar")
        log = Path(directory, "log")
        with rootfs.open("wb") as out, log.open("wb") as err:
            done = subprocess.run(
                command,
                stdout=out,
                stderr=err,
                env={**os.environ, "POWMONMAN_LAB_SETUP": SETUP},
                check=False,
            )
        if done.returncode != 0:
            raise LabError(f"mmdebstrap failed:\n{log.read_text('utf-8', 'replace')[-2000:]}")
        engine.call("import", str(rootfs), name, plain=True)


def _from_registry(engine: Engine, name: str) -> None:
    containerfile = f"""FROM docker.io/library/debian:{SUITE}
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends {" ".join(PACKAGES)}
ARG SETUP
RUN sh -euc "$SETUP"
"""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "Containerfile")
        path.write_text(containerfile, "utf-8")
        try:
            engine.call(
                "build", "--tag", name, "--build-arg", f"SETUP={SETUP}", "--file", str(path),
                directory, plain=True,
            )  # fmt: skip
        except LabError as error:
            raise LabError(
                f"{error}\nWith mmdebstrap installed, the image is made from Debian's packages and "
                "needs no registry."
            ) from None
