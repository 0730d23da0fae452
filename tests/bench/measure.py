"""What one daemon needs for each thing a user waits for. Times in milliseconds unless the name says otherwise."""
import os
import pathlib
import subprocess
import time

from harness import remote
from harness.rest import ApiError, UnixConnection
from harness.sandbox import namespace, read

FOLDER = pathlib.Path(__file__).resolve().parent
IMAGE = "bookworm"
LOAD_PROGRAM = pathlib.Path(f"/var/tmp/lxmgr-bench-load-{os.getpid()}")


class Timer:
    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.ms = (time.monotonic() - self.began) * 1e3


class Peer:
    """A daemon with one of its pools. Samples go to `samples`: metric -> list."""

    def __init__(self, label, daemon, pool):
        self.label, self.daemon, self.pool, self.api = label, daemon, pool, daemon.api
        self.samples = {}
        self.count = 0

    def add(self, metric, value):
        self.samples.setdefault(metric, []).append(value)

    def name(self):
        self.count += 1
        return f"bench-{self.pool}-{self.count}"

    def create(self, name, image=IMAGE):
        self.api.create(name, image, devices={"root": {"type": "disk", "path": "/", "pool": self.pool}})

    def stamps(self, name):
        """systemd's own marks on the machine's monotonic clock, in milliseconds: (started, boot finished)."""
        out = self.api.sh(name, "systemctl show -p UserspaceTimestampMonotonic -p FinishTimestampMonotonic")
        values = dict(line.split("=") for line in out.splitlines())
        return int(values["UserspaceTimestampMonotonic"]) / 1e3, int(values["FinishTimestampMonotonic"]) / 1e3

    def wait_booted(self, name, timeout=60):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            _, out, _ = self.api.exec(name, ["systemctl", "is-system-running", "--wait"])
            if out.strip() in (b"running", b"degraded"):
                return out.decode().strip()
            time.sleep(0.1)
        raise AssertionError(f"{name} did not boot")

    # ---- one sample of everything about one instance
    def lifecycle(self):
        name = self.name()
        began = time.monotonic()
        with Timer() as create:
            self.create(name)
        with Timer() as first_start:
            self.api.start(name)
        self.add("create", create.ms)
        self.add("launch", create.ms + first_start.ms)
        self.wait_booted(name)
        started, finished = self.stamps(name)
        self.add("launch_to_pid1", started - began * 1e3)
        self.add("boot", finished - started)
        self.exec_true(name)
        self.timed("stop_graceful", self.api.stop, name, False)
        self.timed("start", self.api.start, name)
        self.wait_booted(name)
        self.timed("stop_force", self.api.stop, name)
        self.timed("delete", self.api.delete, name)

    def timed(self, metric, call, *arguments):
        with Timer() as timer:
            call(*arguments)
        self.add(metric, timer.ms)

    def exec_true(self, name, count=20):
        body = {"command": ["true"], "environment": {}, "wait-for-websocket": False, "interactive": False,
                "record-output": False}
        for _ in range(count):
            self.timed("exec_true", self.api.do, "POST", f"/1.0/instances/{name}/exec", body)

    # ---- requests
    def rate(self, metric, target, connections, seconds=2, certificate=None):
        """On the unix socket; with a certificate over HTTPS."""
        where = str(remote.PORT) if certificate else self.daemon.socket_path
        command = [load_program(), where, target, str(connections), str(seconds)]
        if certificate:
            command = self.daemon.sandbox.command([*command, certificate.path, certificate.key])
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        self.add(metric + "_rps", float(out[0]))
        self.add(metric + "_ms", float(out[1]) / 1e3)
        self.add(metric + "_p99", float(out[2]) / 1e3)

    def fill(self, count):
        for number in range(count):
            self.api.create(f"empty{number}", None, devices={"root": {"type": "disk", "path": "/", "pool": self.pool}})

    def empty(self, count):
        for number in range(count):
            self.api.delete(f"empty{number}")

    def delete_with_snapshots(self, name):
        for snapshot in self.api.get(f"/1.0/instances/{name}/snapshots"):
            self.api.do("DELETE", snapshot)
        self.api.delete(name)

    # ---- the daemon itself
    def restart(self, metric):
        self.daemon.terminate(timeout=60)
        with Timer() as timer:
            self.daemon.spawn()
            wait_answer(self.daemon.socket_path)
        self.add(metric, timer.ms)

    def idle_memory(self, metric):
        time.sleep(3)
        self.add(metric, sum(map(pss_kib, own_processes(self.daemon) | {self.daemon.pid})) / 1024)


def wait_answer(socket_path, timeout=60):
    """Until GET /1.0 answers 200: what a client sees, the same for every daemon."""
    deadline = time.monotonic() + timeout
    while True:
        connection = UnixConnection(socket_path, 30)
        try:
            connection.request("GET", "/1.0")
            if connection.getresponse().status == 200:
                return
        except (OSError, ValueError):
            pass
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise AssertionError("the daemon does not answer")
        time.sleep(0.001)


def load_program():
    if not LOAD_PROGRAM.exists():
        subprocess.run(["gcc", "-O2", "-Wall", "-o", LOAD_PROGRAM, FOLDER / "load.c", "-lssl", "-lcrypto"], check=True)
    return str(LOAD_PROGRAM)


def pss_kib(pid):
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def own_processes(daemon):
    """Processes of the product beside the daemon, outside the instances: monitors and helpers."""
    here = namespace("self", "pid")
    return {pid for pid in daemon.sandbox.processes() if pid != daemon.pid and namespace(pid, "pid") == here}


def overhead(peer, count=3):
    """KiB of own processes for each running instance."""
    before = sum(map(pss_kib, own_processes(peer.daemon)))
    names = [peer.name() for _ in range(count)]
    for name in names:
        peer.create(name)
        peer.api.start(name)
    for name in names:
        peer.wait_booted(name)
    peer.add("own_kib", (sum(map(pss_kib, own_processes(peer.daemon))) - before) / count)
    for name in names:
        try:
            peer.api.stop(name)
            peer.api.delete(name)
        except ApiError as error:
            print(f"# {peer.label}: {error}")
