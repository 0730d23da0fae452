"""kill -9 of the daemon while networks get other names, and while zones, their records and networks on parents come and go."""
import json
import os

from harness.case import DaemonCase, PortCase, main
from harness.sweep import SweepCases

NETWORKS, ZONES, ACLS = "/1.0/networks", "/1.0/network-zones", "/1.0/network-acls"
ZONE = f"{ZONES}/crash.example"
RECORDS = f"{ZONE}/records"
BRIDGE = {"ipv4.address": "10.96.0.1/24", "ipv4.nat": "true", "ipv6.address": "none", "dns.zone.forward": "crash.example"}
NAMES = ("crash1", "crash2", "crash3", "crash4")


class NamesSweep(SweepCases, PortCase):
    moments = 8
    occurrences = 14  # each of its requests writes once, and the later ones count as much

    def operate(self):
        self.api.call("POST", ZONES, {"name": "crash.example", "config": {"user.note": "first"}})
        self.api.call("POST", RECORDS, {"name": "www", "entries": [{"type": "A", "value": "192.0.2.9"}]})
        self.api.call("POST", NETWORKS, {"name": "crash1", "type": "bridge", "config": BRIDGE})
        self.api.call("PUT", f"{RECORDS}/www", {"entries": [{"type": "A", "value": "192.0.2.10"}]})
        self.api.call("PATCH", ZONE, {"config": {"user.note": "second"}})
        self.api.call("POST", f"{NETWORKS}/crash1", {"name": "crash2"})
        self.api.call("PATCH", f"{NETWORKS}/crash2", {"config": {"dns.zone.forward": ""}})
        self.api.call("DELETE", f"{RECORDS}/www")
        self.api.call("DELETE", ZONE)
        self.api.call("DELETE", f"{NETWORKS}/crash2")
        self.api.call("POST", NETWORKS, {"name": "crash3", "type": "macvlan", "config": {"parent": "port0"}})
        self.api.call("PUT", f"{NETWORKS}/crash3", {"config": {"parent": "port0", "mtu": "1400"}})
        self.api.call("POST", f"{NETWORKS}/crash3", {"name": "crash4"})
        self.api.call("DELETE", f"{NETWORKS}/crash4")

    def made(self):
        return [url.rsplit("/", 1)[1] for url in self.api.get(NETWORKS) if url.rsplit("/", 1)[1] in NAMES]

    def cleanup(self):
        super().cleanup()
        for name in self.made():
            self.api.call("DELETE", f"{NETWORKS}/{name}")
        for zone in self.api.get(ZONES):
            for record in self.api.get(f"{zone}/records"):
                self.api.call("DELETE", record)
            self.api.call("DELETE", zone)

    def audit(self, point):
        self.assert_as_told()
        self.cleanup()
        self.assert_as_told()
        self.operate()

    def assert_as_told(self):
        """One name at most, and the kernel, the files and dnsmasq know the network by it; a zone has its own records."""
        told = self.made()
        self.assertLessEqual(len(told), 1)
        bridges = [name for name in told if name in ("crash1", "crash2")]
        links = {one["ifname"] for one in json.loads(self.daemon.sandbox.run("ip", "-json", "link"))}
        self.assertEqual(sorted(links & set(NAMES)), bridges)
        folders = os.listdir(os.path.join(self.daemon.root, "networks"))
        self.assertEqual(sorted(set(folders) & set(NAMES)), bridges)
        rules = self.daemon.sandbox.run("nft", "list", "ruleset")
        for name in NAMES:
            self.assertEqual(name in bridges, f"fwd.{name}" in rules, rules)
        zones = self.api.get(ZONES)
        self.assertIn(zones, ([], [ZONE]))
        if zones:
            self.assertIn(self.api.get(ZONE)["config"]["user.note"], ("first", "second"))
            for record in self.api.get(f"{RECORDS}?recursion=1"):
                self.assertIn(record["entries"][0]["value"], ("192.0.2.9", "192.0.2.10"))
        for name in bridges:
            network = self.api.get(f"{NETWORKS}/{name}")
            self.assertIn(network["config"]["ipv4.address"], self.daemon.sandbox.run("ip", "address", "show", "dev", name))
            if "dns.zone.forward" in network["config"]:
                self.assertEqual(self.api.get(ZONE)["used_by"], [f"{NETWORKS}/{name}"])


class AclSweep(SweepCases, DaemonCase):
    """An ACL with another name, and a forward that is merged into."""

    moments = 4
    occurrences = 9

    def operate(self):
        self.api.call("POST", ACLS, {"name": "before", "config": {"user.note": "kept"}})
        self.api.call("PATCH", f"{ACLS}/before", {"egress": [{"action": "drop", "state": "enabled"}]})
        self.api.call("POST", f"{ACLS}/before", {"name": "after"})
        config = {**BRIDGE, "dns.zone.forward": "", "security.acls": "after"}
        self.api.call("POST", NETWORKS, {"name": "crash1", "config": config})
        forwards = f"{NETWORKS}/crash1/forwards"
        self.api.call("POST", forwards, {"listen_address": "192.0.2.9", "description": "first"})
        self.api.call("PATCH", f"{forwards}/192.0.2.9", {"config": {"target_address": "10.96.0.5"}})
        self.api.call("PATCH", f"{NETWORKS}/crash1", {"config": {"security.acls": ""}})
        self.api.call("DELETE", f"{ACLS}/after")
        self.api.call("DELETE", f"{NETWORKS}/crash1")

    def cleanup(self):
        super().cleanup()
        if f"{NETWORKS}/crash1" in self.api.get(NETWORKS):
            self.api.call("DELETE", f"{NETWORKS}/crash1")
        for acl in self.api.get(ACLS):
            self.api.call("DELETE", acl)

    def audit(self, point):
        acls = self.api.get(f"{ACLS}?recursion=1")
        self.assertLessEqual(len(acls), 1)
        for acl in acls:
            self.assertEqual(acl["config"], {"user.note": "kept"})
        rules = self.daemon.sandbox.run("nft", "list", "ruleset")
        there = f"{NETWORKS}/crash1" in self.api.get(NETWORKS)
        uses = there and self.api.get(f"{NETWORKS}/crash1")["config"].get("security.acls") == "after"
        self.assertEqual(uses, "aclout.crash1" in rules, rules)
        targets = [one["config"].get("target_address") for one in self.api.get(f"{NETWORKS}/crash1/forwards?recursion=1")] \
            if there else []
        self.assertEqual("10.96.0.5" in targets, "10.96.0.5" in rules, rules)
        self.cleanup()
        self.operate()


if __name__ == "__main__":
    main()
