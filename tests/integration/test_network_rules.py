"""Network ACLs and forwards, by packets between instances, the host and hosts outside."""
import pathlib

from harness.case import main
from harness.outside import Place
from test_bridge_keys import V6, Case

ACLS = "/1.0/network-acls"


class AclTest(Case):
    def acl(self, name="web", ingress=(), egress=(), **more):
        self.api.call("POST", ACLS, {"name": name, "ingress": list(ingress), "egress": list(egress), **more})
        self.addCleanup(self.api.call, "DELETE", f"{ACLS}/{name}")

    def put(self, name="web", ingress=(), egress=()):
        self.api.call("PUT", f"{ACLS}/{name}", {"ingress": list(ingress), "egress": list(egress)})

    @staticmethod
    def rule(action, **keys):
        return {"action": action, "state": "enabled", **keys}

    def world(self, *, v6=False, **keys):
        """One instance with servers, a host outside that knows the way, and the host itself."""
        more = {"ipv6__address": f"{V6}1/64"} if v6 else {}
        self.network(**more, **keys)
        wan = self.outside()
        wan.run("ip", "route", "add", "10.91.0.0/24", "via", "192.0.2.1")
        wan.run("ip", "-6", "route", "add", f"{V6}/64", "via", "fd99::1")
        inner = self.launch("inner")
        address = self.address("inner")
        for place, kind, port in ((inner, "tcp", 80), (inner, "tcp", 81), (inner, "udp", 53), (wan, "tcp", 80)):
            self.serve(place, kind, port)
        return wan, inner, address

    def test_ingress_and_egress(self):
        rule = self.rule
        self.acl(ingress=[rule("allow", protocol="tcp", destination_port="80", source="192.0.2.0/24"),
                          rule("drop", protocol="tcp", destination_port="81")],
                 egress=[rule("allow", protocol="icmp4")])
        wan, inner, address = self.world(security__acls="web")
        host = Place(self.daemon.sandbox.pid)
        # Ingress: allowed, dropped, and refused by default. The names of the bridge and addresses come all the same.
        self.assertEqual(wan.ask("tcp", address, 80), "192.0.2.2")
        self.assertEqual(wan.ask("tcp", address, 81, 1), "timeout")
        self.assertEqual(wan.ask("udp", address, 53), "refused")
        self.assertEqual(host.ask("tcp", address, 80), "refused")  # from 10.91.0.1, which no rule names
        self.assertFalse(wan.pings(address, 1))
        self.assertIn(address, self.api.sh("inner", "nslookup inner.lxd 10.91.0.1"))
        # Egress.
        inner.wait_ping("192.0.2.2")
        self.assertEqual(inner.ask("tcp", "192.0.2.2", 80), "refused")
        # Changes hold at once; what is established goes on.
        self.put(ingress=[rule("allow", source="192.0.2.2-192.0.2.9,10.91.0.1")],
                 egress=[rule("allow", protocol="tcp", destination="192.0.2.2,192.0.2.0/28", source_port="1-65535")])
        self.assertEqual(wan.ask("tcp", address, 81), "192.0.2.2")
        self.assertEqual(wan.ask("udp", address, 53), "192.0.2.2")
        self.assertEqual(host.ask("tcp", address, 80), "10.91.0.1")
        self.assertEqual(inner.ask("tcp", "192.0.2.2", 80), address)
        self.assertFalse(inner.pings("192.0.2.2", 1))
        self.put(ingress=[{**rule("allow"), "state": "disabled"}])
        self.assertEqual(wan.ask("tcp", address, 81), "refused")
        self.change(security__acls__default__ingress__action="allow", security__acls__default__egress__action="drop")
        self.assertEqual(wan.ask("tcp", address, 81), "192.0.2.2")
        self.assertEqual(inner.ask("tcp", "192.0.2.2", 80, 1), "timeout")
        self.change(security__acls="")
        self.assertEqual(inner.ask("tcp", "192.0.2.2", 80), address)
        self.assertNotIn("aclin", self.host("nft", "list", "ruleset"))

    def test_ipv6_and_icmp(self):
        rule = self.rule
        self.acl(ingress=[rule("allow", protocol="icmp6", icmp_type="128", icmp_code="0", source="fd99::/64"),
                          rule("allow", protocol="tcp", destination_port="80-81", source="fd99::2,192.0.2.2")],
                 egress=[rule("reject", destination="fd99::2"), rule("allow")])
        wan, inner, address = self.world(v6=True, security__acls="web")
        address6 = self.global6("inner")
        wan.wait_ping(address6)
        self.assertFalse(wan.pings(address, 1))
        self.assertEqual(wan.ask("tcp", address6, 80), "fd99::2")
        self.assertEqual(wan.ask("tcp", address, 81), "192.0.2.2")
        self.assertNotEqual(inner.ask("tcp", "fd99::2", 80, 1), address6)
        self.assertEqual(inner.ask("tcp", "192.0.2.2", 80), address)

    def test_log(self):
        switch = pathlib.Path("/proc/sys/net/netfilter/nf_log_all_netns")
        before = switch.read_text(encoding="ascii")
        switch.write_text("1", encoding="ascii")
        self.addCleanup(switch.write_text, before, encoding="ascii")
        self.acl("noted", ingress=[{"action": "drop", "state": "logged", "protocol": "udp", "destination_port": "53"},
                                   self.rule("allow")])
        wan, _, address = self.world(security__acls="noted", security__acls__default__egress__logged="true",
                                     security__acls__default__ingress__logged="false")
        self.assertEqual(wan.ask("udp", address, 53, 0.5), "timeout")
        log = self.api.raw("GET", f"{ACLS}/noted/log").body.decode()
        self.assertRegex(log, rf"T.*Z ingress drop .*SRC=192.0.2.2 DST={address}.*DPT=53")

    def test_life(self):
        self.acl("first", config={"user.x": "y"}, description="what")
        shown = self.api.get(f"{ACLS}/first")
        self.assertEqual(shown, {"name": "first", "description": "what", "config": {"user.x": "y"}, "ingress": [],
                                 "egress": [], "used_by": []})
        self.network(security__acls="first")
        self.assertEqual(self.api.get(f"{ACLS}/first")["used_by"], [f"/1.0/networks/{self.NETWORK}"])
        self.assert_api_error(400, self.api.call, "DELETE", f"{ACLS}/first")
        self.assert_api_error(400, self.api.call, "POST", f"{ACLS}/first", {"name": "second"})
        self.assert_api_error(400, self.api.call, "POST", ACLS, {"name": "first"})  # as LXD
        self.api.call("PATCH", f"{ACLS}/first", {"ingress": [self.rule("allow", protocol="tcp")]})
        self.assertEqual(self.api.get(f"{ACLS}/first")["description"], "what")
        self.change(security__acls="")
        self.api.call("POST", f"{ACLS}/first", {"name": "second"})
        self.assertIn(f"{ACLS}/second", self.api.get(ACLS))
        self.api.call("POST", f"{ACLS}/second", {"name": "first"})

    def test_bad_rules(self):
        self.acl()
        for keys in ({"action": "accept"}, {"state": "on"}, {"protocol": "sctp"}, {"source": "10.0.0.1;drop"},
                     {"source": "10.0.0.9-10.0.0.1"}, {"source": "@internal"}, {"destination": "10.0.0.0/33"},
                     {"destination_port": "80"}, {"protocol": "tcp", "destination_port": "0"},
                     {"protocol": "tcp", "destination_port": "90-80"}, {"protocol": "tcp", "source_port": "1,,2"},
                     {"icmp_type": "8"}, {"protocol": "icmp4", "icmp_type": "256"}, {"protocol": "icmp4", "source": "fd00::1"},
                     {"source": "10.0.0.1", "destination": "fd00::1"}, {"description": "a\nb"}):
            with self.subTest(keys=keys):
                self.assert_api_error(400, self.put, ingress=[{**self.rule("allow"), **keys}])
        for direction in ("ingress", "egress"):
            self.assert_api_error(400, self.put, **{direction: [self.rule("allow"), self.rule("drop"), self.rule("allow")]})
        for name in ("", "1a", "a b", "a/b", "-a", "x" * 64, 'a"; drop'):
            with self.subTest(name=name):
                self.assert_api_error(400, self.api.call, "POST", ACLS, {"name": name})


