"""Managed networks of types macvlan and physical: NICs on an interface of the host, which the network names once for all."""
import json

from harness.case import main
from harness.clients import lxc
from test_bridge_keys import Case

URL = "/1.0/networks"
MAC = "02:00:00:00:00:61"


class ParentCase(Case):
    """`up0` leads to a host outside, 198.51.100.2."""

    def setUp(self):
        super().setUp()
        self.wan = self.outside("up0", near=("198.51.100.1/24",), far=("198.51.100.2/24",))

    def create(self, kind, name="lan0", **config):
        self.api.call("POST", URL, {"name": name, "type": kind, "description": "the lan",
                                    "config": {"parent": "up0", **self.dotted(config)}})
        self.addCleanup(self.drop, name)
        return {"type": "nic", "name": "ext0", "network": name}

    def links(self):
        return {one["ifname"]: one for one in json.loads(self.host("ip", "-json", "-details", "link"))}

    def reaches_outside(self, name, address):
        self.api.sh(name, f"ip address add {address}/24 dev ext0; ip link set ext0 up")
        self.wait_ping(name, "198.51.100.2")


class MacvlanTest(ParentCase):
    def test_instances_on_it(self):
        nic = self.create("macvlan", mtu="1400", user__note="x")
        shown = self.api.get(f"{URL}/lan0")
        self.assertEqual((shown["type"], shown["managed"], shown["description"]), ("macvlan", True, "the lan"))
        self.assertEqual(shown["config"], {"parent": "up0", "mtu": "1400", "user.note": "x"})
        self.assertNotIn("lan0", self.links())  # nothing of it is on the host
        self.assertEqual(self.api.get(f"{URL}/lan0/state")["hwaddr"], self.links()["up0"]["address"])
        self.assertEqual([one["good"] for one in self.api.get(f"{URL}/lan0/doctor")], [True])
        self.api.launch("one", "tiny", devices={"ext": nic})
        self.api.launch("two", "tiny")
        self.api.update("two", devices={"ext": nic})
        for name, address in (("one", "198.51.100.11"), ("two", "198.51.100.12")):
            self.reaches_outside(name, address)
            self.assertIn("mtu 1400", self.api.sh(name, "ip link show ext0"))
            own = self.api.instance(name)
            self.assertEqual(own["expanded_devices"]["ext"], nic)
            self.assertIn(own["config"]["volatile.ext.hwaddr"], self.api.sh(name, "ip link show ext0"))
        self.wait_ping("one", "198.51.100.12")
        self.assertEqual(self.api.get(f"{URL}/lan0")["used_by"], ["/1.0/instances/one", "/1.0/instances/two"])
        # A daemon that comes anew finds it, and takes what it did not plug in.
        self.daemon.kill()
        self.daemon.start()
        self.api.update("one", devices={"ext": {**nic, "connected": "false"}})
        self.assertIn("NO-CARRIER", self.api.sh("one", "ip link show ext0"))
        self.api.update("one", devices={"ext": None})
        self.assertNotEqual(self.api.exec("one", ["ip", "link", "show", "ext0"])[0], 0)
        self.api.stop("two")
        self.api.start("two")
        self.reaches_outside("two", "198.51.100.12")

    def test_its_address_is_in_use(self):
        """As by the last run of an instance, which the kernel takes apart in the background."""
        nic = self.create("macvlan")
        self.api.create("one", "tiny", devices={"ext": nic})
        hwaddr = self.api.instance("one")["config"]["volatile.ext.hwaddr"]
        self.host("ip", "link", "add", "held0", "link", "up0", "address", hwaddr, "type", "macvlan", "mode", "bridge")
        self.addCleanup(self.host, "ip", "link", "delete", "held0", check=False)
        self.host("ip", "link", "set", "held0", "up")
        self.assertIn("MAC address", self.assert_api_error(400, self.api.start, "one"))  # after it has been waited for
        starting = self.api.call("PUT", "/1.0/instances/one/state", {"action": "start"})
        self.host("ip", "link", "delete", "held0")
        self.api.wait(starting)
        self.reaches_outside("one", "198.51.100.11")

    def test_moved_between_networks(self):
        """From a bridge to the parent and back, while it runs."""
        nic = self.create("macvlan")
        self.api.launch("one", "tiny")
        for network, ports in (("lxtestbr0", 2), ("lan0", 1), ("lxtestbr0", 2)):
            self.api.update("one", devices={"ext": {**nic, "network": network}})
            self.assertEqual(self.host("bridge", "link").count("master lxtestbr0"), ports)
            self.assertIn("ext0", self.api.sh("one", "ip link"))
            if network == "lan0":
                self.reaches_outside("one", "198.51.100.11")

    def test_change_rename_and_delete(self):
        nic = self.create("macvlan")
        self.api.create("one", "tiny", devices={"ext": nic})
        self.assertIn("in use", self.assert_api_error(400, self.change, "lan0", mtu="1300"))
        self.change("lan0", user__note="y")
        self.assert_api_error(400, self.api.call, "DELETE", f"{URL}/lan0")
        self.assert_api_error(400, self.api.call, "POST", f"{URL}/lan0", {"name": "lan1"})
        self.remove_instance("one")
        self.change("lan0", mtu="1300")
        self.api.call("POST", f"{URL}/lan0", {"name": "lan1"})
        self.assertEqual(self.api.get(f"{URL}/lan1")["config"]["mtu"], "1300")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.api.get(f"{URL}/lan1")["type"], "macvlan")
        self.api.call("POST", f"{URL}/lan1", {"name": "lan0"})

    def test_bad_values(self):
        nic = self.create("macvlan")
        for config in ({}, {"parent": ""}, {"parent": "nosuch0"}, {"parent": "a b"}, {"parent": "up0", "mtu": "1"},
                       {"parent": "up0", "vlan": "4095"}, {"parent": "up0", "vlan": "x"}, {"parent": "up0", "gvrp": "true"},
                       {"parent": "up0", "gvrp": "perhaps", "vlan": "5"}, {"parent": "up0", "ipv4.address": "10.1.0.1/24"},
                       {"parent": "up0", "user.": "x"}):
            for kind in ("macvlan", "physical"):
                with self.subTest(kind=kind, config=config):
                    self.assert_api_error(400, self.api.call, "POST", URL, {"name": "bad0", "type": kind, "config": config})
        for body in ({"name": "up0", "type": "macvlan"}, {"name": "x", "type": "macvlan"}, {"name": "bad0", "type": "sriov"},
                     {"name": "bad0", "type": "ovn"}):
            self.assert_api_error(400, self.api.call, "POST", URL, {"config": {"parent": "up0"}, **body})
        managed = {"name": "lan9", "type": "physical", "config": {"parent": "lxtestbr0"}}
        self.assertIn("lxtestbr0", self.assert_api_error(400, self.api.call, "POST", URL, managed))
        self.assert_api_error(400, self.api.call, "POST", URL, {"name": "lan0", "type": "physical", "config": {"parent": "up0"}})
        for keys in ({"parent": "up0"}, {"nictype": "macvlan"}, {"mtu": "1400"}, {"vlan": "5"}, {"ipv4.address": "198.51.100.9"},
                     {"security.mac_filtering": "true"}, {"limits.ingress": "1Mbit"}):
            with self.subTest(keys=keys):
                self.assert_api_error(400, self.api.create, "bad", "tiny", devices={"ext": {**nic, **keys}})
        for what in ("leases", "forwards"):
            self.assertIn("macvlan", self.assert_api_error(400, self.api.get, f"{URL}/lan0/{what}"))

    def test_the_parent_is_gone(self):
        nic = self.create("macvlan")
        self.api.create("one", "tiny", devices={"ext": nic})
        self.host("ip", "link", "delete", "up0")
        self.assertIn("up0", self.api.get(f"{URL}/lan0/doctor")[0]["message"])
        self.assertIn("up0", self.assert_api_error(400, self.api.start, "one"))
        self.assertEqual(self.api.instance("one")["status"], "Stopped")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.api.get(f"{URL}/lan0")["config"]["parent"], "up0")

    def test_clients(self):
        client = lxc(self.daemon)
        client("network", "create", "lan2", "--type=macvlan", "parent=up0")
        self.addCleanup(self.drop, "lan2")
        self.assertIn("macvlan", client("network", "list"))
        client("init", "tiny", "one")
        client("network", "attach", "lan2", "one", "ext", "ext0")
        client("start", "one")
        self.reaches_outside("one", "198.51.100.11")
        self.assertIn("/1.0/instances/one", client("network", "show", "lan2"))


class PhysicalTest(ParentCase):
    def test_it_is_lent(self):
        before = self.links()["up0"]
        nic = {**self.create("physical", mtu="1400"), "hwaddr": MAC}
        for name in ("one", "two"):
            self.api.create(name, "tiny", devices={"ext": nic})
        self.api.start("one")
        self.assertNotIn("up0", self.links())
        self.reaches_outside("one", "198.51.100.1")
        inside = self.api.sh("one", "ip link show ext0")
        self.assertIn(MAC, inside)
        self.assertIn("mtu 1400", inside)
        self.assertIn("up0", self.assert_api_error(400, self.api.start, "two"))
        self.assertIn("lent", self.assert_api_error(404, self.api.get, f"{URL}/lan0/state"))
        self.daemon.kill()
        self.daemon.start()
        self.api.stop("one")
        after = self.links()["up0"]
        self.assertEqual((after["address"], after["mtu"]), (before["address"], before["mtu"]))
        self.api.start("two")
        self.assertNotIn("up0", self.links())
        self.api.update("two", devices={"ext": None})
        self.assertIn("up0", self.links())


if __name__ == "__main__":
    main()
