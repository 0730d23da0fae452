"""The keys of a managed bridge, by packets: IPv6 in its three ways, routes, NAT, ports, tunnels; and its repair."""
import ipaddress
import json
import os
import pathlib
import signal
import sys
import time

from harness.case import DaemonCase, main
from harness.outside import Outside, Place
from harness.rest import PATIENCE

V6 = "fd42:88:1::"


class Case(DaemonCase):
    NETWORK = "keys0"

    def host(self, *argv, check=True):
        return self.daemon.sandbox.run(*argv, check=check)

    def network(self, name=None, **keys):
        """A network that goes with the test; keys with _ for the first dot and the others."""
        name = name or self.NETWORK
        config = {"ipv4.address": "10.91.0.1/24", "ipv6.address": "none", **self.dotted(keys)}
        self.api.call("POST", "/1.0/networks", {"name": name, "type": "bridge", "config": config})
        self.addCleanup(self.drop, name)
        return name

    @staticmethod
    def dotted(keys):
        return {key.replace("__", "."): value for key, value in keys.items()}

    def drop(self, name):
        for instance in set(self.daemon.instance_names()) - self.expected_names:
            self.remove_instance(instance)
        self.api.call("DELETE", f"/1.0/networks/{name}")

    def tearDown(self):
        self.doCleanups()
        super().tearDown()

    def change(self, name=None, **keys):
        self.api.call("PATCH", f"/1.0/networks/{name or self.NETWORK}", {"config": self.dotted(keys)})

    def launch(self, name, network=None, **keys):
        nic = {"type": "nic", "name": "eth0", "network": network or self.NETWORK, **self.dotted(keys)}
        self.api.launch(name, "tiny", devices={"eth0": nic})
        return Place(self.api.state(name)["pid"])

    def global6(self, name, timeout=60):
        deadline = time.monotonic() + timeout * PATIENCE
        while time.monotonic() < deadline:
            for one in self.api.state(name)["network"]["eth0"]["addresses"]:
                if one["family"] == "inet6" and one["scope"] == "global" and not self.tentative(name):
                    return one["address"]
            time.sleep(0.1)
        raise AssertionError(f"{name} has no global IPv6 address")

    def tentative(self, name):
        """Whether it still looks for others with its addresses."""
        place = Place(self.api.state(name)["pid"])
        return place.run("ip", "-6", "address", "show", "dev", "eth0", "tentative").strip()

    def outside(self, name="wan0", near=("192.0.2.1/24", "fd99::1/64"), far=("192.0.2.2/24", "fd99::2/64")):
        place = Outside(self.daemon.sandbox, name, near, far)
        self.addCleanup(place.close)
        return place

    def serve(self, place, kind, port):
        server = place.serve(kind, port)
        self.addCleanup(lambda: (server.kill(), server.wait(), server.stdout.close()))

    def dnsmasq(self, name=None):
        path = pathlib.Path(self.daemon.root, "networks", name or self.NETWORK, "dnsmasq.pid")
        try:
            return int(path.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):  # another one is being started
            return 0


