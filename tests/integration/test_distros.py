"""Debian images boot to `running` with no failed unit, and work as machines inside."""
import os
import subprocess
import time

from harness.case import DaemonCase, main
from harness.rest import PATIENCE

CONTROL = """Package: lxmgr-probe
Version: 1
Architecture: all
Maintainer: nobody <nobody@example.invalid>
Description: proves that packages install
"""


class DistroCases:
    """`self.suite` is booted once; each test looks at one thing inside."""

    suite = None

    @classmethod
    def setUpClass(cls):
        cls.needs_images = (cls.suite,)
        super().setUpClass()
        cls.api.launch("machine", cls.suite)

    def setUp(self):
        super().setUp()
        self.assertEqual(self.wait_booted("machine"), "running", self.failed_units())

    def failed_units(self):
        return self.api.exec("machine", ["systemctl", "--failed", "--no-pager"])[1].decode()

    def sh(self, script, **more):
        return self.api.sh("machine", script, **more)

    def test_no_unit_fails_even_later(self):
        """A getty that fails does so seconds after the end of the boot (docs/explanation/kernel-facts.md, console)."""
        for _ in range(8):
            time.sleep(1)
            self.assertEqual(self.sh("systemctl --failed --no-legend --no-pager"), "")
        self.assertEqual(self.sh("systemctl is-system-running"), "running")
        self.assertEqual(self.sh("systemctl is-active console-getty.service"), "active")

    def test_it_knows_what_it_is(self):
        self.assertEqual(self.sh("systemd-detect-virt -c || true"), "lxc")
        self.assertEqual(self.sh("cat /etc/hostname; hostname"), "machine\nmachine")
        self.assertRegex(self.sh("cat /etc/machine-id"), r"^[0-9a-f]{32}$")

    def test_network(self):
        address = self.address("machine")
        self.assertIn(address, self.sh("ip -4 -o addr show dev eth0"))
        self.sh("for i in $(seq 300); do ip route | grep -q '^default via 10.88.0.1' && exit; sleep 0.2; done; ip route; exit 1")
        self.wait_ping("machine", "10.88.0.1")

    def test_sudo_and_setuid(self):
        self.sh("id probe 2>/dev/null || useradd -m -s /bin/bash probe; "
                "echo 'probe ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/probe; chmod 440 /etc/sudoers.d/probe")
        self.assertEqual(self.sh("su probe -c 'sudo -n id -u'"), "0")
        self.sh("su probe -c 'ping -c 1 -W 5 127.0.0.1'")

    def test_journal_and_logind(self):
        self.sh("systemd-cat -t probe echo hello-journal; journalctl --sync; journalctl -t probe | grep hello-journal")
        self.assertEqual(self.sh("systemctl is-active systemd-journald systemd-logind dbus"), "active\nactive\nactive")
        self.sh("loginctl list-sessions")

    def test_user_session(self):
        self.sh("id session 2>/dev/null || useradd -m -s /bin/bash session")
        uid = self.sh("id -u session")
        self.sh("loginctl enable-linger session")
        self.sh(f"systemctl is-active --wait user@{uid}.service || systemctl start user@{uid}.service")
        out = self.sh(f"su session -c 'XDG_RUNTIME_DIR=/run/user/{uid} systemctl --user is-system-running --wait'")
        self.assertEqual(out, "running")
        self.sh("loginctl disable-linger session")

    def test_timer(self):
        self.sh("systemd-run --on-active=1s --timer-property=AccuracySec=100ms --unit=probe-timer "
                "touch /run/timer-fired; for i in $(seq 100); do [ -e /run/timer-fired ] && exit 0; sleep 0.1; done; exit 1")

    def test_apt_installs_a_local_package(self):
        folder = os.path.join(self.daemon.base, "package")
        os.makedirs(os.path.join(folder, "DEBIAN"), exist_ok=True)
        with open(os.path.join(folder, "DEBIAN", "control"), "w", encoding="utf-8") as file:
            file.write(CONTROL)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", folder, folder + ".deb"], check=True, capture_output=True)
        with open(folder + ".deb", "rb") as file:
            self.api.push("machine", "/root/probe.deb", file.read())
        self.sh("apt-get install -y /root/probe.deb && dpkg -s lxmgr-probe")

    def test_services_reload_and_reexec(self):
        self.sh("systemctl daemon-reload && systemctl daemon-reexec && systemctl is-system-running")
        self.assertEqual(self.sh("systemd-run --wait --pipe echo from-a-service"), "from-a-service")

    def test_graceful_stop_and_reboot(self):
        self.api.launch("second", self.suite)
        self.wait_booted("second")
        with self.api.events() as events:
            self.api.exec("second", ["systemctl", "reboot"])
            events.wait_action("instance-restarted", "second")
        self.api.wait_status("second", "Running")
        self.assertEqual(self.wait_booted("second"), "running")
        began = time.monotonic()
        self.api.stop("second", force=False, timeout=int(30 * PATIENCE))
        self.assertLess(time.monotonic() - began, 15 * PATIENCE)


class BookwormTest(DistroCases, DaemonCase):
    suite = "bookworm"


class TrixieTest(DistroCases, DaemonCase):
    suite = "trixie"


class SidTest(DistroCases, DaemonCase):
    suite = "sid"


if __name__ == "__main__":
    main()
