"""Base of the integration tests: one daemon for each class, and a leak check after every test."""
import os
import signal
import sys
import time
import unittest

from . import daemon as daemons
from . import images
from .leaks import LeakCheck
from .rest import PATIENCE, ApiError


class DaemonCase(unittest.TestCase):
    """`self.daemon` runs with pool, bridge and profile; images in `needs_images` are imported under their own names."""

    needs_images = ("tiny",)
    driver = None
    options = {}

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("booting instances needs root")
        cls.daemon = daemons.make(**cls.options)
        cls.addClassCleanup(cls.daemon.close)
        cls.daemon.start()
        cls.api = cls.daemon.api
        cls.bare = LeakCheck(cls.daemon)
        cls.daemon.initialise(cls.driver)
        for name in cls.needs_images:
            cls.daemon.import_image(images.tiny() if name == "tiny" else images.distro(name), name)

    @classmethod
    def tearDownClass(cls):
        """Everything is deleted; then the machine must look as it did before the first object was made."""
        if not cls.daemon.running():
            return
        cls.daemon.deinitialise()
        problems = cls.bare.compare() if cls.daemon.kind == "lxmgr" else []
        if problems:
            raise AssertionError("left behind by this file:\n" + "\n".join(problems))

    def setUp(self):
        if not self.daemon.running():
            self.daemon.start()
        self.leaks = LeakCheck(self.daemon)
        self.expected_names = set(self.daemon.instance_names())

    def tearDown(self):
        if self._has_failed():
            print(f"\n---- {self.id()}: last lines of the daemon's log\n{self.daemon.log_tail()}\n----")
        if not self.daemon.running():
            self.daemon.start()
        for name in set(self.daemon.instance_names()) - self.expected_names:
            self.remove_instance(name)
        if self.daemon.kind == "lxmgr" and not self._has_failed():
            problems = self.leaks.compare()
            self.assertEqual(problems, [], "left behind by this test")

    def _has_failed(self):
        outcome = self._outcome  # unittest tells a test's own outcome nowhere else
        failed = outcome.result.failures + outcome.result.errors
        return any(test is self for test, _ in failed) or any(error and error[1] for error in getattr(outcome, "errors", []))

    def remove_instance(self, name):
        if self.api.instance(name)["status"] != "Stopped":
            self.api.stop(name)
        self.api.delete(name)

    # ---- assertions
    def assert_api_error(self, code, call, *arguments, **named):
        """The call must fail with this error code; returns the message."""
        with self.assertRaises(ApiError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.code, code, caught.exception.message)
        return caught.exception.message

    def address(self, name, timeout=30):
        """The instance's IPv4 address on eth0, when it has one."""
        deadline = time.monotonic() + timeout * PATIENCE
        while time.monotonic() < deadline:
            network = (self.api.state(name).get("network") or {}).get("eth0", {})
            for one in network.get("addresses", []):
                if one["family"] == "inet" and one["scope"] == "global":
                    return one["address"]
            time.sleep(0.1)
        raise AssertionError(f"{name} has no IPv4 address after {timeout} s: {self.api.state(name).get('network')}")

    def wait_ping(self, name, address):
        """Until the address answers to the instance: a first packet may be lost."""
        self.api.sh(name, f"for i in $(seq 30); do ping -c 1 -W 1 {address} > /dev/null && exit; sleep 0.2; done; "
                          "ip address; ip route; exit 1")

    def wait_init(self, name, timeout=60):
        """Until init of a tiny image, or the like, has its handler of SIGPWR: a stop that comes before is not heard."""
        deadline = time.monotonic() + timeout * PATIENCE
        pid = self.api.state(name)["pid"]
        while True:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                caught = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
            if caught >> (signal.SIGPWR - 1) & 1:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"init of {name} handles no SIGPWR after {timeout} s")
            time.sleep(0.02)

    def wait_booted(self, name, timeout=60):
        """Waits until systemd says that the boot is over; its word for it."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            _, out, _ = self.api.exec(name, ["systemctl", "is-system-running", "--wait"])
            state = out.decode().strip()
            if state in ("running", "degraded"):
                return state
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} is {state!r} after {timeout} s")
            time.sleep(0.2)


class PortCase(DaemonCase):
    """Its host has a network card, port0, whose cable ends at port1."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.sandbox.run("ip", "link", "add", "port0", "type", "veth", "peer", "name", "port1")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.sandbox.run("ip", "link", "delete", "port0")
        super().tearDownClass()


def main():
    """Exit status 77 when something was skipped, which ctest then shows as not run; a failure is a failure all the same."""
    result = unittest.main(verbosity=2, exit=False).result
    sys.exit(1 if not result.wasSuccessful() else 77 if result.skipped else 0)
