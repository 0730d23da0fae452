"""VLANs of NICs: ports of a bridge that filters, and interfaces of a parent's VLANs. Runs in the virtual machine: ./test --vm."""
import contextlib
import json
import subprocess
import time
import unittest

from harness.case import DaemonCase, main
from harness.rest import PATIENCE

PROBE = "ip link add probe0 type bridge vlan_filtering 1 && ip link add link probe0 name probe0.5 type vlan id 5 gvrp on"


class VlanTest(DaemonCase):
    @classmethod
    def setUpClass(cls):
        if subprocess.run(["unshare", "-n", "sh", "-c", PROBE], capture_output=True, check=False).returncode != 0:
            raise unittest.SkipTest("the kernel has no VLANs (CONFIG_VLAN_8021Q, CONFIG_BRIDGE_VLAN_FILTERING)")
        super().setUpClass()

    def host(self, *argv, check=True):
        return self.daemon.sandbox.run(*argv, check=check)

    def set_nic(self, name, **keys):
        self.api.update(name, devices={"eth0": self.nic(**keys)})

    def nic(self, **keys):
        return {"type": "nic", "network": "lxtestbr0", "name": "eth0",
                **{key.replace("__", "."): value for key, value in keys.items()}}

    def vlans(self, name):
        """Of the host's end: id to flags, ranges written out."""
        end = self.api.instance(name)["config"]["volatile.eth0.host_name"]
        found = json.loads(self.host("bridge", "-json", "vlan", "show", "dev", end))
        out = {}
        for one in found[0]["vlans"] if found else []:
            for number in range(one["vlan"], one.get("vlanEnd", one["vlan"]) + 1):
                out[number] = "PVID" in one.get("flags", [])
        return out

    def reaches(self, name, address):
        return any(self.api.exec(name, ["ping", "-c1", "-W1", address])[0] == 0 for _ in range(3))

    def test_bridged(self):
        for number, keys in enumerate(({"vlan": "10"}, {"vlan": "10", "vlan__tagged": "20"}, {}), 1):
            self.api.launch(f"box{number}", "tiny", devices={"eth0": self.nic(**keys)})
            if not keys:
                self.address("box3")  # given by DHCP: which would take the other away
            self.api.sh(f"box{number}", f"ip address add 10.99.0.{number}/24 dev eth0")
        self.assertEqual((self.vlans("box1"), self.vlans("box2"), self.vlans("box3")),
                         ({10: True}, {10: True, 20: False}, {1: True}))
        self.assertTrue(self.reaches("box1", "10.99.0.2"))
        self.assertFalse(self.reaches("box1", "10.99.0.3"))
        self.set_nic("box3", vlan="10", vlan__tagged="20, 30-32")
        self.assertEqual(self.vlans("box3"), {10: True, 20: False, 30: False, 31: False, 32: False})
        self.assertTrue(self.reaches("box1", "10.99.0.3"))
        for number in (2, 3):
            self.api.sh(f"box{number}", "ip link add link eth0 name eth0.20 type vlan id 20; ip link set eth0.20 up; "
                                        f"ip address add 10.98.0.{number}/24 dev eth0.20")
        self.assertTrue(self.reaches("box2", "10.98.0.3"))
        self.set_nic("box3", vlan="none")
        self.assertEqual(self.vlans("box3"), {})
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual((self.vlans("box2"), self.vlans("box3")), ({10: True, 20: False}, {}))
        self.set_nic("box3")
        self.assertEqual(self.vlans("box3"), {1: True})
        self.host("ip", "link", "add", "other0", "type", "bridge")
        try:
            other = {"type": "nic", "nictype": "bridged", "parent": "other0", "name": "eth1", "vlan": "10"}
            self.assertIn("vlan_filtering", self.assert_api_error(400, self.api.update, "box3", devices={"eth1": other}))
        finally:
            self.host("ip", "link", "delete", "other0")

    @contextlib.contextmanager
    def parents(self):
        """up0 and far0, which are the ends of a cable."""
        self.host("ip", "link", "add", "up0", "type", "veth", "peer", "name", "far0")
        try:
            for link in ("up0", "far0"):
                self.host("ip", "link", "set", link, "up")
            yield
        finally:
            for name in self.daemon.instance_names():
                self.remove_instance(name)
            self.host("ip", "link", "delete", "up0")

    def add_vlan(self, parent, name, number):
        self.host("ip", "link", "add", "link", parent, "name", name, "type", "vlan", "id", str(number))

    MACVLAN = {"type": "nic", "nictype": "macvlan", "parent": "up0", "vlan": "5"}

    def test_two_nics_of_one_instance(self):
        with self.parents():
            nics = {"one": {**self.MACVLAN, "name": "one"}, "two": {**self.MACVLAN, "name": "two"}}
            self.api.launch("box", "tiny", devices=nics)
            self.assertEqual(set(self.vlan_links()), {"up0.5"})
            self.api.update("box", devices={"one": None})
            self.assertEqual(set(self.vlan_links()), {"up0.5"})
            self.api.update("box", devices={"one": nics["one"]})
            self.api.stop("box")
            self.assertEqual(self.vlan_links(), {})
            self.api.start("box")
            self.api.update("box", devices={"one": None, "two": None})
            self.assertEqual(self.vlan_links(), {})

    def test_instances_that_stop_at_once(self):
        with self.parents():
            for number in range(4):
                self.api.create(f"box{number}", "tiny", devices={"one": {**self.MACVLAN, "name": "one"}})
            for _ in range(4):
                self.api.do("PUT", "/1.0/instances", {"state": {"action": "start", "force": False, "timeout": 30}})
                self.assertEqual(set(self.vlan_links()), {"up0.5"})
                self.api.do("PUT", "/1.0/instances", {"state": {"action": "stop", "force": True, "timeout": 30}})
                self.assertEqual(self.vlan_links(), {})

    def test_killed_while_it_is_made(self):
        with self.parents():
            self.api.create("box", "tiny", devices={"one": {**self.MACVLAN, "name": "one"}})
            for point in ("network.vlan_made", "devices.vlan_created"):
                self.daemon.terminate()
                self.daemon.start(environment={"LXMGR_FAILPOINT": point})
                with self.assertRaises(Exception):
                    self.api.start("box")
                self.assertEqual(self.daemon.wait_dead(), -9)
                self.daemon.start()
                self.api.wait_status("box", "Stopped")
                self.wait_no_vlans()
                self.api.start("box")
                self.assertEqual(set(self.vlan_links()), {"up0.5"})
                self.api.stop("box")
                self.assertEqual(self.vlan_links(), {})

    def wait_no_vlans(self):
        """The new daemon takes away what the old one left, after it has said that it is ready."""
        deadline = time.monotonic() + 10 * PATIENCE
        while self.vlan_links():
            self.assertLess(time.monotonic(), deadline, self.vlan_links())
            time.sleep(0.1)

    def test_interfaces_that_are_another_vlan(self):
        """Whatever its name says: nothing is built on it, and it stays."""
        with self.parents():
            self.api.create("box", "tiny", devices={"one": {**self.MACVLAN, "name": "one"}})
            for parent, number in (("far0", 5), ("up0", 6)):
                self.add_vlan(parent, "up0.5", number)
                message = self.assert_api_error(400, self.api.start, "box")
                self.assertIn(f"'up0.5' is VLAN {number} of '{parent}', not VLAN 5 of 'up0'", message)
                self.assertEqual(set(self.vlan_links()), {"up0.5"})
                self.host("ip", "link", "delete", "up0.5")

    def test_parents(self):
        with self.parents():
            self.add_vlan("up0", "up0.8", 8)
            self.host("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/up0/forwarding")
            self.use_parents()

    def use_parents(self):
        nic = {"type": "nic", "parent": "up0"}
        own = {**nic, "nictype": "macvlan", "vlan": "5", "gvrp": "true", "name": "own"}
        self.api.launch("box", "tiny", devices={
            "own": own, "lent": {**nic, "nictype": "physical", "vlan": "6", "name": "lent", "gvrp": "false"},
            "routed": {**nic, "nictype": "routed", "vlan": "7", "name": "routed", "gvrp": "true", "ipv4.address": "192.0.2.7"},
            "present": {**own, "vlan": "8", "name": "present"}})
        for number, name in ((5, "own"), (6, "lent")):
            self.add_vlan("far0", f"far0.{number}", number)
            self.host("ip", "link", "set", f"far0.{number}", "up")
            self.host("ip", "address", "add", f"10.97.{number}.1/24", "dev", f"far0.{number}")
            self.api.sh("box", f"ip address add 10.97.{number}.2/24 dev {name}")
            self.assertTrue(self.reaches("box", f"10.97.{number}.1"), name)
        links = self.vlan_links()
        self.assertEqual(set(links), {"up0.5", "up0.7", "up0.8", "far0.5", "far0.6"})
        self.assertEqual((links["up0.5"]["id"], links["up0.5"]["flags"]), (5, ["REORDER_HDR", "GVRP"]))
        self.assertIn("192.0.2.7", self.host("ip", "neigh", "show", "proxy", "dev", "up0.7"))
        # A network has the same VLAN for its NICs.
        self.api.call("POST", "/1.0/networks", {"name": "lan5", "type": "macvlan",
                                                "config": {"parent": "up0", "vlan": "5", "gvrp": "true"}})
        self.api.launch("second", "tiny", devices={"own": {"type": "nic", "name": "own", "network": "lan5"}})
        self.daemon.kill()
        self.daemon.start()
        self.api.stop("box")
        self.assertEqual(set(self.vlan_links()), {"up0.5", "up0.8", "far0.5", "far0.6"})
        self.api.update("second", devices={"own": {**own, "vlan": "9"}})
        self.assertEqual(set(self.vlan_links()), {"up0.9", "up0.8", "far0.5", "far0.6"})
        self.api.stop("second")
        self.assertEqual(set(self.vlan_links()), {"up0.8", "far0.5", "far0.6"})
        self.api.call("DELETE", "/1.0/networks/lan5")

    def test_vrf(self):
        self.host("ip", "link", "add", "blue", "type", "vrf", "table", "77")
        self.host("ip", "link", "set", "blue", "up")
        try:
            self.api.launch("box", "tiny", devices={"ext": {"type": "nic", "nictype": "routed", "vrf": "blue", "name": "ext",
                                                            "host_name": "exthost", "ipv4.address": "192.0.2.7"}})
            self.assertIn("192.0.2.7 dev exthost", self.host("ip", "route", "show", "vrf", "blue"))
            self.assertNotIn("192.0.2.7", self.host("ip", "route"))
            self.assertIn("exthost", self.host("ip", "link", "show", "master", "blue"))
            self.assertIn("exthost", self.host("ip", "route", "get", "192.0.2.7", "vrf", "blue"))
            self.api.update("box", devices={"ext": None})
            self.assertNotIn("192.0.2.7", self.host("ip", "route", "show", "vrf", "blue"))
        finally:
            self.host("ip", "link", "delete", "blue")

    def vlan_links(self):
        links = json.loads(self.host("ip", "-json", "-details", "link"))
        return {one["ifname"]: one["linkinfo"]["info_data"] for one in links
                if one.get("linkinfo", {}).get("info_kind") == "vlan"}


if __name__ == "__main__":
    main()
