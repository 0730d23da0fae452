"""kill -9 of the daemon while networks, ACLs and forwards are made, changed and deleted."""
import json

from harness.case import PortCase, main
from harness.sweep import SweepCases

ACL, NETWORK = "/1.0/network-acls/crashacl", "/1.0/networks/crash0"
FORWARD = f"{NETWORK}/forwards/192.0.2.9"
CONFIG = {"ipv4.address": "10.95.0.1/24", "ipv4.nat": "true", "ipv6.address": "fd95::1/64", "security.acls": "crashacl",
          "bridge.external_interfaces": "port0", "tunnel.far.protocol": "vxlan", "tunnel.far.local": "192.0.2.1",
          "tunnel.far.remote": "192.0.2.2", "tunnel.far.port": "4799", "ipv4.routes": "198.51.100.0/28"}
RULES = [{"action": "allow", "state": "enabled", "protocol": "tcp", "destination_port": "80"}]
PORTS = [{"protocol": "tcp", "listen_port": "8080", "target_port": "80", "target_address": "10.95.0.5"}]


class NetworkSweep(SweepCases, PortCase):
    moments = 8
    occurrences = 10  # each of its requests writes once

    def host(self, *argv, check=True):
        return self.daemon.sandbox.run(*argv, check=check)

    def operate(self):
        self.api.call("POST", "/1.0/network-acls", {"name": "crashacl", "ingress": RULES})
        self.api.call("POST", "/1.0/networks", {"name": "crash0", "type": "bridge", "config": CONFIG})
        self.api.call("POST", f"{NETWORK}/forwards", {"listen_address": "192.0.2.9", "ports": PORTS})
        self.api.call("PUT", ACL, {"ingress": RULES, "egress": RULES})
        self.api.call("PATCH", NETWORK, {"config": {"ipv4.address": "10.95.0.1/23", "bridge.external_interfaces": "",
                                                    "tunnel.far.port": "4798"}})
        self.api.call("PUT", FORWARD, {"ports": [*PORTS, {**PORTS[0], "listen_port": "8081"}]})
        self.api.call("DELETE", FORWARD)
        self.api.call("DELETE", NETWORK)
        self.api.call("POST", ACL, {"name": "crashother"})
        self.api.call("DELETE", "/1.0/network-acls/crashother")

    def cleanup(self):
        super().cleanup()
        if NETWORK in self.api.get("/1.0/networks"):
            self.api.call("DELETE", NETWORK)
        for acl in self.api.get("/1.0/network-acls"):
            self.api.call("DELETE", acl)

    def audit(self, point):
        self.assert_as_told()
        self.cleanup()
        self.assert_as_told()
        self.operate()

    def assert_as_told(self):
        """The kernel has what the API says, and nothing else."""
        links = {one["ifname"]: one for one in json.loads(self.host("ip", "-json", "-details", "link"))}
        rules = self.host("nft", "list", "ruleset")
        told = NETWORK in self.api.get("/1.0/networks")
        self.assertEqual(told, "crash0" in links)
        self.assertEqual(told, "crash0-far" in links)
        self.assertEqual(told, "fwd.crash0" in rules)
        self.assertEqual(told, "aclin.crash0" in rules)
        if not told:
            self.assertNotIn("master", links["port0"])
            return
        config = self.api.get(NETWORK)["config"]
        self.assertEqual("bridge.external_interfaces" in config, links["port0"].get("master") == "crash0")
        self.assertEqual(int(config["tunnel.far.port"]), links["crash0-far"]["linkinfo"]["info_data"]["port"])
        self.assertIn(config["ipv4.address"], self.host("ip", "address", "show", "dev", "crash0"))
        self.assertIn("198.51.100.0/28", self.host("ip", "route"))
        ports = self.api.get(f"{NETWORK}/forwards?recursion=1")
        listening = {port["listen_port"] for forward in ports for port in forward["ports"]}
        for port in ("8080", "8081"):
            self.assertEqual(port in listening, f"dport {port} dnat" in rules, rules)
        egress = bool(self.api.get(ACL)["egress"])
        self.assertEqual(rules.count("tcp dport 80 return"), 2 if egress else 1, rules)


if __name__ == "__main__":
    main()
