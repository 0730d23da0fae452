"""kill -9 of the daemon while NICs and other devices come to a running instance, change and leave."""
import json
import os
import subprocess
import time

from harness.case import DaemonCase, main
from harness.rest import PATIENCE
from harness.sweep import CONFIG, SweepCases

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

    def inside(self, config, told):
        """The links inside, with their flags, when the carriers are as they should be: the kernel tells of a change up to
        a second later."""
        cut = {device for device in told if "connected" in config["devices"][device]}
        deadline = time.monotonic() + 30 * PATIENCE
        while True:
            lines = [line.split() for line in self.api.sh("subject", "ip -o link").splitlines()]
            inside = {line[1].split("@")[0].rstrip(":"): line[2] for line in lines}
            down = {device for device in told - {"lent"} if "LOWER_UP" not in inside.get(DEVICES[device]["name"], "")}
            if down == cut:
                return inside
            self.assertLess(time.monotonic(), deadline, (down, cut))
            time.sleep(0.05)

    def assert_as_told(self):
        """The kernel has what the instance's config says, and nothing else."""
        config = self.api.instance("subject")
        told = {device for device in set(config["devices"]) & set(DEVICES) if "attached" not in config["devices"][device]}
        inside = self.inside(config, told)
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


class ProfileSweep(SweepCases, DaemonCase):
    """A profile of which two users run and one is stopped: all follow it, or none, and what is stored is what they have."""

    moments = 8
    root = {"type": "disk", "path": "/", "pool": "default"}
    users = ("subject", "second")

    def points(self):
        # Each of the operation's three changes has the points of one for each user, and two of these are killed.
        return [point for point in super().points() if not point[0].startswith("database.")]

    def prepare(self):
        folder = os.path.join(self.daemon.base, "shared")
        os.makedirs(folder, exist_ok=True)
        self.devices = {
            "cable": {**NIC, "nictype": "p2p", "name": "nic1", "limits.ingress": "10Mbit"},
            "door": {"type": "proxy", "bind": "instance", "listen": "unix:/run/door", "connect": f"unix:{self.daemon.base}/door"},
            "folder": {"type": "disk", "source": folder, "path": "/mnt/folder"},
            "null": {"type": "unix-char", "source": "/dev/null", "path": "/dev/null2"},
            "root": {**self.root, "size": "64MiB"},
            "scratch": {"type": "disk", "source": "tmpfs:", "path": "/mnt/scratch"},
        }
        self.changed = {"root": {**self.root, "size": "96MiB"}, "cable": {**self.devices["cable"], "limits.egress": "1Mbit"},
                        "folder": {**self.devices["folder"], "readonly": "true"}, "null": self.devices["null"]}
        self.api.call("POST", "/1.0/profiles", {"name": "web"})
        for name in self.users:
            self.api.launch(name, "tiny", config=CONFIG, profiles=["default", "web"], devices={"root": self.root})
        self.api.create("stopped", "tiny", config=CONFIG, profiles=["default", "web"])

    def put(self, devices, **config):
        self.api.do("PUT", "/1.0/profiles/web", {"config": config, "devices": devices})

    def operate(self):
        self.put(self.devices)
        self.put(self.changed, **{"limits.processes": "500"})
        self.put({})

    def audit(self, point):
        self.assert_as_told()
        self.operate()
        self.assert_as_told()

    def cleanup(self):
        super().cleanup()
        if "/1.0/profiles/web" in self.api.get("/1.0/profiles"):
            self.api.call("DELETE", "/1.0/profiles/web")

    def assert_as_told(self):
        told = self.api.get("/1.0/profiles/web")["devices"]
        for name in self.users:
            self.assertEqual(self.api.instance(name)["status"], "Running")
            mounts = [line.split() for line in self.api.sh(name, "cat /proc/mounts").splitlines()]
            self.assertEqual({mount[1]: "ro" in mount[3].split(",") for mount in mounts if mount[1].startswith("/mnt/")},
                             {keys["path"]: "readonly" in keys for device, keys in told.items()
                              if keys["type"] == "disk" and device != "root"})
            self.assertEqual(" nic1" in self.api.sh(name, "ip -o link"), "cable" in told)
            self.assertEqual(self.api.exec(name, ["test", "-e", "/dev/null2"])[0] == 0, "null" in told)
            forwarders = subprocess.run(["pgrep", "-f", f"lxmgr-proxy {name}/door"], stdout=subprocess.DEVNULL, check=False)
            self.assertEqual(forwarders.returncode == 0, "door" in told)
        size = int(told["root"]["size"].removesuffix("MiB")) << 20 if "root" in told else 0
        self.assertEqual(self.api.state("stopped")["disk"]["root"]["total"], size)
        filtered = sum("limits.egress" in keys for keys in told.values()) * len(self.users)
        self.assertEqual(self.daemon.sandbox.run("nft", "list", "ruleset", "netdev").count("chain nic."), filtered)


if __name__ == "__main__":
    main()
