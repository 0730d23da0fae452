"""What goes wrong with networks by mistake or ill will: subnets that are none or others', names that are more than names, and
pools of addresses that run out. Bridges, rules and servers that others break are repaired: test_bridge_keys.py."""
import os
import pathlib
import threading

from harness import clients
from harness.case import main
from harness.daemon import binaries
from harness.rest import ApiError
from test_bridge_keys import V6, Case

URL = "/1.0/networks"
#: What would mean more than a name to dnsmasq's files, nft, a path, a URL or a terminal.
HOSTILE = ("a\nb", "a b", "a,b", "a;b", "a\"b", "a'b", "a$(id)", "a`id`", "a|b", "a&b", "a/b", "../a", "..", ".", "-a", "a\x00b",
           "a\x1b[2J", "a{b}", "a%2fb", "\u202ea", "a" * 200)
NO_ADDRESSES = {
    "ipv4.address": ("10.1.0.1", "10.1.0.1/33", "10.1.0.1/-1", "10.1.0.1/", "/24", "300.1.0.1/24", "10.1.0/24", "10.1.0.0/24",
                     "10.1.0.255/24", "10.1.0.1/32", "10.1.0.1/24 ", "010.1.0.1/24", "127.0.0.1/8", "169.254.1.1/16",
                     "224.0.0.1/24", "0.0.0.0/0", f"{V6}1/64", "x"),
    "ipv6.address": (f"{V6}1", f"{V6}1/129", f"{V6}/64", "fe80::1/64", "ff02::1/64", "::1/128", "::ffff:10.1.0.1/120",
                     "10.1.0.1/24", "::/0", "fd42:::1/64", "x")}


class SubnetTest(Case):
    def refused(self, code, **keys):
        body = {"name": "bad0", "type": "bridge", "config": {"ipv4.address": "none", "ipv6.address": "none", **self.dotted(keys)}}
        try:
            return self.assert_api_error(code, self.api.call, "POST", URL, body)
        except AssertionError:
            self.api.raw("DELETE", f"{URL}/bad0")  # so that one mistake is told of once
            raise

    def test_addresses_that_are_none(self):
        self.network()
        for key, values in NO_ADDRESSES.items():
            for value in values:
                with self.subTest(key=key, value=value):
                    for message in (self.refused(400, **{key.replace(".", "__"): value}),
                                    self.assert_api_error(400, self.change, **{key.replace(".", "__"): value})):
                        self.assertIn(key, message)
        self.assertEqual(self.api.get(f"{URL}/{self.NETWORK}")["config"]["ipv4.address"], "10.91.0.1/24")
        self.assertNotIn("bad0", self.host("ip", "link"))

    def test_ranges_outside_of_the_subnet(self):
        for value in ("10.92.0.2-10.92.0.9", "10.91.0.9-10.91.0.2", "10.91.0.2", "10.91.0.2-", "10.91.0.2-10.91.0.9,x", ","):
            with self.subTest(value=value):
                self.assertIn("ipv4.dhcp.ranges", self.refused(400, ipv4__address="10.91.0.1/24", ipv4__dhcp__ranges=value))

    def test_a_change_takes_nobodys_subnet(self):
        self.network()
        self.network("keys1", ipv4__address="10.92.0.1/24")
        for value in ("10.91.0.1/24", "10.91.0.129/25", "10.88.0.1/13"):
            with self.subTest(value=value):
                message = self.assert_api_error(409, self.change, "keys1", ipv4__address=value)
                self.assertTrue(any(name in message for name in (self.NETWORK, "lxtestbr0")), message)
        self.assertIn("10.92.0.1/24", self.host("ip", "-brief", "address", "show", "dev", "keys1"))
        self.change("keys1", ipv4__address="10.91.1.1/24")
        self.assertIn("10.91.1.1/24", self.host("ip", "-brief", "address", "show", "dev", "keys1"))


