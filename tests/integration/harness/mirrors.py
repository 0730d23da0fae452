"""Package mirrors of the test's own on loopback: one of Ubuntu that holds what Debian's has, and one of Fedora that holds a
single small package, which is all that an image asks for."""
import functools
import http.server
import os
import pathlib
import shutil
import subprocess
import tarfile
import threading

from . import images

DEBIAN = "http://deb.debian.org"


class UbuntuHandler(http.server.BaseHTTPRequestHandler):
    """/ubuntu/dists/noble* is Debian's bookworm*; so everything but the packages is as it is with Ubuntu's mirror."""

    def do_GET(self):
        path = self.path.removeprefix("/ubuntu/").replace("dists/noble", "dists/bookworm", 1)
        security = path.startswith(("dists/bookworm-security/", "pool/updates/"))
        self.send_response(302)
        self.send_header("Location", f"{DEBIAN}/debian{'-security' if security else ''}/{path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Mirror:
    def __init__(self, handler):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def ubuntu():
    return Mirror(UbuntuHandler)


class FilesHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def files(folder):
    return Mirror(functools.partial(FilesHandler, directory=folder))


# What the builder asks for by name, and then one more for --package.
PROVIDED = ("fedora-release glibc-minimal-langpack bash coreutils util-linux shadow-utils systemd systemd-resolved dbus "
            "NetworkManager iproute iputils hostname sudo procps-ng psmisc less nano tzdata ca-certificates dnf bash-completion "
            "rootfiles one-more")
SPEC = """Name: everything
Version: 42
Release: {release}
Summary: a whole Fedora for tests
License: none
AutoReqProv: no
{provided}
%global debug_package %{{nil}}
%define __os_install_post %{{nil}}
%description
A whole Fedora for tests
%install
cp -a {tree}/. %{{buildroot}}/
%post -p /bin/sh
test -e /proc/self/status && echo a > /dev/null && echo ran > /etc/script-ran
exit 0
%files
{listed}
"""
UNITS = ("NetworkManager.service", "NetworkManager-wait-online.service", "lvm2-monitor.service", "sshd-keygen.target")
FILES = {"usr/lib/os-release": "ID=fedora\nVERSION_ID=42\n", "usr/sbin/NetworkManager": "", "usr/sbin/sshd": "",
         "usr/lib/systemd/systemd-resolved": "", "usr/bin/systemctl": "#!/bin/sh\necho \"$@\" >> /systemctl-calls\n",
         "usr/bin/cloud-init": "", "var/cache/dnf/left": "x", "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
         **{f"usr/lib/systemd/system/{unit}": "[Unit]\n" for unit in UNITS}}


def make_tree(folder):
    """The tiny image's, which boots, with files that a Fedora has."""
    unpacked = pathlib.Path(folder, "unpacked")
    with tarfile.open(images.tiny()) as archive:
        archive.extractall(unpacked)
    tree = unpacked / "rootfs"
    for name in ("proc", "sys", "dev"):
        (tree / name).rmdir()
    for name, content in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755)
        os.utime(path, (1700000000, 1700000000))
    return tree


def make_package(folder, tree, release, target):
    listed = [f"/{path.relative_to(tree)}" for path in sorted(tree.rglob("*")) if path.is_symlink() or not path.is_dir()]
    provided = "\n".join(f"Provides: {name}" for name in PROVIDED.split())
    spec = pathlib.Path(folder, "everything.spec")
    spec.write_text(SPEC.format(release=release, provided=provided, tree=tree, listed="\n".join(listed)))
    subprocess.run(["rpmbuild", "-bb", "--define", f"_topdir {folder}/rpmbuild", "--define", f"_rpmdir {target}", "--define",
                    f"_dbpath {folder}/rpmdb", spec], check=True, capture_output=True)
    subprocess.run(["createrepo_c", "--quiet", target], check=True, capture_output=True)


def make_fedora(folder):
    """A mirror's folder as Fedora's are, of release 42: what it was released with, and a newer one among the updates."""
    mirror = pathlib.Path(folder, "mirror")
    tree = make_tree(folder)
    for release, path in ((1, "releases/42/Everything/x86_64/os"), (2, "updates/42/Everything/x86_64")):
        (mirror / path).mkdir(parents=True)
        (tree / "etc/from").write_text(f"{release}\n")
        os.utime(tree / "etc/from", (1700000000 + release, 1700000000 + release))
        make_package(folder, tree, release, mirror / path)
    shutil.rmtree(tree)
    return str(mirror)
