"""The image of a lab host: Debian with systemd and ssh, and nothing that a plain host lacks.

It is made from Debian's packages, so no registry is needed. What only some hosts have beside that
is a layer on top. A tag carries a digest of the recipe: an unchanged recipe is built once, a
changed one always.
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
# What the packages would start at boot, units and SysV scripts, waits for its configuration.
LAYER = r"""
at_boot() {
    systemctl --root=/ list-unit-files --state=enabled --no-legend | cut -d ' ' -f 1
    ls /etc/rc2.d | sed -n 's/^S[0-9]*//p'
}
at_boot | sort > /tmp/at-boot
apt-get update -q
apt-get install -q -y --no-install-recommends $PACKAGES
for name in $(at_boot | sort | comm -13 /tmp/at-boot -); do
    case $name in
        *.*) systemctl --root=/ disable "$name" ;;
        *) update-rc.d "$name" disable ;;
    esac
done
apt-get clean
rm -rf /tmp/at-boot /var/lib/apt/lists/*
"""
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")


def tag() -> str:
    """Return the name of the image that this recipe makes, or the one asked for."""
    asked = os.environ.get("POWMONMAN_LAB_IMAGE")
    if asked:
        return asked
    return _tag(SUITE, PACKAGES, SETUP, LEFT_OUT)


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


def with_packages(engine: Engine, packages: tuple[str, ...]) -> str:
    """Return the name of an image that has these of Debian's packages too (about 20 s, once).

    Raises:
        LabError: It can't be made here.
    """
    base = ensure(engine)
    if not packages:
        return base
    name = _tag(base, packages, LAYER)
    if not engine.succeeds("image", "exists", name):
        print(f"making {name} with {' '.join(packages)}", file=sys.stderr, flush=True)
        _build(engine, name, base, LAYER, PACKAGES=" ".join(packages))
    return name


def _tag(*recipe: object) -> str:
    return f"localhost/powmonman-lab:{hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]}"


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
    script = f"""apt-get update
apt-get install -y --no-install-recommends {" ".join(PACKAGES)}
{SETUP}"""
    try:
        _build(engine, name, f"docker.io/library/debian:{SUITE}", script)
    except LabError as error:
        raise LabError(
            f"{error}\nWith mmdebstrap installed, the image is made from Debian's packages and "
            "needs no registry."
        ) from None


def _build(engine: Engine, name: str, base: str, script: str, **given: str) -> None:
    """Run a script as root in one image, and keep what it makes of it as another."""
    arguments = {"SCRIPT": script, "DEBIAN_FRONTEND": "noninteractive", **given}
    lines = [f"FROM {base}", *(f"ARG {key}" for key in arguments), 'RUN sh -euc "$SCRIPT"']
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "Containerfile")
        path.write_text("\n".join(lines) + "\n", "utf-8")
        engine.call(
            "build", "--tag", name, "--file", str(path),
            *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            directory, plain=True,
        )  # fmt: skip
