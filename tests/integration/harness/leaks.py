"""What a daemon and its instances may leave on the machine, as sets that can be compared."""
import glob
import json
import os
import re
import time

from .rest import PATIENCE
from .sandbox import is_zombie, namespace, parent, read

CGROUP_ROOTS = ["/sys/fs/cgroup"]


def describe(pid):
    command = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip() or f"[{read(f'/proc/{pid}/comm').strip()}]"
    return f"{pid} (parent {parent(pid)}{', zombie' if is_zombie(pid) else ''}): {command[:120]}"


def cgroup_directories(prefix):
    """Cgroups of every hierarchy at or below a directory whose name starts with the prefix."""
    found = set()
    for root in CGROUP_ROOTS:
        for pattern in (f"{root}/{prefix}*", f"{root}/*/{prefix}*", f"{root}/*/*/{prefix}*"):
            for top in glob.glob(pattern):
                for folder, _, _ in os.walk(top):
                    found.add(folder)
    return found


def keepers(loop):
    """Of one of picture()'s: what is on the device, and who has it open."""
    file, found = loop.rpartition(" #")[0], []
    for backing in glob.glob("/sys/block/loop*/loop/backing_file"):
        if read(backing).strip() != file:
            continue
        device = backing.split("/")[3]
        found += [f"{device} has {name}" for name in os.listdir(f"/sys/block/{device}/holders")]
        for link in glob.glob("/proc/[0-9]*/fd/*"):
            try:
                if os.readlink(link) == f"/dev/{device}":
                    found.append(f"{device} is open in {describe(int(link.split('/')[2]))}")
            except OSError:
                pass
    return f" ({', '.join(found) or 'nobody has it'})"


class LeakCheck:
    """A picture of one sandbox and daemon; compare() says what is there now that was not."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.before = self.picture()
        self.fds_before = self.fds()

    def picture(self):
        sandbox = self.daemon.sandbox
        self.running = self.daemon.running_instances()
        mounts = {line.split()[4] for line in read(f"/proc/{sandbox.pid}/mountinfo").splitlines()} - {self.lxcfs_mount()}
        host_mounts = {line.split()[4] for line in read("/proc/self/mountinfo").splitlines()
                       if sandbox.marker in line} - {self.lxcfs_mount()}
        links = {link["ifname"] for link in json.loads(sandbox.run("ip", "-json", "link") or "[]")}
        routes = {f"{r['dst']} dev {r.get('dev')}" for r in json.loads(sandbox.run("ip", "-json", "route") or "[]")}
        tables = {line for line in sandbox.run("nft", "list", "ruleset").splitlines() if line.strip()}
        # By their files: a device that is detached and made again has another number where somebody else was quicker.
        backing = [read(path).strip() for path in glob.glob("/sys/block/loop*/loop/backing_file")]
        loops = {f"{file} #{backing[:at].count(file)}" for at, file in enumerate(backing) if sandbox.marker in file}
        return {"mount": mounts | host_mounts, "network link": links, "route": routes, "nft line": tables,
                "loop device": loops, "cgroup": self.cgroups(), "process": self.processes(),
                "file": self.files()}

    def lxcfs_mount(self):
        """Where the one lxcfs of a daemon serves from its first instance on; it ends with an idle daemon."""
        return os.path.join(self.daemon.root, "lxcfs/mount")

    def processes(self):
        """Without what runs inside instances that are meant to run: that comes and goes as they like. Without lxcfs,
        and without the monitor that waits for the next start."""
        inside = {namespace(pid, "pid") for pid in self.running.values()}
        found = {describe(pid) for pid in self.daemon.sandbox.processes()
                 if pid != self.daemon.pid and namespace(pid, "pid") not in inside}
        # One that ended while it was being described has no name any more.
        return {re.sub(r"^\d+ \(parent \d+", "(", one) for one in found
                if not one.endswith((": []", ": [lxcfs]", ": lxmgr-monitor (spare)")) and ": lxcfs --foreground" not in one}

    def cgroups(self):
        """Not the daemon's own group with the monitors' one in it, which stay until the daemon is gone."""
        prefix = self.daemon.cgroup_parent()
        found = cgroup_directories(prefix) if prefix else set()
        return {path for path in found if os.path.basename(path) not in (prefix, ".monitors", ".spare")
                and not any(f"/{prefix}/{name}/" in path for name in self.running)}

    def files(self):
        """Temporary and runtime files of the state directory; data of images and instances has its own tests."""
        found = set()
        for folder in ("tmp", "run", "networks", "logs"):
            for top, folders, names in os.walk(os.path.join(self.daemon.root, folder)):
                found |= {os.path.join(top, name) for name in folders + names}
        return {path for path in found if not path.endswith((".leases", ".pid", "/exec-output"))}

    def fds(self):
        found = {}
        try:
            for entry in os.listdir(f"/proc/{self.daemon.pid}/fd"):
                target = os.readlink(f"/proc/{self.daemon.pid}/fd/{entry}")
                kind = re.sub(r"\[\d+\]|\d+", "", target)
                found[kind] = found.get(kind, 0) + 1
        except OSError:
            pass
        return {kind: count for kind, count in found.items() if "/lxcfs/mount" not in kind}

    def problems(self):
        now = self.picture()
        found = [f"{kind} left behind: {one}{keepers(one) if kind == 'loop device' else ''}"
                 for kind, was in self.before.items() for one in sorted(now[kind] - was)]
        found += [f"{kind} is gone: {one}" for kind in ("mount", "network link", "route", "process")
                  for one in sorted(self.before[kind] - now[kind])
                  if kind != "mount" or self.daemon.base in one]  # others may unmount things of theirs meanwhile
        return found

    def compare(self, timeout=10):
        """Problems that are still there after `timeout` seconds: cleaning up may go on after a reply."""
        deadline = time.monotonic() + timeout * PATIENCE
        while (found := self.problems()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def descriptor_growth(self, timeout=10):
        """What the daemon holds more of than before; background removal of deleted volumes gets time to end."""
        deadline = time.monotonic() + timeout
        while True:
            now = self.fds()
            growth = {kind: (self.fds_before.get(kind, 0), count) for kind, count in now.items()
                      if count > self.fds_before.get(kind, 0)}
            if not growth or time.monotonic() > deadline:
                return growth
            time.sleep(0.05)
