"""Debian with other network stacks, without systemd, and as old as can be: each boots cleanly, has its address by its own
means, halts when it is asked to, and starts again."""
import time

from harness.case import DaemonCase, main
from harness.rest import PATIENCE

NETPLAN = """version: 2
ethernets:
  eth0:
    addresses: [192.0.2.7/24]
"""


class KindCases:
    """`self.kind` names an image of fixture_images.py; look() is what the kind alone has."""

    kind = None

    @classmethod
    def setUpClass(cls):
        cls.needs_images = (cls.kind,)
        super().setUpClass()

    def sh(self, script, **more):
        return self.api.sh("machine", script, **more)

    def create(self, **more):
        self.api.create("machine", self.kind, **more)

    def check_booted(self):
        failed = lambda: self.sh("systemctl --failed --no-pager; journalctl -b -p warning --no-pager | tail -n 30")
        state = self.wait_booted("machine")
        self.assertEqual(state, "running", failed() if state != "running" else "")
        self.assertEqual(self.sh("systemctl --failed --no-legend --no-pager"), "")

    def check_network(self):
        address = self.address("machine")
        self.assertRegex(address, r"^10\.88\.0\.")
        self.sh("for i in $(seq 300); do ip route | grep -q '^default via 10.88.0.1' && exit; sleep 0.2; done; ip route; exit 1")
        self.wait_ping("machine", "10.88.0.1")
        self.sh("for i in $(seq 300); do getent hosts machine.lxd && exit; sleep 0.2; done; cat /etc/resolv.conf; exit 1")
        return address

    def check_halt(self):
        began = time.monotonic()
        self.api.stop("machine", force=False, timeout=int(30 * PATIENCE))
        self.assertLess(time.monotonic() - began, 15 * PATIENCE)

    def test_life(self):
        self.create()
        self.api.start("machine")
        self.check_booted()
        address = self.check_network()
        self.look()
        self.check_halt()
        self.api.start("machine")
        self.check_booted()
        self.assertEqual(self.check_network(), address)
        with self.api.events() as events:
            self.api.exec("machine", ["reboot"])
            events.wait_action("instance-restarted", "machine")
        self.check_booted()
        self.check_halt()

    def test_without_a_network(self):
        """What waits for a network that will never come makes a boot take minutes, or fail."""
        self.create(devices={"eth0": {"type": "none"}})
        self.api.start("machine")
        self.check_booted()
        self.check_halt()

    def look(self):
        raise NotImplementedError


class BullseyeTest(KindCases, DaemonCase):
    kind = "bullseye"

    def look(self):
        self.assertEqual(self.sh(". /etc/os-release; echo $VERSION_ID"), "11")
        self.assertEqual(self.sh("systemctl is-active systemd-networkd systemd-resolved dbus"), "active\nactive\nactive")


class NetplanTest(KindCases, DaemonCase):
    kind = "netplan"

    def check_booted(self):
        super().check_booted()
        status = self.sh("cloud-init status --wait")
        self.assertIn("status: done", status)

    def look(self):
        self.assertIn("optional: true", self.sh("netplan get ethernets.eth0"))
        self.assertIn("/run/systemd/network/10-netplan-eth0.network", self.sh("networkctl status eth0"))
        self.assertEqual(self.sh("ls /etc/systemd/network"), "")

    def test_network_of_the_instance(self):
        """`cloud-init.network-config` arrives by netplan, and in place of what the image says."""
        self.create(config={"cloud-init.network-config": NETPLAN})
        self.api.start("machine")
        self.check_booted()
        self.assertEqual(self.address("machine"), "192.0.2.7")
        self.assertNotIn("10.88.0.", self.sh("ip -4 -o addr"))
        self.check_halt()


class UbuntuTest(KindCases, DaemonCase):
    """Built as Ubuntu is, from a mirror of Ubuntu's form with Debian's packages in it."""

    kind = "ubuntu"

    def look(self):
        self.assertIn("optional: true", self.sh("netplan get ethernets.eth0"))
        sources = self.sh("grep -v '^$' /etc/apt/sources.list").splitlines()
        self.assertEqual([line.split()[3:] for line in sources],
                         [["noble", "main", "universe"], ["noble-updates", "main", "universe"],
                          ["noble-security", "main", "universe"]])
        self.assertIn("[signed-by=/etc/apt/keyrings/mirror.gpg]", sources[0])
        self.sh("cmp /etc/apt/keyrings/mirror.gpg /usr/share/keyrings/debian-archive-keyring.gpg")
        image = self.api.get("/1.0/images/" + self.api.get("/1.0/instances/machine")["config"]["volatile.base_image"])
        self.assertEqual((image["properties"]["os"], image["properties"]["release"]), ("Ubuntu", "noble"))


class NetworkManagerTest(KindCases, DaemonCase):
    kind = "networkmanager"

    def look(self):
        self.sh("for i in $(seq 300); do nmcli -t -f DEVICE,STATE,CONNECTION device | grep -qx eth0:connected:eth0 && exit; "
                "sleep 0.2; done; nmcli device; exit 1")
        self.assertEqual(self.sh("systemctl is-active systemd-networkd || true"), "inactive")
        self.assertEqual(self.sh("ls /sbin/ifup 2>/dev/null || true"), "")


class SysvinitTest(KindCases, DaemonCase):
    kind = "sysvinit"
    # What lines of complaint may hold. Scripts that run at once ask whether it is there, and then make it, in Debian's
    # mount-functions.sh.
    expected = ("mkdir: cannot create directory ‘/run/sendsigs.omit.d/’: File exists",)

    def create(self, **more):
        """Its scripts run one after the other: side by side, two can write into one line of the console."""
        super().create(**more)
        script = self.api.pull("machine", "/usr/lib/init/rc").body
        self.assertIn(b"CONCURRENCY=makefile", script)
        self.api.push("machine", "/usr/lib/init/rc", script.replace(b"CONCURRENCY=makefile", b"CONCURRENCY=none"), mode="0755")

    def check_booted(self):
        """The getty on the console is what init starts last; scripts say on it what went wrong."""
        self.sh("for i in $(seq 300); do pgrep -x 'getty|agetty' > /dev/null && exit; sleep 0.1; done; ps ax; exit 1")
        self.assertEqual(self.sh("runlevel"), "N 2")
        log = self.api.raw("GET", "/1.0/instances/machine/console").body.decode(errors="replace")
        said = [line for line in log.splitlines() if not any(word in line for word in self.expected)]
        for word in ("fail", "error", "cannot", "respawning", "no such", "not permitted", "denied", "warning"):
            self.assertNotIn(word, "\n".join(said).lower())

    def look(self):
        self.assertEqual(self.sh("cat /proc/1/comm; ls /lib/systemd/systemd 2>/dev/null || true"), "init")
        self.sh("pgrep -x sshd > /dev/null && test -e /etc/ssh/ssh_host_ed25519_key")
        self.assertIn("udhcpc", self.sh("ps ax"))

    def test_without_a_network(self):
        self.expected = (*self.expected, "udhcpc", "failed.", "ifup")  # ifup says that there is no eth0
        super().test_without_a_network()


if __name__ == "__main__":
    main()
