"""NICs that are moved in (physical) or routed to, and address translation for proxy devices."""
import json
import subprocess
import textwrap
import time

from harness.case import DaemonCase, main
from harness.outside import Place, route_through
from harness.rest import PATIENCE

MAC, INSIDE_MAC = "02:00:00:00:00:51", "02:00:00:00:00:52"


class NicsTest(DaemonCase):
    def setUp(self):
        self.host("ip", "link", "add", "phys0", "address", MAC, "mtu", "1400", "type", "veth", "peer", "name", "phys1")
        self.host("ip", "link", "add", "up0", "type", "bridge")
        self.host("ip", "address", "add", "192.0.2.1/24", "dev", "up0")
        self.host("ip", "-6", "address", "add", "fd99::1/64", "dev", "up0", "nodad")
        self.host("sysctl", "-qw", "net.ipv6.conf.up0.accept_dad=0")
        self.host("ip", "link", "set", "up0", "up")
        route_through(self.daemon.sandbox, "up0")
        super().setUp()

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            for link in ("phys0", "up0"):
                self.host("ip", "link", "delete", link, check=False)

    def host(self, *argv, check=True):
        return self.daemon.sandbox.run(*argv, check=check)

    def links(self):
        return {one["ifname"]: one for one in json.loads(self.host("ip", "-json", "-details", "link"))}

    def assert_back(self):
        deadline = time.monotonic() + 30 * PATIENCE  # a guest that ended itself is cleared away afterwards
        while "phys0" not in self.links() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual((self.links()["phys0"]["address"], self.links()["phys0"]["mtu"]), (MAC, 1400))

    PHYSICAL = {"type": "nic", "nictype": "physical", "parent": "phys0", "name": "ext0"}

    def test_physical(self):
        nic = {**self.PHYSICAL, "hwaddr": INSIDE_MAC, "mtu": "1300"}
        self.api.launch("box", "tiny", devices={"ext": nic})
        inside = self.api.sh("box", "ip link show ext0")
        self.assertIn(INSIDE_MAC, inside)
        self.assertIn("mtu 1300", inside)
        self.assertIn("UP", inside)
        self.assertNotIn("phys0", self.links())
        self.api.create("second", "tiny", devices={"ext": nic})
        self.assertIn("phys0", self.assert_api_error(400, self.api.start, "second"))
        self.api.stop("box")
        self.assert_back()
        # By a guest that ends itself, and while no daemon is there.
        self.api.start("box")
        self.api.exec("box", ["poweroff", "-f"])
        self.api.wait_status("box", "Stopped")
        self.assert_back()
        self.api.start("box")
        self.daemon.kill()
        self.daemon.start()
        self.assertNotIn("phys0", self.links())
        self.api.sh("box", "ip link set ext0 down; ip link set ext0 name other0")
        self.api.stop("box")
        self.assert_back()

    def test_physical_comes_and_goes(self):
        self.api.launch("box", "tiny")
        self.api.update("box", devices={"ext": self.PHYSICAL})
        self.assertIn(MAC, self.api.sh("box", "ip link show ext0"))
        self.api.update("box", devices={"ext": None})
        self.assert_back()
        self.assertNotEqual(self.api.exec("box", ["ip", "link", "show", "ext0"])[0], 0)

    def test_physical_bad_values(self):
        self.api.create("box", "tiny")
        for wrong in ({"parent": None}, {"mtu": "1"}, {"vlan.tagged": "7"}, {"hwaddr": "x"}):
            nic = {key: value for key, value in {**self.PHYSICAL, **wrong}.items() if value is not None}
            self.assert_api_error(400, self.api.update, "box", devices={"ext": nic})

    def routed(self, **keys):
        return {"type": "nic", "nictype": "routed", "parent": "up0", "name": "ext0",
                **{key.replace("_", "."): value for key, value in keys.items()}}

    def ping(self, address):
        Place(self.daemon.sandbox.pid).wait_ping(address)

    def test_routed(self):
        nic = self.routed(ipv4_address="192.0.2.10, 192.0.2.11", ipv6_address="fd99::10", ipv4_routes="198.51.100.0/24")
        self.api.launch("box", "tiny", devices={"ext": nic, "eth0": {"type": "none"}})  # which has a default route of its own
        for address in ("192.0.2.10", "192.0.2.11", "fd99::10"):
            self.ping(address)
            self.assertIn(address, self.host("ip", "neigh", "show", "proxy"))
        self.assertIn("198.51.100.0/24", self.host("ip", "route"))
        self.assertIn("via 169.254.0.1 dev ext0", self.api.sh("box", "ip route"))
        self.assertIn("via fe80::1 dev ext0", self.api.sh("box", "ip -6 route"))
        self.wait_ping("box", "192.0.2.1")  # out through the host's end
        # Another with the same address is refused, and does this one no harm.
        self.api.create("second", "tiny", devices={"ext": nic})
        self.assertIn("192.0.2.10", self.assert_api_error(400, self.api.start, "second"))
        self.ping("192.0.2.10")
        self.assertIn("192.0.2.10", self.host("ip", "neigh", "show", "proxy"))
        self.api.stop("box")
        self.assertNotIn("192.0.2.10", self.host("ip", "neigh", "show", "proxy") + self.host("ip", "route"))

    def test_routed_tables(self):
        nic = {**self.routed(ipv4_address="192.0.2.10", ipv6_address="fd99::10", ipv4_routes="198.51.100.0/24"),
               "ipv4.host_tables": "100, 200", "ipv6.host_tables": "100"}
        self.api.launch("box", "tiny", devices={"ext": nic})
        for family, table, net in (("-4", "100", "192.0.2.10"), ("-4", "200", "198.51.100.0/24"), ("-6", "100", "fd99::10")):
            self.assertIn(net, self.host("ip", family, "route", "show", "table", table))
        self.assertNotIn("192.0.2.10", self.host("ip", "route"))
        self.api.update("box", devices={"ext": {**nic, "ipv4.host_tables": "100,254"}})
        self.assertIn("192.0.2.10", self.host("ip", "route"))
        self.assertEqual(self.host("ip", "route", "show", "table", "200", check=False), "")
        for wrong in ({"ipv4.host_tables": "100,0"}, {"ipv6.host_tables": "main"}):
            self.assert_api_error(400, self.api.update, "box", devices={"ext": {**nic, **wrong}})
        for vrf in ("up0", "none0"):
            self.assertIn(vrf, self.assert_api_error(400, self.api.update, "box", devices={"ext": {**nic, "vrf": vrf}}))
        self.assertIn("192.0.2.10", self.host("ip", "route"))

    def test_routed_asks_for_neighbours(self):
        self.api.launch("other", "tiny", devices={"lan": {"type": "nic", "nictype": "bridged", "parent": "up0", "name": "lan"}})
        self.api.sh("other", "echo 0 > /proc/sys/net/ipv6/conf/lan/accept_dad; ip address add 192.0.2.10/24 dev lan; "
                             "ip -6 address add fd99::10/64 dev lan")
        for address in ("192.0.2.10", "fd99::10"):  # which the bridge's port must have begun to forward
            self.ping(address)
        self.api.create("box", "tiny")
        for keys in ({"ipv4_address": "192.0.2.9, 192.0.2.10"}, {"ipv6_address": "fd99::10"}):
            self.api.update("box", devices={"ext": self.routed(**keys)})
            self.assertIn("in use", self.assert_api_error(400, self.api.start, "box"))
        self.api.update("box", devices={"ext": {**self.routed(ipv4_address="192.0.2.10", ipv6_address="fd99::10"),
                                                "ipv4.neighbor_probe": "false", "ipv6.neighbor_probe": "false"}})
        self.api.start("box")

    def test_routed_comes_and_goes(self):
        self.api.launch("box", "tiny")
        self.api.update("box", devices={"ext": self.routed(ipv4_address="192.0.2.10", ipv4_gateway="none")})
        self.assertIn("192.0.2.10/32", self.api.sh("box", "ip address show ext0"))
        self.assertNotIn("169.254.0.1", self.api.sh("box", "ip route"))
        self.api.update("box", devices={"ext": self.routed(ipv4_address="192.0.2.12")})
        self.ping("192.0.2.12")
        self.api.update("box", devices={"ext": None})
        self.assertNotIn("192.0.2.1", self.host("ip", "neigh", "show", "proxy"))

    def test_routed_needs_a_prepared_parent(self):
        self.host("sysctl", "-qw", "net.ipv4.conf.up0.forwarding=0")
        self.api.create("box", "tiny", devices={"ext": self.routed(ipv4_address="192.0.2.10")})
        self.assertIn("net.ipv4.conf.up0.forwarding", self.assert_api_error(400, self.api.start, "box"))
        for wrong in ("192.0.2.300", "fd99::1", "192.0.2.1 192.0.2.2"):
            self.assert_api_error(400, self.api.update, "box", devices={"ext": self.routed(ipv4_address=wrong)})

    def of_all_types(self, **keys):
        nics = {"managed": {"network": "lxtestbr0"}, "other": {"nictype": "bridged", "parent": "up0"},
                "cable": {"nictype": "p2p", "ipv4.routes": "203.0.113.0/28"}, "own": {"nictype": "macvlan", "parent": "up0"},
                "routed": {"nictype": "routed", "parent": "up0", "ipv4.address": "192.0.2.10", "ipv6.address": "fd99::10"},
                "lent": {"nictype": "physical", "parent": "phys0"}}
        return {name: {"type": "nic", "name": name, **nic, **keys} for name, nic in nics.items()
                if name != "lent" or "connected" not in keys}

    def carriers(self):
        """Of the NICs inside: "UP", or "DOWN" without a carrier."""
        words = [line.split() for line in self.api.sh("box", "ip -o link").splitlines()]
        flags = {word[1].split("@")[0].rstrip(":"): word[2].strip("<>").split(",") for word in words}
        return {name: "UP" if "LOWER_UP" in flags[name] else "DOWN" for name in self.of_all_types() if name in flags}

    def routes_to_box(self):
        return [net in self.host("ip", "route") for net in ("203.0.113.0/28", "192.0.2.10")]

    def wait_connected(self, carriers, routes):
        """The kernel tells of a change of a carrier up to a second later."""
        deadline = time.monotonic() + 30 * PATIENCE
        while (seen := (self.carriers(), self.routes_to_box())) != (carriers, routes):
            self.assertLess(time.monotonic(), deadline, seen)
            time.sleep(0.05)

    def test_attached(self):
        pulled, plugged = self.of_all_types(attached="false"), self.of_all_types(attached="true")
        self.api.launch("box", "tiny", devices=pulled)
        before = self.links()
        self.assertEqual(self.carriers(), {})
        kept = self.api.instance("box")["config"]["volatile.own.hwaddr"]
        self.api.update("box", devices=plugged)
        self.assertEqual(set(self.carriers()), set(plugged))
        self.assertIn(kept, self.api.sh("box", "ip link show own"))
        self.ping("192.0.2.10")
        self.daemon.kill()
        self.daemon.start()
        self.api.update("box", devices=pulled)
        self.assertEqual((self.carriers(), set(self.links())), ({}, set(before)))
        self.assert_back()
        self.api.update("box", devices=plugged)
        self.assertIn(kept, self.api.sh("box", "ip link show own"))

    def test_connected(self):
        off, on = self.of_all_types(connected="false"), self.of_all_types(connected="true")
        self.api.launch("box", "tiny", devices=off)
        self.wait_connected(dict.fromkeys(off, "DOWN"), [False, False])
        self.api.update("box", devices=on)
        self.host("ip", "link", "set", "phys1", "up")
        self.wait_connected(dict.fromkeys(on, "UP"), [True, True])
        for address in ("192.0.2.10", "fd99::10"):
            self.ping(address)
        index = self.api.sh("box", "cat /sys/class/net/*/ifindex")
        self.api.update("box", devices=off)
        self.daemon.kill()
        self.daemon.start()
        self.wait_connected(dict.fromkeys(off, "DOWN"), [False, False])
        self.api.update("box", devices=on)
        self.wait_connected(dict.fromkeys(on, "UP"), [True, True])
        self.ping("fd99::10")
        self.assertEqual(self.api.sh("box", "cat /sys/class/net/*/ifindex"), index)

    def test_bad_vlans(self):
        self.api.create("box", "tiny")
        bridged = {"type": "nic", "network": "lxtestbr0", "vlan": "5"}
        parent = {**bridged, "nictype": "macvlan", "parent": "up0"}
        del parent["network"]
        for wrong in ({**bridged, "vlan": "4095"}, {**bridged, "vlan.tagged": "7,3-x"}, {**bridged, "vlan.tagged": "3-7"},
                      {**bridged, "vlan.tagged": "7,6-8"}, {**parent, "vlan": "none"}, {**parent, "vlan": None, "gvrp": "true"}):
            nic = {key: value for key, value in wrong.items() if value is not None}
            self.assertIn("vlan", self.assert_api_error(400, self.api.update, "box", devices={"ext": nic}))
        probe = subprocess.run(["unshare", "-n", "ip", "link", "add", "br0", "type", "bridge", "vlan_filtering", "1"],
                               capture_output=True, check=False)
        for nic in (bridged, parent) if probe.returncode != 0 else ():
            self.api.update("box", devices={"ext": nic})
            self.assertIn("VLANs", self.assert_api_error(400, self.api.start, "box"))

    SERVER = """
        import socket, sys
        s = socket.create_server(("0.0.0.0", 80)); print("up", flush=True)
        while True:
            c, who = s.accept(); c.sendall(who[0].encode()); c.close()
    """

    def who_am_i(self, port, address="192.0.2.1"):
        """Connects, and returns the address that the instance sees."""
        script = f"import socket; print(socket.create_connection(('{address}', {port}), 5).recv(99).decode())"
        return self.host("python3", "-c", script).strip()

    def test_proxy_by_address_translation(self):
        web = {"type": "proxy", "nat": "true", "listen": "tcp:192.0.2.1:8080-8081", "connect": "tcp:0.0.0.0:80"}
        self.api.launch("box", "tiny", devices={"aweb": web})
        address = self.address("box")
        server = subprocess.Popen(["nsenter", "-t", str(self.api.state("box")["pid"]), "-n", "python3", "-c",
                                   textwrap.dedent(self.SERVER)], stdout=subprocess.PIPE)
        try:
            server.stdout.readline()
            self.assertEqual(self.who_am_i(8080), "192.0.2.1")  # the client's own
            self.assertEqual(self.who_am_i(8081), "192.0.2.1")
            self.assertIn(f"dnat ip to {address}:80", self.host("nft", "list", "ruleset"))
            self.assertNotIn("lxmgr-proxy", "".join(self.leaks.processes()))
            self.daemon.kill()
            self.daemon.start()
            self.assertEqual(self.who_am_i(8080), "192.0.2.1")
            self.api.update("box", devices={"aweb": None})
            self.assertNotIn("dnat", self.host("nft", "list", "ruleset"))
            self.api.update("box", devices={"aweb": {**web, "connect": f"tcp:{address}:80"}})
            self.assertEqual(self.who_am_i(8080), "192.0.2.1")
            self.assert_api_error(400, self.api.update, "box", devices={"aweb": {**web, "connect": "tcp:10.88.0.250:80"}})
            self.assertEqual(self.who_am_i(8080), "192.0.2.1")
            self.api.stop("box")
            self.assertNotIn("dnat", self.host("nft", "list", "ruleset"))
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
        for wrong in ({"bind": "instance"}, {"proxy_protocol": "true"}, {"listen": "tcp:127.0.0.1:8080"},
                      {"listen": "unix:/run/x"}, {"listen": "tcp:[fd99::1]:8080"}):
            self.assert_api_error(400, self.api.update, "box", devices={"aweb": {**web, **wrong}})


if __name__ == "__main__":
    main()
