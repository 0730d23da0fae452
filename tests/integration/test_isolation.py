"""Root in an unprivileged instance tries to get out or up, and fails at each."""
import os
import subprocess

from harness.case import DaemonCase, main


class IsolationTest(DaemonCase):
    """Each attack runs as root inside; what it must not reach is looked at from outside."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.api.launch("evil", "tiny")
        cls.api.launch("victim", "tiny")
        cls.api.push("victim", "/root/secret", b"the victim's secret", mode="0600")
        cls.probe = os.path.join(cls.daemon.base, "probe")
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe.c")
        subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", cls.probe, source], check=True)
        with open(cls.probe, "rb") as file:
            cls.api.push("evil", "/root/probe", file.read(), mode="0755")

    def fails(self, script, allowed_output=()):
        code, out, err = self.api.exec("evil", ["sh", "-c", script])
        self.assertNotEqual(code, 0, f"{script!r} worked: {out!r} {err!r}")
        for text in allowed_output:
            self.assertIn(text, out)

    def inside(self, script):
        return self.api.exec("evil", ["sh", "-c", script])

    def test_ids_are_mapped(self):
        pid = self.api.state("evil")["pid"]
        with open(f"/proc/{pid}/uid_map", encoding="utf-8") as file:
            inner, outer, count = map(int, file.read().split())
        self.assertEqual(inner, 0)
        self.assertGreaterEqual(outer, 65536)
        self.assertGreaterEqual(count, 65536)
        self.assertGreaterEqual(os.stat(f"/proc/{pid}").st_uid, 65536)

    def test_every_namespace_is_its_own(self):
        pid = self.api.state("evil")["pid"]
        for kind in ("user", "mnt", "pid", "net", "uts", "ipc", "cgroup"):
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{kind}"), os.readlink(f"/proc/self/ns/{kind}"), kind)
        other = self.api.state("victim")["pid"]
        for kind in ("user", "mnt", "pid", "net", "uts", "ipc", "cgroup"):
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{kind}"), os.readlink(f"/proc/{other}/ns/{kind}"), kind)

    def test_exec_runs_in_the_same_jail_as_init(self):
        for line in ("Seccomp:\t2",):
            self.assertIn(line, self.api.sh("evil", "cat /proc/self/status"))
            self.assertIn(line, self.api.sh("evil", "cat /proc/1/status"))
        self.assertEqual(self.api.sh("evil", "readlink /proc/self/ns/user"), self.api.sh("evil", "readlink /proc/1/ns/user"))
        self.assertEqual(self.api.sh("evil", "cat /proc/self/cgroup | grep -v '^0::' | cut -d: -f3 | sort -u"), "/")

    def test_no_descriptor_of_the_host(self):
        names = self.api.sh("evil", "for f in /proc/self/fd/*; do readlink $f; done; true").split()
        self.assertFalse([n for n in names if n.startswith("/") and not n.startswith(("/proc", "/dev", "/root"))], names)
        init = self.api.sh("evil", "for f in /proc/1/fd/*; do readlink $f; done; true").split()
        self.assertFalse([n for n in init if n.startswith("/") and not n.startswith(("/dev", "/sbin/init"))], init)

    def test_the_hosts_mounts_are_gone(self):
        mounts = self.api.sh("evil", "cat /proc/1/mountinfo")
        for word in (self.daemon.base, "/work/", "/var/tmp", "process_api"):
            for line in mounts.splitlines():
                self.assertNotIn(word, line.split(" - ")[0].split()[4], line)
        self.assertNotEqual(self.inside("ls /oldroot /.old /mnt/host /old_root /.pivot")[0], 0)

    def test_block_and_char_devices_cannot_be_made(self):
        for node in ("b 8 0", "b 254 0", "c 1 1", "c 10 237", "c 5 1"):
            with self.subTest(node=node):
                self.fails(f"mknod /tmp/node {node}")
        self.assertEqual(set(self.api.sh("evil", "cd /dev; ls -1 sd* vd* loop* mem kmem port kmsg 2>/dev/null; true").split()),
                         set())

    def test_mounts_of_host_storage(self):
        for command in ("mount -t ext4 /dev/vda /mnt", "mount -t devtmpfs none /mnt", "mount -t debugfs none /mnt",
                        "mount -t securityfs none /mnt", "mount -t configfs none /mnt", "mount -t tracefs none /mnt",
                        "mount -t bpf none /mnt/bpf", "mount -o remount,rw -t proc proc /proc/sys/kernel"):
            with self.subTest(command=command):
                self.fails(command)

    def test_proc_and_sys_of_the_host_cannot_be_written(self):
        for path, value in (("/proc/sys/kernel/core_pattern", "|/tmp/x"), ("/proc/sys/kernel/modprobe", "/tmp/x"),
                            ("/proc/sysrq-trigger", "h"), ("/proc/sys/vm/drop_caches", "1"), ("/proc/sys/kernel/panic", "9"),
                            ("/proc/sys/fs/file-max", "9"), ("/proc/sys/kernel/randomize_va_space", "0"),
                            ("/proc/sys/kernel/yama/ptrace_scope", "0"), ("/sys/kernel/uevent_helper", "/tmp/x"),
                            ("/sys/kernel/mm/transparent_hugepage/enabled", "never"), ("/sys/power/state", "mem"),
                            ("/sys/fs/cgroup/memory.max", "max"), ("/sys/class/block/vda/queue/read_ahead_kb", "1"),
                            ("/proc/sys/fs/binfmt_misc/register", ":x:E::x::/tmp/x:")):
            with self.subTest(path=path):
                self.fails(f"echo '{value}' > {path}")
        self.fails("cat /proc/kcore | head -c 1 | grep -q .")
        self.fails("head -c 1 /proc/kmsg")

    def test_system_calls_that_reach_for_the_kernel(self):
        """probe.c tries each; it prints a line for every one that worked."""
        code, out, err = self.api.exec("evil", ["/root/probe"])
        self.assertEqual((code, out), (0, b""), f"worked inside: {out.decode()} {err.decode()}")

    def test_system_calls_of_init_too(self):
        self.api.create("probed", "tiny")
        with open(self.probe, "rb") as file:
            self.api.push("probed", "/root/probe", file.read(), mode="0755")
        self.api.push("probed", "/sbin/init", b"#!/bin/sh\n/root/probe > /root/result 2>&1\necho done >> /root/result\n"
                      b"trap 'poweroff -f' PWR\nwhile :; do sleep 1; done\n", mode="0755")
        self.api.start("probed")
        for _ in range(100):
            if self.api.exec("probed", ["grep", "-q", "done", "/root/result"])[0] == 0:
                break
        self.assertEqual(self.api.sh("probed", "cat /root/result"), "done")

    def test_host_and_sibling_processes_cannot_be_seen_or_signalled(self):
        seen = [int(p) for p in self.api.sh("evil", "ls /proc").split() if p.isdigit()]
        self.assertLess(len(seen), 20)
        victim = self.api.state("victim")["pid"]
        for pid in (victim, self.daemon.pid, os.getpid()):
            self.fails(f"kill -0 {pid} && ls /proc/{pid}")

    def test_other_instances_files_cannot_be_reached(self):
        root = self.daemon.root
        self.fails(f"ls {root}")
        code, out, _ = self.inside("find / -xdev -name secret 2>/dev/null")
        self.assertNotIn(b"secret", out)
        self.assertEqual(self.api.pull("victim", "/root/secret").body, b"the victim's secret")
        for folder in (root, os.path.join(root, "images"), os.path.join(root, "storage-pools")):
            if os.path.exists(folder):
                self.assertEqual(os.stat(folder).st_mode & 0o007 & ~0o001, 0, f"{folder} can be listed by others")

    def test_other_cgroups_cannot_be_reached(self):
        self.inside("mkdir -p /mnt/c; mount -t cgroup2 none /mnt/c")
        names = self.inside("ls -R /mnt/c /sys/fs/cgroup 2>/dev/null")[1].decode()
        self.assertNotIn("victim", names)
        for controller in ("memory", "pids", "freezer", "devices", "cpu"):
            self.inside(f"mkdir -p /mnt/{controller}; mount -t cgroup -o {controller} none /mnt/{controller}")
            names = self.inside(f"ls -R /mnt/{controller} 2>/dev/null")[1].decode()
            self.assertNotIn("victim", names)
            self.assertNotEqual(self.inside(f"echo 1 > /mnt/{controller}/release_agent")[0], 0)
            self.assertNotEqual(self.inside(f"mkdir /mnt/{controller}/x && echo a > /mnt/{controller}/x/devices.allow")[0], 0)

    def test_network_of_the_host_cannot_be_changed(self):
        before = self.daemon.sandbox.run("ip", "link")
        self.inside("ip link set lo down; ip link add dummy9 type dummy; echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.inside("ip link set lo up")
        self.assertEqual(self.daemon.sandbox.run("ip", "link"), before)

    def test_file_capabilities_and_setuid_stay_inside(self):
        self.inside("cp /bin/busybox /root/suid; chmod 4755 /root/suid")
        found = subprocess.run(["find", self.daemon.root, "-xdev", "-name", "suid", "-perm", "-4000", "-uid", "0"],
                               capture_output=True, text=True, check=False).stdout.split()
        for path in found:  # ids on disk are 0-based, so the way there must be closed to everyone else
            self.assertTrue(self.closed_to_others(path), f"{path} is a setuid program of host root in reach of users")

    def closed_to_others(self, path):
        while len(path) > len(self.daemon.root):
            path = os.path.dirname(path)
            if os.stat(path).st_mode & 0o001 == 0:
                return True
        return False

    def test_the_console_cannot_be_injected_by_exec(self):
        """TIOCSTI needs a terminal shared with someone outside; exec gives a new one, of the instance's own devpts."""
        operation, fds = self.api.exec_start("evil", ["sh", "-c", "ls -l /proc/self/fd/0; stat -c %d /dev/pts"], interactive=True)
        with self.api.attach(operation, fds["control"]), self.api.attach(operation, fds["0"]) as terminal:
            self.assertIn(b"/dev/pts/", terminal.read_all())


if __name__ == "__main__":
    main()
