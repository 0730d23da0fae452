#!/usr/bin/env python3
"""The package on a machine of its own: installed, upgraded while an instance runs, its services restarted, and purged.
test_vm.py makes /lxmgr/packages and runs this in a stock Debian machine."""
import glob
import json
import os
import pathlib
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

from harness import images  # noqa: E402

FIRST, SECOND = sorted(glob.glob("/lxmgr/packages/*.deb"))
UNITS = ("lxmgrd.service", "lxmgr-instances.service")
SLEEPER = "86423"
# What dpkg, systemd and their caches write whatever a package is.
OTHERS = ("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/run/systemd/", "/run/udev/", "/run/vmhost", "/root/", "/tmp/systemd-",
          "/var/tmp/systemd-", "/var/lib/systemd/", "/etc/group-", "/etc/gshadow-", "/run/lock", "/run/log/")


def step(what):
    print(f"{time.monotonic():.0f} s: {what}", file=sys.stderr, flush=True)


def host(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def lines(*argv):
    return set(host(*argv).splitlines())


def text(path):
    return pathlib.Path(path).read_text(errors="replace")


def picture():
    """What a package may leave on a machine."""
    files = lines("find", "/etc", "/usr", "/var", "/run", "/srv", "/opt", "/root", "/tmp", "-xdev")
    cgroups = {folder for folder, _, _ in os.walk("/sys/fs/cgroup")}
    return {"file": {path for path in files if not path.startswith(OTHERS)},
            "file of systemd": {path for path in lines("find", "/etc/systemd", "/var/lib/systemd", "/run/systemd")
                                if "lxmgr" in path},
            "mount": {line.split()[4] for line in text("/proc/self/mountinfo").splitlines()},
            "cgroup": {path for path in cgroups if "lxmgr" in path or path.count("/") == 4},
            "link": set(os.listdir("/sys/class/net")),
            "nft table": lines("nft", "list", "tables"),
            "user": lines("getent", "passwd"), "group": lines("getent", "group"),
            "AppArmor profile": set(text("/sys/kernel/security/apparmor/profiles").splitlines()),
            "unit": lines("systemctl", "list-units", "--all", "--plain", "--no-legend", "lxmgr*"),
            "process": {name for name in lines("ps", "-e", "-o", "comm=") if name.startswith(("lxmgr", "dnsmasq", "lxcfs"))}}


def show(prop, unit="lxmgrd.service"):
    return host("systemctl", "show", f"--property={prop}", "--value", unit)


class PackageTest(unittest.TestCase):
    def state(self):
        return json.loads(host("lxmgr", "query", "/1.0/instances/box/state"))

    def await_running(self):
        deadline = time.monotonic() + 60
        while self.state()["status"] != "Running" and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertEqual(self.state()["status"], "Running")

    def assert_units_active(self):
        self.assertEqual(host("systemctl", "is-active", *UNITS).split(), ["active", "active"])

    def in_box(self, command):
        return host("lxmgr", "exec", "box", "--", "sh", "-c", command)

    def launch(self):
        host("lxmgr", "init", "--auto")
        host("lxmgr", "image", "import", images.tiny(), "--alias", "tiny")
        host("lxmgr", "launch", "tiny", "box")
        self.in_box(f"sleep {SLEEPER} </dev/null >/dev/null 2>&1 & echo 'before the upgrade' > /dev/console")

    def life(self):
        """What must outlive daemons: the instance's PID 1 and when it began, a process in it, its address and its console."""
        pid = self.state()["pid"]
        started = text(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[19]
        process = host("pgrep", "-f", f"^sleep {SLEEPER}$")
        console = host("lxmgr", "console", "box", "--show-log")
        self.assertIn("tiny init is up", console)
        self.assertIn("before the upgrade", console)
        addresses = [one["address"] for one in self.state()["network"]["eth0"]["addresses"] if one["family"] == "inet"]
        host("ping", "-c", "1", "-W", "20", addresses[0])
        return pid, started, process, addresses

    def test_life_of_the_package(self):
        before = picture()
        step("installing")
        host("dpkg", "-i", FIRST)
        self.assert_units_active()
        self.launch()
        self.await_address()
        life = self.life()
        daemon = show("MainPID")

        step("upgrading")
        host("dpkg", "-i", SECOND)
        self.assert_units_active()
        self.assertEqual(host("dpkg-query", "-W", "-f", "${Version}", "lxmgr"), os.path.basename(SECOND).split("_")[1])
        self.assertNotEqual(show("MainPID"), daemon)
        self.assertEqual(os.readlink(f"/proc/{show('MainPID')}/exe"), "/usr/libexec/lxmgr/lxmgrd")
        self.assertEqual(self.life(), life)
        self.in_box("echo 'after the upgrade' > /dev/console")
        self.assertIn("after the upgrade", host("lxmgr", "console", "box", "--show-log"))

        step("restarting the services")
        host("systemctl", "restart", "lxmgrd.service")
        self.assert_units_active()
        self.assertEqual(self.life(), life)
        # What a machine does that goes down and comes up again.
        host("systemctl", "restart", "lxmgr-instances.service")
        self.assertFalse(os.path.exists(f"/proc/{life[0]}"))
        self.assert_units_active()
        self.await_running()

        step("purging")
        host("dpkg", "-P", "lxmgr")
        step("looking for what is left")
        self.assert_gone(before)

    def await_address(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            shown = (self.state().get("network") or {}).get("eth0", {}).get("addresses", [])
            if any(one["family"] == "inet" for one in shown):
                return
            time.sleep(0.2)
        self.fail(f"box has no address: {self.state()}")

    def assert_gone(self, before):
        left = {}
        deadline = time.monotonic() + 20  # systemd forgets units in its own time
        while time.monotonic() < deadline:
            now = picture()
            left = {kind: sorted(now[kind] - was) for kind, was in before.items() if now[kind] - was}
            if not left:
                break
            time.sleep(1)
        self.assertEqual(left, {})


if __name__ == "__main__":
    unittest.main(verbosity=2)
