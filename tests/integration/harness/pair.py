"""A second server beside the daemon of a test, on a cable of its own."""
import os

from . import daemon as daemons
from . import remote

NEAR, FAR = "10.99.0.1", "10.99.0.2"


def url(address):
    return f"https://{address}:{remote.PORT}"


class Peer:
    """`kind` is a class of harness.daemon: another lxmgrd, or the real LXD. `number`: which of several it is."""

    def __init__(self, first, kind, number=0):
        self.first = first
        self.near, self.far = (address.replace(".0.", f".{number}.") for address in (NEAR, FAR))
        self.link = f"peer{number}"
        self.daemon = kind()
        try:
            pids = [str(one.sandbox.pid) for one in (first, self.daemon)]
            first.sandbox.run("ip", "link", "add", self.link, "type", "veth", "peer", "name", self.link, "netns", pids[1])
            for one, address in ((first, self.near), (self.daemon, self.far)):
                one.sandbox.run("ip", "address", "add", f"{address}/24", "dev", self.link)
                one.sandbox.run("ip", "link", "set", self.link, "up")
            self.daemon.start()
            self.daemon.initialise()
            for one, address in ((first, self.near), (self.daemon, self.far)):
                self.set_config(one, {"core.https_address": f"{address}:{remote.PORT}", "core.trust_password": "pw"})
        except BaseException:
            self.daemon.close()
            raise
        self.api = self.daemon.api

    @staticmethod
    def set_config(daemon, config):
        daemon.api.call("PATCH", "/1.0", {"config": config})

    def client(self):
        """The real `lxc`, with both as remotes "a" and "b"."""
        client = remote.lxc(self.first, "pair")
        for name, address in (("a", self.near), ("b", self.far)):
            client("remote", "add", name, url(address), "--accept-certificate", "--password", "pw")
        return client

    def close(self):
        for certificate in self.first.api.get("/1.0/certificates"):
            self.first.api.call("DELETE", certificate)
        self.set_config(self.first, {"core.https_address": "", "core.trust_password": ""})
        self.daemon.close()
        self.first.sandbox.run("ip", "link", "delete", self.link, check=False)
        assert not os.path.exists(self.daemon.base)
