"""lxmgr image build of what is not Debian: Fedora from a mirror of one package, and what is asked for wrongly. The images of
Debian and Ubuntu are those that fixture_images.py builds."""
import os
import shutil
import subprocess
import tempfile

from harness import mirrors
from harness.case import main
from test_cli import CliCase


class FedoraTest(CliCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp(prefix="lxmgr-fedora-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.mirror = cls.enterClassContext(mirrors.files(mirrors.make_fedora(cls.folder)))

    def setUp(self):
        super().setUp()
        self.output = tempfile.mkdtemp(dir=self.folder)

    def build(self, *arguments, output=True, check=True):
        where = ("--output", self.output) if output else ()
        return self.client.run("image", "build", "fedora/42", "--mirror", self.mirror.url, *where, *arguments, check=check)

    def refused(self, *arguments):
        """What the builder says, and that nothing of it is left."""
        done = self.build(*arguments, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(os.listdir(self.output), [])
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            self.assertNotIn(self.output, mounts.read())
        return done.stderr.decode()

    def content(self, path):
        return subprocess.run(["rdsquashfs", "--cat", path, f"{self.output}/rootfs.squashfs"], check=True,
                              capture_output=True).stdout.decode()

    def test_the_tree_is_a_machine(self):
        self.build("--unsigned", "--package", "one-more")
        self.assertEqual(sorted(os.listdir(self.output)), ["metadata.tar.xz", "rootfs.squashfs"])
        self.assertEqual(self.content("etc/from"), "2\n", "the update was not taken")
        self.assertEqual(self.content("etc/script-ran"), "ran\n", "scripts of packages lack /proc or /dev/null")
        self.assertEqual(self.content("etc/machine-id"), "")
        self.assertEqual(self.content("etc/locale.conf"), "LANG=C.UTF-8\n")
        self.assertIn("method=auto", self.content("etc/NetworkManager/system-connections/eth0.nmconnection"))
        calls = self.content("systemctl-calls").splitlines()
        self.assertEqual(calls, ["enable NetworkManager.service", "disable NetworkManager-wait-online.service",
                                 "enable systemd-resolved.service"])
        listed = subprocess.run(["rdsquashfs", "--describe", f"{self.output}/rootfs.squashfs"], check=True,
                                capture_output=True).stdout.decode().splitlines()
        paths = {"/" + line.split()[1]: line.split() for line in listed if len(line.split()) > 1}
        self.assertEqual(paths["/etc/systemd/system/lvm2-monitor.service"][-1], "/dev/null")
        self.assertEqual(paths["/etc/resolv.conf"][-1], "../run/systemd/resolve/stub-resolv.conf")
        self.assertIn("/usr/lib/sysimage/rpm/rpmdb.sqlite", paths)
        self.assertNotIn("/root/.rpmdb", paths)
        left = [path for path in paths if path.startswith(("/var/cache/dnf/", "/dev/", "/proc/", "/etc/default/", self.folder))]
        self.assertEqual(left, [])
        self.assertNotIn("/etc/systemd/system/ssh.service.d", paths)

    def test_it_boots(self):
        self.build("--unsigned", output=False)
        image = self.api.get("/1.0/images/" + self.api.get("/1.0/images/aliases/fedora/42")["target"])
        self.assertEqual({key: image["properties"][key] for key in ("os", "release", "variant", "serial")},
                         {"os": "Fedora", "release": "42", "variant": "default", "serial": "20231114"})
        self.client("launch", "fedora/42", "f")
        self.assertEqual(self.client("exec", "f", "--", "sh", "-c", ". /usr/lib/os-release; echo $ID $VERSION_ID"), "fedora 42\n")
        self.assertEqual(self.client("exec", "f", "--", "cat", "/etc/hostname"), "f\n")

    def test_what_nobody_signed_is_refused(self):
        keys = f"{self.folder}/keys.asc"
        with open(keys, "w", encoding="utf-8") as file:
            file.write("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n")
        self.assertRegex(self.refused("--keyring", keys), "(?i)gpg|signed")

    def test_errors_name_what_failed(self):
        self.assertIn("no-such-package", self.refused("--unsigned", "--package", "no-such-package"))
        self.assertIn("There is no keyring /nonexistent", self.refused("--keyring", "/nonexistent"))
        self.assertIn("give one of them", self.refused("--keyring", "/etc/passwd", "--unsigned"))
        self.assertIn("no components", self.refused("--component", "main"))
        self.assertIn("Fedora has systemd only", self.refused("--init", "sysvinit"))
        self.mirror, whole = mirrors.files("/nonexistent"), self.mirror
        self.addCleanup(setattr, self, "mirror", whole)
        with self.mirror:
            self.assertIn("fedora-42", self.refused("--unsigned"))

    def test_a_release_is_a_number(self):
        done = self.client.run("image", "build", "fedora/heisenbug", "--output", self.output, check=False)
        self.assertIn("'heisenbug' is no release of Fedora: it is a number or 'rawhide'", done.stderr.decode())

    def test_ubuntu_wants_keys(self):
        build = lambda *words: self.client.run("image", "build", "ubuntu/24.04", "--output", self.output, *words,
                                               check=False).stderr.decode()
        self.assertIn("Ubuntu has systemd only", build("--init", "sysvinit"))
        if not os.path.exists("/usr/share/keyrings/ubuntu-archive-keyring.gpg"):
            self.assertIn("The signatures of ubuntu/noble cannot be checked", build())


if __name__ == "__main__":
    main()
