"""System calls that an unprivileged guest may make after all, answered by a helper of the monitor."""
import os
import stat
import subprocess
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


if __name__ == "__main__":
    main()
