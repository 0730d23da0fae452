"""What users do with instances after the launch: snapshots, copies, many execs, big files, proxies, config changes."""
import concurrent.futures
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import measure
from harness.rest import UnixConnection
from harness.sandbox import read

FOLDER = pathlib.Path(__file__).resolve().parent
FILE_MIB = 1024
BUFFER_BYTES = 1 << 18
EXECS = 100
EXEC_ROUNDS = 5  # one of them takes 0.1 s: a hiccup of the machine would be the whole figure
TRANSFERS = 3  # see transfers()
FLOOD_SECONDS = 3


class Work:
    def __init__(self, peers):
        self.peers = peers
        self.folder = tempfile.mkdtemp(prefix="lxmgr-bench-", dir="/var/tmp")
        self.flood = os.path.join(self.folder, "flood")
        subprocess.run(["gcc", "-O2", "-Wall", "-o", self.flood, FOLDER / "flood.c"], check=True)

    def close(self):
        shutil.rmtree(self.folder)

    # ---- snapshots and copies
    def snapshots(self, images, repeat):
        """`images`: alias -> suffix of the metrics, for images of different sizes."""
        for alias, suffix in images.items():
            names = {peer: peer.name() for peer in self.peers}
            for peer, name in names.items():
                peer.create(name, alias)
            for number in range(repeat + 1):
                for peer, name in names.items():
                    self.one_snapshot(peer, name, suffix)
                    if number == 0:
                        for metric in ("snapshot", "restore", "copy"):
                            peer.samples.pop(metric + suffix, None)
            for peer, name in names.items():
                peer.delete_with_snapshots(name)

    @staticmethod
    def one_snapshot(peer, name, suffix):
        api, copy = peer.api, name + "-copy"
        peer.timed("snapshot" + suffix, api.do, "POST", f"/1.0/instances/{name}/snapshots", {"name": "s"})
        peer.timed("restore" + suffix, api.do, "PUT", f"/1.0/instances/{name}", {"restore": "s"})
        peer.timed("copy" + suffix, api.do, "POST", "/1.0/instances",
                   {"name": copy, "source": {"type": "copy", "source": name, "instance_only": True}})
        api.delete(copy)
        api.do("DELETE", f"/1.0/instances/{name}/snapshots/s")

    # ---- a running instance
    def running(self, repeat):
        names = {peer: peer.name() for peer in self.peers}
        for peer, name in names.items():
            peer.create(name)
            peer.api.start(name)
            peer.wait_booted(name)
        for _ in range(repeat * EXEC_ROUNDS):
            for peer, name in names.items():
                self.many_execs(peer, name)
        for _ in range(repeat):
            self.files(names)
        for port, (peer, name) in enumerate(names.items(), 7001):
            for _ in range(repeat):
                self.proxy(peer, name, port)
        for peer, name in names.items():
            peer.api.stop(name)
            peer.api.delete(name)

    @staticmethod
    def many_execs(peer, name):
        """All at once, each with an exit status of its own."""
        def one(number):
            operation = peer.api.do("POST", f"/1.0/instances/{name}/exec",
                                    {"command": ["sh", "-c", f"exit {number}"], "environment": {},
                                     "wait-for-websocket": False, "interactive": False, "record-output": False})
            return operation["metadata"]["return"]

        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(EXECS) as pool:
            found = list(pool.map(one, range(EXECS)))
        peer.add("execs_rps", EXECS / (time.monotonic() - began))
        if found != list(range(EXECS)):
            raise AssertionError(f"{peer.label}: exit statuses {found}")

    def files(self, names):
        source, back = os.path.join(self.folder, "big"), os.path.join(self.folder, "back")
        if not os.path.exists(source):
            with open(source, "wb") as file:
                for _ in range(FILE_MIB):
                    file.write(os.urandom(1 << 20))
        first = next(iter(names))
        self.transfers(first, "cp_rps", back, lambda: subprocess.run(["cp", "--reflink=never", source, back], check=True))
        for peer, name in names.items():
            self.transfers(peer, "push_rps", None, lambda: push(peer.daemon.socket_path, name, source))
            self.transfers(peer, "pull_rps", back, lambda: pull(peer.daemon.socket_path, name, back))
            subprocess.run(["cmp", source, back], check=True)
            peer.api.raw("DELETE", peer.api.file_target(name, "/root/big"))

    def transfers(self, peer, metric, target, transfer):
        """The best of all, not their median: a virtual machine whose host takes unused memory back writes a new gigabyte
        at 4000 MB/s or at 500, as the memory it gets was in use just before or not; whoever writes. So that all find the
        same, each finds the memory of a file of this size that has just been removed, and `target` is new each time."""
        spare = os.path.join(self.folder, "spare")
        for _ in range(TRANSFERS):
            if target and os.path.exists(target):
                os.unlink(target)
            os.sync()  # what others have written is not to be waited for
            subprocess.run(["cp", "--reflink=never", os.path.join(self.folder, "big"), spare], check=True)
            os.unlink(spare)
            began = time.monotonic()
            transfer()
            peer.samples[metric] = [max([FILE_MIB / (time.monotonic() - began), *peer.samples.get(metric, [])])]

    # ---- proxy
    def proxy(self, peer, name, port):
        device = {"type": "proxy", "listen": f"tcp:127.0.0.1:{port}", "connect": f"tcp:127.0.0.1:{port}"}
        peer.api.update(name, devices={**peer.api.instance(name)["devices"], "flood": device})
        inside = ["nsenter", "-t", str(peer.api.state(name)["pid"]), "-n", "--"]
        before = self.cpu_seconds(peer)
        with subprocess.Popen([*inside, self.flood, "sink", str(port)], stdout=subprocess.PIPE, text=True) as sink:
            assert sink.stdout.readline() == "up\n"
            subprocess.run(peer.daemon.sandbox.command([self.flood, "source", str(port), str(FLOOD_SECONDS)]), check=True)
            received, seconds = map(float, sink.stdout.readline().split())
        gib = received / (1 << 30)
        peer.add("proxy_rps", gib * 1024 / seconds)
        after = self.cpu_seconds(peer)
        peer.add("proxy_cpu", sum(seconds - before.get(pid, 0) for pid, seconds in after.items()) / gib)
        devices = peer.api.instance(name)["devices"]
        devices.pop("flood")
        peer.api.update(name, devices=devices)

    @staticmethod
    def cpu_seconds(peer):
        """Of the daemon and each of its helpers, by pid: those that end meanwhile (of what went on before) do not count."""
        seconds = {}
        for pid in measure.own_processes(peer.daemon) | {peer.daemon.pid}:
            fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            seconds[pid] = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") if fields else 0
        return seconds

    # ---- config
    @staticmethod
    def config(peers, repeat):
        """A change of one of 2 instances, and of one of 200."""
        for metric, others in (("config_2", 1), ("config_200", 199)):
            for peer in peers:
                peer.fill(others + 1)
            os.sync()  # else the commits of the changes wait for what was just made
            for number in range(repeat * 10):
                for peer in peers:
                    peer.timed(metric, peer.api.do, "PATCH", "/1.0/instances/empty0", {"config": {"user.n": str(number)}})
            for peer in peers:
                peer.empty(others + 1)


