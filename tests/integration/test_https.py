"""core.https_address: where it listens, with which certificate, and what bad clients get."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import struct
import time
import unittest

from harness import daemon as daemons
from harness import remote
from harness.case import main
from harness.leaks import LeakCheck
from harness.rest import PATIENCE, ApiError


class HttpsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("the daemon needs root")
        cls.daemon = daemons.Daemon()
        cls.addClassCleanup(cls.daemon.close)
        cls.daemon.start()
        cls.api = cls.daemon.api

    def setUp(self):
        if not self.daemon.running():
            self.daemon.start()
        remote.set_config(self.api, core__https_address="[::]:8443", core__metrics_address="",
                          core__metrics_authentication="")
        self.https = remote.HttpsApi(self.daemon)
        self.addCleanup(self.https.close)

    def refused(self, address, port):
        try:
            remote.connect(self.daemon, address, port).close()
        except ConnectionRefusedError:
            return True
        return False

    def error_of(self, **config):
        with self.assertRaises(ApiError) as caught:
            remote.set_config(self.api, **config)
        self.assertEqual(caught.exception.code, 400, caught.exception.message)
        return caught.exception.message

    # ---- the listener
    def test_forms_of_the_address(self):
        for value, address, port in ((":8443", "127.0.0.1", 8443), ("[::]", "::1", 8443), ("127.0.0.1", "127.0.0.1", 8443),
                                     ("127.0.0.1:9443", "127.0.0.1", 9443), ("[::1]:9443", "::1", 9443), ("*:9443", "::1", 9443)):
            with self.subTest(value):
                remote.set_config(self.api, core__https_address=value)
                with remote.HttpsApi(self.daemon, None, address, port) as api:
                    self.assertEqual(api.get("/1.0")["auth"], "untrusted")
        self.assertTrue(self.refused("127.0.0.1", 8443))
        remote.set_config(self.api, core__https_address="")
        self.assertTrue(self.refused("::1", 9443))
        self.assertEqual(self.api.get("/1.0")["environment"]["addresses"], [])

    def test_what_cannot_be_listened_on_changes_nothing(self):
        for value, said in (("nowhere.example", "must be an IP address"), ("127.0.0.1:0", "port"), ("127.0.0.1:70000", "port"),
                            ("[::1", "must be"), ("203.0.113.9:8443", "Cannot listen on 203.0.113.9:8443")):
            self.assertIn(said, self.error_of(core__https_address=value))
        self.assertIn("in use", self.error_of(core__metrics_address="127.0.0.1:8443"))
        self.assertEqual(self.api.get("/1.0")["config"]["core.https_address"], "[::]:8443")
        self.assertEqual(self.https.get("/1.0")["auth"], "untrusted")

    def test_addresses_are_those_that_others_can_use(self):
        self.daemon.sandbox.run("ip", "link", "add", "outside", "type", "bridge")
        try:
            self.daemon.sandbox.run("ip", "address", "add", "192.0.2.7/24", "dev", "outside")
            self.daemon.sandbox.run("ip", "-6", "address", "add", "2001:db8::7/64", "dev", "outside", "nodad")
            self.daemon.sandbox.run("ip", "link", "set", "outside", "up")
            remote.set_config(self.api, core__https_address=":8444")
            self.assertEqual(set(self.api.get("/1.0")["environment"]["addresses"]), {"192.0.2.7:8444", "[2001:db8::7]:8444"})
            remote.set_config(self.api, core__https_address="0.0.0.0")
            self.assertEqual(self.api.get("/1.0")["environment"]["addresses"], ["192.0.2.7:8443"])
        finally:
            self.daemon.sandbox.run("ip", "link", "del", "outside")

    def test_restart_listens_again_with_the_same_certificate(self):
        before = self.api.get("/1.0")["environment"]
        self.daemon.kill()
        self.daemon.start()
        environment = self.api.get("/1.0")["environment"]
        self.assertEqual(environment["certificate"], before["certificate"])
        der = self.https.server_certificate()
        self.assertEqual(hashlib.sha256(der).hexdigest(), environment["certificate_fingerprint"])
        self.assertEqual(ssl.PEM_cert_to_DER_cert(environment["certificate"]), der)

    def test_hosts_of_a_net_share_its_connections(self):
        """Whoever has one IPv6 address has 2^64 of them."""
        lo = ("ip", "-6", "address", "add")
        sources = [f"2001:db8:0:1::{number:x}" for number in range(1, 66)]
        for address in [*sources, "2001:db8:0:2::1"]:
            self.daemon.sandbox.run(*lo, f"{address}/128", "dev", "lo", "nodad")
            self.addCleanup(self.daemon.sandbox.run, "ip", "-6", "address", "del", f"{address}/128", "dev", "lo")
        deadline = time.monotonic() + 30
        while self.daemon.sandbox.run("ip", "-6", "route", "show", "table", "local").count("2001:db8:0:") < len(sources) + 1:
            self.assertLess(time.monotonic(), deadline, "a work queue of the kernel makes the routes to new addresses")
            time.sleep(0.02)

        def ask(source):
            raw = remote.connect(self.daemon, "2001:db8:0:2::1", source=source)
            self.addCleanup(raw.close)
            wrapped = remote.context(None).wrap_socket(raw)
            self.addCleanup(wrapped.close)
            wrapped.sendall(b"GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n")
            return wrapped.recv(4096)

        for source in sources[:-1]:
            self.assertIn(b"200 OK", ask(source))
        with self.assertRaises(OSError):
            ask(sources[-1])
        self.assertIn(b"200 OK", ask("2001:db8:0:2::1"))

    def test_address_that_is_gone_keeps_nothing_from_starting(self):
        self.daemon.sandbox.run("ip", "address", "add", "192.0.2.8/32", "dev", "lo")
        remote.set_config(self.api, core__https_address="192.0.2.8:8443")
        self.daemon.terminate()
        self.daemon.sandbox.run("ip", "address", "del", "192.0.2.8/32", "dev", "lo")
        self.daemon.start()
        self.daemon.sandbox.run("ip", "address", "add", "192.0.2.8/32", "dev", "lo")  # comes late, is served
        with remote.HttpsApi(self.daemon, None, "192.0.2.8") as api:
            self.assertEqual(api.get("/1.0")["auth"], "untrusted")
        self.daemon.sandbox.run("ip", "address", "del", "192.0.2.8/32", "dev", "lo")

    def test_files_of_the_certificate(self):
        self.assertEqual(os.stat(os.path.join(self.daemon.root, "server.key")).st_mode & 0o777, 0o600)
        seen = self.daemon.sandbox.run("openssl", "x509", "-noout", "-text", "-in", os.path.join(self.daemon.root, "server.crt"))
        self.assertIn("secp384r1", seen)
        self.assertIn("CA:FALSE", seen)

    def test_certificate_is_replaced_while_it_serves(self):
        before = self.https.server_certificate()
        first = {}
        for key, name in (("cluster_certificate", "server.crt"), ("cluster_certificate_key", "server.key")):
            with open(os.path.join(self.daemon.root, name), encoding="ascii") as file:
                first[key] = file.read()
        other = remote.Certificate(self.daemon.base, "server")
        with open(other.key, encoding="ascii") as file:
            body = {"cluster_certificate": other.pem, "cluster_certificate_key": file.read()}
        junk = remote.Certificate(self.daemon.base, "junk")
        self.assertEqual(self.api.raw("PUT", "/1.0/cluster/certificate", {**body, "cluster_certificate": junk.pem}).status, 400)
        self.assertEqual(self.https.server_certificate(), before)
        self.api.call("PUT", "/1.0/cluster/certificate", body)
        self.assertEqual(self.https.server_certificate(), other.der)
        self.assertEqual(self.api.get("/1.0")["environment"]["certificate_fingerprint"], other.fingerprint)
        # A crash in the middle leaves one pair or the other.
        self.daemon.terminate()
        self.daemon.start(environment={"LXMGR_FAILPOINT": "auth.server_certificate.pending"})
        with open(junk.key, encoding="ascii") as file:
            body = {"cluster_certificate": junk.pem, "cluster_certificate_key": file.read()}
        with self.assertRaises(OSError):
            self.api.call("PUT", "/1.0/cluster/certificate", body)
        self.daemon.wait_dead()
        self.daemon.start()
        self.assertEqual(self.https.server_certificate(), junk.der)
        self.api.call("PUT", "/1.0/cluster/certificate", first)
        self.assertEqual(self.https.server_certificate(), before)

    def test_an_expired_certificate_of_its_own(self):
        before = self.https.server_certificate()
        expired = remote.Certificate(self.daemon.base, "expired", -1)
        kept = {name: pathlib.Path(self.daemon.root, name).read_text("ascii") for name in ("server.crt", "server.key")}
        body = {"cluster_certificate": expired.pem, "cluster_certificate_key": pathlib.Path(expired.key).read_text("ascii")}
        reply = self.api.raw("PUT", "/1.0/cluster/certificate", body)
        self.assertEqual((reply.status, "not valid now" in reply.json["error"]), (400, True), reply.body)
        self.assertEqual(self.https.server_certificate(), before)
        # One that expires in use is told of at the next start, served on to whoever pinned it, and replaced live.
        self.daemon.terminate()
        for name, path in (("server.crt", expired.path), ("server.key", expired.key)):
            shutil.copy(path, os.path.join(self.daemon.root, name))
        self.daemon.start()
        self.assertIn("server's certificate is not valid now", self.daemon.log_tail(200))
        self.assertEqual(self.https.server_certificate(), expired.der)
        self.assertEqual(self.https.get("/1.0")["auth"], "untrusted")
        self.api.call("PUT", "/1.0/cluster/certificate", {"cluster_certificate": kept["server.crt"],
                                                          "cluster_certificate_key": kept["server.key"]})
        self.assertEqual(self.https.server_certificate(), before)

    # ---- TLS
    def test_only_tls_1_3(self):
        for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2):
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                made = remote.context(version=version)
                made.set_ciphers("ALL:@SECLEVEL=0")
                made.wrap_socket(remote.connect(self.daemon))
        with remote.context().wrap_socket(remote.connect(self.daemon)) as wrapped:
            self.assertEqual(wrapped.version(), "TLSv1.3")

    def test_plain_http_is_told(self):
        with remote.connect(self.daemon) as plain:
            plain.sendall(b"GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"HTTP request to an HTTPS server", plain.recv(4096))

    def test_big_answers_and_bodies_pass(self):
        body = json.dumps({"config": {"user.big": "x" * 900_000}}).encode()
        self.api.call("PATCH", "/1.0", json.loads(body))
        certificate = remote.Certificate(self.daemon.base, "big")
        self.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "name": "big"})
        with remote.HttpsApi(self.daemon, certificate) as api:
            self.assertEqual(len(api.get("/1.0")["config"]["user.big"]), 900_000)
            api.call("PATCH", "/1.0", {"config": {"user.big": "y" * 800_000}})
        self.assertEqual(self.api.get("/1.0")["config"]["user.big"], "y" * 800_000)
        self.api.call("PATCH", "/1.0", {"config": {"user.big": ""}})
        self.api.call("DELETE", f"/1.0/certificates/{certificate.fingerprint}")

    # ---- bad clients
    def closed_within(self, wrapped, seconds):
        wrapped.settimeout(seconds * PATIENCE)
        try:
            while wrapped.recv(4096):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        except TimeoutError:
            return False
        return True

    def test_slow_head_is_cut_off(self):
        with remote.context().wrap_socket(remote.connect(self.daemon)) as wrapped:
            wrapped.sendall(b"GET /1.0 HTTP/1.1\r\nHost")
            began = time.monotonic()
            self.assertTrue(self.closed_within(wrapped, 10))
            self.assertGreater(time.monotonic() - began, 2)

    def test_half_open_connections_by_the_hundred(self):
        leaks = LeakCheck(self.daemon)
        held = [remote.connect(self.daemon) for _ in range(300)]
        try:
            for one in held[::2]:
                one.send(b"\x16\x03\x01")
            began = time.monotonic()
            for _ in range(5):
                with remote.HttpsApi(self.daemon) as api:
                    self.assertEqual(api.get("/1.0")["auth"], "untrusted")
            self.assertLess(time.monotonic() - began, 5 * PATIENCE)
            self.assertLess(leaks.fds().get("socket:[]", 0), 150)
            self.assertTrue(self.closed_within(held[-1], 15))  # whoever does not go on is dropped
        finally:
            for one in held:
                one.close()
        self.https.close()
        self.assertEqual(leaks.compare(), [])

    def test_other_sites_are_refused(self):
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            self.assertEqual(self.https.raw("GET", "/1.0", headers=headers).status, 403, headers)
        self.assertEqual(self.https.raw("GET", "/1.0", headers={"Origin": "https://127.0.0.1:8443"}).status, 200)
        self.assertEqual(self.https.raw("GET", "/1.0", headers={"Sec-Fetch-Site": "none"}).status, 200)

    def test_pages_of_an_allowed_site(self):
        site, keys = {"Origin": "https://panel.example"}, {"core.https_allowed_origin": "https://panel.example",
                                                           "core.https_allowed_methods": "GET, PUT, DELETE",
                                                           "core.https_allowed_headers": "Content-Type, If-Match",
                                                           "core.https_allowed_credentials": "true",
                                                           "core.https_allowed_websocket_origin": "https://second.example"}
        self.assertEqual(self.https.raw("OPTIONS", "/1.0", headers=site).status, 403)
        for key, bad in (("core.https_allowed_origin", "panel.example"), ("core.https_allowed_methods", "GET\r\nX: y"),
                         ("core.https_allowed_headers", "a b"), ("core.https_allowed_websocket_origin", "https://a, b")):
            self.error_of(**{key.replace(".", "__"): bad})
        self.api.call("PATCH", "/1.0", {"config": keys})
        try:
            asked = self.https.raw("OPTIONS", "/1.0/instances/x", headers={**site, "Access-Control-Request-Method": "PUT"})
            shown = self.https.raw("GET", "/1.0", headers={**site, "Sec-Fetch-Site": "cross-site"})
            for reply in (asked, shown):
                self.assertEqual(reply.status, 200)
                self.assertEqual(reply.headers["Access-Control-Allow-Origin"], "https://panel.example")
                self.assertEqual(reply.headers["Access-Control-Allow-Methods"], "GET, PUT, DELETE")
                self.assertEqual(reply.headers["Access-Control-Allow-Headers"], "Content-Type, If-Match")
                self.assertEqual(reply.headers["Access-Control-Allow-Credentials"], "true")
            # Being allowed to ask is not being trusted.
            self.assertEqual(self.https.raw("GET", "/1.0/instances", headers=site).status, 403)
            for other in ("https://evil.example", "https://panel.example.evil", "https://second.example", "null"):
                reply = self.https.raw("GET", "/1.0", headers={"Origin": other})
                self.assertEqual((reply.status, "Access-Control-Allow-Origin" in reply.headers), (403, False), other)
                self.assertEqual(self.https.raw("OPTIONS", "/1.0", headers={"Origin": other}).status, 403)
            upgrade = {"Origin": "https://second.example", "Upgrade": "websocket", "Connection": "Upgrade"}
            self.assertIn(b"not authorized", self.https.raw("GET", "/1.0/events", headers=upgrade).body)
        finally:
            self.api.call("PATCH", "/1.0", {"config": dict.fromkeys(keys, "")})
        self.assertNotIn("Access-Control-Allow-Origin", self.https.raw("GET", "/1.0").headers)

    def behind_proxy(self, header, path="/1.0", source="127.0.0.1"):
        """The reply to a request that came with this header."""
        with remote.connect(self.daemon, source) as raw:
            raw.sendall(header)
            with remote.context().wrap_socket(raw) as wrapped:
                wrapped.sendall(f"DELETE {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                reply = b""
                while data := wrapped.recv(4096):
                    reply += data
                return reply

    def test_a_trusted_proxy_says_who_comes(self):
        line = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 8443\r\n"
        binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24" + socket.inet_pton(socket.AF_INET6, "2001:db8::7") + \
            socket.inet_pton(socket.AF_INET6, "::1") + struct.pack(">HH", 4712, 8443)
        for header in (line, binary):
            with self.assertRaises((ssl.SSLError, OSError)):  # of one that is not trusted it is no TLS
                self.behind_proxy(header)
        self.assertIn("IP addresses", self.error_of(core__https_trusted_proxy="127.0.0.1, localhost"))
        remote.set_config(self.api, core__https_trusted_proxy="192.0.2.1, 127.0.0.1")
        try:
            for header, path, address in ((line, "/1.0/line", "203.0.113.7:4711"), (binary, "/1.0/binary", "[2001:db8::7]:4712"),
                                          (b"PROXY UNKNOWN\r\n", "/1.0/unknown", "127.0.0.1:"), (b"", "/1.0/none", "127.0.0.1:")):
                self.assertIn(b" 403 ", self.behind_proxy(header, path).splitlines()[0])
                records = self.api.get("/1.0/lxmgr/history?recursion=1&filter=path+eq+" + path)
                self.assertTrue(records[-1]["requestor"]["address"].startswith(address), records)
            for junk in (b"PROXY TCP4 203.0.113.7 127.0.0.1 99999 8443\r\n", b"PROXY " + b"x" * 200,
                         binary[:12] + b"\x31" + binary[13:], binary[:14] + b"\xff\xff" + binary[16:]):
                with self.assertRaises((ssl.SSLError, OSError)):
                    self.behind_proxy(junk)
        finally:
            remote.set_config(self.api, core__https_trusted_proxy="")
        self.assertEqual(self.https.get("/1.0")["auth"], "untrusted")

    def test_client_certificate_of_junk_fails_the_handshake_only(self):
        done = self.daemon.sandbox.run("sh", "-c", "head -c 4096 /dev/urandom | timeout 5 openssl s_client -connect "
                                       "127.0.0.1:8443 -quiet 2>&1 | head -c 300", check=False)
        self.assertNotIn("lxmgrd", done)
        self.assertEqual(self.https.get("/1.0")["auth"], "untrusted")

    # ---- metrics
    def test_metrics_address(self):
        remote.set_config(self.api, core__metrics_address="127.0.0.1:9100")
        certificate = remote.Certificate(self.daemon.base, "prometheus")
        self.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "name": "p", "type": "metrics"})
        with remote.HttpsApi(self.daemon, certificate, port=9100) as api:
            self.assertEqual(api.raw("GET", "/1.0/metrics").status, 200)
            self.assertEqual(api.raw("GET", "/1.0").status, 404)
        with remote.HttpsApi(self.daemon, port=9100) as api:
            self.assertEqual(api.raw("GET", "/1.0/metrics").status, 403)
            remote.set_config(self.api, core__metrics_authentication="false")
            self.assertTrue(re.search(rb"lxd_uptime_seconds", api.raw("GET", "/1.0/metrics").body))
        self.api.call("DELETE", f"/1.0/certificates/{certificate.fingerprint[:12]}")


if __name__ == "__main__":
    main()
