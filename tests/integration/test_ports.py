"""`lxmgr publish`: ports of an instance on the host, by packets from everywhere."""
import subprocess

from harness.case import main
from harness.daemon import binaries
from harness.outside import Place
from test_bridge_keys import V6, Case


class PublishTest(Case):
    def lxmgr(self, *argv, check=True):
        done = subprocess.run(self.daemon.sandbox.command([str(binaries() / "lxmgr"), *argv]), capture_output=True,
                              text=True, check=False, env={"LXMGR_DIR": self.daemon.root, "PATH": "/usr/bin"})
        if check:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout if check else done.stderr

    def test_from_everywhere(self):
        self.network(ipv4__nat="true", ipv6__address=f"{V6}1/64", ipv6__nat="true")
        wan = self.outside()
        self.launch("web")
        self.global6("web")
        self.launch("other")
        self.address("other")
        self.global6("other")
        self.address("web")
        place, other = Place(self.api.state("web")["pid"]), Place(self.api.state("other")["pid"])
        host = Place(self.daemon.sandbox.pid)
        for kind, port in (("tcp", 80), ("udp", 53), ("tcp", 9001)):
            self.serve(place, kind, port)
        self.lxmgr("publish", "web", "8080:80", "5353:53/udp", "9000-9002")
        self.lxmgr("port", "add", "web", "192.0.2.1:7000:80", "--name", "special")

        def everywhere():
            for kind, port in (("tcp", 8080), ("udp", 5353), ("tcp", 9001)):
                self.assertEqual(wan.ask(kind, "192.0.2.1", port), "192.0.2.2")  # the client's own address
                self.assertEqual(wan.ask(kind, "fd99::1", port), "fd99::2")
                self.assertEqual(host.ask(kind, "127.0.0.1", port), "10.91.0.1")
                self.assertIn(host.ask(kind, "192.0.2.1", port), ("192.0.2.1", "10.91.0.1"))
                self.assertEqual(other.ask(kind, "10.91.0.1", port), "10.91.0.1")
                self.assertEqual(other.ask(kind, f"{V6}1", port), f"{V6}1")
            self.assertEqual(wan.ask("tcp", "192.0.2.1", 7000), "192.0.2.2")

        everywhere()
        # Nothing of the host's own loopback is open to instances by it.
        self.serve(host, "tcp", 4444)
        other.run("ip", "route", "add", "127.0.0.9/32", "via", "10.91.0.1", check=False)
        other.run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
        other.run("ip", "route", "del", "local", "127.0.0.0/8", "table", "local", check=False)
        self.assertEqual(other.ask("tcp", "127.0.0.9", 4444, 1), "timeout")
        # Restarts of the daemon and of the instance.
        self.daemon.kill()
        self.daemon.start()
        everywhere()
        self.host("nft", "flush", "ruleset")
        for _ in range(100):
            if wan.ask("tcp", "192.0.2.1", 8080, 1) == "192.0.2.2":
                break
        everywhere()
        self.api.set_state("web", "restart", force=True)
        self.address("web")
        place = Place(self.api.state("web")["pid"])
        self.global6("web")
        self.serve(place, "tcp", 80)
        self.assertEqual(wan.ask("tcp", "192.0.2.1", 8080), "192.0.2.2")
        listed = self.lxmgr("port", "list", "--format", "csv")
        self.assertIn("web,port-8080,tcp:[::]:8080,tcp:[::]:80", listed)
        self.assertIn("web,special,tcp:192.0.2.1:7000,tcp:0.0.0.0:80", listed)
        self.lxmgr("port", "remove", "web", "port-8080")
        self.assertEqual(wan.ask("tcp", "192.0.2.1", 8080), "refused")
        self.assertEqual(wan.ask("tcp", "192.0.2.1", 7000), "192.0.2.2")
        self.api.stop("web")
        self.assertNotIn("dnat", self.host("nft", "list", "ruleset"))

    def test_mistakes(self):
        self.network()
        self.launch("one")
        self.launch("two")
        host = Place(self.daemon.sandbox.pid)
        self.serve(host, "tcp", 3333)
        self.lxmgr("publish", "one", "8080:80")
        for words, why in ((("two", "8080:81"), "'one/port-8080'"), (("two", "3333"), "listens"),
                           (("one", "8080:80"), "already"), (("two", "0"), "PORT"), (("two", "1-3:1-2"), "lengths"),
                           (("two", "80/sctp"), "protocol"), (("none", "80"), "does not exist"),
                           (("two", "127.0.0.1:8082:80"), "loopback")):
            with self.subTest(words=words):
                self.assertIn(why, self.lxmgr("publish", *words, check=False))
        # What is the host's, or a network's forward's, on that very address.
        self.host("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
        self.addCleanup(self.host, "ip", "address", "del", "192.0.2.1/32", "dev", "lo")
        self.assertIn("listens", self.lxmgr("publish", "two", "192.0.2.1:3333:80", check=False))
        forward = {"listen_address": "192.0.2.1", "ports": [{"protocol": "tcp", "listen_port": "4000-4002",
                                                             "target_address": "10.91.0.9"}]}
        self.api.call("POST", f"/1.0/networks/{self.NETWORK}/forwards", forward)
        for port in ("192.0.2.1:4001:80", "4000:80"):
            self.assertIn("forwarded", self.lxmgr("publish", "two", port, check=False))
        self.lxmgr("publish", "two", "192.0.2.1:4003:80", "192.0.2.9:3333:80")
        self.assertIn("no published port", self.lxmgr("port", "remove", "two", "eth0", check=False))


if __name__ == "__main__":
    main()
