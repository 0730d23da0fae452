"""One network on two servers: instances of both, each in a network namespace of its own, by packets over VXLAN and GRE."""
import contextlib
import subprocess
import time

from harness import daemon as daemons
from harness import images, pair
from harness.case import DaemonCase, main
from harness.migration import WithPeer
from harness.outside import Place
from harness.rest import PATIENCE

NETWORK = "shared0"
PROBE = "ip link add gre9 type gretap local 192.0.2.1 remote 192.0.2.2"
NEAR = {"ipv4.address": "10.97.0.1/24", "ipv6.address": "fd97::1/64", "dns.domain": "shared.example"}
FAR = {"ipv4.address": "10.97.0.2/24", "ipv4.dhcp": "false", "ipv6.address": "none"}  # what is near serves both


class TunnelTest(WithPeer, DaemonCase):
    peer_kind = daemons.Daemon

    @classmethod
    def setUpClass(cls):
        # Before all else: the kernel's module puts links of its own (gre0, gretap0, erspan0) into each namespace there is.
        cls.has_gre = subprocess.run(["unshare", "-n", "sh", "-c", PROBE], capture_output=True, check=False).returncode == 0
        super().setUpClass()
        cls.peer.daemon.import_image(images.tiny(), "tiny")

    def tearDown(self):
        self.doCleanups()
        super().tearDown()

    @staticmethod
    def tunnel(**keys):
        return {f"tunnel.far.{key}": value for key, value in keys.items()}

    def join(self, **keys):
        """The network at both servers, with a tunnel between them; and an instance on each."""
        ends = ((self.api, NEAR, pair.NEAR, pair.FAR), (self.there, FAR, pair.FAR, pair.NEAR))
        for api, config, local, remote in ends:
            far = {} if "group" in keys else {"local": local, "remote": remote}
            api.call("POST", "/1.0/networks", {"name": NETWORK, "config": {**config, **self.tunnel(**far, **keys)}})
            self.addCleanup(api.call, "DELETE", f"/1.0/networks/{NETWORK}")
        out = []
        for api, name in ((self.api, "here"), (self.there, "there")):
            api.launch(name, "tiny", devices={"eth0": {"type": "nic", "name": "eth0", "network": NETWORK}})
            self.addCleanup(self.end, api, name)
            out.append(Place(api.state(name)["pid"]))
        return out

    @staticmethod
    def end(api, name):
        api.stop(name)
        api.delete(name)

    def address_of(self, api, name, family):
        deadline = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < deadline:
            place = Place(api.state(name)["pid"])
            for one in api.state(name)["network"]["eth0"]["addresses"]:
                if one["family"] == family and one["scope"] == "global" and \
                        not place.run("ip", "-6", "address", "show", "dev", "eth0", "tentative").strip():
                    return one["address"]
            time.sleep(0.1)
        raise AssertionError(f"{name} has no {family} address: {api.state(name)['network']}")

    def check_shared(self, here, there):
        # From the DHCP server and the router of the other server.
        address, address6 = self.address_of(self.there, "there", "inet"), self.address_of(self.there, "there", "inet6")
        self.assertTrue(address.startswith("10.97.0."), address)
        self.assertTrue(address6.startswith("fd97:"), address6)
        own = self.address_of(self.api, "here", "inet")
        for place, target in ((here, address), (here, address6), (there, own), (there, "10.97.0.1"), (here, "10.97.0.2")):
            place.wait_ping(target)
        with contextlib.ExitStack() as stack:
            for kind in ("tcp", "udp"):
                server = there.serve(kind, 7000)
                stack.callback(lambda one=server: (one.kill(), one.wait(), one.stdout.close()))
                self.assertEqual(here.ask(kind, address, 7000), own)  # as itself: nothing translates on the way
        self.assertIn(own, self.there.sh("there", "nslookup here.shared.example 10.97.0.1"))
        # As big as the network allows, which is what fits into the tunnel, and in pieces beyond that.
        mtu = int(self.there.sh("there", "cat /sys/class/net/eth0/mtu"))
        self.assertLess(mtu, 1500)
        for size in (mtu - 28, 4000):
            self.assertIn("1 received", here.run("ping", "-c", "1", "-W", "20", "-s", str(size), address))
        self.assertEqual(here.run("ping", "-c", "1", "-W", "20", "-M", "do", "-s", str(mtu - 28), address).count("1 received"), 1)

    def check_cut(self, here, there, **keys):
        """The tunnel needs no daemon, one that starts again finds it in use, and it goes with its keys."""
        address = self.address_of(self.there, "there", "inet")
        self.daemon.kill()
        here.wait_ping(address)
        self.daemon.start()
        here.wait_ping(address)
        none = dict.fromkeys(self.tunnel(local="", remote="", **keys), "")
        self.api.call("PATCH", f"/1.0/networks/{NETWORK}", {"config": none})
        self.assertFalse(here.pings(address, 1))
        self.assertNotIn(f"{NETWORK}-far", self.daemon.sandbox.run("ip", "link"))
        there.wait_ping("10.97.0.2")

    def test_vxlan(self):
        keys = {"protocol": "vxlan", "id": "9", "port": "4799"}
        here, there = self.join(**keys)
        self.check_shared(here, there)
        self.there.call("PATCH", f"/1.0/networks/{NETWORK}", {"config": {"tunnel.far.id": "10"}})
        self.assertFalse(here.pings("10.97.0.2", 1))  # it is another network now
        self.there.call("PATCH", f"/1.0/networks/{NETWORK}", {"config": {"tunnel.far.id": "9"}})
        here.wait_ping("10.97.0.2")
        self.check_cut(here, there, **keys)

    def test_vxlan_by_multicast(self):
        """Without an address of the other server: both are of one group."""
        for daemon in (self.daemon, self.peer.daemon):
            daemon.sandbox.run("ip", "route", "add", "239.0.0.0/8", "dev", self.peer.link)
            self.addCleanup(daemon.sandbox.run, "ip", "route", "delete", "239.0.0.0/8")
        here, there = self.join(protocol="vxlan", interface=self.peer.link, group="239.0.0.7")
        self.check_shared(here, there)

    def test_gre(self):
        if not self.has_gre:
            body = {"name": NETWORK, "config": {**NEAR, **self.tunnel(local=pair.NEAR, remote=pair.FAR, protocol="gre")}}
            self.assertIn("gretap", self.assert_api_error(400, self.api.call, "POST", "/1.0/networks", body))
            self.assertNotIn(NETWORK, self.daemon.sandbox.run("ip", "link"))
            return
        here, there = self.join(protocol="gre")
        self.check_shared(here, there)
        self.check_cut(here, there, protocol="gre")


if __name__ == "__main__":
    main()
