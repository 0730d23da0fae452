"""NICs of type ipvlan, by packets to and from a host on the parent's cable. Runs in the virtual machine: ./test --vm."""
import json
import subprocess
import unittest

from harness.case import DaemonCase, main
from harness.outside import Outside, Place, route_through

PROBE = "ip link add probe0 type dummy && ip link add link probe0 name probe1 type ipvlan mode l3s"
NIC = {"type": "nic", "nictype": "ipvlan", "parent": "up0", "name": "ext0"}
HERE = {**NIC, "ipv4.address": "192.0.2.10", "ipv6.address": "fd99::10"}


class IpvlanTest(DaemonCase):
    @classmethod
    def setUpClass(cls):
        if subprocess.run(["unshare", "-n", "sh", "-c", PROBE], capture_output=True, check=False).returncode != 0:
            raise unittest.SkipTest("the kernel has no ipvlan (CONFIG_IPVLAN)")
        super().setUpClass()

    def setUp(self):
        self.far = Outside(self.daemon.sandbox, "up0", ["192.0.2.1/24", "fd99::1/64"], ["192.0.2.2/24", "fd99::2/64"])
        route_through(self.daemon.sandbox, "up0")
        super().setUp()

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            self.far.close()

    def host(self, *argv, check=True):
        return self.daemon.sandbox.run(*argv, check=check)

    def told(self):
        """What the host has of addresses: its routes and for whom it answers."""
        return self.host("ip", "route") + self.host("ip", "-6", "route") + self.host("ip", "neigh", "show", "proxy") + \
            self.host("ip", "-6", "neigh", "show", "proxy")

    def assert_clean(self):
        for address in ("192.0.2.10", "fd99::10"):
            self.assertNotIn(f"{address} ", self.told())

    def link(self, name, interface="ext0"):
        return json.loads(Place(self.api.state(name)["pid"]).run("ip", "-json", "-details", "link", "show", interface))[0]

    def test_routed_by_the_host(self):
        keys = {"mtu": "1400", "ipv4.host_table": "77", "ipv6.host_table": "78"}
        self.api.launch("box", "tiny", devices={"ext": {**HERE, **keys}, "eth0": {"type": "none"}})
        link = self.link("box")
        self.assertEqual((link["linkinfo"]["info_kind"], link["linkinfo"]["info_data"]["mode"], link["mtu"]),
                         ("ipvlan", "l3s", 1400))
        for address in ("192.0.2.10", "fd99::10"):
            self.far.wait_ping(address)
        self.assertIn("192.0.2.10", self.host("ip", "route", "show", "table", "77"))
        self.assertIn("fd99::10", self.host("ip", "-6", "route", "show", "table", "78"))
        self.wait_ping("box", "192.0.2.2")
        self.api.launch("next", "tiny", devices={"ext": {**HERE, "ipv4.address": "192.0.2.11,192.0.2.12",
                                                         "ipv6.address": "fd99::11"}, "eth0": {"type": "none"}})
        for address in ("192.0.2.11", "192.0.2.12", "fd99::11"):
            self.wait_ping("box", address)
        # A third with an address of the first is refused, and does that one no harm.
        self.api.create("third", "tiny", devices={"ext": HERE})
        self.assertIn("192.0.2.10", self.assert_api_error(400, self.api.start, "third"))
        self.far.wait_ping("192.0.2.10")
        self.daemon.kill()
        self.daemon.start()
        self.far.wait_ping("fd99::10")
        self.api.stop("box")
        self.assert_clean()
        self.assertEqual(self.host("ip", "route", "show", "table", "77", check=False), "")
        self.far.wait_ping("192.0.2.11")
        self.api.start("third")
        self.far.wait_ping("192.0.2.10")

    def test_in_the_nets_of_the_parent(self):
        nic = {**NIC, "mode": "l2", "ipv4.address": "192.0.2.10/25, 198.51.100.3", "ipv4.gateway": "192.0.2.2",
               "ipv6.address": "fd99::10", "ipv6.gateway": "fd99::2"}
        self.api.launch("box", "tiny", devices={"ext": nic, "eth0": {"type": "none"}})
        self.assertEqual(self.link("box")["linkinfo"]["info_data"]["mode"], "l2")
        inside = self.api.sh("box", "ip address show ext0; ip route; ip -6 route")
        for part in ("192.0.2.10/25", "198.51.100.3/24", "fd99::10/64", "default via 192.0.2.2", "default via fd99::2"):
            self.assertIn(part, inside)
        for address in ("192.0.2.10", "fd99::10"):
            self.far.wait_ping(address)
        self.assert_clean()
        self.api.update("box", devices={"ext": {**nic, "ipv4.gateway": "none", "ipv6.gateway": "none"}})
        self.assertNotIn("default", self.api.sh("box", "ip route; ip -6 route"))
        self.far.wait_ping("192.0.2.10")

    def test_plugged_in_and_out(self):
        self.api.launch("box", "tiny")
        two = {**HERE, "name": "ext1", "ipv4.address": "192.0.2.11", "ipv6.address": "fd99::11", "ipv4.gateway": "none",
               "ipv6.gateway": "none"}
        self.api.update("box", devices={"ext": HERE, "more": two})
        for address in ("192.0.2.10", "192.0.2.11", "fd99::11"):
            self.far.wait_ping(address)
        self.assertNotIn("default dev ext1", self.api.sh("box", "ip route; ip -6 route"))
        self.api.sh("box", "ip link set ext0 down; ip link set ext0 name mine")  # it is known by more than its name
        self.api.update("box", devices={"ext": None})
        inside = self.api.sh("box", "ip link")
        self.assertNotIn("mine", inside)
        self.assertIn("ext1", inside)
        self.assert_clean()
        self.far.wait_ping("192.0.2.11")
        # One that cannot be is taken back whole: the name is in use.
        self.assert_api_error(400, self.api.update, "box", devices={"ext": {**HERE, "name": "ext1"}})
        self.assert_clean()
        self.api.update("box", devices={"ext": HERE})
        self.api.update("box", devices={"ext": {**HERE, "attached": "false"}})
        self.assertNotIn("ext0", self.api.sh("box", "ip link"))
        self.assert_clean()

    def test_killed_while_it_is_made(self):
        self.api.create("box", "tiny", devices={"ext": HERE})
        self.daemon.terminate()
        self.daemon.start(environment={"LXMGR_FAILPOINT": "devices.ipvlan_made"})
        with self.assertRaises(Exception):
            self.api.start("box")
        self.assertEqual(self.daemon.wait_dead(), -9)
        self.daemon.start()
        self.api.wait_status("box", "Stopped")
        self.api.start("box")
        self.far.wait_ping("192.0.2.10")
        self.api.stop("box")
        self.assert_clean()

    def test_bad_values(self):
        self.api.create("box", "tiny")
        for wrong in ({"mode": "l3"}, {"hwaddr": "02:00:00:00:00:01"}, {"ipv4.address": "192.0.2.10/24"}, {"parent": ""},
                      {"ipv4.gateway": "192.0.2.2"}, {"mode": "l2", "ipv4.gateway": "auto"}, {"gvrp": "true"},
                      {"mode": "l2", "ipv4.host_table": "7"}, {"connected": "false"}, {"ipv6.address": "192.0.2.10"}):
            self.assert_api_error(400, self.api.update, "box", devices={"ext": {**HERE, **wrong}})
        self.host("sysctl", "-qw", "net.ipv4.conf.up0.forwarding=0")
        self.api.update("box", devices={"ext": HERE})
        self.assertIn("net.ipv4.conf.up0.forwarding=1", self.assert_api_error(400, self.api.start, "box"))

    def test_vlan(self):
        self.far.run("ip", "link", "add", "link", "eth0", "name", "eth0.5", "type", "vlan", "id", "5")
        self.far.run("ip", "link", "set", "eth0.5", "up")
        self.far.run("ip", "address", "add", "198.51.100.2/24", "dev", "eth0.5")
        nic = {**NIC, "mode": "l2", "vlan": "5", "gvrp": "true", "ipv4.address": "198.51.100.10"}
        self.api.launch("box", "tiny", devices={"ext": nic, "eth0": {"type": "none"}})
        self.far.wait_ping("198.51.100.10")
        self.api.stop("box")
        self.assertNotIn("up0.5", self.host("ip", "link"))


if __name__ == "__main__":
    main()
