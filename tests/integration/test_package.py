"""The Debian package: made from this build, looked over by lintian, and installed, upgraded, removed and purged in a Debian
instance with systemd. tests/vm/package.py does it with instances running."""
import glob
import os
import subprocess
import tempfile
import unittest

from harness.case import DaemonCase, main
from harness.package import pack


class LintianTest(unittest.TestCase):
    def test_no_tag_is_left(self):
        with tempfile.TemporaryDirectory(prefix="lxmgr-test-", dir="/var/tmp") as folder:
            done = subprocess.run(["lintian", "--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning",
                                   pack(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout)


class PackageTest(DaemonCase):
    needs_images = ("bookworm",)

    def fetch_dependencies(self, package):
        """Packages that the instance lacks, from the machine's own mirror; the instance has no way out."""
        folder = os.path.join(self.daemon.base, "archives")
        os.makedirs(os.path.join(folder, "partial"))
        status = os.path.join(self.daemon.base, "status")
        with open(status, "wb") as file:
            file.write(self.api.pull("box", "/var/lib/dpkg/status").body)
        subprocess.run(["apt-get", "-qq", "install", "--download-only", "--yes", "--no-install-recommends",
                        "-o", f"Dir::State::status={status}", "-o", f"Dir::Cache::archives={folder}",
                        "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=5", package], check=True, stdout=subprocess.PIPE)
        return glob.glob(os.path.join(folder, "*.deb"))

    def install(self, *paths):
        names = []
        for path in paths:
            names.append(f"/root/{os.path.basename(path)}")
            with open(path, "rb") as file:
                self.api.push("box", names[-1], file.read())
        self.api.sh("box", f"DEBIAN_FRONTEND=noninteractive dpkg -i {' '.join(names)}")

    def show(self, prop):
        return self.api.sh("box", f"systemctl show --property={prop} --value lxmgrd.service")

    def test_life_of_the_package(self):
        folder = os.path.join(self.daemon.base, "packages")
        first, second = pack(folder, "0.1.0"), pack(folder, "0.1.1")
        self.api.create("box", "bookworm")
        self.api.start("box")
        self.wait_booted("box")
        self.install(*self.fetch_dependencies(first), first)
        self.assertEqual(self.api.sh("box", "systemctl is-active lxmgrd lxmgr-instances"), "active\nactive")
        self.assertEqual(self.api.sh("box", "systemctl is-enabled lxmgrd lxmgr-instances"), "enabled\nenabled")
        self.assertIn('"auth": "trusted"', self.api.sh("box", "lxmgr query /1.0"))
        self.assertEqual(self.api.sh("box", "stat -c %G:%a /var/lib/lxmgr/unix.socket"), "lxmgr:660")
        for file in ("man/man1/lxmgr.1.gz", "man/man8/lxmgrd.8.gz", "bash-completion/completions/lxmgr"):
            self.api.sh("box", f"test -s /usr/share/{file}")
        self.api.sh("box", "lxmgr profile create kept")

        pid = self.show("MainPID")
        self.install(second)
        self.assertEqual(self.api.sh("box", "systemctl is-active lxmgrd lxmgr-instances"), "active\nactive")
        self.assertNotEqual(self.show("MainPID"), pid)
        self.assertIn("kept", self.api.sh("box", "lxmgr profile list"))
        # Whatever the daemon started is not its unit's to end.
        self.assertEqual(self.show("KillMode"), "process")

        self.api.sh("box", "dpkg -r lxmgr")
        self.assertEqual(self.api.exec("box", ["pgrep", "lxmgrd"])[0], 1)
        self.api.sh("box", "test -d /var/lib/lxmgr")
        self.api.sh("box", "dpkg -P lxmgr")
        left = self.api.sh("box", "ls -d /var/lib/lxmgr /etc/systemd/system/*/lxmgr* /usr/libexec/lxmgr /sys/fs/cgroup/lxmgr "
                                  "2>/dev/null; getent group lxmgr; systemctl list-unit-files 'lxmgr*' --no-legend; true")
        self.assertEqual(left, "")


main()
