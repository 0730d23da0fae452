"""Other hosts, as network namespaces beside the daemon's, and servers and clients for packets between all of them."""
import subprocess
import sys
import time

from .rest import PATIENCE
from .sandbox import namespace

# Answers everybody with the address that they come from.
SERVER = """
import socket, sys
kind, port = sys.argv[1], int(sys.argv[2])
server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("::", port))
if kind == "tcp":
    server.listen(16)
print("ready", flush=True)
while True:
    if kind == "tcp":
        peer, address = server.accept()
        peer.sendall(address[0].removeprefix("::ffff:").encode())
        peer.close()
    else:
        _, address = server.recvfrom(2048)
        server.sendto(address[0].removeprefix("::ffff:").encode(), address)
"""
CLIENT = """
import socket, sys, time
kind, host, port, timeout = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                       socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
end = time.monotonic() + timeout
client.settimeout(timeout)
try:
    client.connect((host, port))
    while True:  # a datagram may be lost
        client.settimeout(min(1.0 if kind == "udp" else timeout, max(end - time.monotonic(), 0.01)))
        client.send(b"x")
        try:
            print(client.recv(200).decode())
            break
        except TimeoutError:
            if time.monotonic() >= end:
                raise
except TimeoutError:
    print("timeout")
except OSError as error:
    print("refused" if error.errno == 111 else f"error {error.errno}")
"""


def route_through(place, link):
    """Sets what the administrator must for NICs whose addresses the host leads from a link to them."""
    for key in (f"ipv4.conf.{link}.forwarding", "ipv6.conf.all.forwarding", f"ipv6.conf.{link}.forwarding",
                "ipv6.conf.all.proxy_ndp", f"ipv6.conf.{link}.proxy_ndp"):
        place.run("sysctl", "-qw", f"net.{key}=1")


class Place:
    """A network namespace, by a process in it."""

    def __init__(self, pid):
        self.pid = pid

    def command(self, argv):
        return ["nsenter", "-t", str(self.pid), "-n", "--", *argv]

    def run(self, *argv, check=True):
        done = subprocess.run(self.command(argv), capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{argv}: {done.stderr.strip()}")
        return done.stdout

    def serve(self, kind, port):
        """A server there; the caller ends it."""
        server = subprocess.Popen(self.command([sys.executable, "-I", "-S", "-c", SERVER, kind, str(port)]),
                                  stdout=subprocess.PIPE, text=True)
        if server.stdout.readline() != "ready\n":
            raise RuntimeError(f"no {kind} server on port {port}")
        return server

    def ask(self, kind, host, port, timeout=20.0):
        """What a server answers, which is our address as it sees it; or "timeout", "refused", "error N". Less time is
        for those who expect a "timeout"."""
        return self.run(sys.executable, "-I", "-S", "-c", CLIENT, kind, host, str(port), str(timeout)).strip()

    def pings(self, address, timeout):
        return "1 received" in self.run("ping", "-n", "-c", "1", "-W", str(timeout), address, check=False) or \
            "1 packets received" in self.run("busybox", "ping", "-c", "1", "-W", str(timeout), address, check=False)

    def wait_ping(self, address, timeout=60):
        deadline = time.monotonic() + timeout * PATIENCE
        while not self.pings(address, 1):
            if time.monotonic() > deadline:
                raise AssertionError(f"{address} does not answer after {timeout} s")


class Outside(Place):
    """A host on a cable: `near` are addresses (CIDR) of the daemon's end, `far` of its own."""

    def __init__(self, sandbox, name, near=(), far=()):
        self.sandbox, self.name = sandbox, name
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        while namespace(self.holder.pid, "net") in ("", namespace("self", "net")):
            time.sleep(0.001)
        super().__init__(self.holder.pid)
        sandbox.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid))
        for address in near:
            sandbox.run("ip", "address", "add", address, "dev", name, *self.nodad(address))
        sandbox.run("ip", "link", "set", name, "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "link", "set", "eth0", "up")
        for address in far:
            self.run("ip", "address", "add", address, "dev", "eth0", *self.nodad(address))

    @staticmethod
    def nodad(address):
        return ["nodad"] if ":" in address else []

    def close(self):
        self.sandbox.run("ip", "link", "delete", self.name, check=False)
        self.holder.kill()
        self.holder.wait()
