"""System calls that an unprivileged guest may make after all, answered by a helper of the monitor."""
import errno
import os
import re
import stat
import subprocess
import tempfile
import time

from harness.case import DaemonCase, main
from harness.rest import PATIENCE

KEYS = {f"security.syscalls.intercept.{call}": "true" for call in ("mknod", "setxattr", "sysinfo", "sched_setscheduler")}


class InterceptTest(DaemonCase):
    def launch(self, **more):
        self.api.launch("box", "tiny", config={**KEYS, **more})

    def fails(self, script):
        code, out, err = self.api.exec("box", ["sh", "-c", script])
        self.assertNotEqual(code, 0, out)
        return err.decode()

    def test_safe_nodes_are_made_and_work(self):
        self.launch()
        self.api.sh("box", "mknod /root/null c 1 3 && echo gone > /root/null && mknod -m 644 /root/zero c 1 5")
        self.assertEqual(self.api.sh("box", "head -c 4 /root/zero | od -An -tx1"), "00 00 00 00")
        self.assertEqual(self.api.sh("box", "stat -c %t:%T:%u:%g:%a /root/zero"), "1:5:0:0:644")
        self.api.sh("box", "cd /root && mkdir sub && ln -s sub link && mknod link/full c 1 7 && ls sub/full")

    def test_all_others_stay_forbidden(self):
        self.launch()
        for wrong in ("c 1 1", "c 1 11", "c 5 1", "c 10 232", "b 7 0", "b 8 0"):
            self.assertIn("Operation not permitted", self.fails(f"mknod /root/bad {wrong}"))
        self.api.sh("box", "mknod /root/pipe p && rm /root/pipe")
        self.assertIn("File exists", self.fails("touch /root/here; mknod /root/here c 1 3"))
        self.assertIn("No such file", self.fails("mknod /root/none/null c 1 3"))
        # Users of the guest have no more rights than before.
        for _ in range(2):
            code, _, err = self.api.exec("box", ["sh", "-c", "mknod /tmp/null c 1 3"], user=1000, group=1000)
            self.assertNotEqual(code, 0)
            self.assertIn(b"ermi", err)
        self.assertIn("not permitted", self.fails("mount -t tmpfs none /mnt && mknod /mnt/null c 1 3"))

    def test_paths_are_the_guests(self):
        """Neither a link nor a /proc of the guest's leads to the host."""
        self.launch()
        self.api.sh("box", "ln -s /../../../../../var/tmp /root/out; mkdir -p /var/tmp; mknod /root/out/lxmgr-node c 1 3")
        self.assertFalse(os.path.exists("/var/tmp/lxmgr-node"))
        self.api.sh("box", "ls /var/tmp/lxmgr-node")

    def test_sysinfo_tells_the_limits(self):
        self.launch(**{"limits.memory": "64MiB"})
        self.assertEqual(self.api.sh("box", "free -m | grep Mem:").split()[1], "64")  # busybox asks sysinfo(2)
        self.api.update("box", config={"limits.memory": "96MiB"})
        self.assertEqual(self.api.sh("box", "free -m | grep Mem:").split()[1], "96")

    def push_scheduler(self):
        """schedule PID POLICY PRIORITY: prints the errno of sched_setscheduler(2), and the policy that PID has then."""
        source = os.path.join(self.daemon.base, "schedule.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write("""#include <errno.h>
                #include <sched.h>
                #include <stdio.h>
                #include <stdlib.h>
                #include <sys/syscall.h>
                #include <unistd.h>
                int main(int c, char** v) {
                    struct sched_param p = {c > 3 ? atoi(v[3]) : 0};
                    long rc = syscall(SYS_sched_setscheduler, atoi(v[1]), atoi(v[2]), &p);
                    printf("%d %d\\n", rc == 0 ? 0 : errno, sched_getscheduler(atoi(v[1])));
                }""")
        subprocess.run(["gcc", "-static", "-o", source[:-2], source], check=True)
        with open(source[:-2], "rb") as file:
            self.api.push("box", "/bin/schedule", file.read(), mode="0755")

    def test_scheduling_policies(self):
        self.launch()
        self.push_scheduler()
        fifo, other = 1, 0
        self.assertEqual(self.api.sh("box", f"schedule 0 {fifo} 5"), f"0 {fifo}")
        out = self.api.sh("box", f"sleep 100 >/dev/null 2>&1 & schedule $! {fifo} 7; schedule $! {other} 0; kill $!")
        self.assertEqual(out.split("\n"), [f"0 {fifo}", f"0 {other}"])
        self.assertEqual(self.api.sh("box", f"schedule 0 {fifo} 100"), f"22 {other}")  # EINVAL: no such priority
        self.assertEqual(self.api.sh("box", f"schedule 99999 {fifo} 5").split()[0], "3")  # ESRCH: no such process in here
        code, said, _ = self.api.exec("box", ["schedule", "0", str(fifo), "5"], user=1000, group=1000)
        self.assertEqual((code, said.decode().strip()), (0, f"1 {other}"))  # EPERM: not its right
        host = str(os.getpid())
        self.assertNotEqual(self.api.sh("box", f"schedule {host} {fifo} 5").split()[0], "0")
        self.assertEqual(os.sched_getscheduler(0), other)

    def test_init_is_answered_and_so_is_a_guest_without_a_daemon(self):
        self.api.create("box", "tiny", config=KEYS)
        init = self.api.pull("box", "/sbin/init").body.decode()
        self.api.push("box", "/sbin/init", init.replace("ip link", "mknod /root/early c 1 3; ip link", 1).encode(),
                      mode="0755")
        self.api.start("box")
        init_pid = str(self.api.state("box")["pid"])
        root = f"/proc/{init_pid}/root/root"
        self.wait_node(f"{root}/early")
        self.api.sh("box", "(while [ ! -e /root/go ]; do sleep 0.1; done; mknod /root/late c 1 5) >/dev/null 2>&1 &")
        self.daemon.kill()
        try:
            subprocess.run(["nsenter", "-t", init_pid, "-U", "-m", "-S0", "-G0", "touch", "/root/go"], check=True)
            self.wait_node(f"{root}/late")
        finally:
            self.daemon.start()

    def wait_node(self, path, timeout=20):
        deadline = time.monotonic() + timeout * PATIENCE
        while not os.path.exists(path):
            self.assertLess(time.monotonic(), deadline, path)
            time.sleep(0.05)
        self.assertTrue(stat.S_ISCHR(os.stat(path).st_mode))

    def test_many_at_once(self):
        self.launch()
        self.api.sh("box", "mkdir /root/n; for i in $(seq 150); do mknod /root/n/$i c 1 3 & done; wait; "
                           "[ $(ls /root/n | wc -l) = 150 ]")

    def test_without_the_keys_nothing_changes(self):
        self.api.launch("box", "tiny", config={"limits.memory": "64MiB"})
        self.assertIn("not permitted", self.fails("mknod /root/null c 1 3"))
        self.push_scheduler()
        self.assertEqual(self.api.sh("box", "schedule 0 1 5"), "1 0")
        self.assertNotEqual(self.api.sh("box", "free -m | grep Mem:").split()[1], "64")


FUSE_PROGRAM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
static char in[200000], out[8192];
static int fuse;
static void reply(unsigned long long id, int error, unsigned size) {
    struct fuse_out_header* h = (void*)out;
    h->len = sizeof *h + (error ? 0 : size), h->error = error, h->unique = id;
    if (write(fuse, out, h->len) < 0) _exit(1);
}
static void describe(struct fuse_attr* a, unsigned long long node, unsigned size) {
    a->ino = node, a->nlink = 1, a->size = size, a->mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0644;
}
int main(int argc, char** argv) {  // PROGRAM SOURCE TARGET [-o OPTIONS]: a file "said" holds these words
    char text[256], options[64];
    snprintf(text, sizeof text, "%s %s %s\n", argv[1], argv[2], argc > 4 ? argv[4] : "-");
    fuse = open("/dev/fuse", O_RDWR);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    if (mount("tinyfuse", argv[2], "fuse", 0, options) != 0) return 3;
    if (fork() != 0) return 0;
    setsid();
    for (;;) {
        struct fuse_in_header* h = (void*)in;
        void* body = out + sizeof(struct fuse_out_header);
        if (read(fuse, in, sizeof in) <= 0) return 0;
        memset(out, 0, sizeof out);
        if (h->opcode == FUSE_INIT) {
            struct fuse_init_out* init = body;
            init->major = 7, init->minor = 31, init->max_write = 4096;
            reply(h->unique, 0, sizeof *init);
        } else if (h->opcode == FUSE_GETATTR) {
            describe(&((struct fuse_attr_out*)body)->attr, h->nodeid, strlen(text));
            reply(h->unique, 0, sizeof(struct fuse_attr_out));
        } else if (h->opcode == FUSE_LOOKUP && strcmp(in + sizeof *h, "said") == 0) {
            struct fuse_entry_out* entry = body;
            entry->nodeid = 2;
            describe(&entry->attr, 2, strlen(text));
            reply(h->unique, 0, sizeof *entry);
        } else if (h->opcode == FUSE_OPEN) {
            reply(h->unique, 0, sizeof(struct fuse_open_out));
        } else if (h->opcode == FUSE_READ) {
            const struct fuse_read_in* from = (void*)(in + sizeof *h);
            const unsigned n = from->offset == 0 ? strlen(text) : 0;
            memcpy(body, text, n);
            reply(h->unique, 0, n);
        } else if (h->opcode != FUSE_FORGET && h->opcode != FUSE_BATCH_FORGET) {
            reply(h->unique, h->opcode == FUSE_LOOKUP ? -2 : -38, 0);
        }
    }
}
"""


class MountTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.loops = []

    def tearDown(self):
        for name in set(self.daemon.instance_names()) - self.expected_names:
            self.remove_instance(name)
        for device in self.loops:
            subprocess.run(["losetup", "-d", device], check=True)
        super().tearDown()

    def disk(self):
        """A loop device of an ext4 file system with a file of root's, one of uid 1000's, and a node of a host's disk."""
        tree = tempfile.mkdtemp(dir=self.daemon.base)
        with open(os.path.join(tree, "file"), "w", encoding="utf-8") as file:
            file.write("of the image")
        with open(os.path.join(tree, "theirs"), "w", encoding="utf-8") as file:
            os.fchown(file.fileno(), 1000, 1000)
        os.mknod(os.path.join(tree, "node"), stat.S_IFBLK | 0o666, os.makedev(7, 0))
        os.chmod(os.path.join(tree, "node"), 0o666)
        image = tree + ".img"
        subprocess.run(["mkfs.ext4", "-qq", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", tree, image, "16M"], check=True,
                       capture_output=True)
        out = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True)
        self.loops.append(out.stdout.strip())
        return self.loops[0]

    def launch(self, **keys):
        config = {"security.syscalls.intercept.mount": "true",
                  **{f"security.syscalls.intercept.mount.{key}": value for key, value in keys.items()}}
        self.api.launch("box", "tiny", config=config, devices={
            "disk": {"type": "unix-block", "source": self.disk(), "path": "/dev/disk"}})

    def fails(self, script, **more):
        code, out, err = self.api.exec("box", ["sh", "-c", script], **more)
        self.assertNotEqual(code, 0, out)
        return (out + err).decode()

    def test_a_block_device_of_the_instance(self):
        self.launch(allowed="vfat,ext4", shift="true")
        self.api.sh("box", "mount -t ext4 -o noatime /dev/disk /mnt")
        self.assertEqual(self.api.sh("box", "cat /mnt/file; stat -c ' %u' /mnt/file /mnt/theirs").split(),
                         ["of", "the", "image", "0", "1000"])
        self.api.sh("box", "echo new > /mnt/new && chown 7 /mnt/new && umount /mnt && mount -t ext4 -o ro /dev/disk /mnt")
        self.assertEqual(self.api.sh("box", "cat /mnt/new; stat -c %u /mnt/new"), "new\n7")
        self.assertIn("Read-only", self.fails("touch /mnt/x"))
        with open(f"/proc/{self.api.state('box')['pid']}/mountinfo", encoding="utf-8") as file:
            line = next(line for line in file if " ext4 " in line and " /mnt " in line)
        for word in ("ro", "nodev", "errors=remount-ro", "/dev/disk"):
            self.assertIn(word, re.split("[ ,]", line.strip()))
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            self.assertNotIn(self.loops[0], file.read())
        self.api.sh("box", "umount /mnt")

    def test_nothing_of_the_hosts_gets_in(self):
        self.launch(allowed="ext4")
        self.api.sh("box", "mount -t ext4 /dev/disk /mnt")
        self.assertEqual(self.api.sh("box", "stat -c %u /mnt/file"), "65534")  # not mapped without .shift
        self.fails("mount -o remount,bind,dev /mnt")
        self.assertIn("Permission denied", self.fails("head -c 1 /mnt/node"))
        self.api.exec("box", ["sh", "-c", "mkdir -p /two; mount --bind /mnt /two; mount -o remount,bind,dev,suid /two"])
        self.assertIn("Permission denied", self.fails("head -c 1 /two/node"))
        self.api.exec("box", ["sh", "-c", "umount /two; umount /mnt"])
        for options in ("errors=panic", "journal_path=/etc/passwd", "journal_dev=0x700"):
            self.fails(f"mount -t ext4 -o {options} /dev/disk /mnt")
        self.fails("cp /dev/disk /root/image; mount -t ext4 /root/image /mnt")
        self.fails(f"mount -t ext4 {self.loops[0]} /mnt")
        self.fails("mount -t vfat /dev/disk /mnt")
        self.fails("mount -t ext4 /dev/disk /mnt", user=1000, group=1000)
        self.fails("unshare -U -r -m mount -t ext4 /dev/disk /mnt")
        self.fails("chmod 0 /dev/disk; ln -s /dev/null /root/l; mount -t ext4 /root/l /mnt")
        self.assertNotIn("/mnt ", self.api.sh("box", "cat /proc/mounts"))
        self.api.sh("box", "mount -t tmpfs none /mnt && mount --bind /root /mnt && umount /mnt && umount /mnt")

    def test_lists_change_live_and_are_checked(self):
        self.launch()
        key = "security.syscalls.intercept.mount"
        self.fails("mount -t ext4 /dev/disk /mnt")
        self.api.update("box", config={key + ".allowed": "ext4"})
        self.api.sh("box", "mount -t ext4 /dev/disk /mnt && umount /mnt")
        self.daemon.kill()
        self.daemon.start()
        self.api.sh("box", "mount -t ext4 /dev/disk /mnt && umount /mnt")
        self.api.update("box", config={key + ".allowed": None})
        self.fails("mount -t ext4 /dev/disk /mnt")
        for bad in ({".allowed": "nfs"}, {".allowed": "ext4,"}, {".fuse": "ext4"}, {".fuse": "ext4=/bin/sh"},
                    {".allowed": "ext4", ".fuse": "ext4=fuse2fs"}, {".shift": "perhaps"}):
            bad = {key + name: value for name, value in bad.items()}
            self.assertIn(key, self.assert_api_error(400, self.api.update, "box", config=bad))

    def test_a_fuse_program_of_the_guest(self):
        self.launch(fuse="ext4=tinyfuse, squashfs=nosuch")
        source = os.path.join(self.daemon.base, "tinyfuse.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(FUSE_PROGRAM)
        subprocess.run(["gcc", "-static", "-o", source[:-2], source], check=True)
        with open(source[:-2], "rb") as file:
            self.api.push("box", "/bin/tinyfuse", file.read(), mode="0755")
        self.api.sh("box", "mount -t ext4 -o ro,acl /dev/disk /mnt")
        self.assertEqual(self.api.sh("box", "cat /mnt/said"), "/dev/disk /mnt acl,ro")
        self.assertIn("/mnt fuse", self.api.sh("box", "cat /proc/mounts"))
        self.api.sh("box", "umount /mnt")
        self.fails("mount -t squashfs /dev/disk /mnt")


BPF_PROGRAM = r"""
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
static int call(int command, union bpf_attr* a) {
    long rc = syscall(SYS_bpf, command, a, sizeof *a);
    return rc < 0 ? -errno : (int)rc;
}
// limit GROUP: no device can be opened in it; lift GROUP; odd: what is no business of devices; many: programs until it
// fails.
int main(int argc, char** argv) {
    static struct bpf_insn deny[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    static struct bpf_insn calls[] = {{BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ktime_get_ns},
                                      {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    union bpf_attr a;
    memset(&a, 0, sizeof a);
    if (strcmp(argv[1], "odd") == 0) {
        a.map_type = BPF_MAP_TYPE_ARRAY, a.key_size = 4, a.value_size = 4, a.max_entries = 1;
        printf("%d ", call(BPF_MAP_CREATE, &a) >= 0);
        memset(&a, 0, sizeof a);
        a.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, a.insns = (unsigned long)calls, a.insn_cnt = 3;
        a.license = (unsigned long)"GPL";
        printf("%d\n", call(BPF_PROG_LOAD, &a) >= 0);
        return 0;
    }
    if (strcmp(argv[1], "many") == 0) {
        a.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, a.insns = (unsigned long)deny, a.insn_cnt = 2;
        a.license = (unsigned long)"GPL";
        int count = 0, rc;
        while ((rc = call(BPF_PROG_LOAD, &a)) >= 0) ++count;
        return printf("%d %d\n", count, rc), 0;
    }
    if (strcmp(argv[1], "limit") == 0) {
        a.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, a.insns = (unsigned long)deny, a.insn_cnt = 2;
        a.license = (unsigned long)"GPL";
        int program = call(BPF_PROG_LOAD, &a);
        if (program < 0) return printf("%d\n", -program), 0;
        memset(&a, 0, sizeof a);
        a.attach_bpf_fd = program;
    }
    a.target_fd = open(argv[2], O_RDONLY | O_DIRECTORY), a.attach_type = BPF_CGROUP_DEVICE;
    printf("%d\n", -call(argv[1][2] == 'm' ? BPF_PROG_ATTACH : BPF_PROG_DETACH, &a));
    return 0;
}
"""


class BpfTest(DaemonCase):
    def launch(self, name, **keys):
        self.api.launch(name, "tiny", config={f"security.syscalls.intercept.{key}": value for key, value in keys.items()})
        source = os.path.join(self.daemon.base, "limit.c")
        if not os.path.exists(source):
            with open(source, "w", encoding="utf-8") as file:
                file.write(BPF_PROGRAM)
            subprocess.run(["gcc", "-static", "-o", source[:-2], source], check=True)
        with open(source[:-2], "rb") as file:
            self.api.push(name, "/bin/bpf", file.read(), mode="0755")

    def test_devices_of_the_guests_own_groups(self):
        self.launch("box", **{"bpf": "true", "bpf.devices": "true"})
        self.api.sh("box", "mkdir /sys/fs/cgroup/g")
        inside = "echo $$ > /sys/fs/cgroup/g/cgroup.procs && echo moved && cat /dev/null"
        self.assertEqual(self.api.sh("box", "bpf limit /sys/fs/cgroup/g"), "0")
        code, out, err = self.api.exec("box", ["sh", "-c", inside])
        self.assertEqual((code, out), (1, b"moved\n"))
        self.assertIn(b"not permitted", err)
        self.api.sh("box", "cat /dev/null")
        self.assertEqual(self.api.sh("box", "bpf lift /sys/fs/cgroup/g"), "0")
        self.assertEqual(self.api.sh("box", inside), "moved")
        self.assertEqual(self.api.sh("box", "bpf odd"), "0 0")
        self.assertEqual(self.api.exec("box", ["bpf", "limit", "/sys/fs/cgroup/g"], user=1000, group=1000)[1], b"1\n")
        self.assertNotEqual(self.api.sh("box", "bpf limit /root"), "0")

    def test_programs_are_counted(self):
        """Their machine code is bounded for the whole host: one guest must not use that up."""
        self.launch("box", **{"bpf": "true", "bpf.devices": "true"})
        for _ in range(2):  # those of the first end with it
            self.assertEqual(self.api.sh("box", "ulimit -n 1000; bpf many"), f"256 -{errno.ENOSPC}")

    def test_only_with_both_keys(self):
        self.launch("box", bpf="true")
        self.assertEqual(self.api.sh("box", "bpf limit /sys/fs/cgroup; bpf odd"), "1\n0 0")


if __name__ == "__main__":
    main()
