"""The daemon under test in a sandbox of its own: lxmgrd, or Debian's LXD to check what a test expects of it."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from .rest import PATIENCE, Api, pieces
from .sandbox import Sandbox, read

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
BRIDGE, SUBNET = "lxtestbr0", "10.88.0"


def binaries():
    """Folder with lxmgrd, lxmgr-monitor and lxmgr: LXMGR_TEST_BIN, else the newest usual build."""
    named = os.environ.get("LXMGR_TEST_BIN")
    candidates = [named] if named else [REPOSITORY / "build" / preset / "bin" for preset in ("failpoints", "release")]
    for folder in candidates:
        if (pathlib.Path(folder) / "lxmgrd").exists():
            return pathlib.Path(folder)
    raise RuntimeError("there is no lxmgrd: build the preset failpoints, or set LXMGR_TEST_BIN")


class Daemon:
    """Starts, kills and restarts one daemon; its namespaces and its directory live until close()."""

    kind = "lxmgr"

    def __init__(self, propagation="shared", environment=None):
        self.base = tempfile.mkdtemp(prefix="lxmgr-test-", dir=os.environ.get("LXMGR_TEST_TMP", "/var/tmp"))
        os.chmod(self.base, 0o711)
        self.root = os.path.join(self.base, "state")
        os.mkdir(self.root, 0o711)
        self.log_path = os.path.join(self.base, "daemon.log")
        self.environment = environment or {}
        self.process = None
        self.sandbox = None
        try:
            self.sandbox = self.make_sandbox(propagation)
        except BaseException:
            shutil.rmtree(self.base)
            raise
        self.api = Api(self.socket_path)

    # ---- what differs between the two
    def make_sandbox(self, propagation):
        return Sandbox(self.base, propagation)

    def command(self):
        return [str(binaries() / "lxmgrd"), "--root", self.root, "--debug", "--log-file", self.log_path]

    def daemon_environment(self):
        return {"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0"}

    def cgroup_parent(self):
        """Name of the daemon's own cgroup below each hierarchy: with the FNV-1a hash of its directory."""
        value = 2166136261
        for byte in self.root.encode():
            value = (value ^ byte) * 16777619 & 0xFFFFFFFF
        return f"lxmgr-{value:08x}"

    # ---- life
    @property
    def socket_path(self):
        return os.path.join(self.root, "unix.socket")

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def spawn(self, **variables):
        """Starts the daemon's process; it is not ready yet."""
        with open(self.log_path + ".out", "ab") as out:
            environment = {**os.environ, **self.daemon_environment(), **self.environment, **variables}
            self.process = subprocess.Popen(self.sandbox.command(self.command()), env=environment, cwd="/",
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

    def start(self, timeout=30, environment=None):
        """Starts the daemon and returns when it said READY=1: the seconds that took."""
        notify_path = os.path.join(self.base, "notify")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(notify_path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(notify_path)
            notify.settimeout(0.05)
            began = time.monotonic()
            self.spawn(NOTIFY_SOCKET=notify_path, **(environment or {}))
            while True:
                try:
                    if b"READY=1" in notify.recv(4096):
                        break
                except TimeoutError:
                    pass
                if self.process.poll() is not None:
                    raise RuntimeError(f"the daemon ended with {self.process.returncode}:\n{self.log_tail()}")
                if time.monotonic() > began + timeout * PATIENCE:
                    raise RuntimeError(f"the daemon is not ready after {timeout} s:\n{self.log_tail()}")
        os.unlink(notify_path)
        return time.monotonic() - began

    def kill(self):
        """kill -9, as a crash would."""
        self.api.close()
        self.process.kill()
        self.process.wait()

    def terminate(self, signal_number=signal.SIGTERM, timeout=60):
        """Asks the daemon to end; its exit code."""
        self.api.close()
        self.process.send_signal(signal_number)
        return self.process.wait(timeout)

    def wait_dead(self, timeout=60):
        """For a daemon that a failpoint kills: its exit code (-9)."""
        self.api.close()
        return self.process.wait(timeout)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def log_tail(self, lines=40):
        said, logged = (read(path).splitlines() for path in (self.log_path + ".out", self.log_path))
        return "\n".join(logged[-lines:] + said[-10:])

    def close(self):
        self.api.close()
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        parent_cgroup = self.cgroup_parent()
        self.sandbox.close()
        self._remove_cgroups(parent_cgroup)
        for line in reversed(read("/proc/self/mountinfo").splitlines()):
            if self.base in line:
                subprocess.run(["umount", "-l", line.split()[4]], check=False)
        shutil.rmtree(self.base, ignore_errors=True)

    @staticmethod
    def _remove_cgroups(prefix):
        from .leaks import cgroup_directories
        for folder in sorted(cgroup_directories(prefix) if prefix else (), key=len, reverse=True):
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    # ---- set-up through the API, the same for both
    def initialise(self, driver=None):
        """A pool, a bridge and a default profile."""
        self.api.do("POST", "/1.0/storage-pools", {"name": "default", "driver": driver or self.default_driver(),
                                                  "config": {}, "description": ""})
        self.api.do("POST", "/1.0/networks", {
            "name": BRIDGE, "type": "bridge", "description": "",
            "config": {"ipv4.address": f"{SUBNET}.1/24", "ipv4.nat": "true", "ipv6.address": "none"}})
        self.api.do("PUT", "/1.0/profiles/default", {"description": "", "config": {}, "devices": {
            "root": {"type": "disk", "path": "/", "pool": "default"},
            "eth0": {"type": "nic", "name": "eth0", "network": BRIDGE}}})

    def default_driver(self):
        return "overlay"

    def deinitialise(self):
        """Deletes what initialise() made, and every instance and image."""
        for name in self.instance_names():
            if self.api.instance(name)["status"] != "Stopped":
                self.api.stop(name)
            self.api.delete(name)
        for image in self.api.get("/1.0/images"):
            self.api.do("DELETE", image)
        self.api.do("PUT", "/1.0/profiles/default", {"description": "", "config": {}, "devices": {}})
        self.api.do("DELETE", f"/1.0/networks/{BRIDGE}")
        self.api.do("DELETE", "/1.0/storage-pools/default")

    def instance_names(self):
        return [url.rsplit("/", 1)[1] for url in self.api.get("/1.0/instances")]

    def running_instances(self):
        """Name -> pid of init."""
        listed = self.api.get("/1.0/instances?recursion=2")
        return {one["name"]: one["state"]["pid"] for one in listed if one["state"] and one["state"]["pid"] > 0}

    def import_image(self, files, alias):
        """`files`: a unified image, or (metadata, rootfs) of a split one. Returns the fingerprint."""
        if isinstance(files, (tuple, list)):
            boundary = "lxmgrtestboundary"
            body = multipart(boundary, files)
            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            operation = self.api.do("POST", "/1.0/images", body, headers, timeout=300)
        else:
            headers = {"Content-Type": "application/octet-stream", "X-LXD-filename": os.path.basename(files)}
            with open(files, "rb", buffering=0) as file:
                operation = self.api.do("POST", "/1.0/images", pieces(file), headers, timeout=300)
        fingerprint = operation["metadata"]["fingerprint"]
        if alias:
            self.api.call("POST", "/1.0/images/aliases", {"name": alias, "target": fingerprint, "description": ""})
        return fingerprint


def multipart(boundary, files):
    """Parts `metadata` and `rootfs`, streamed."""
    for part, path in zip(("metadata", "rootfs"), files):
        yield (f'--{boundary}\r\nContent-Disposition: form-data; name="{part}"; filename="{os.path.basename(path)}"\r\n'
               "Content-Type: application/octet-stream\r\n\r\n").encode()
        with open(path, "rb", buffering=0) as file:
            yield from pieces(file)
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


class Lxd(Daemon):
    """Debian's LXD 5.0.2 in a sandbox like ours: what a test expects is first tried on it."""

    kind = "lxd"

    def make_sandbox(self, propagation):
        return Sandbox(self.base, "private", own_sysfs=True)  # shared, the umount of the cgroup copy would spread

    def command(self):
        return ["lxd", "--logfile", self.log_path, "--group", "root"]

    def daemon_environment(self):
        empty = os.path.join(self.base, "empty")
        os.makedirs(empty, exist_ok=True)
        # lxcfs's hook sleeps half a second in every stop.
        return {"LXD_DIR": self.root, "LXD_LXC_TEMPLATE_CONFIG": empty}

    def default_driver(self):
        return "dir"

    def cgroup_parent(self):
        return None

    def start(self, timeout=60, environment=None):
        began = time.monotonic()
        self.spawn(**(environment or {}))
        variables = {**os.environ, **self.daemon_environment()}
        subprocess.run(self.sandbox.command(["lxd", "waitready", f"--timeout={timeout}"]), env=variables, check=True)
        return time.monotonic() - began


def make(**options):
    """The daemon that LXMGR_TEST_TARGET names: lxmgr (default) or lxd."""
    return Lxd() if os.environ.get("LXMGR_TEST_TARGET") == "lxd" else Daemon(**options)
