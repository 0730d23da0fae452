"""Rates, priority, filters, isolation and routes of NICs, read from the kernel and tried from inside."""
import json
import os
import re
import signal
import subprocess

from harness.case import DaemonCase, main
from harness.outside import Place

NETWORK6 = "lxtest6br0"


class TrafficTest(DaemonCase):
    @property
    def place(self):
        """This machine, as far as instances see it."""
        return Place(self.daemon.sandbox.pid)

    def host(self, *argv, check=True):
        return self.daemon.sandbox.run(*argv, check=check)

    def links(self):
        return {one["ifname"]: one for one in json.loads(self.host("ip", "-json", "-details", "link"))}

    def end(self, name, device="eth0"):
        """The host's end of the pair."""
        return self.api.instance(name)["config"][f"volatile.{device}.host_name"]

    def nic(self, **keys):
        return {"type": "nic", "network": "lxtestbr0", "name": "eth0",
                **{key.replace("__", "."): value for key, value in keys.items()}}

    def set_nic(self, name, **keys):
        self.api.update(name, devices={"eth0": self.nic(**keys)})

    def rules(self):
        return self.host("nft", "list", "ruleset", "netdev")

    def rate(self, name, device="eth0"):
        """Into the instance, in bits a second: the kernel's own figure."""
        found = re.search(r" rate (\d+)(\w*)bit ", self.host("tc", "class", "show", "dev", self.end(name, device)))
        return int(found[1]) * {"": 1, "K": 10 ** 3, "M": 10 ** 6, "G": 10 ** 9}[found[2]] if found else 0

    def reaches(self, name, address, *options):
        return self.api.exec(name, ["ping", "-c1", "-W1", *options, address])[0] == 0

    def assert_reaches(self, *arguments):
        self.assertTrue(any(self.reaches(*arguments) for _ in range(30)), arguments)

    def test_rates(self):
        self.api.launch("box", "tiny", devices={"eth0": self.nic(limits__ingress="8Mbit", limits__egress="4Mbit")})
        self.assertEqual(self.rate("box"), 8_000_000)
        self.assertIn("limit rate over 500000 bytes/second", self.rules())
        end, pid = self.end("box"), self.api.state("box")["pid"]
        self.set_nic("box", limits__max="20Gibit", limits__priority="5")
        self.assertEqual(self.rate("box") // 10 ** 6, (20 << 30) // 10 ** 6)
        self.assertIn("limit rate over 2560 mbytes/second", self.rules())
        self.assertIn("meta priority set 0:5", self.rules())
        self.set_nic("box")
        self.assertEqual(self.rate("box"), 0)
        self.assertEqual(self.rules(), "")
        self.assertEqual((self.end("box"), self.api.state("box")["pid"]), (end, pid))
        for wrong in ("0", "fast", "10MB", "-1bit", "99999999999Ebit"):
            self.assertIn("limits.max", self.assert_api_error(400, self.set_nic, "box", limits__max=wrong))
        self.assert_api_error(400, self.set_nic, "box", limits__priority="4294967296")

    SENDER = ("import socket,time; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); begin=time.monotonic(); sent=0\n"
              "while time.monotonic()<begin+1 or sent<20_000_000:\n sent+=s.sendto(bytes(1400),('10.88.0.1',9))\n"
              "print(time.monotonic()-begin)")

    def test_more_than_the_rate_does_not_come_through(self):
        self.api.launch("box", "tiny", devices={"eth0": self.nic(limits__egress="1Mbit")})
        self.address("box")
        before = self.links_received()
        sender = ["nsenter", "-t", str(self.api.state("box")["pid"]), "-n", "python3", "-c", self.SENDER]
        seconds = float(subprocess.run(sender, stdout=subprocess.PIPE, check=True).stdout)
        received = self.links_received() - before
        self.assertLess(received, 500_000 + 125_000 * seconds)  # the burst, and what the rate allows; 20 MB were sent
        self.assertGreater(received, 50_000)

    def links_received(self):
        """Bytes that came out of the bridge for this machine."""
        stats = json.loads(self.host("ip", "-json", "-statistics", "link", "show", "lxtestbr0"))
        return stats[0]["stats64"]["rx"]["bytes"]

    def test_mac_filtering(self):
        self.api.launch("box", "tiny", devices={"eth0": self.nic(security__mac_filtering="true")})
        self.address("box")
        self.assert_reaches("box", "10.88.0.1")
        self.api.sh("box", "ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:99; ip link set eth0 up")
        self.assertFalse(self.reaches("box", "10.88.0.1"))
        self.set_nic("box")
        self.assert_reaches("box", "10.88.0.1")
        self.set_nic("box", security__mac_filtering="true")
        self.host("ip", "neigh", "flush", "dev", "lxtestbr0")
        self.assertFalse(self.reaches("box", "10.88.0.1"))

    def test_ipv4_filtering(self):
        self.api.launch("box", "tiny", devices={"eth0": self.nic(security__ipv4_filtering="true")})
        own = self.address("box")  # DHCP comes through
        self.assert_reaches("box", "10.88.0.1")
        self.api.sh("box", "ip address add 10.88.0.201/24 dev eth0")
        self.assertFalse(self.reaches("box", "10.88.0.1", "-I", "10.88.0.201"))
        self.assert_reaches("box", "10.88.0.1", "-I", own)
        self.assertEqual(self.host("ip", "neigh", "show", "10.88.0.201"), "")
        self.set_nic("box", security__ipv4_filtering="true", ipv4__address="10.88.0.201")
        self.assert_reaches("box", "10.88.0.1", "-I", "10.88.0.201")
        self.assertFalse(self.reaches("box", "10.88.0.1", "-I", own))
        self.set_nic("box", security__ipv4_filtering="true", ipv4__address="none")
        self.assertFalse(self.reaches("box", "10.88.0.1", "-I", own))
        self.assertIn("security.ipv4_filtering", self.assert_api_error(400, self.set_nic, "box", ipv4__address="none"))
        self.set_nic("box")
        self.assert_reaches("box", "10.88.0.1", "-I", own)
        self.host("ip", "link", "add", "up0", "type", "bridge")
        try:
            unmanaged = {"type": "nic", "nictype": "bridged", "parent": "up0", "security.ipv4_filtering": "true"}
            self.assertIn("ipv4.address", self.assert_api_error(400, self.api.update, "box", devices={"eth1": unmanaged}))
            self.api.update("box", devices={"eth1": {**unmanaged, "ipv4.address": "192.0.2.7"}})
            self.assertIn("192.0.2.7", self.rules())
            self.api.update("box", devices={"eth1": None})
            self.assertEqual(self.rules(), "")
        finally:
            self.host("ip", "link", "delete", "up0")

    def test_ipv6_filtering(self):
        config = {"ipv4.address": "none", "ipv6.address": "fd42:1::1/64", "ipv6.nat": "false"}
        self.api.do("POST", "/1.0/networks", {"name": NETWORK6, "type": "bridge", "description": "", "config": config})
        try:
            self.ipv6_filtering()
        finally:
            self.remove_instance("box")
            self.api.do("DELETE", f"/1.0/networks/{NETWORK6}")

    def ipv6_filtering(self):
        own, other = "fd42:1::216:3eff:fe00:7", "fd42:1::bad"
        nic = {"type": "nic", "network": NETWORK6, "name": "eth1", "hwaddr": "00:16:3e:00:00:07",
               "security.ipv6_filtering": "true"}
        self.api.launch("box", "tiny", devices={"eth1": nic})
        inside = ["nsenter", "-t", str(self.api.state("box")["pid"]), "-n", "ip", "-6", "address", "replace"]
        for address in (own, other):
            subprocess.run([*inside, f"{address}/64", "dev", "eth1", "nodad"], check=True)
        self.assert_reaches("box", "fd42:1::1", "-I", own)
        self.assertFalse(self.reaches("box", "fd42:1::1", "-I", other))
        # Nor does it answer for an address that is not its own, from one that is.
        ping = self.daemon.sandbox.command(["ping", "-c1", "-W1", other])
        self.assertNotEqual(subprocess.run(ping, capture_output=True, check=False).returncode, 0)
        self.place.wait_ping(own)
        self.api.update("box", devices={"eth1": {**nic, "ipv6.address": "none"}})
        self.assertFalse(self.reaches("box", "fd42:1::1", "-I", own))
        self.api.update("box", devices={"eth1": {**nic, "security.ipv6_filtering": "false"}})
        self.place.wait_ping(other)

    def test_isolated_ports(self):
        isolated = {"eth0": self.nic(security__port_isolation="true")}
        for name in ("one", "two"):
            self.api.launch(name, "tiny", devices=isolated)
        address = self.address("two")
        self.address("one")

        def flag(name):
            return json.loads(self.host("bridge", "-json", "-details", "link", "show", "dev", self.end(name)))[0]["isolated"]
        self.assertEqual((flag("one"), flag("two")), (True, True))
        self.assertFalse(self.reaches("one", address))
        self.assert_reaches("one", "10.88.0.1")
        self.set_nic("two")
        self.assertFalse(flag("two"))
        self.assert_reaches("one", address)

    def test_mtu_and_queue_length(self):
        self.api.launch("box", "tiny", devices={"eth0": self.nic(queue__tx__length="321", mtu="1432")})
        self.assertEqual(self.links()[self.end("box")]["mtu"], 1432)
        self.assertEqual(self.api.sh("box", "cat /sys/class/net/eth0/mtu"), "1432")
        self.assertEqual(self.links()[self.end("box")]["txqlen"], 321)
        self.assertEqual(self.api.sh("box", "cat /sys/class/net/eth0/tx_queue_len"), "321")
        self.assert_api_error(400, self.set_nic, "box", queue__tx__length="0")

    def test_p2p(self):
        nic = {"type": "nic", "nictype": "p2p", "name": "p2p0", "limits.ingress": "3Mbit", "limits.egress": "2Mbit",
               "ipv4.routes": "198.51.100.0/28", "ipv6.routes": "fd98::/64", "queue.tx.length": "99"}
        self.api.launch("box", "tiny", devices={"far": nic})
        end = self.end("box", "far")
        self.assertIn(end, self.host("ip", "route", "show", "198.51.100.0/28"))
        self.assertIn(end, self.host("ip", "-6", "route", "show", "fd98::/64"))
        self.assertEqual((self.rate("box", "far"), self.links()[end]["txqlen"]), (3_000_000, 99))
        self.api.update("box", devices={"far": {**nic, "limits.ingress": "6Mbit"}})
        self.assertEqual((self.end("box", "far"), self.rate("box", "far")), (end, 6_000_000))
        changed = {key: value for key, value in nic.items() if key not in ("limits.ingress", "limits.egress")}
        changed = {**changed, "limits.max": "7Mbit", "limits.priority": "4", "hwaddr": "00:16:3e:00:00:21", "mtu": "1321"}
        self.api.update("box", devices={"far": changed})
        end = self.end("box", "far")
        self.assertEqual(self.api.sh("box", "cd /sys/class/net/p2p0; cat address mtu"), "00:16:3e:00:00:21\n1321")
        self.assertEqual((self.rate("box", "far"), self.links()[end]["mtu"]), (7_000_000, 1321))
        self.assertIn("limit rate over 875000 bytes/second", self.rules())
        self.assertIn("meta priority set 0:4", self.rules())
        self.api.create("second", "tiny", devices={"far": nic})
        self.assertIn("198.51.100.0/28", self.assert_api_error(400, self.api.start, "second"))
        self.api.stop("box")
        self.assertEqual(self.host("ip", "route", "show", "198.51.100.0/28") + self.rules(), "")

    def test_routed(self):
        nic = {"type": "nic", "nictype": "routed", "name": "far0", "ipv4.address": "192.0.2.10", "ipv4.host_table": "77",
               "ipv6.address": "fd99::10", "ipv6.host_table": "78", "limits.max": "5Mbit", "limits.priority": "3"}
        self.api.launch("box", "tiny", devices={"far": nic, "eth0": {"type": "none"}})
        end = self.end("box", "far")
        self.assertIn(f"192.0.2.10 dev {end}", self.host("ip", "route", "show", "table", "77"))
        self.assertIn(f"fd99::10 dev {end}", self.host("ip", "-6", "route", "show", "table", "78"))
        self.assertEqual(self.rate("box", "far"), 5_000_000)
        self.assertIn("meta priority set 0:3", self.rules())
        self.place.wait_ping("192.0.2.10")
        self.api.update("box", devices={"far": {**nic, "host_name": "far-host", "ipv4.host_address": "192.0.2.254",
                                                "ipv6.gateway": "none", "ipv6.host_address": "fe80::77"}})
        self.assertEqual(self.end("box", "far"), "far-host")
        addresses = self.host("ip", "address", "show", "dev", "far-host")
        self.assertIn("192.0.2.254/32", addresses)
        self.assertIn("fe80::77/128", addresses)
        self.assertIn("via 192.0.2.254 dev far0", self.api.sh("box", "ip route"))
        self.assertNotIn("default", self.api.sh("box", "ip -6 route"))
        self.place.wait_ping("192.0.2.10")
        del nic["limits.max"]
        self.api.update("box", devices={"far": {**nic, "limits.ingress": "3Mbit", "limits.egress": "2Mbit", "mtu": "1321",
                                                "hwaddr": "00:16:3e:00:00:22", "queue.tx.length": "98"}})
        inside = self.api.sh("box", "cd /sys/class/net/far0; cat address mtu tx_queue_len")
        self.assertEqual(inside, "00:16:3e:00:00:22\n1321\n98")
        end = self.links()[self.end("box", "far")]
        self.assertEqual((self.rate("box", "far"), end["mtu"], end["txqlen"]), (3_000_000, 1321, 98))
        self.assertIn("limit rate over 250000 bytes/second", self.rules())
        self.place.wait_ping("192.0.2.10")
        self.api.stop("box")
        self.assertEqual(self.rules(), "")

    def test_notes_of_the_user_change_nothing(self):
        self.host("ip", "link", "add", "up0", "type", "bridge")
        self.host("ip", "link", "add", "phys0", "type", "veth", "peer", "name", "phys1")
        try:
            nics = {"a": {"nictype": "p2p"}, "b": {"nictype": "macvlan", "parent": "up0"}, "c": {"nictype": "routed"},
                    "d": {"nictype": "physical", "parent": "phys0"}, "e": {"network": "lxtestbr0"}}
            nics = {name: {"type": "nic", "name": f"n{name}", **keys} for name, keys in nics.items()}
            self.api.launch("box", "tiny", devices=nics)
            before = self.api.sh("box", "cat /sys/class/net/*/ifindex")
            self.api.update("box", devices={name: {**keys, "user.note": "mine"} for name, keys in nics.items()})
            self.assertEqual(self.api.sh("box", "cat /sys/class/net/*/ifindex"), before)
            self.assertEqual(self.api.instance("box")["devices"]["b"]["user.note"], "mine")
            self.remove_instance("box")
        finally:
            for link in ("up0", "phys0"):
                self.host("ip", "link", "delete", link)

    def test_restarts_of_the_daemon(self):
        for name in ("stays", "goes"):
            self.api.launch(name, "tiny", devices={"eth0": self.nic(security__mac_filtering="true", limits__ingress="8Mbit")})
        held = self.rules()
        pid, end = self.api.state("goes")["pid"], self.end("stays")
        self.daemon.kill()
        os.kill(pid, signal.SIGKILL)
        self.assertIn(self.end_of_rules(held, end), self.rules())
        self.daemon.start()
        self.api.wait_status("goes", "Stopped")
        self.wait_for_rules(1)
        self.assertIn(end, self.rules())
        self.assertEqual(self.rate("stays"), 8_000_000)
        self.api.stop("stays")
        self.assertEqual(self.rules(), "")

    @staticmethod
    def end_of_rules(rules, end):
        return f"nic.{end}" if f"nic.{end}" in rules else "no chain at all"

    def wait_for_rules(self, count):
        for _ in range(200):
            if self.rules().count("chain nic.") == count:
                return
            subprocess.run(["sleep", "0.05"], check=True)
        self.fail(self.rules())


if __name__ == "__main__":
    main()