# As Docker has it where iptables speaks nftables, and ufw; both in the tables that iptables uses.
DOCKER = """table ip filter {
    chain DOCKER-USER { counter return; }
    chain DOCKER-FORWARD { iifname "docker0" counter accept; ct state { established, related } counter accept; }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        counter jump DOCKER-USER; counter jump DOCKER-FORWARD;
    }
}"""
UFW = """table ip filter {
    chain ufw-before-input { iifname "lo" accept; ct state { established, related } accept; icmp type echo-request accept; }
    chain ufw-reject-input { counter drop; }
    chain INPUT { type filter hook input priority filter; policy accept; jump ufw-before-input; counter goto ufw-reject-input; }
}"""


class DoctorTest(Case):
    """Rules of other programs: beside ours all goes on, and the one that is in the way is named."""

    def rules(self, text):
        path = os.path.join(self.daemon.base, "others.nft")
        pathlib.Path(path).write_text(text, encoding="ascii")
        self.host("nft", "-f", path)
        self.addCleanup(self.host, "nft", "delete", "table", "ip", "filter", check=False)

    def findings(self):
        found = [one["message"] for one in self.api.get(f"{URL}/{self.NETWORK}/doctor") if not one["good"]]
        own = clients.Client(self.daemon, str(binaries() / "lxmgr"), {"LXMGR_DIR": self.daemon.root})
        said = own("network", "doctor", self.NETWORK, check=not found)
        for message in found:
            self.assertIn(message, said)
        return found

    def test_docker(self):
        self.network(ipv4__nat="true")
        self.outside()
        place = self.launch("inner")
        self.address("inner")
        place.wait_ping("192.0.2.2")
        self.assertEqual(self.findings(), [])
        self.rules(DOCKER)
        self.assertFalse(place.pings("192.0.2.2", 1))
        place.wait_ping("10.91.0.1")
        found = self.findings()
        self.assertEqual(len(found), 1, found)
        for word in ("IPv4 of instances to elsewhere", "table ip filter, chain FORWARD: policy drop", self.NETWORK):
            self.assertIn(word, found[0])
        # What it tells to do helps, and its own rules are as they were.
        for side in ("iifname", "oifname"):
            self.host("nft", "insert", "rule", "ip", "filter", "DOCKER-USER", side, self.NETWORK, "accept")
        self.assertEqual(self.findings(), [])
        place.wait_ping("192.0.2.2")
        self.change(ipv4__nat="false")
        self.change(ipv4__nat="true")
        place.wait_ping("192.0.2.2")
        self.assertIn("policy drop", self.host("nft", "list", "chain", "ip", "filter", "FORWARD"))

    def test_ufw(self):
        self.network()
        place = self.launch("inner")
        address = self.address("inner")
        self.rules(UFW)
        found = self.findings()
        self.assertEqual(len([one for one in found if "chain ufw-reject-input, rule" in one]), 2, found)  # DHCP and DNS
        self.assertFalse(place.run("nslookup", "-timeout=1", "-retry=0", "inner.lxd", "10.91.0.1", check=False).count(address))
        self.host("nft", "insert", "rule", "ip", "filter", "INPUT", "iifname", self.NETWORK, "accept")
        self.assertEqual(self.findings(), [])
        self.assertIn(address, self.api.sh("inner", "nslookup inner.lxd 10.91.0.1"))


class NamesTest(Case):
    def test_names_that_inject(self):
        self.network()
        nic = {"type": "nic", "name": "eth0", "network": self.NETWORK}
        for name in HOSTILE:
            for what, call, body in (
                    ("network", URL, {"name": name, "type": "bridge"}),
                    ("new name of a network", f"{URL}/{self.NETWORK}", {"name": name}),
                    ("ACL", "/1.0/network-acls", {"name": name}),
                    ("zone", "/1.0/network-zones", {"name": name}),
                    ("project", "/1.0/projects", {"name": name}),
                    ("instance", "/1.0/instances", {"name": name, "source": {"type": "image", "alias": "tiny"}})):
                with self.subTest(what=what, name=name):
                    self.assert_api_error(400, self.api.do, "POST", call, body)
            for key in ("host_name", "name", "network", "hwaddr", "security.acls"):
                with self.subTest(key=key, value=name):
                    with self.assertRaises(ApiError) as caught:
                        self.api.create("bad", "tiny", devices={"eth0": {**nic, key: name}})
                        self.api.delete("bad")
                    self.assertIn(caught.exception.code, (400, 404), caught.exception.message)
            for key in ("dns.domain", "dns.zone.forward", "bridge.external_interfaces", "security.acls",
                        "dns.nameservers"):
                if (key, name) == ("dns.search", "a,b"):
                    continue  # a list
                with self.subTest(key=key, value=name):
                    with self.assertRaises(ApiError) as caught:
                        self.change(**{key.replace(".", "__"): name})
                    self.assertIn(caught.exception.code, (400, 404), caught.exception.message)
        self.assertNotIn("bad", self.daemon.instance_names())


