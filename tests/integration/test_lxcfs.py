"""What /proc tells inside: limits instead of the machine, by lxcfs; and the warnings about it."""
import json
import os
import signal
import subprocess
import time

from harness.case import DaemonCase, main
from harness.daemon import binaries
from harness.rest import PATIENCE
from harness.sandbox import is_zombie, read


class LxcfsTest(DaemonCase):
    def lxcfs(self):
        return int(read(f"{self.daemon.root}/lxcfs/pid").strip())

    def lxmgr(self, *arguments):
        done = subprocess.run([binaries() / "lxmgr", *arguments], env={**os.environ, "LXMGR_SOCKET": self.daemon.socket_path},
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def memory(self, name="box"):
        return int(self.api.sh(name, "grep MemTotal /proc/meminfo").split()[1])

    def wait_memory(self, kilobytes, timeout=20):
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            code, out, err = self.api.exec("box", ["grep", "MemTotal", "/proc/meminfo"])
            if code == 0 and int(out.split()[1]) == kilobytes:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{out} {err} after {timeout} s")
            time.sleep(0.1)

    def test_the_guest_sees_its_limits(self):
        self.api.launch("box", "tiny", config={"limits.memory": "64MiB", "limits.cpu": "1"})
        self.assertEqual(self.memory(), 64 << 10)
        self.assertEqual(self.api.sh("box", "nproc"), "1")
        self.assertEqual(self.api.sh("box", "grep -c ^processor /proc/cpuinfo"), "1")
        self.assertEqual(self.api.sh("box", "grep -c '^cpu[0-9]' /proc/stat"), "1")
        self.assertEqual(len(self.api.sh("box", "cat /sys/devices/system/cpu/online").split("-")), 1)
        self.assertLess(float(self.api.sh("box", "cat /proc/uptime").split()[0]), 300)
        self.assertLess(int(self.api.sh("box", "cat /proc/loadavg").split()[3].split("/")[1]), 40)
        self.api.update("box", config={"limits.memory": "96MiB", "limits.cpu": None})
        self.assertEqual(self.memory(), 96 << 10)
        self.assertEqual(self.api.sh("box", "grep -c ^processor /proc/cpuinfo"), str(os.cpu_count()))

    def test_a_privileged_guest_too(self):
        self.api.launch("box", "tiny", config={"limits.memory": "64MiB", "security.privileged": "true"})
        self.assertEqual(self.memory(), 64 << 10)

    def test_it_is_started_again_when_it_dies(self):
        self.api.launch("box", "tiny", config={"limits.memory": "64MiB"})
        self.wait_memory(64 << 10)
        time.sleep(max(0, 5.2 - self.age(self.lxcfs())))  # one that dies young is not started again at once
        first = self.lxcfs()
        os.kill(first, signal.SIGKILL)
        self.wait_memory(64 << 10)
        self.assertNotEqual(self.lxcfs(), first)
        mounts = self.api.sh("box", "grep -c lxcfs /proc/self/mountinfo")
        self.assertEqual(mounts, self.api.sh("box", "cut -d' ' -f5 /proc/self/mountinfo | grep -E '^/(proc|sys)/' | "
                                                    "grep -cE '(info|stats|avg|stat|swaps|uptime|online)$'"))

    @staticmethod
    def age(pid):
        ticks = int(read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[19])
        return float(read("/proc/uptime").split()[0]) - ticks / os.sysconf("SC_CLK_TCK")

    def test_it_survives_the_daemon_and_the_next_takes_it_over(self):
        self.api.launch("box", "tiny", config={"limits.memory": "64MiB"})
        first = self.lxcfs()
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.memory(), 64 << 10)
        self.api.launch("other", "tiny", config={"limits.memory": "32MiB"})
        self.assertEqual(self.memory("other"), 32 << 10)
        self.assertEqual(self.lxcfs(), first)
        # Both gone: whoever runs gets the files of a new one.
        self.daemon.kill()
        os.kill(first, signal.SIGKILL)
        while os.path.exists(f"/proc/{first}") and not is_zombie(first):
            time.sleep(0.01)
        self.daemon.start()
        self.wait_memory(64 << 10)
        self.assertNotEqual(self.lxcfs(), first)

    def test_it_ends_with_a_daemon_that_has_nothing_running(self):
        self.api.launch("box", "tiny")
        self.api.stop("box")
        pid = self.lxcfs()
        self.daemon.terminate()
        deadline = time.monotonic() + 60  # whoever has become its parent may not have asked for its end yet
        while os.path.exists(f"/proc/{pid}") and not is_zombie(pid):
            self.assertLess(time.monotonic(), deadline)
        self.daemon.start()
        self.api.start("box")
        self.assertNotEqual(self.lxcfs(), pid)


class WithoutLxcfsTest(DaemonCase):
    lxmgr = LxcfsTest.lxmgr

    def setUp(self):
        self.daemon.sandbox.run("mount", "--bind", "/dev/null", "/usr/bin/lxcfs")
        self.addCleanup(self.daemon.sandbox.run, "umount", "/usr/bin/lxcfs")
        super().setUp()

    def wait_warning(self, status):
        deadline = time.monotonic() + 20 * PATIENCE
        while True:
            found = [one for one in self.api.get("/1.0/warnings?recursion=1") if "LXCFS" in one["type"]]
            if found and found[0]["status"] == status:
                return found[0]
            self.assertLess(time.monotonic(), deadline, found)
            time.sleep(0.05)

    def test_its_absence_is_a_warning(self):
        self.api.launch("box", "tiny", config={"limits.memory": "64MiB"})
        self.assertNotEqual(self.api.sh("box", "grep MemTotal /proc/meminfo").split()[1], str(64 << 10))
        warning = self.wait_warning("new")
        self.assertEqual((warning["severity"], warning["count"]), ("moderate", 1))
        self.assertIn("not installed", warning["last_message"])
        listed = self.api.get("/1.0/warnings")
        self.assertIn(f"/1.0/warnings/{warning['uuid']}", listed)

        self.assertIn(warning["uuid"], self.lxmgr("warning", "list"))
        self.assertIn("not installed", self.lxmgr("warning", "show", warning["uuid"]))
        self.lxmgr("warning", "acknowledge", warning["uuid"])
        self.assertNotIn(warning["uuid"], self.lxmgr("warning", "list"))
        self.assertEqual(json.loads(self.lxmgr("warning", "list", "--all", "-f", "json"))[0]["status"], "acknowledged")

        self.daemon.sandbox.run("umount", "/usr/bin/lxcfs")
        self.api.launch("seeing", "tiny", config={"limits.memory": "32MiB"})
        self.assertEqual(self.api.sh("seeing", "grep MemTotal /proc/meminfo").split()[1], str(32 << 10))
        self.wait_warning("resolved")
        self.daemon.sandbox.run("mount", "--bind", "/dev/null", "/usr/bin/lxcfs")
        self.lxmgr("warning", "delete", "--all")
        self.assertEqual(self.api.get("/1.0/warnings"), [])


if __name__ == "__main__":
    main()