class ForwardTest(Case):
    def forwards(self):
        return f"/1.0/networks/{self.NETWORK}/forwards"

    def test_ports(self):
        self.network(ipv6__address=f"{V6}1/64", ipv4__nat="true")
        wan = self.outside(near=("192.0.2.1/24", "192.0.2.7/32", "fd99::1/64", "fd99::7/128"))
        inner = self.launch("inner")
        address, address6 = self.address("inner"), self.global6("inner")
        self.launch("neighbour")
        neighbour_address = self.address("neighbour")
        self.global6("neighbour")
        neighbour, host = Place(self.api.state("neighbour")["pid"]), Place(self.daemon.sandbox.pid)
        for kind, port in (("tcp", 80), ("tcp", 9001), ("udp", 5353)):
            self.serve(inner, kind, port)
        ports = [{"protocol": "tcp", "listen_port": "8080", "target_port": "80", "target_address": address},
                 {"protocol": "tcp", "listen_port": "9000-9002", "target_address": address},
                 {"protocol": "tcp", "listen_port": "7001,7000", "target_port": "79-80", "target_address": address},
                 {"protocol": "udp", "listen_port": "53", "target_port": "5353", "target_address": address}]
        self.api.call("POST", self.forwards(), {"listen_address": "192.0.2.7", "description": "all of it", "ports": ports})
        self.assertEqual(self.api.get(self.forwards()), [f"{self.forwards()}/192.0.2.7"])
        # From outside with the client's own address, from the host, and from instances.
        for kind, port in (("tcp", 8080), ("tcp", 9001), ("tcp", 7001), ("udp", 53)):
            self.assertEqual(wan.ask(kind, "192.0.2.7", port), "192.0.2.2", port)
        self.assertEqual(wan.ask("tcp", "192.0.2.7", 9000), "refused")
        self.assertIn(host.ask("tcp", "192.0.2.7", 8080), ("10.91.0.1", "192.0.2.7", "192.0.2.1"))
        self.assertEqual(neighbour.ask("tcp", "192.0.2.7", 8080), "10.91.0.1", neighbour_address)
        ports6 = [{"protocol": "tcp", "listen_port": "8080", "target_port": "80", "target_address": address6}]
        self.api.call("POST", self.forwards(), {"listen_address": "fd99:0::7", "ports": ports6})
        self.assertEqual(wan.ask("tcp", "fd99::7", 8080), "fd99::2")
        self.assertEqual(neighbour.ask("tcp", "fd99::7", 8080), f"{V6}1")
        # Changed, kept over a restart of the daemon, and gone.
        url = f"{self.forwards()}/192.0.2.7"
        self.api.call("PATCH", url, {"ports": ports[1:], "config": {"user.x": "y"}})
        self.assertNotEqual(wan.ask("tcp", "192.0.2.7", 8080, 3), "192.0.2.2")
        self.daemon.kill()
        self.host("nft", "flush", "ruleset")
        self.daemon.start()
        self.assertEqual(wan.ask("udp", "192.0.2.7", 53), "192.0.2.2")
        self.api.call("PUT", url, {"config": {"target_address": address}, "ports": []})
        self.assertEqual(wan.ask("tcp", "192.0.2.7", 80), "192.0.2.2")
        for one in ("192.0.2.7", "fd99::7"):
            self.api.call("DELETE", f"{self.forwards()}/{one}")
        self.assertNotEqual(wan.ask("tcp", "192.0.2.7", 80, 3), "192.0.2.2")
        self.assertNotIn("dnat", self.host("nft", "list", "ruleset"))

    def test_an_address_of_the_own_subnet(self):
        """As with LXD; one that nobody holds, and that nobody is given from then on."""
        self.network(ipv4__dhcp__ranges="10.91.0.20-10.91.0.22")
        wan = self.outside()
        inner = self.launch("inner")
        address = self.address("inner")
        self.serve(inner, "tcp", 80)
        said = self.assert_api_error(400, self.api.call, "POST", self.forwards(), {"listen_address": address})
        self.assertIn("'inner'", said)
        for whole in ("10.91.0.0", "10.91.0.255"):
            self.assert_api_error(400, self.api.call, "POST", self.forwards(), {"listen_address": whole})
        listen = next(one for one in ("10.91.0.20", "10.91.0.21") if one != address)
        self.api.call("POST", self.forwards(), {"listen_address": listen, "config": {"target_address": address}})
        wan.run("ip", "route", "add", f"{listen}/32", "via", "192.0.2.1")
        self.assertEqual(wan.ask("tcp", listen, 80), "192.0.2.2")
        self.launch("other")
        self.assertEqual({address, listen, self.address("other")}, {"10.91.0.20", "10.91.0.21", "10.91.0.22"})
        self.assertIn(listen, self.assert_api_error(400, self.api.update, "other", devices={
            "eth0": {"type": "nic", "network": self.NETWORK, "name": "eth0", "ipv4.address": listen}}))
        self.api.call("DELETE", f"{self.forwards()}/{listen}")

    def test_bad_values(self):
        self.network()
        self.network("keys1", ipv4__address="10.93.0.1/24")
        good = {"protocol": "tcp", "listen_port": "80", "target_address": "10.91.0.5"}
        body = {"listen_address": "192.0.2.7", "ports": [good]}
        self.api.call("POST", self.forwards(), body)
        self.assert_api_error(409, self.api.call, "POST", self.forwards(), body)
        self.assert_api_error(409, self.api.call, "POST", "/1.0/networks/keys1/forwards",
                              {"listen_address": "192.0.2.7"})
        for address in ("127.0.0.1", "::1", "0.0.0.0", "x", "10.93.0.9", "224.0.0.1", ""):
            with self.subTest(address=address):
                self.assert_api_error(400, self.api.call, "POST", self.forwards(), {"listen_address": address})
        for keys in ({"target_address": "10.93.0.5"}, {"target_address": "fd00::1"}, {"target_address": "10.91.0.1"},
                     {"protocol": "icmp4"}, {"listen_port": ""}, {"listen_port": "1-3", "target_port": "1-2"},
                     {"listen_port": "80,80"}, {"listen_port": "80-82,81"}, {"listen_port": "70000"}, {"target_port": "x"},
                     {"snat": True}):
            with self.subTest(keys=keys):
                self.assert_api_error(400, self.api.call, "PUT", f"{self.forwards()}/192.0.2.7",
                                      {"ports": [{**good, **keys}]})
        self.assert_api_error(400, self.api.call, "PUT", f"{self.forwards()}/192.0.2.7", {"ports": [good, good]})
        self.assert_api_error(400, self.change, ipv4__address="10.94.0.1/24")
        self.assert_api_error(404, self.api.get, f"{self.forwards()}/192.0.2.8")
        self.assertIn("peering", self.assert_api_error(400, self.api.get, f"/1.0/networks/{self.NETWORK}/peers"))


if __name__ == "__main__":
    main()
