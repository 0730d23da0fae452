"""What crosses a wire: the API over HTTPS, NICs, address translation, copies between two servers."""
import concurrent.futures
import os
import shutil
import subprocess
import tempfile
import time

import measure
import table
from harness import pair, remote
from harness.daemon import BRIDGE
from harness.outside import Outside

FOLDER = measure.FOLDER
FLOOD_SECONDS, PORT, PARALLEL = 3, 7100, 50
LOAD_SECONDS = 10  # LXD takes some for sixteen replies
LXD_DIR, LXD_BTRFS = "LXD dir", "LXD btrfs"

# As in table.py; a yardstick is a metric of the first peer.
ROWS = [
    ("tls_1_rps", "HTTPS, 100 instances, recursion=2, 1 connection", "req/s", None, [(LXD_BTRFS, 5)]),
    ("tls_16_rps", "HTTPS, the same, 16 connections", "req/s", None, [(LXD_BTRFS, 5)]),
    ("tls_16_p99", "HTTPS, the same, the slowest of a hundred", "ms", None, [(LXD_BTRFS, 3)]),
    ("attach", "NIC attached to a running instance", "ms", None, [(LXD_BTRFS, 5)]),
    ("detach", "NIC detached", "ms", None, [(LXD_BTRFS, 5)]),
    ("start_one", "start with a NIC, one alone", "ms", None, []),
    ("start_parallel", f"start with a NIC, {PARALLEL} at once, each", "ms", None, [("one alone", 0.5)]),
    ("veth_rps", "from another host to an instance", "MB/s", None, []),
    ("nat_rps", "the same through a proxy with nat=true", "MB/s", None, [("plain veth", 0.95)]),
    ("remote_copy", "copy to another server, Debian", "ms", None, [(LXD_DIR, 2), (LXD_BTRFS, 2)]),
]
YARDSTICKS = {"one alone": "start_one", "plain veth": "veth_rps"}


