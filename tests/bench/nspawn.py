"""systemd-nspawn on the same tree: the yardstick for the time from PID 1's exec to `running`."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

from harness import images
from harness.sandbox import namespace, read

UID_BASE = 1 << 24


def children(pid):
    return [int(p) for p in read(f"/proc/{pid}/task/{pid}/children").split()]


def shift_owners(root):
    """systemd-nspawn 252 cannot use an idmapped mount here, so its tree is owned by the ids of its user namespace."""
    for top, folders, files in os.walk(root):
        for path in [top] + [os.path.join(top, name) for name in folders + files if os.path.islink(os.path.join(top, name))
                             or name in files]:
            found = os.lstat(path)
            if found.st_uid < UID_BASE:
                os.lchown(path, found.st_uid + UID_BASE, found.st_gid + UID_BASE)
                if not os.path.islink(path):
                    os.chmod(path, found.st_mode & 0o7777)


class Nspawn:
    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="lxmgr-bench-", dir="/var/tmp")
        _, rootfs = images.distro("bookworm")
        subprocess.run(["rdsquashfs", "-q", "-u", "/", "-p", self.root, "-C", "-O", rootfs], check=True)
        os.chmod(self.root, 0o755)  # services inside are other users
        shift_owners(self.root)
        self.cgroups = [f"{base}/lxmgr-bench-{os.getpid()}" for base in
                        ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup")
                        if os.path.exists(f"{base}/cgroup.procs")]
        for folder in self.cgroups:
            os.makedirs(folder, exist_ok=True)

    def enter_cgroups(self):
        for folder in self.cgroups:
            with open(f"{folder}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")

    def boot(self):
        """Milliseconds from systemd's start to the end of the boot."""
        command = ["systemd-nspawn", "-q", "-D", self.root, "-M", f"bench{os.getpid()}", "--register=no", "--keep-unit", "-b",
                   f"--private-users={UID_BASE}:65536", "--private-users-ownership=off", "--console=pipe", "--private-network"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   preexec_fn=self.enter_cgroups)
        try:
            init = self.wait_init(process.pid)
            started, finished = self.wait_stamps(init)
            os.kill(init, signal.SIGRTMIN + 4)
            process.wait(30)
            return finished - started
        finally:
            if process.poll() is None:
                for child in children(process.pid):
                    os.kill(child, signal.SIGKILL)
                process.kill()
                process.wait()

    @staticmethod
    def wait_init(supervisor, timeout=20):
        deadline = time.monotonic() + timeout
        here = namespace("self", "pid")
        while time.monotonic() < deadline:
            for child in children(supervisor):
                for pid in (child, *children(child)):
                    if read(f"/proc/{pid}/comm").strip() == "systemd" and namespace(pid, "pid") not in ("", here):
                        return pid
            time.sleep(0.005)
        raise AssertionError("systemd-nspawn did not start")

    @staticmethod
    def wait_stamps(init, timeout=60):
        deadline = time.monotonic() + timeout
        show = ["nsenter", "-t", str(init), "-m", "-p", "-n", "-i", "-u", "-C", "-U", "-S", "0", "-G", "0", "timeout", "5",
                "systemctl", "show", "-p", "UserspaceTimestampMonotonic", "-p", "FinishTimestampMonotonic"]
        while time.monotonic() < deadline:
            out = subprocess.run(show, capture_output=True, text=True, check=False).stdout
            values = dict(line.split("=") for line in out.splitlines() if "=" in line)
            if int(values.get("FinishTimestampMonotonic") or 0) > 0:
                return int(values["UserspaceTimestampMonotonic"]) / 1e3, int(values["FinishTimestampMonotonic"]) / 1e3
            time.sleep(0.1)
        raise AssertionError("the instance of systemd-nspawn did not finish its boot")

    def close(self):
        for folder in self.cgroups:
            for top, _, _ in os.walk(folder, topdown=False):
                try:
                    os.rmdir(top)
                except OSError:
                    pass
        shutil.rmtree(self.root, ignore_errors=True)
