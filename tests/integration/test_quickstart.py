"""./quickstart, twice, in a network and mount namespace of its own: a Debian instance whose systemd is `running`."""
import os
import subprocess
import unittest

from harness import images
from harness.case import main
from harness.daemon import REPOSITORY, Daemon, binaries


class QuickstartTest(unittest.TestCase):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("quickstart needs root")
        self.daemon = Daemon()  # only its sandbox and directory are used: quickstart starts the daemon itself
        self.addCleanup(self.daemon.close)
        self.environment = {**os.environ, "LXMGR_DIR": self.daemon.root, "LXMGR_BUILD_DIR": str(binaries().parent)}

    def quickstart(self):
        done = subprocess.run(self.daemon.sandbox.command([str(REPOSITORY / "quickstart")]), env=self.environment,
                              capture_output=True, text=True, timeout=600, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + self.log())
        return done.stdout

    def log(self):
        path = os.path.join(self.daemon.root, "lxmgrd.log")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as file:
            return file.read()[-4000:]

    def lxmgr(self, *arguments):
        return subprocess.run([binaries() / "lxmgr", *arguments], env=self.environment, capture_output=True, check=True)

    def test_twice(self):
        # The namespace has no way to a package mirror, so the image is there before the first run asks for it.
        subprocess.run(self.daemon.sandbox.command(["setsid", "--fork", str(binaries() / "lxmgrd"), "--root", self.daemon.root]),
                       env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=True)
        self.wait_for_daemon()
        self.lxmgr("image", "import", *images.distro("bookworm"), "--alias", "debian/12")
        for run in ("first", "second"):
            with self.subTest(run=run):
                out = self.quickstart()
                self.assertIn("running\n", out)
                self.assertRegex(out, r"quickstart .*RUNNING.* \d+\.\d+\.\d+\.\d+")
                self.assertIn("Linux quickstart", out)
        self.lxmgr("delete", "--force", "quickstart")
        self.lxmgr("admin", "shutdown")

    def wait_for_daemon(self):
        for _ in range(200):
            done = subprocess.run([binaries() / "lxmgr", "query", "/1.0"], env=self.environment, capture_output=True, check=False)
            if done.returncode == 0:
                return
            subprocess.run(["sleep", "0.05"], check=True)
        self.fail("the daemon did not start")


if __name__ == "__main__":
    main()
