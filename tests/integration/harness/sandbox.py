"""Namespaces around a daemon under test, and the list of what lives in them."""
import os
import pathlib
import signal
import subprocess
import time


def read(path):
    try:
        return pathlib.Path(path).read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def namespace(pid, kind):
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""


def parent(pid):
    stat = read(f"/proc/{pid}/stat")
    return int(stat[stat.rindex(")") + 2:].split()[1]) if ")" in stat else 0


def is_zombie(pid):
    stat = read(f"/proc/{pid}/stat")
    return ")" in stat and stat[stat.rindex(")") + 2] == "Z"


class Sandbox:
    """A network and a mount namespace, held open by a sleeping process so that they outlive the daemon."""

    SETUP = "set -e; mount --make-r{propagation} /; {mounts} ip link set lo up; echo ready; exec sleep infinity"
    # LXD reads /sys/class/net, so it needs a sysfs of the new network namespace around the same cgroup mounts.
    OWN_SYSFS = ("c=$(mktemp -d); mount --rbind /sys/fs/cgroup $c; mount -t sysfs sysfs /sys; "
                 "mount --rbind $c /sys/fs/cgroup; umount -l $c; rmdir $c;")

    def __init__(self, marker, propagation="shared", own_sysfs=False):
        """`propagation`: of / inside; "shared" as on every systemd host, or "private"."""
        self.marker = marker
        script = self.SETUP.format(propagation=propagation, mounts=self.OWN_SYSFS if own_sysfs else "")
        self.holder = subprocess.Popen(["unshare", "--net", "--mount", "--propagation", "private", "bash", "-c", script],
                                       stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True)
        if self.holder.stdout.readline() != b"ready\n":
            raise RuntimeError("the namespaces for the daemon could not be made")
        self.pid = self.holder.pid

    def command(self, argv):
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "--", *argv]

    def run(self, *argv, check=True):
        done = subprocess.run(self.command(argv), capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{argv}: {done.stderr.strip()}")
        return done.stdout

    def processes(self):
        """Everything that came out of here: in one of our namespaces, named after our directory, or a descendant."""
        ours = {"mnt": namespace(self.pid, "mnt"), "net": namespace(self.pid, "net")}
        found, others = set(), {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            pid = int(entry)
            if pid in (self.pid, os.getpid()):
                continue
            if any(namespace(pid, kind) == value for kind, value in ours.items()) or \
                    self.marker in read(f"/proc/{pid}/cmdline") or self.marker in read(f"/proc/{pid}/environ"):
                found.add(pid)
            else:
                others[pid] = parent(pid)
        grown = True
        while grown:
            grown = {pid for pid, above in others.items() if above in found and pid not in found}
            found |= grown
        return found - self._own_family()

    @staticmethod
    def _own_family():
        """This test and what started it may carry our marker in their environment."""
        family, pid = set(), os.getpid()
        while pid > 1:
            family.add(pid)
            pid = parent(pid)
        return family

    def close(self):
        """Ends everything that is left, and the namespaces with it. Once: a second time they are nobody's, and what has
        none (a zombie that leads threads) would be taken for ours, with all its children."""
        if self.holder.returncode is not None:
            return
        deadline = time.monotonic() + 10
        while (left := {pid for pid in self.processes() if not is_zombie(pid)}) and time.monotonic() < deadline:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()
