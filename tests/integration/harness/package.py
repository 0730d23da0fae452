"""The Debian package of the build under test."""
import glob
import os
import pathlib
import re
import subprocess

from .daemon import binaries


def pack(folder, version="0.1.0"):
    """Makes the package in a directory; its path."""
    config = os.path.join(os.path.dirname(os.path.abspath(binaries())), "CPackConfig.cmake")
    subprocess.run(["cpack", "--config", config, "-B", folder, "-D", f"CPACK_PACKAGE_VERSION={version}"],
                   check=True, stdout=subprocess.PIPE)
    return glob.glob(os.path.join(folder, f"lxmgr_{version}_*.deb"))[0]


def with_version(package, version):
    """Path of the same package, beside it, with another version."""
    folder, name = os.path.split(package)
    tree = os.path.join(folder, "tree")
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = pathlib.Path(tree, "DEBIAN/control")
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.M))
    new = os.path.join(folder, f"lxmgr_{version}_{name.rsplit('_', 1)[1]}")
    subprocess.run(["dpkg-deb", "-Zgzip", "--root-owner-group", "-b", tree, new], check=True, stdout=subprocess.PIPE)
    subprocess.run(["rm", "-r", tree], check=True)
    return new
