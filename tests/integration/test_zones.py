"""DNS zones of networks: records, and transfers to the peers that may have them."""
import socket
import struct

from harness.case import main
from harness.outside import Place
from test_bridge_keys import V6, Case

ZONES = "/1.0/network-zones"
# A question over TCP or UDP, as a program on another host.
ASK = """
import socket, struct, sys
kind, host, port, name, qtype = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
query = struct.pack("!6H", 7, 0, 1, 0, 0, 0)
query += b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\\0" + struct.pack("!2H", qtype, 1)
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(20)
s.connect((host, port))
s.send((struct.pack("!H", len(query)) if kind == "tcp" else b"") + query)
data = b""
try:
    while piece := s.recv(65536):
        data += piece
        if kind == "udp" or len(data) >= 2 + struct.unpack("!H", data[:2])[0]:
            break
except TimeoutError:
    pass
print((data[2:] if kind == "tcp" else data).hex())
"""
A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, AXFR = 1, 2, 5, 6, 12, 15, 16, 28, 252


def read_name(data, at):
    labels = []
    while size := data[at]:
        labels.append(data[at + 1:at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels), at + 1


def read_answer(data):
    """(code, [(name, type, ttl, value)])"""
    _, flags, questions, answers = struct.unpack("!4H", data[:8])
    at, records = 12, []
    for _ in range(questions):
        _, at = read_name(data, at)
        at += 4
    for _ in range(answers):
        name, at = read_name(data, at)
        kind, _, ttl, size = struct.unpack("!HHIH", data[at:at + 10])
        value = data[at + 10:at + 10 + size]
        at += 10 + size
        if kind == A:
            value = socket.inet_ntop(socket.AF_INET, value)
        elif kind == AAAA:
            value = socket.inet_ntop(socket.AF_INET6, value)
        elif kind in (NS, CNAME, PTR):
            value = read_name(value, 0)[0]
        records.append((name, kind, ttl, value))
    return flags & 15, records


class ZoneTest(Case):
    def ask(self, place, kind, name, qtype, host="192.0.2.1", port=5354):
        out = place.run("python3", "-I", "-S", "-c", ASK, kind, host, str(port), name, str(qtype)).strip()
        return read_answer(bytes.fromhex(out))

    def zone(self, name, **config):
        self.api.call("POST", ZONES, {"name": name, "config": self.dotted(config)})
        self.addCleanup(self.api.call, "DELETE", f"{ZONES}/{name}")

    def test_transfer(self):
        wan = self.outside()
        self.zone("lab.example", peers__one__address="192.0.2.2", dns__nameservers="ns1.example")
        self.zone("91.10.in-addr.arpa", peers__one__address="192.0.2.2")
        self.zone("other.example")
        self.network(ipv6__address=f"{V6}1/64", dns__zone__forward="lab.example",
                     dns__zone__reverse__ipv4="91.10.in-addr.arpa", dns__zone__reverse__ipv6="")
        self.api.call("PUT", "/1.0", {"config": {"core.dns_address": "192.0.2.1:5354"}})
        self.addCleanup(self.api.call, "PATCH", "/1.0", {"config": {"core.dns_address": ""}})
        self.launch("web")
        address, address6 = self.address("web"), self.global6("web")
        records = f"{ZONES}/lab.example/records"
        self.api.call("POST", records, {"name": "www", "entries": [{"type": "CNAME", "value": "web", "ttl": 60},
                                                                    {"type": "TXT", "value": "hello"}]})
        self.api.call("POST", records, {"name": "@", "entries": [{"type": "MX", "value": "10 mail.example."}]})
        code, found = self.ask(wan, "tcp", "lab.example", AXFR)
        self.assertEqual(code, 0)
        self.assertEqual((found[0][1], found[-1]), (SOA, found[0]))
        for record in (("web.lab.example", A, 300, address), ("web.lab.example", AAAA, 300, address6),
                       (f"{self.NETWORK}.gw.lab.example", A, 300, "10.91.0.1"), ("lab.example", NS, 300, "ns1.example"),
                       ("www.lab.example", CNAME, 60, "web.lab.example"), ("www.lab.example", TXT, 300, b"\x05hello")):
            self.assertIn(record, found)
        self.assertIn(MX, [record[1] for record in found])
        last = address.split(".")[3]
        self.assertIn((f"{last}.0.91.10.in-addr.arpa", PTR, 300, "web.lab.example"),
                      self.ask(wan, "tcp", "91.10.in-addr.arpa", AXFR)[1])
        self.assertEqual([record[1] for record in self.ask(wan, "udp", "LAB.example", SOA)[1]], [SOA])
        # Not for others, not for other zones, not by UDP.
        host = Place(self.daemon.sandbox.pid)
        for place, kind, name, qtype in ((host, "tcp", "lab.example", AXFR), (wan, "tcp", "other.example", AXFR),
                                         (wan, "tcp", "nothing.example", AXFR), (wan, "udp", "lab.example", AXFR),
                                         (wan, "tcp", "lab.example", A)):
            with self.subTest(name=name, kind=kind, qtype=qtype):
                self.assertEqual(self.ask(place, kind, name, qtype), (5, []))
        self.change(ipv4__nat="true")
        self.api.call("PATCH", f"{ZONES}/lab.example", {"config": {"network.nat": "false"}})
        self.assertNotIn(("web.lab.example", A, 300, address), self.ask(wan, "tcp", "lab.example", AXFR)[1])
        self.daemon.kill()
        self.daemon.start()
        self.assertIn(("web.lab.example", AAAA, 300, address6), self.ask(wan, "tcp", "lab.example", AXFR)[1])
        self.assert_api_error(400, self.api.call, "PATCH", "/1.0", {"config": {"core.dns_address": "192.0.2.77:53"}})
        self.assertEqual(self.api.get("/1.0")["config"]["core.dns_address"], "192.0.2.1:5354")

    def test_life_and_bad_values(self):
        self.zone("lab.example", user__x="y")
        self.assertEqual(self.api.get(f"{ZONES}/lab.example")["used_by"], [])
        self.assert_api_error(400, self.api.call, "POST", ZONES, {"name": "lab.example"})  # as LXD
        self.network(dns__zone__forward="lab.example")
        self.assertEqual(self.api.get(f"{ZONES}/lab.example")["used_by"], [f"/1.0/networks/{self.NETWORK}"])
        self.assert_api_error(400, self.api.call, "DELETE", f"{ZONES}/lab.example")
        self.assert_api_error(400, self.change, dns__zone__reverse__ipv4="absent.example")
        records = f"{ZONES}/lab.example/records"
        self.api.call("POST", records, {"name": "www", "entries": [{"type": "A", "value": "192.0.2.9"}]})
        self.assert_api_error(409, self.api.call, "POST", records, {"name": "www"})
        self.assertEqual(self.api.get(f"{records}/www")["entries"], [{"type": "A", "value": "192.0.2.9"}])
        self.api.call("PATCH", f"{records}/www", {"description": "the web"})
        self.assertEqual(self.api.get(records), [f"{records}/www"])
        for entry in ({"type": "A", "value": "fd00::1"}, {"type": "HINFO", "value": "x"}, {"type": "MX", "value": "mail"},
                      {"type": "CNAME", "value": "a b"}, {"type": "TXT", "value": "a\nb"}, {"type": "SRV", "value": "1 2 x y"}):
            with self.subTest(entry=entry):
                self.assert_api_error(400, self.api.call, "PUT", f"{records}/www", {"entries": [entry]})
        twice = [{"type": "A", "value": "192.0.2.9"}, {"type": "A", "value": "192.0.2.9", "ttl": 60}]
        self.assert_api_error(400, self.api.call, "PUT", f"{records}/www", {"entries": twice})
        for config in ({"peers.a.address": "x"}, {"peers.a.key": "x"}, {"network.nat": "1"}, {"other": "x"},
                       {"dns.nameservers": "a b"}):
            with self.subTest(config=config):
                self.assert_api_error(400, self.api.call, "PUT", f"{ZONES}/lab.example", {"config": config})
        for name in ("", "a b", "a..b", "A.example", "x" * 300):
            with self.subTest(name=name):
                self.assert_api_error(400, self.api.call, "POST", ZONES, {"name": name})
        self.api.call("DELETE", f"{records}/www")
        self.change(dns__zone__forward="")


if __name__ == "__main__":
    main()