class Network:
    def __init__(self, peers):
        self.peers = peers
        first_of_each = {}
        for peer in peers:
            first_of_each.setdefault(peer.daemon, peer)
        self.first = list(first_of_each.values())
        self.folder = tempfile.mkdtemp(prefix="lxmgr-bench-", dir="/var/tmp")
        self.flood = os.path.join(self.folder, "flood")
        subprocess.run(["gcc", "-O2", "-Wall", "-o", self.flood, FOLDER / "flood.c"], check=True)

    def close(self):
        shutil.rmtree(self.folder)

    # ---- the API
    def https(self, repeat):
        certificate = remote.Certificate(self.folder, "client")
        for peer in self.first:
            peer.fill(100)
            remote.set_config(peer.api, core__https_address=f"127.0.0.1:{remote.PORT}")
            peer.api.call("POST", "/1.0/certificates", {"type": "client", "name": "load", "certificate": certificate.encoded})
        for _ in range(repeat):
            for peer in self.first:
                for connections in (1, 16):
                    peer.rate(f"tls_{connections}", "/1.0/instances?recursion=2", connections, LOAD_SECONDS, certificate)
        for peer in self.first:
            remote.set_config(peer.api, core__https_address="")
            peer.empty(100)

    # ---- NICs
    def nics(self, repeat):
        names = {peer: peer.name() for peer in self.first}
        for peer, name in names.items():
            root = {"type": "disk", "path": "/", "pool": peer.pool}
            # One NIC of each network is all that LXD allows.
            peer.api.create(name, "tiny", devices={"root": root, "eth0": {"type": "none"}})
            peer.api.start(name)
        nic = {"type": "nic", "network": BRIDGE, "name": "eth9"}
        for _ in range(repeat * 3):
            for peer, name in names.items():
                for metric, value in (("attach", nic), ("detach", None)):
                    with measure.Timer() as timer:
                        peer.api.update(name, devices={"eth9": value})
                    peer.add(metric, timer.ms)
        for peer, name in names.items():
            peer.api.stop(name)
            peer.api.delete(name)

    def starts(self, repeat):
        """Of ours only: LXD's inotify instances are used up by fewer."""
        peer = self.first[0]
        names = [peer.name() for _ in range(PARALLEL)]
        for name in names:
            peer.create(name, "tiny")
        for _ in range(repeat + 1):
            peer.timed("start_one", peer.api.start, names[0])
            peer.api.stop(names[0])
        peer.samples["start_one"].pop(0)
        for _ in range(repeat):
            with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
                began = time.monotonic()
                list(pool.map(peer.api.start, names))
                peer.add("start_parallel", (time.monotonic() - began) * 1e3 / PARALLEL)
                list(pool.map(peer.api.stop, names))
        for name in names:
            peer.api.delete(name)

    # ---- packets
    def packets(self, repeat):
        for peer in self.first:
            name = peer.name()
            peer.create(name, "tiny")
            peer.api.start(name)
            outside = Outside(peer.daemon.sandbox, "bench0", ["192.0.2.1/24"], ["192.0.2.2/24"])
            try:
                outside.run("ip", "route", "add", "default", "via", "192.0.2.1")
                peer.daemon.sandbox.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
                address = self.address(peer, name)
                nat = {"type": "proxy", "nat": "true", "listen": f"tcp:192.0.2.1:{PORT}",
                       "connect": f"tcp:{address}:{PORT}"}
                nic = {"type": "nic", "network": BRIDGE, "name": "eth0", "ipv4.address": address}
                peer.api.update(name, devices={**peer.api.instance(name)["devices"], "eth0": nic, "nat": nat})
                for _ in range(repeat * 9):
                    self.stream(peer, name, outside, "veth_rps", address)
                    self.stream(peer, name, outside, "nat_rps", "192.0.2.1")
            finally:
                outside.close()
                peer.api.stop(name)
                peer.api.delete(name)

    @staticmethod
    def address(peer, name):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for one in peer.api.state(name)["network"]["eth0"]["addresses"]:
                if one["family"] == "inet" and one["scope"] == "global":
                    return one["address"]
            time.sleep(0.1)
        raise AssertionError(f"{name} has no address")

    def stream(self, peer, name, outside, metric, address):
        inside = ["nsenter", "-t", str(peer.api.state(name)["pid"]), "-n", "--"]
        with subprocess.Popen([*inside, self.flood, "sink", str(PORT)], stdout=subprocess.PIPE, text=True) as sink:
            assert sink.stdout.readline() == "up\n"
            outside.run(self.flood, "source", str(PORT), str(FLOOD_SECONDS), address)
            received, seconds = map(float, sink.stdout.readline().split())
        peer.add(metric, received / (1 << 20) / seconds)

    # ---- between servers
    def copies(self, repeat):
        for first in self.first:
            others = [peer for peer in self.peers if peer.daemon is first.daemon]
            self.copies_of(first, others, repeat)

    @staticmethod
    def copies_of(first, others, repeat):
        second = pair.Peer(first.daemon, type(first.daemon))
        try:
            client = second.client()
            for peer in others:
                if peer.pool != "default":
                    pool = {"name": peer.pool, "driver": "btrfs", "config": {"size": "15GiB"}}
                    second.api.do("POST", "/1.0/storage-pools", pool)
                name = peer.name()
                peer.create(name)
                for number in range(repeat + 1):
                    peer.timed("remote_copy", client, "copy", f"a:{name}", f"b:{name}", "--storage", peer.pool)
                    second.api.delete(name)
                    if number == 0:
                        peer.samples.pop("remote_copy")
                peer.api.delete(name)
        finally:
            second.close()


def run(peers, repeat):
    load = Network(peers)
    try:
        for step in (load.https, load.nics, load.starts, load.packets, load.copies):
            step(repeat)
            print(f"# {step.__name__} done, load {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        load.close()
    return table.render(peers, ROWS, YARDSTICKS)
