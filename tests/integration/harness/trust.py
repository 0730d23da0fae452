"""Base of the tests about who is trusted."""
from . import remote
from .case import DaemonCase


class TrustCase(DaemonCase):
    needs_images = ()

    def setUp(self):
        super().setUp()
        remote.set_config(self.api, core__https_address="[::]:8443")
        self.count = getattr(self, "count", 0)

    def tearDown(self):
        for url in self.api.get("/1.0/certificates"):
            self.api.call("DELETE", url)
        for group in self.api.get("/1.0/operations?recursion=1").values():
            for one in group:
                if one["class"] == "token" and one["status_code"] < 200:
                    self.api.call("DELETE", f"/1.0/operations/{one['id']}")
        remote.set_config(self.api, core__https_address="", core__trust_password="", core__remote_token_expiry="")
        super().tearDown()

    def events(self, certificate):
        """A websocket of events: wait_end() returns when the daemon has ended it."""
        wrapped = remote.context(certificate).wrap_socket(remote.connect(self.daemon))
        self.addCleanup(wrapped.close)
        wrapped.sendall(b"GET /1.0/events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        self.assertIn(b"101 ", wrapped.recv(4096))
        return wrapped

    @staticmethod
    def wait_end(wrapped, timeout=60):
        wrapped.settimeout(timeout)
        while True:
            try:
                if not wrapped.recv(4096):
                    return
            except ConnectionError:
                return

    def certificate(self, days=30):
        self.count += 1
        return remote.Certificate(self.daemon.base, f"client{self.count}", days)

    def client(self, certificate=None):
        made = remote.HttpsApi(self.daemon, certificate)
        self.addCleanup(made.close)
        return made

    def trusted(self, **more):
        certificate = self.certificate()
        self.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "name": certificate.name, **more})
        return certificate, self.client(certificate)
