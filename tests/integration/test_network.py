"""network: the managed bridge, leases, names, NAT, an address for life."""
import concurrent.futures
import ipaddress
import json
import pathlib
import subprocess

from harness.case import DaemonCase, main
from harness.daemon import BRIDGE, SUBNET
from harness.rest import ApiError
from harness.sandbox import namespace


class NetworkTest(DaemonCase):
    def tearDown(self):
        self.doCleanups()
        super().tearDown()

    def test_bridge_is_shown(self):
        network = self.api.get(f"/1.0/networks/{BRIDGE}")
        self.assertEqual((network["type"], network["managed"], network["status"]), ("bridge", True, "Created"))
        self.assertEqual(network["config"]["ipv4.address"], f"{SUBNET}.1/24")
        state = self.api.get(f"/1.0/networks/{BRIDGE}/state")
        self.assertIn(f"{SUBNET}.1", [a["address"] for a in state["addresses"]])
        self.assertEqual(state["state"], "up")
        self.api.launch("port", "tiny")
        hwaddr = state["hwaddr"].replace(":", "")
        bridge = self.api.get(f"/1.0/networks/{BRIDGE}/state")["bridge"]
        shown = json.loads(self.daemon.sandbox.run("ip", "-d", "-j", "link", "show", BRIDGE))[0]["linkinfo"]["info_data"]
        self.assertEqual(bridge, {"id": f"8000.{hwaddr}", "stp": False, "forward_delay": shown["forward_delay"],
                                  "vlan_default": shown.get("vlan_default_pvid", 0),
                                  "vlan_filtering": bool(shown["vlan_filtering"]),
                                  "upper_devices": [self.api.instance("port")["config"]["volatile.eth0.host_name"]]})
        self.assertIn(BRIDGE, [n["name"] for n in self.api.get("/1.0/networks?recursion=1")])

    def test_lease_and_its_listing(self):
        self.api.launch("host1", "tiny")
        address = self.address("host1")
        self.assertIn(ipaddress.ip_address(address), ipaddress.ip_network(f"{SUBNET}.0/24"))
        hwaddr = self.api.instance("host1")["config"]["volatile.eth0.hwaddr"]
        lease = next(l for l in self.api.get(f"/1.0/networks/{BRIDGE}/leases") if l["address"] == address)
        self.assertEqual((lease["hostname"], lease["hwaddr"], lease["type"]), ("host1", hwaddr, "dynamic"))

    def test_state_of_the_nic(self):
        self.api.launch("nic", "tiny")
        self.address("nic")
        nic = self.api.state("nic")["network"]["eth0"]
        self.assertEqual((nic["state"], nic["type"], nic["mtu"]), ("up", "broadcast", 1500))
        self.assertIn(nic["host_name"], self.daemon.sandbox.run("ip", "-brief", "link"))
        self.assertGreater(nic["counters"]["bytes_sent"], 0)
        self.assertIn("lo", self.api.state("nic")["network"])

    def test_the_address_is_for_life(self):
        self.api.launch("life", "tiny")
        address = self.address("life")
        self.api.set_state("life", "restart", force=True)
        self.assertEqual(self.address("life"), address)
        self.api.stop("life")
        self.api.launch("between", "tiny")
        self.assertNotEqual(self.address("between"), address)
        self.api.start("life")
        self.assertEqual(self.address("life"), address)

    def test_an_address_is_bound_when_the_nic_is_made(self):
        """Before it has ever run, so that nobody else gets it meanwhile; and a NIC that is added has one as well."""
        self.api.create("early", "tiny")
        address = self.bound("early.eth0")
        self.api.launch("other", "tiny")
        self.assertNotEqual(self.address("other"), address)
        self.api.create("thief", "tiny", devices={"eth0": {**self.NIC, "ipv4.address": address}})
        self.assertIn("early", self.assert_api_error(400, self.api.start, "thief"))
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.bound("early.eth0"), address)
        self.api.start("early")
        self.assertEqual(self.address("early"), address)
        self.api.stop("early")
        self.assertEqual(self.bound("early.eth0"), address)
        self.api.do("POST", "/1.0/instances", {"name": "copied", "source": {"type": "copy", "source": "early"}})
        self.assertNotIn(self.bound("copied.eth0"), (None, address))
        self.api.call("POST", "/1.0/networks", {"name": "lxt-more", "config": {"ipv4.address": "10.78.1.1/24",
                                                                              "ipv6.address": "none"}})
        self.addCleanup(self.api.call, "DELETE", "/1.0/networks/lxt-more")
        self.addCleanup(self.remove_instance, "copied")
        self.api.update("copied", devices={"eth1": {"type": "nic", "name": "eth1", "network": "lxt-more"}})
        self.assertTrue(self.bound("copied.eth1", "lxt-more").startswith("10.78.1."))
        self.remove_instance("early")
        self.assertEqual(self.bound("early.eth0"), None)

    def bound(self, nic, network=BRIDGE):
        """Which address dnsmasq is told to give it."""
        path = pathlib.Path(self.daemon.root, "networks", network, "dnsmasq.hosts", nic)
        return path.read_text(encoding="ascii").split(",")[2] if path.exists() else None

    def test_changes_at_once_are_all_kept(self):
        """Each PATCH is merged into what those before it have left."""
        acls, zones = "/1.0/network-acls", "/1.0/network-zones"
        self.api.call("POST", acls, {"name": "many"})
        self.addCleanup(self.api.call, "DELETE", f"{acls}/many")
        self.api.call("POST", zones, {"name": "many.example"})
        self.addCleanup(self.api.call, "DELETE", f"{zones}/many.example")
        self.api.call("POST", "/1.0/projects", {"name": "many"})
        self.addCleanup(self.api.call, "DELETE", "/1.0/projects/many")
        targets = (f"/1.0/networks/{BRIDGE}", f"{acls}/many", f"{zones}/many.example", "/1.0/projects/many",
                   "/1.0/storage-pools/default")
        keys = [f"user.k{number}" for number in range(8)]
        jobs = [(target, key) for key in keys for target in targets]
        with concurrent.futures.ThreadPoolExecutor(len(keys)) as pool:
            list(pool.map(lambda job: self.api.call("PATCH", job[0], {"config": {job[1]: "kept"}}), jobs))
        for target in targets:
            with self.subTest(target):
                config = self.api.get(target)["config"]
                self.assertEqual([key for key in keys if key not in config], [])

    def test_names_resolve(self):
        self.api.launch("alpha", "tiny")
        self.api.launch("beta", "tiny")
        address = self.address("beta")
        self.address("alpha")
        self.assertIn(address, self.api.sh("alpha", f"nslookup beta.lxd {SUBNET}.1"))
        self.wait_ping("alpha", address)

    NIC = {"type": "nic", "name": "eth0", "network": BRIDGE}

    def test_routes_are_of_no_managed_network(self):
        for net in (f"{SUBNET}.64/26", f"{SUBNET}.9/32", "0.0.0.0/0"):
            for key in ("ipv4.routes", "ipv4.routes.external"):
                message = self.assert_api_error(400, self.api.create, "greedy", "tiny", devices={"eth0": {**self.NIC, key: net}})
                self.assertIn(f"network '{BRIDGE}'", message)
        self.api.create("greedy", "tiny", devices={"eth0": {**self.NIC, "ipv4.routes": "198.51.100.0/28"}})
        self.assert_api_error(400, self.api.do, "PATCH", "/1.0/instances/greedy",
                              {"devices": {"eth0": {**self.NIC, "ipv4.routes": f"198.51.100.0/28,{SUBNET}.0/24"}}})

    def test_one_holder_of_a_mac_address(self):
        mac = "00:16:3e:00:00:21"
        held = {"eth0": {**self.NIC, "hwaddr": mac}}
        self.api.create("first", "tiny", devices=held)
        self.api.create("second", "tiny")
        for devices, config in ((held, {}), ({"eth0": {**self.NIC, "hwaddr": mac.upper()}}, {}),
                                ({}, {"volatile.eth0.hwaddr": mac})):
            body = {"devices": devices, "config": config}
            for call in ((self.api.create, "third", "tiny"), (self.api.do, "PATCH", "/1.0/instances/second")):
                message = self.assert_api_error(409, *call, **body) if call[0] == self.api.create else \
                    self.assert_api_error(409, *call, body)
                self.assertIn(f"MAC address {mac}", message)
                self.assertIn("'first'", message)
        self.assertIn("MAC", self.assert_api_error(400, self.api.do, "PATCH", "/1.0/instances/second",
                                                   {"config": {"volatile.eth0.hwaddr": "nonsense"}}))
        self.assert_api_error(400, self.api.create, "third", "tiny", config={"volatile.eth0.hwaddr": "01:00:5e:00:00:01"})
        # Its own NIC is not in its way, nor is one on no network.
        self.api.do("PATCH", "/1.0/instances/first", {"description": "mine"})
        self.api.create("apart", "tiny", devices={"eth0": {"type": "nic", "nictype": "p2p", "name": "eth0", "hwaddr": mac}})
        # A copy would have the same, a copy of one that was given its address by the server gets another.
        copy = {"name": "copy", "source": {"type": "copy", "source": "first"}}
        self.assertIn(mac, self.assert_api_error(409, self.api.do, "POST", "/1.0/instances", copy))
        self.api.do("POST", "/1.0/instances", {**copy, "devices": {"eth0": self.NIC}})
        self.api.create("kept", "tiny", config={"volatile.eth0.hwaddr": "00:16:3e:00:00:22"})
        self.api.do("POST", "/1.0/instances/kept/snapshots", {"name": "s"})
        self.api.do("PUT", "/1.0/instances/kept", {"restore": "s"})
        self.api.do("POST", "/1.0/instances/first", {"name": "renamed"})
        self.api.start("renamed")

    def test_a_nic_that_goes_from_a_stopped_instance_frees_its_address(self):
        address, other = f"{SUBNET}.79", {"ipv4.address": "10.78.0.1/24", "ipv6.address": "none"}
        self.api.call("POST", "/1.0/networks", {"name": "lxt-away", "config": other})
        self.addCleanup(self.api.call, "DELETE", "/1.0/networks/lxt-away")
        nic = {**self.NIC, "name": "eth1", "ipv4.address": address}
        away = {"type": "nic", "name": "eth1", "network": "lxt-away"}
        self.api.call("POST", "/1.0/profiles", {"name": "more", "devices": {"more": nic}})
        self.addCleanup(self.api.call, "DELETE", "/1.0/profiles/more")

        def patch(**body):
            self.api.do("PATCH", "/1.0/instances/first", body)

        def put(**changed):
            shown = self.api.instance("first")
            kept = {key: shown[key] for key in ("config", "devices", "profiles")}
            self.api.do("PUT", "/1.0/instances/first", {**kept, **changed})

        def profile(**nic_keys):
            self.api.call("PUT", "/1.0/profiles/more", {"devices": {"more": {**nic, **nic_keys}} if nic_keys else {}})

        begin = {"device": lambda: patch(devices={"more": nic}), "profile": lambda: patch(profiles=["default", "more"])}
        ends = {"removed": ("device", lambda: put(devices={}), False),
                "moved": ("device", lambda: patch(devices={"more": away}), True),
                "dynamic": ("device", lambda: patch(devices={"more": {**self.NIC, "name": "eth1"}}), True),
                "no profile": ("profile", lambda: patch(profiles=["default"]), False),
                "profile without it": ("profile", profile, False),
                "restored": ("device", lambda: self.api.do("PUT", "/1.0/instances/first", {"restore": "before"}), False)}
        for why, (how, end, kept) in ends.items():
            with self.subTest(why):
                self.api.create("first", "tiny")
                self.api.do("POST", "/1.0/instances/first/snapshots", {"name": "before"})
                begin[how]()
                self.api.start("first")
                self.api.stop("first")
                self.assertIn("volatile.more.hwaddr", self.api.instance("first")["config"])
                self.assertEqual(self.leases_at(address), ["first"])
                end()
                self.assertEqual("volatile.more.hwaddr" in self.api.instance("first")["config"], kept)
                self.assertEqual(self.leases_at(address), [])
                self.api.launch("second", "tiny", devices={"eth0": {**self.NIC, "ipv4.address": address}})
                self.assertEqual(self.leases_at(address), ["second"])
                self.api.start("first")
                for name in ("first", "second"):
                    self.remove_instance(name)
                profile(type="nic")

    def leases_at(self, address):
        return [one["hostname"] for one in self.api.get(f"/1.0/networks/{BRIDGE}/leases") if one["address"] == address]

    def test_mac_addresses_of_other_projects_have_no_name(self):
        self.api.call("POST", "/1.0/projects", {"name": "web", "config": {"features.images": "false",
                                                                         "features.profiles": "false"}})
        self.addCleanup(self.api.call, "DELETE", "/1.0/projects/web")
        keys = {"hwaddr": "00:16:3e:00:00:23", "ipv4.address": f"{SUBNET}.78"}
        self.api.create("hidden", "tiny", devices={"eth0": {**self.NIC, **keys}})
        self.api.start("hidden")
        body = {"name": "box", "source": {"type": "image", "alias": "tiny"}}
        message = self.assert_api_error(409, self.api.do, "POST", "/1.0/instances?project=web", {
            **body, "devices": {"eth0": {**self.NIC, "hwaddr": keys["hwaddr"]}}})
        self.assertIn(keys["hwaddr"], message)
        self.assertNotIn("hidden", message)
        self.api.do("POST", "/1.0/instances?project=web", {**body, "devices": {
            "eth0": {**self.NIC, "ipv4.address": keys["ipv4.address"]}}})
        self.addCleanup(self.api.do, "DELETE", "/1.0/instances/box?project=web")
        with self.assertRaises(ApiError) as caught:
            self.api.do("PUT", "/1.0/instances/box/state?project=web", {"action": "start"})
        self.assertIn(keys["ipv4.address"], caught.exception.message)
        self.assertNotIn("hidden", caught.exception.message)

    def test_chosen_address(self):
        self.api.create("fixed", "tiny", devices={"eth0": {"type": "nic", "name": "eth0", "network": BRIDGE,
                                                           "ipv4.address": f"{SUBNET}.77"}})
        self.api.start("fixed")
        self.assertEqual(self.address("fixed"), f"{SUBNET}.77")

    def test_an_address_is_given_once(self):
        nic = {"type": "nic", "name": "eth0", "network": BRIDGE, "ipv4.address": f"{SUBNET}.78"}
        self.api.create("owner", "tiny", devices={"eth0": nic})
        self.api.start("owner")
        with self.assertRaises(ApiError):  # at the latest when it starts, as in LXD
            self.api.create("thief", "tiny", devices={"eth0": nic})
            self.api.start("thief")

    def test_nat_to_the_outside(self):
        """A second namespace plays the internet: it has no route back, so only masqueraded packets are answered."""
        sandbox = self.daemon.sandbox
        outside = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.addCleanup(lambda: (outside.kill(), outside.wait()))
        self.wait_own_netns(outside.pid)
        sandbox.run("ip", "link", "add", "wan0", "type", "veth", "peer", "name", "wan1", "netns", str(outside.pid))
        self.addCleanup(lambda: sandbox.run("ip", "link", "del", "wan0", check=False))
        sandbox.run("ip", "address", "add", "192.0.2.1/24", "dev", "wan0")
        sandbox.run("ip", "link", "set", "wan0", "up")
        for command in (["ip", "address", "add", "192.0.2.2/24", "dev", "wan1"], ["ip", "link", "set", "wan1", "up"]):
            subprocess.run(["nsenter", "-t", str(outside.pid), "-n", "--", *command], check=True)
        self.api.launch("inner", "tiny")
        self.address("inner")
        self.wait_ping("inner", "192.0.2.2")
        sandbox.run("ip", "link", "del", "wan0")

    @staticmethod
    def wait_own_netns(pid):
        while namespace(pid, "net") in ("", namespace("self", "net")):
            pass

    def test_used_network_cannot_be_deleted(self):
        self.api.create("user", "tiny")
        self.assert_api_error(400, self.api.call, "DELETE", f"/1.0/networks/{BRIDGE}")

    def test_network_life(self):
        self.api.call("POST", "/1.0/networks", {"name": "second0", "type": "bridge", "config": {
            "ipv4.address": "10.89.0.1/24", "ipv6.address": "none"}})
        self.assertIn("second0", self.daemon.sandbox.run("ip", "-brief", "link"))
        self.assertIn("10.89.0.1/24", self.daemon.sandbox.run("ip", "-brief", "address", "show", "dev", "second0"))
        self.api.call("DELETE", "/1.0/networks/second0")
        self.assertNotIn("second0", self.daemon.sandbox.run("ip", "-brief", "link"))

    def test_automatic_subnet(self):
        self.api.call("POST", "/1.0/networks", {"name": "auto0", "type": "bridge", "config": {"ipv6.address": "none"}})
        try:
            config = self.api.get("/1.0/networks/auto0")["config"]
            self.assertTrue(ipaddress.ip_interface(config["ipv4.address"]).is_private)
        finally:
            self.api.call("DELETE", "/1.0/networks/auto0")

    def test_hostile_config_values(self):
        if self.daemon.kind == "lxd":
            self.skipTest("LXD 5.0.2 refuses most of these, with 500")
        for key, value in (("ipv4.address", "10.1.0.1/24\ndhcp-script=/tmp/x"), ("dns.domain", "a\nb"),
                           ("ipv4.dhcp.ranges", "10.88.0.2-10.88.0.9\nx"), ("raw.nothing", "1")):
            with self.subTest(key=key):
                self.assert_api_error(400, self.api.call, "POST", "/1.0/networks",
                                      {"name": "evil0", "type": "bridge", "config": {key: value}})
        for name in ("a" * 16, "x/y", "a b", "..", "-f"):
            with self.subTest(name=name):
                self.assert_api_error(400, self.api.call, "POST", "/1.0/networks", {"name": name, "type": "bridge"})


if __name__ == "__main__":
    main()