class PoolTest(Case):
    """Addresses are claimed by the first start, and kept until the NIC is gone."""

    def make(self, name, **keys):
        self.api.create(name, "tiny", devices={"eth0": {"type": "nic", "name": "eth0", "network": self.NETWORK,
                                                        **self.dotted(keys)}})

    def start_fails(self, name):
        message = self.assert_api_error(400, self.api.start, name)
        self.assertEqual(self.api.instance(name)["status"], "Stopped")
        return message

    def test_it_runs_out(self):
        self.network(ipv4__dhcp__ranges="10.91.0.10-10.91.0.11")
        for name in ("one", "two", "three"):
            self.make(name)
        self.api.start("one")
        self.api.start("two")
        message = self.start_fails("three")
        self.assertIn("10.91.0.1/24 are taken", message)
        self.assertIn("ipv4.dhcp.ranges", message)
        self.api.stop("one")  # whoever is stopped keeps its own
        self.start_fails("three")
        # What is chosen need not be of the ranges; what others have is given to nobody.
        self.make("chosen", ipv4__address="10.91.0.50")
        self.api.start("chosen")
        self.remove_instance("one")
        self.api.start("three")
        self.change(ipv4__dhcp__ranges="10.91.0.10-10.91.0.12")
        self.make("four")
        self.api.start("four")
        self.assertEqual(self.address("four"), "10.91.0.12")
        self.assertEqual({self.address(name) for name in ("two", "three")}, {"10.91.0.10", "10.91.0.11"})
        self.assertEqual(self.address("chosen"), "10.91.0.50")

    def test_many_want_the_last_ones(self):
        self.network(ipv4__dhcp__ranges="10.91.0.10-10.91.0.12")
        names = [f"box{number}" for number in range(8)]
        for name in names:
            self.make(name)
        failed = []

        def work(name):
            try:
                self.api.start(name)
            except ApiError as error:
                failed.append(error.message)
            finally:
                self.api.close()

        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.assertEqual(len(failed), 5)
        for message in failed:
            self.assertIn("are taken", message)
        running = [name for name in names if self.api.instance(name)["status"] == "Running"]
        self.assertEqual(sorted(self.address(name) for name in running), ["10.91.0.10", "10.91.0.11", "10.91.0.12"])

    def test_it_runs_out_of_ipv6(self):
        self.network(ipv6__address=f"{V6}1/64", ipv6__dhcp__stateful="true", ipv6__dhcp__ranges=f"{V6}10-{V6}10",
                     ipv4__dhcp__ranges="10.91.0.10-10.91.0.11")
        self.make("one")
        self.make("two")
        self.api.start("one")
        self.assertIn("ipv6.dhcp.ranges", self.start_fails("two"))
        # The IPv4 address that it was to have is not lost.
        self.make("three", ipv6__address=f"{V6}99")
        self.api.start("three")
        self.assertEqual({self.address(name) for name in ("one", "three")}, {"10.91.0.10", "10.91.0.11"})

    def test_a_subnet_with_one_address(self):
        self.network(ipv4__address="10.91.0.1/30")
        self.make("one")
        self.make("two")
        self.api.start("one")
        self.assertIn("10.91.0.1/30", self.start_fails("two"))
        self.assertEqual(self.address("one"), "10.91.0.2")


if __name__ == "__main__":
    main()
