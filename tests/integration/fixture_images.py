#!/usr/bin/env python3
"""Builds the Debian images that tests boot, with `lxmgr image build`, and keeps them in the test cache.

The cache is keyed by the sources of the image builder, so a change there builds anew. Arguments: suites (default all)."""
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile

from harness import images, mirrors
from harness.daemon import REPOSITORY, binaries

SUITES = {"bookworm": "debian/12", "trixie": "debian/13", "sid": "debian/sid", "cloud": "debian/12", "nesting": "debian/12",
          "bullseye": "debian/11", "netplan": "debian/12", "networkmanager": "debian/12", "sysvinit": "debian/12",
          "ubuntu": "ubuntu/24.04"}
PACKAGES = {"cloud": ["cloud-init"], "nesting": ["podman", "systemd-container"], "netplan": ["netplan.io", "cloud-init"],
            "networkmanager": ["network-manager"], "sysvinit": ["openssh-server"]}
OPTIONS = {"sysvinit": ["--init", "sysvinit"]}


def builder_key():
    digest = hashlib.sha256()
    for path in sorted([*(REPOSITORY / "images").glob("*.cc"), *(REPOSITORY / "images/distros").glob("*.cc")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def options(suite):
    """Ubuntu cannot be fetched everywhere; its mirror is one of our own, of Debian's packages."""
    if suite != "ubuntu":
        yield OPTIONS.get(suite, ())
        return
    with mirrors.ubuntu() as mirror:
        yield "--mirror", f"{mirror.url}/ubuntu", "--keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"


def build(suite):
    with options(suite) as more, tempfile.TemporaryDirectory(dir=images.distro_files(suite)[0].parent) as folder:
        packages = [word for package in PACKAGES.get(suite, ()) for word in ("--package", package)]
        subprocess.run([binaries() / "lxmgr", "image", "build", SUITES[suite], "--output", folder, *packages,
                        *more], check=True)
        for made, target in zip(("metadata.tar.xz", "rootfs.squashfs"), images.distro_files(suite)):
            os.rename(os.path.join(folder, made), target)


def main():
    if os.geteuid() != 0:
        print("building images needs root")
        return
    for suite in sys.argv[1:] or SUITES:
        files = images.distro_files(suite)
        stamp = files[0].parent / f"{suite}.key"
        stamp.parent.mkdir(parents=True, exist_ok=True)
        if stamp.exists() and stamp.read_text() == builder_key() and all(file.exists() for file in files):
            print(f"{suite}: cached")
            continue
        print(f"{suite}: building", flush=True)
        build(suite)
        stamp.write_text(builder_key())


main()
