"""Networks, ACLs and forwards by lxc and incus as real programs."""
import json

from harness import clients
from harness.case import DaemonCase, main


class NetworkClientCases:
    def client_test(self, client):
        client("network", "create", "lab0", "ipv4.address=10.96.0.1/24", "ipv6.address=fd96::1/64")
        client("network", "set", "lab0", "ipv4.nat=true")
        client("network", "set", "lab0", "dns.domain", "lab")
        self.assertEqual(client("network", "get", "lab0", "dns.domain").strip(), "lab")
        client("network", "unset", "lab0", "dns.domain")
        self.assertIn("10.96.0.1/24", client("network", "show", "lab0"))
        self.assertIn("lab0", client("network", "list"))
        self.assertIn("10.96.0.1", client("network", "info", "lab0"))
        text = client("network", "show", "lab0").replace("description: \"\"", "description: edited")
        client("network", "edit", "lab0", stdin=text.encode())
        self.assertIn("edited", client("network", "show", "lab0"))
        client("network", "rename", "lab0", "lab1")
        client("network", "attach", "lab1", "box", "extra", "net1")
        box = self.api.instance("box")
        self.assertEqual(box["devices"]["extra"]["network"], "lab1")
        self.api.sh("box", "udhcpc -i net1 -n -q -s /etc/udhcpc.script")
        leases = json.loads(client("network", "list-leases", "lab1", "--format", "json"))
        address = next(one["address"] for one in leases if one["hostname"] == "box" and one["address"].startswith("10.96."))
        self.assertTrue(client.run("network", "delete", "lab1", check=False).returncode)
        self.acls(client)
        self.forwards(client, address)
        self.zones(client)
        client("network", "detach", "lab1", "box", "extra")
        client("network", "delete", "lab1")

    def acls(self, client):
        client("network", "acl", "create", "web")
        client("network", "acl", "rule", "add", "web", "ingress", "action=allow", "protocol=tcp", "destination_port=80")
        client("network", "acl", "rule", "add", "web", "egress", "action=reject", "destination=192.0.2.0/24")
        client("network", "set", "lab1", "security.acls=web")
        self.assertIn("/1.0/networks/lab1", client("network", "acl", "show", "web"))
        self.assertIn("web", client("network", "acl", "list"))
        self.assertIn("dport 80", self.daemon.sandbox.run("nft", "list", "ruleset"))
        client("network", "acl", "rule", "remove", "web", "ingress", "destination_port=80")
        self.assertNotIn("dport 80 ", self.daemon.sandbox.run("nft", "list", "ruleset"))
        client("network", "acl", "edit", "web", stdin=b"description: edited\nconfig: {}\ningress: []\negress: []\n")
        self.assertTrue(client.run("network", "acl", "delete", "web", check=False).returncode)
        client("network", "unset", "lab1", "security.acls")
        client("network", "acl", "rename", "web", "web2")
        client("network", "acl", "delete", "web2")

    def forwards(self, client, address):
        client("network", "forward", "create", "lab1", "192.0.2.9")
        client("network", "forward", "port", "add", "lab1", "192.0.2.9", "tcp", "8080", address, "80")
        self.assertIn(f"dnat ip to {address}:80", self.daemon.sandbox.run("nft", "list", "ruleset"))
        self.assertIn("192.0.2.9", client("network", "forward", "list", "lab1"))
        self.assertIn("8080", client("network", "forward", "show", "lab1", "192.0.2.9"))
        client("network", "forward", "set", "lab1", "192.0.2.9", f"target_address={address}")
        client("network", "forward", "port", "remove", "lab1", "192.0.2.9", "tcp", "8080")
        client("network", "forward", "delete", "lab1", "192.0.2.9")


    def zones(self, client):
        client("network", "zone", "create", "lab.example")
        client("network", "set", "lab1", "dns.zone.forward=lab.example")
        client("network", "zone", "set", "lab.example", "dns.nameservers=ns1.example")
        self.assertIn("lab.example", client("network", "zone", "list"))
        self.assertIn("/1.0/networks/lab1", client("network", "zone", "show", "lab.example"))
        client("network", "zone", "record", "create", "lab.example", "www")
        client("network", "zone", "record", "entry", "add", "lab.example", "www", "A", "192.0.2.9", "--ttl", "60")
        self.assertIn("192.0.2.9", client("network", "zone", "record", "show", "lab.example", "www"))
        client("network", "zone", "record", "entry", "remove", "lab.example", "www", "A", "192.0.2.9")
        self.assertIn("www", client("network", "zone", "record", "list", "lab.example"))
        client("network", "zone", "record", "delete", "lab.example", "www")
        client("network", "unset", "lab1", "dns.zone.forward")
        client("network", "zone", "delete", "lab.example")


class NetworkClientTest(NetworkClientCases, DaemonCase):
    def setUp(self):
        super().setUp()
        self.api.launch("box", "tiny")

    def test_lxc(self):
        self.client_test(clients.lxc(self.daemon))

    def test_incus(self):
        self.client_test(clients.incus(self.daemon))


if __name__ == "__main__":
    main()