class Ipv6Test(Case):
    def test_autoconfiguration(self):
        self.network(ipv6__address=f"{V6}1/64", ipv6__nat="true", dns__search="a.example,b.example")
        one = self.launch("one")
        two = self.launch("two")
        address = self.global6("two")
        self.assertIn(ipaddress.ip_address(address), ipaddress.ip_network(f"{V6}/64"))
        self.global6("one")
        one.wait_ping(address)
        one.wait_ping(f"{V6}1")
        leases = self.api.get(f"/1.0/networks/{self.NETWORK}/leases")
        self.assertIn(address, [lease["address"] for lease in leases])
        wan = self.outside()
        self.serve(wan, "tcp", 80)
        self.assertEqual(two.ask("tcp", "fd99::2", 80), "fd99::1")
        self.change(ipv6__nat="false")
        wan.run("ip", "-6", "route", "add", f"{V6}/64", "via", "fd99::1")
        self.assertEqual(two.ask("tcp", "fd99::2", 80), address)
        self.change(ipv6__routing="false")
        self.assertNotEqual(two.ask("tcp", "fd99::2", 80, 1), address)
        self.change(ipv6__ra="false", ipv6__routing="")
        self.launch("late")
        self.address("late")
        self.assertNotIn(V6.rstrip(":"), self.api.sh("late", "ip -6 addr"))

    def ask_dhcpv6(self, name, place):
        hwaddr = self.api.instance(name)["config"]["volatile.eth0.hwaddr"]
        client = pathlib.Path(__file__).with_name("harness") / "dhcpv6.py"
        return place.run(sys.executable, str(client), "eth0", hwaddr).split()

    def test_stateful_dhcp(self):
        self.network(ipv6__address=f"{V6}1/64", ipv6__dhcp__stateful="true", ipv6__dhcp__expiry="2h",
                     ipv6__dhcp__ranges=f"{V6}100-{V6}1ff", dns__nameservers=f"{V6}53,10.91.0.53")
        fixed = self.launch("fixed", ipv6__address=f"{V6}77", security__ipv6_filtering="true")
        chosen = self.launch("chosen")
        self.assertEqual(self.ask_dhcpv6("fixed", fixed), [f"{V6}77", f"{V6}53"])
        given = self.ask_dhcpv6("chosen", chosen)[0]
        self.assertRegex(given, rf"^{V6}1[0-9a-f][0-9a-f]$")
        deadline = time.monotonic() + 60 * PATIENCE
        while True:  # dnsmasq answers before it writes down
            leases = {lease["address"]: lease["hostname"] for lease in self.api.get(f"/1.0/networks/{self.NETWORK}/leases")}
            if {f"{V6}77", given} <= set(leases) or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        self.assertEqual((leases[f"{V6}77"], leases[given]), ("fixed", "chosen"))
        self.address("chosen")
        self.assertIn("nameserver 10.91.0.53", self.api.sh("chosen", "cat /etc/resolv.conf"))
        self.assertIn(f"{V6}77", self.api.sh("chosen", "nslookup fixed.lxd 10.91.0.1"))
        # For life: the same after a restart, and never another's. What it sends as somebody else does not arrive.
        self.api.set_state("chosen", "restart", force=True)
        self.assertEqual(self.ask_dhcpv6("chosen", Place(self.api.state("chosen")["pid"]))[0], given)
        nic = {"type": "nic", "name": "eth0", "network": self.NETWORK, "ipv6.address": f"{V6}77"}
        self.api.create("thief", "tiny", devices={"eth0": nic})
        self.assertIn("fixed", self.assert_api_error(400, self.api.start, "thief"))
        fixed.run("ip", "address", "add", f"{V6}77/64", "dev", "eth0", "nodad")
        fixed.wait_ping(f"{V6}1")
        fixed.run("ip", "address", "replace", f"{V6}78/64", "dev", "eth0", "nodad")
        fixed.run("ip", "address", "delete", f"{V6}77/64", "dev", "eth0")
        self.assertFalse(fixed.pings(f"{V6}1", 1))

    def test_bad_values(self):
        self.network(ipv6__address=f"{V6}1/64")
        nic = {"type": "nic", "name": "eth0", "network": self.NETWORK}
        for key, value in (("ipv6.address", f"{V6}77"), ("ipv6.address", "x"), ("ipv6.routes", "fd00::1"),
                           ("ipv4.routes", "10.0.0.0/33"), ("ipv4.routes.external", "x"), ("ipv6.routes.external", "x")):
            with self.subTest(key=key, value=value):
                self.assert_api_error(400, self.api.create, "bad", "tiny", devices={"eth0": {**nic, key: value}})
        for key, value in (("ipv4.nat.address", "x"), ("ipv4.nat.order", "between"), ("ipv4.routes", "10.1.1.1"),
                           ("bridge.external_interfaces", "a b"), ("bridge.driver", "openvswitch"), ("ipv4.ovn.ranges", "x"),
                           ("tunnel.a.protocol", "ipip"), ("tunnel.a.protocol", "gre"), ("tunnel.a.ttl", "0"),
                           ("tunnel.averylongname.protocol", "vxlan"), ("dns.nameservers", "x"), ("security.acls", "none"),
                           ("ipv4.dhcp.routes", "10.0.0.0/8"), ("bgp.peers.a.address", "10.1.1.1"),
                           ("raw.dnsmasq", "dhcp-script=/bin/sh"), ("raw.dnsmasq", "conf-file=/etc/passwd"),
                           ("raw.dnsmasq", "cache-size=10\raddn-hosts=/etc/shadow"), ("raw.dnsmasq", "no such=1")):
            with self.subTest(key=key, value=value):
                self.assert_api_error(400, self.change, **{key.replace(".", "__"): value})