def push(socket_path, name, path):
    connection = UnixConnection(socket_path, 120)
    connection.connect()
    connection.sock.settimeout(None)  # blocking, as sendfile wants it
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = f"POST /1.0/instances/{name}/files?path=/root/big HTTP/1.1\r\nHost: lxd\r\nX-LXD-type: file\r\n" \
                   f"Content-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
            connection.sock.sendall(head.encode())
            sent = 0
            while sent < size:
                sent += os.sendfile(connection.sock.fileno(), file.fileno(), sent, size - sent)
        answer = connection.sock.recv(4096)
        if b" 200 " not in answer[:20]:
            raise AssertionError(answer)
    finally:
        connection.close()


def pull(socket_path, name, path):
    """Through one buffer that stays in the processor's cache, as cp has one. (Splicing to a file is slower by a factor of
    five in some runs, all of it spent in the client; reading into new memory each time measures that memory.)"""
    connection = UnixConnection(socket_path, 120)
    connection.connect()
    sock = connection.sock
    sock.settimeout(None)
    buffer = memoryview(bytearray(BUFFER_BYTES))
    try:
        sock.sendall(f"GET /1.0/instances/{name}/files?path=/root/big HTTP/1.1\r\nHost: lxd\r\n\r\n".encode())
        while (end := (seen := sock.recv(16384, socket.MSG_PEEK)).find(b"\r\n\r\n")) < 0:
            if not seen:
                raise AssertionError("no reply")
        head = sock.recv(end + 4).decode().lower()
        if " 200 " not in head[:20]:
            raise AssertionError(head)
        left = int(head.split("content-length:")[1].split()[0])
        with open(path, "wb", buffering=0) as file:
            while left > 0:
                taken = sock.recv_into(buffer, min(left, BUFFER_BYTES))
                if taken == 0:
                    raise AssertionError(f"{left} bytes are missing")
                left -= taken
                file.write(buffer[:taken])
    finally:
        connection.close()
