"""kill -9 of the daemon while NICs and other devices come to a running instance, change and leave."""
import json
import os

from harness.case import DaemonCase, main
from harness.sweep import SweepCases

MAC = "02:00:00:00:00:51"
NIC = {"type": "nic"}
DEVICES = {
    "filtered": {**NIC, "network": "lxtestbr0", "name": "nic0", "security.ipv4_filtering": "true", "limits.max": "10Mbit",
                 "security.port_isolation": "true"},
    "cable": {**NIC, "nictype": "p2p", "name": "nic1", "limits.ingress": "10Mbit", "ipv4.routes": "198.51.100.0/28"},
    "routed": {**NIC, "nictype": "routed", "parent": "up0", "name": "nic2", "ipv4.address": "192.0.2.10",
               "limits.priority": "3"},
    "own": {**NIC, "nictype": "macvlan", "parent": "up0", "name": "nic3"},
    "lent": {**NIC, "nictype": "physical", "parent": "phys0", "name": "nic4"},
}
CHANGED = {"filtered": {**DEVICES["filtered"], "limits.max": "20Mbit", "security.port_isolation": "false"},
           "cable": {**DEVICES["cable"], "limits.ingress": "20Mbit", "limits.egress": "1Mbit"},
           "routed": {**DEVICES["routed"], "connected": "false"}, "own": {**DEVICES["own"], "connected": "false"},
           "lent": {**DEVICES["lent"], "attached": "false"}}


class NicSweep(SweepCases, DaemonCase):
    moments = 8  # each is a restart, and an operation on five devices

    def host(self, *argv, check=True):
        return self.daemon.sandbox.run(*argv, check=check)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run = cls.daemon.sandbox.run
        run("ip", "link", "add", "phys0", "address", MAC, "type", "veth", "peer", "name", "phys1")
        run("ip", "link", "add", "up0", "type", "bridge")
        run("ip", "address", "add", "192.0.2.1/24", "dev", "up0")
        run("ip", "link", "set", "up0", "up")
        run("sysctl", "-qw", "net.ipv4.conf.up0.forwarding=1")

    @classmethod
    def tearDownClass(cls):
        for link in ("phys0", "up0"):
            cls.daemon.sandbox.run("ip", "link", "delete", link)
        super().tearDownClass()

    def points(self):
        # How many rows are written in the background, of DHCP and the like, is not the same each time.
        return [point for point in super().points() if not point[0].startswith("database.")]

    def prepare(self):
        self.create()
        self.api.start("subject")

    def operate(self):
        self.api.update("subject", devices=DEVICES)
        self.api.update("subject", devices=CHANGED)
        self.api.update("subject", devices=dict.fromkeys(DEVICES))

    def audit(self, point):
        self.assertEqual(self.api.instance("subject")["status"], "Running")
        self.assert_as_told()
        self.operate()
        self.assert_as_told()

    def assert_as_told(self):
        """The kernel has what the instance's config says, and nothing else."""
        config = self.api.instance("subject")
        told = {device for device in set(config["devices"]) & set(DEVICES) if "attached" not in config["devices"][device]}
        lines = [line.split() for line in self.api.sh("subject", "ip -o link").splitlines()]
        inside = {line[1].split("@")[0].rstrip(":"): line[2] for line in lines}
        self.assertEqual({device for device in told - {"lent"} if "LOWER_UP" not in inside.get(DEVICES[device]["name"], "")},
                         {device for device in told if "connected" in config["devices"][device]})
        self.assertEqual(sorted(name for name in inside if name.startswith("nic")),
                         sorted(DEVICES[device]["name"] for device in told))
        links = {one["ifname"]: one for one in json.loads(self.host("ip", "-json", "link"))}
        ends = {value for key, value in config["config"].items() if key.endswith(".host_name")} - {"phys0"}
        bystander = self.api.instance("bystander")["config"]["volatile.eth0.host_name"]
        self.assertEqual({name for name in links if name.startswith("veth")}, ends | {bystander})
        self.assertEqual("phys0" in links, "lent" not in told)
        if "phys0" in links:
            self.assertEqual(links["phys0"]["address"], MAC)
        rules = self.host("nft", "list", "ruleset", "netdev")
        with_rules = {device for device in told if device in ("filtered", "routed") or
                      "limits.egress" in config["devices"][device]}
        self.assertEqual(rules.count("chain nic."), len(with_rules), rules)
        self.assertEqual("192.0.2.10" in self.host("ip", "neigh", "show", "proxy"), "routed" in told)


class DeviceSweep(SweepCases, DaemonCase):
    moments = 8

    def prepare(self):
        self.create()
        self.api.start("subject")
        folder = os.path.join(self.daemon.base, "shared")
        os.makedirs(folder, exist_ok=True)
        self.devices = {
            "adoor": {"type": "proxy", "listen": f"unix:{self.daemon.base}/door", "connect": "unix:/run/door"},
            "anat": {"type": "proxy", "nat": "true", "listen": "tcp:192.0.2.1:8080", "connect": "tcp:0.0.0.0:80"},
            "folder": {"type": "disk", "source": folder, "path": "/mnt/folder"},
            "scratch": {"type": "disk", "source": "tmpfs:", "path": "/mnt/scratch"},
            "null": {"type": "unix-char", "source": "/dev/null", "path": "/dev/null2"},
            "loose": {"type": "unix-char", "source": "/dev/zero", "path": "/dev/zero2", "required": "false"},
        }
        self.changed = {"folder": {**self.devices["folder"], "readonly": "true"},
                        "loose": {**self.devices["loose"], "mode": "0600"},
                        "anat": {**self.devices["anat"], "listen": "tcp:192.0.2.1:8081"}}

    def operate(self):
        self.api.update("subject", devices=self.devices)
        self.api.update("subject", devices=self.changed)
        self.api.update("subject", devices=dict.fromkeys(self.devices))

    def audit(self, point):
        self.assertEqual(self.api.instance("subject")["status"], "Running")
        self.assert_as_told()
        self.operate()
        self.assert_as_told()

    def assert_as_told(self):
        told = self.api.instance("subject")["devices"]
        paths = {keys["path"] for keys in self.devices.values() if "path" in keys}
        mounts = [line.split()[1] for line in self.api.sh("subject", "cat /proc/mounts").splitlines()]
        self.assertEqual(sorted(path for path in mounts if path in paths),
                         sorted(keys["path"] for keys in told.values() if keys.get("path") in paths))
        self.assertEqual("dnat" in self.daemon.sandbox.run("nft", "list", "ruleset"), "anat" in told)
        self.assertEqual(os.path.exists(f"{self.daemon.base}/door"), "adoor" in told)


if __name__ == "__main__":
    main()