class RoutesTest(Case):
    def test_routes_to_a_nic(self):
        self.network(ipv4__routes="198.51.100.0/28", ipv6__address=f"{V6}1/64", ipv6__routes="fd77::/64")
        self.assertIn("198.51.100.0/28", self.host("ip", "route", "show", "dev", self.NETWORK))
        self.assertIn("fd77::/64", self.host("ip", "-6", "route", "show", "dev", self.NETWORK))
        place = self.launch("routed", ipv4__routes="203.0.113.0/28", ipv4__routes__external="203.0.113.64/28",
                            ipv6__routes="fd78::/64", ipv6__routes__external="fd79::/64", security__ipv4_filtering="true")
        self.address("routed")
        for address in ("203.0.113.1/32", "203.0.113.65/32", "198.51.100.1/32"):
            place.run("ip", "address", "add", address, "dev", "eth0")
        host = Place(self.daemon.sandbox.pid)
        host.wait_ping("203.0.113.1")
        host.wait_ping("203.0.113.65")
        place.run("ip", "address", "add", "fd78::1/128", "dev", "eth0", "nodad")
        host.wait_ping("fd78::1")
        nic = {"type": "nic", "name": "eth0", "network": self.NETWORK, "ipv4.routes": "203.0.113.32/28"}
        self.api.update("routed", devices={"eth0": nic})
        self.assertNotIn("203.0.113.0/28", self.host("ip", "route"))
        self.assertIn("203.0.113.32/28", self.host("ip", "route"))
        self.api.create("second", "tiny", devices={"eth0": nic})
        self.assertIn("203.0.113.32", self.assert_api_error(400, self.api.start, "second"))
        self.api.stop("routed")
        self.assertNotIn("203.0.113", self.host("ip", "route"))
        self.change(ipv4__routes="", ipv6__routes="")
        self.assertNotIn("198.51.100", self.host("ip", "route"))

    def test_nat_address(self):
        self.network(ipv4__nat="true", ipv4__nat__address="192.0.2.9", ipv4__nat__order="after",
                     ipv6__address=f"{V6}1/64", ipv6__nat="true", ipv6__nat__address="fd99::9", ipv6__nat__order="before")
        wan = self.outside(near=("192.0.2.1/24", "192.0.2.9/32", "fd99::1/64", "fd99::9/128"))
        self.serve(wan, "tcp", 80)
        place = self.launch("inner")
        self.address("inner")
        self.global6("inner")
        self.assertEqual(place.ask("tcp", "192.0.2.2", 80), "192.0.2.9")
        self.assertEqual(place.ask("tcp", "fd99::2", 80), "fd99::9")

    def test_more_of_dnsmasq(self):
        self.network(raw__dnsmasq="# ours\naddress=/made.up/10.9.9.9\ndhcp-option=option:ntp-server,10.9.9.10",
                     ipv4__dhcp__routes="10.77.0.0/16,10.91.0.9", ipv4__dhcp__gateway="10.91.0.254",
                     ipv4__dhcp__ranges="10.91.0.100-10.91.0.100", ipv4__dhcp__expiry="10m",
                     bridge__mtu="1400", bridge__hwaddr="00:16:3e:91:00:01", bridge__multicast_snooping="false")
        link = json.loads(self.host("ip", "-json", "-details", "link", "show", self.NETWORK))[0]
        self.assertEqual((link["mtu"], link["address"]), (1400, "00:16:3e:91:00:01"))
        self.assertEqual(link["linkinfo"]["info_data"]["mcast_snooping"], 0)
        place = self.launch("client")
        self.assertEqual(self.address("client"), "10.91.0.100")
        self.assertIn("10.91.0.254", self.api.sh("client", "ip route"))
        self.assertIn("10.9.9.9", self.api.sh("client", "nslookup made.up 10.91.0.1 || true"))
        seen = place.run("busybox", "udhcpc", "-i", "eth0", "-q", "-n", "-f", "-O", "staticroutes", "-O", "ntpsrv",
                         "-s", self.script())
        self.assertIn("10.77.0.0/16 10.91.0.9", seen)
        self.assertIn("10.9.9.10", seen)
        # There is one address, and it is taken.
        self.api.create("late", "tiny", devices={"eth0": {"type": "nic", "name": "eth0", "network": self.NETWORK}})
        self.assertIn("are taken", self.assert_api_error(400, self.api.start, "late"))

    def script(self):
        path = os.path.join(self.daemon.base, "udhcpc.sh")
        with open(path, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho $staticroutes $ntpsrv\n")
        os.chmod(path, 0o755)
        return path

    def test_subnets_of_others(self):
        self.host("ip", "link", "add", "docker9", "type", "bridge")
        self.addCleanup(self.host, "ip", "link", "delete", "docker9")
        self.host("ip", "address", "add", "10.92.0.1/16", "dev", "docker9")
        body = {"name": "over0", "type": "bridge", "config": {"ipv4.address": "10.92.7.1/24", "ipv6.address": "none"}}
        self.assertIn("docker9", self.assert_api_error(409, self.api.call, "POST", "/1.0/networks", body))
        self.network(ipv6__address=f"{V6}1/64")
        body["config"] = {"ipv4.address": "none", "ipv6.address": f"{V6}9/64"}
        self.assertIn(self.NETWORK, self.assert_api_error(409, self.api.call, "POST", "/1.0/networks", body))
        self.change(ipv4__address="")
        self.assertNotIn("ipv4.address", self.api.get(f"/1.0/networks/{self.NETWORK}")["config"])


class PortsTest(Case):
    def test_external_interface(self):
        cable = self.outside("cable0", near=(), far=("10.91.0.200/24",))
        self.network(bridge__external_interfaces="cable0")
        place = self.launch("inner")
        self.address("inner")
        place.wait_ping("10.91.0.200")
        self.change(bridge__external_interfaces="")
        self.assertFalse(cable.pings("10.91.0.1", 1))
        self.outside("taken0", near=("192.0.2.1/24",), far=())
        for name, why in (("taken0", "addresses"), ("absent0", "does not exist")):
            message = self.assert_api_error(400, self.change, bridge__external_interfaces=name)
            self.assertIn(why, message)

    def test_vxlan(self):
        """A host elsewhere has the same network at the other end of a tunnel."""
        wan = self.outside()
        wan.run("ip", "link", "add", "vx", "type", "vxlan", "id", "7", "local", "192.0.2.2", "remote", "192.0.2.1",
                "dstport", "4799")
        wan.run("ip", "address", "add", "10.91.0.201/24", "dev", "vx")
        wan.run("ip", "link", "set", "vx", "up")
        keys = {"protocol": "vxlan", "id": "7", "local": "192.0.2.1", "remote": "192.0.2.2", "port": "4799"}
        self.network(**{f"tunnel__far__{key}": value for key, value in keys.items()})
        place = self.launch("inner")
        self.address("inner")
        place.wait_ping("10.91.0.201")
        self.assertIn("mtu 1400", self.api.sh("inner", "ip link show eth0"))
        self.change(tunnel__far__id="8")
        self.assertFalse(place.pings("10.91.0.201", 1))
        self.change(tunnel__far__id="7")
        place.wait_ping("10.91.0.201")
        self.change(**{f"tunnel__far__{key}": "" for key in keys})
        self.assertNotIn("keys0-far", self.host("ip", "link"))

    def test_gre_where_the_kernel_has_it(self):
        probe = self.host("sh", "-c", "ip link add gre9 type gretap local 192.0.2.1 remote 192.0.2.2 && ip link del gre9 "
                          "&& echo yes || true")
        self.network()
        gre = {"tunnel__far__protocol": "gre", "tunnel__far__local": "192.0.2.1", "tunnel__far__remote": "192.0.2.2"}
        if "yes" in probe:
            self.change(**gre)
            self.assertIn("keys0-far", self.host("ip", "link"))
        else:
            self.assertIn("gretap", self.assert_api_error(400, self.change, **gre))


class RepairTest(Case):
    def eventually(self, what, timeout=60):
        deadline = time.monotonic() + timeout * PATIENCE
        while not what():
            self.assertLess(time.monotonic(), deadline, "it was not repaired")
            time.sleep(0.05)

    def test_deleted_bridge(self):
        self.network(ipv4__routes="198.51.100.0/28")
        place = self.launch("inner", ipv4__routes="203.0.113.0/28", security__port_isolation="true")
        self.address("inner")
        place.wait_ping("10.91.0.1")
        self.host("ip", "link", "delete", self.NETWORK)
        self.eventually(lambda: place.pings("10.91.0.1", 1))
        self.eventually(lambda: "203.0.113.0/28" in self.host("ip", "route"))
        self.assertIn("198.51.100.0/28", self.host("ip", "route"))
        self.assertIn("isolated on", self.host("bridge", "-d", "link", "show"))
        self.api.sh("inner", "nslookup inner.lxd 10.91.0.1")

    def test_flushed_rules(self):
        self.network(ipv4__nat="true")
        wan = self.outside()
        place = self.launch("inner", security__ipv4_filtering="true")
        self.address("inner")
        self.host("sh", "-c", "nft flush ruleset")
        self.eventually(lambda: place.pings("192.0.2.2", 1))  # without translation, it has no way back
        self.eventually(lambda: "chain nic." in self.host("nft", "list", "ruleset"))
        self.host("nft", "flush", "table", "netdev", "lxmgr")
        self.eventually(lambda: "ether saddr" in self.host("nft", "list", "ruleset"))
        self.assertFalse(wan.pings("10.91.0.1", 1))

    def test_dnsmasq_ends(self):
        self.network()
        self.launch("one")
        address = self.address("one")
        before = self.dnsmasq()
        os.kill(before, signal.SIGKILL)
        self.eventually(lambda: self.dnsmasq() not in (0, before) and "10.91.0.1" in
                        self.api.exec("one", ["nslookup", "one.lxd", "10.91.0.1"])[1].decode())
        leases = self.api.get(f"/1.0/networks/{self.NETWORK}/leases")
        self.assertIn(address, [lease["address"] for lease in leases])

    def test_dnsmasq_is_wedged(self):
        self.network()
        before = self.dnsmasq()
        os.kill(before, signal.SIGSTOP)
        self.launch("one")
        self.assertTrue(self.address("one", 120))
        self.assertNotIn(self.dnsmasq(), (0, before))

    def test_dnsmasq_is_wedged_while_nothing_happens(self):
        self.network()
        self.launch("one")
        self.address("one")
        before = self.dnsmasq()
        os.kill(before, signal.SIGSTOP)
        self.eventually(lambda: self.dnsmasq() not in (0, before), 120)
        self.assertIn("10.91.0.1", self.api.sh("one", "nslookup one.lxd 10.91.0.1"))


if __name__ == "__main__":
    main()
