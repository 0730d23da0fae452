"""security.*, raw.idmap, limits.kernel.* and linux.sysctl.*: read inside the instance or from the kernel."""
import os
import pathlib
import struct
import subprocess
import tempfile

from harness.case import main
from harness.keys import KeysCase


class PrivilegedTest(KeysCase):
    def test_runs_without_a_user_namespace(self):
        self.launch(security__privileged="true")
        self.assertEqual(self.maps(), [(0, 0, 4294967295)])
        self.assertEqual(os.readlink(f"/proc/{self.api.state('box')['pid']}/ns/user"), os.readlink("/proc/self/ns/user"))
        for kind in ("mnt", "pid", "net", "uts", "ipc", "cgroup"):
            self.assertNotEqual(os.readlink(f"/proc/{self.api.state('box')['pid']}/ns/{kind}"),
                                os.readlink(f"/proc/self/ns/{kind}"), kind)
        self.assertEqual(self.api.instance("box")["config"]["volatile.idmap.current"], "[]")
        self.assertEqual(self.api.sh("box", "id -u; stat -c %u /etc/passwd").split(), ["0", "0"])
        self.api.push("box", "/root/file", b"x", uid=1000)
        self.assertEqual(self.api.sh("box", "stat -c %u /root/file"), "1000")

    def test_some_powers_are_gone(self):
        self.launch(security__privileged="true")
        for where in ("1", "self"):
            status = self.api.sh("box", f"cat /proc/{where}/status")
            effective = int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)
            for capability in (16, 17, 25, 32, 33):  # module, rawio, time, mac_override, mac_admin
                self.assertFalse(effective >> capability & 1, f"{where} has capability {capability}")
            self.assertTrue(effective >> 21 & 1)  # sys_admin, as LXC's have it
            self.assertIn("Seccomp:\t2", status)

    def test_devices_of_the_host_stay_closed(self):
        self.launch(security__privileged="true")
        disks = [name for name in os.listdir("/sys/block") if os.path.exists(f"/dev/{name}")]
        for name in disks[:3]:
            number = os.stat(f"/dev/{name}").st_rdev
            self.assertNotEqual(self.exit_code(f"mknod /root/disk b {os.major(number)} {os.minor(number)}; "
                                               f"head -c 1 /root/disk"), 0, name)
        self.assertNotEqual(self.exit_code("mknod /root/mem c 1 1 && head -c 1 /root/mem"), 0)
        self.assertNotEqual(self.exit_code("mknod /root/kmsg c 1 11 && head -c 1 /root/kmsg"), 0)
        self.assertEqual(self.exit_code("mknod /root/zero c 1 5 && head -c 1 /root/zero"), 0)
        self.assertEqual(self.exit_code("head -c 1 /dev/urandom && echo x >/dev/null"), 0)

    def test_kernel_files_are_read_only(self):
        self.launch(security__privileged="true")
        for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/swappiness",
                     "/sys/kernel/mm/transparent_hugepage/enabled"):
            self.assertNotEqual(self.exit_code(f"cat {path} > /tmp/old; cat /tmp/old > {path}"), 0, path)
        self.assertEqual(self.exit_code("echo 1 > /proc/sys/net/ipv4/ip_forward"), 0)
        for controller in ("memory", "pids", "freezer", "devices", "cpu", "blkio"):
            code = self.exit_code(f"mkdir -p /mnt/c && mount -t cgroup -o {controller} none /mnt/c && ls /mnt/c/release_agent")
            self.assertNotEqual(code, 0, f"{controller}: the root of the hierarchy can be reached")
            self.exit_code("umount /mnt/c")

    def test_ids_follow_when_it_is_switched(self):
        self.launch()
        self.api.sh("box", "echo hi > /root/file; chown 1000:1001 /root/file")
        self.api.stop("box")
        for value in ("true", "false"):
            self.api.update("box", config={"security.privileged": value})
            self.api.start("box")
            self.assertEqual(self.maps()[0][1] == 0, value == "true")
            self.assertEqual(self.api.sh("box", "stat -c %u:%g /root/file /etc/passwd").split(), ["1000:1001", "0:0"])
            self.api.stop("box")

    def test_survives_the_daemon(self):
        self.launch(security__privileged="true")
        pid = self.api.state("box")["pid"]
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.api.state("box")["pid"], pid)
        self.api.push("box", "/root/after", b"x", uid=7)
        self.assertEqual(self.api.sh("box", "stat -c %u /root/after"), "7")

    def test_an_id_map_of_its_own_is_refused(self):
        for key, value in (("raw.idmap", "both 1000 1000"), ("security.idmap.isolated", "true")):
            self.assert_api_error(400, self.api.create, "box", "tiny", config={"security.privileged": "true", key: value})


class NestingTest(KeysCase):
    def test_clean_proc_and_sys_are_there(self):
        self.launch(security__nesting="true")
        self.api.sh("box", "test -e /dev/.lxc/proc/1/status && test -d /dev/.lxc/sys/class")
        self.api.sh("box", "unshare -U -r -m -p -f sh -c 'mount -t proc proc /proc && test -e /proc/1'")

    def test_overlays_can_be_made_inside(self):
        self.launch(security__nesting="true")
        self.api.sh("box", "cd /root && mkdir lower upper work merged && echo low > lower/file && "
                           "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged && "
                           "echo up >> merged/file && cat upper/file && umount merged")

    def test_is_off_by_default(self):
        self.launch()
        self.assertNotEqual(self.exit_code("test -e /dev/.lxc"), 0)


class ProtectionTest(KeysCase):
    def test_start(self):
        self.api.create("box", "tiny", config={"security.protection.start": "true"})
        self.assertIn("security.protection.start", self.assert_api_error(400, self.api.start, "box"))
        self.api.update("box", config={"security.protection.start": None})
        self.api.start("box")

    def test_delete_is_refused_and_allowed_again_live(self):
        self.launch(security__protection__delete="true")
        self.api.stop("box")
        self.assert_api_error(400, self.api.delete, "box")
        self.api.update("box", config={"security.protection.delete": "false"})
        self.api.delete("box")

    def test_shift_allows_what_rewrites_nothing(self):
        self.launch(security__protection__shift="true")
        self.assertEqual(self.api.sh("box", "stat -c %u /etc/passwd"), "0")


class SyscallsTest(KeysCase):
    def test_deny(self):
        self.launch(security__syscalls__deny="mkdir errno 28\nmkdirat errno 28\nsethostname kill")
        for target in ("/root/x", "/tmp/y"):
            code, _, err = self.api.exec("box", ["mkdir", target])
            self.assertNotEqual(code, 0)
            self.assertIn(b"No space left", err)
        self.assertEqual(self.exit_code("hostname other"), 128 + 31)  # SIGSYS
        self.assertNotEqual(self.exit_code("mkdir /root/z", user=1000, group=1000), 0)
        self.assertEqual(self.exit_code("test -d /root"), 0)

    def test_deny_reaches_init_too(self):
        self.launch(security__syscalls__deny="sethostname errno 13")
        self.assertIn("Seccomp:\t2", self.api.sh("box", "cat /proc/1/status"))
        self.assertIn("Seccomp_filters:\t1", self.api.sh("box", "cat /proc/1/status"))

    def test_deny_with_arguments(self):
        self.launch(security__syscalls__deny="kill errno 13 [1,10,SCMP_CMP_EQ]")
        self.assertNotEqual(self.exit_code("sleep 5 & kill -10 $!"), 0)
        self.assertEqual(self.exit_code("sleep 5 & kill -9 $!"), 0)

    def test_default_list_can_be_lifted(self):
        self.launch(security__syscalls__deny_default="false")
        self.assertIn("Seccomp:\t2", self.api.sh("box", "cat /proc/self/status"))
        code, _, err = self.api.exec("box", ["rmmod", "x"])
        self.assertNotIn(b"not implemented", err, code)

    # For i386: exit(7) by int 0x80.
    OLD_PROGRAM = (b"\x7fELF\x01\x01\x01" + bytes(9)
                   + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0x8048054, 52, 0, 0, 52, 32, 1, 0, 0, 0)
                   + struct.pack("<IIIIIIII", 1, 0, 0x8048000, 0x8048000, 96, 96, 5, 0x1000)
                   + bytes.fromhex("b801000000bb07000000cd80"))

    def test_deny_compat(self):
        with tempfile.NamedTemporaryFile(dir=self.daemon.base, delete=False) as file:
            file.write(self.OLD_PROGRAM)
        os.chmod(file.name, 0o755)
        if subprocess.run([file.name], check=False).returncode != 7:
            self.skipTest("the kernel runs no 32-bit programs")
        for value, wanted in (("false", True), ("true", False)):
            self.launch(security__syscalls__deny_compat=value)
            self.api.push("box", "/root/old", self.OLD_PROGRAM, mode="0755")
            self.assertEqual(self.exit_code("/root/old") == 7, wanted, value)
            self.remove_instance("box")

    def test_allow(self):
        import ctypes  # the harness's own: names of all calls that busybox could need
        seccomp = ctypes.CDLL("libseccomp.so.2")
        seccomp.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
        names = [seccomp.seccomp_syscall_resolve_num_arch(0xC000003E, number) for number in range(450)]
        allowed = [name.decode() for name in names if name and name not in (b"sethostname",)]
        self.launch(security__syscalls__allow="\n".join(allowed))
        self.assertEqual(self.api.sh("box", "mkdir /root/x && echo fine"), "fine")
        self.assertEqual(self.exit_code("hostname other"), 128 + 31)
        self.assertEqual(self.exit_code("id", user=1000), 0)

    def test_raw_policy(self):
        policy = ("2\ndenylist  # LXC's language\nreject_force_umount\n[all]\nmkdir errno 28\nmkdirat errno 28\n\n"
                  "kill errno 13 [1,10,==]\nsethostname kill\n[arm64]\nexecve kill\n")
        self.launch(raw__seccomp=policy)
        self.assertIn(b"No space left", self.api.exec("box", ["mkdir", "/root/x"])[2])
        self.assertNotEqual(self.exit_code("sleep 5 & kill -10 $!"), 0)
        self.assertEqual(self.exit_code("sleep 5 & kill -9 $!"), 0)
        self.assertEqual(self.exit_code("hostname other"), 128 + 31)
        self.assertIn("Seccomp:\t2", self.api.sh("box", "cat /proc/1/status"))
        # It stands instead of the usual policy, which has no answer to this.
        self.assertNotIn(b"not implemented", self.api.exec("box", ["rmmod", "x"])[2])

    def test_raw_policy_for_32_bit_programs(self):
        for section, wanted in (("x86_64", 7), ("x86", 128 + 31), ("all", 128 + 31)):
            self.launch(raw__seccomp=f"2\nblacklist\n[{section}]\nexit\n")
            self.api.push("box", "/root/old", self.OLD_PROGRAM, mode="0755")
            if section == "x86_64" and self.exit_code("/root/old") == 126:
                self.skipTest("the kernel runs no 32-bit programs")
            self.assertEqual(self.exit_code("/root/old"), wanted, section)
            self.remove_instance("box")

    def test_raw_policy_is_checked(self):
        denied = "2\ndenylist\n"
        for policy, word in (("1\nwhitelist\n1", "line 1"), ("2\n\npraylist", "line 3"), (denied + "mkdir\nnosuchcall", "line 4"),
                             (denied + "mkdir notify", "line 3"), (denied + "[vax]", "'vax'"), ("2", "line 1"),
                             ("2\ndenylist errno 1", "line 2"), ("2\nallowlist allow", "line 2"),
                             (denied + "mkdir [9,1,==]", "line 3"), (denied + "mkdir errno 1\nmkdir errno 2", "line 4"),
                             (denied + "mkdir\n" * 1001, "1000")):
            message = self.assert_api_error(400, self.api.create, "box", "tiny", config={"raw.seccomp": policy})
            self.assertIn("raw.seccomp", message)
            self.assertIn(word, message)
        self.assertIn("replaces", self.assert_api_error(400, self.api.create, "box", "tiny", config={
            "raw.seccomp": denied, "security.syscalls.deny": "rmdir"}))

    def test_nonsense_is_refused(self):
        for key, value in (("deny", "nosuchcall"), ("deny", "mkdir errno lots"), ("deny", "mkdir pray"),
                           ("deny", "mkdir errno 1 [9,1,SCMP_CMP_EQ]"), ("deny_compat", "maybe")):
            message = self.assert_api_error(400, self.api.create, "box", "tiny",
                                            config={f"security.syscalls.{key}": value})
            self.assertIn(f"security.syscalls.{key}", message)
        self.assert_api_error(400, self.api.create, "box", "tiny",
                              config={"security.syscalls.allow": "read", "security.syscalls.deny": "write"})


class KernelLimitsTest(KeysCase):
    def test_all_of_them(self):
        limits = {"as": ("Max address space", 8 << 30), "data": ("Max data size", 4 << 30), "fsize": ("Max file size", 1 << 30),
                  "locks": ("Max file locks", 99), "sigpending": ("Max pending signals", 123)}
        self.launch(limits__kernel__as=str(8 << 30), limits__kernel__data=str(4 << 30), limits__kernel__fsize=str(1 << 30),
                    limits__kernel__locks="99", limits__kernel__sigpending="123")
        rows = {line[:25].strip(): line[25:].split()[:2] for line in self.api.sh("box", "cat /proc/self/limits").splitlines()[1:]}
        for name, (row, value) in limits.items():
            self.assertEqual(rows[row], [str(value), str(value)], name)

    def test_priorities(self):
        may = "CapEff:\t000001ffffffffff" in pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
        keys = {"limits.kernel.nice": "25", "limits.kernel.rtprio": "10"}
        self.api.create("box", "tiny", config=keys)
        if not may:  # raising these needs CAP_SYS_RESOURCE, which a machine in a container has not: then it is said
            self.assertRegex(self.assert_api_error(400, self.api.start, "box"), "limits.kernel.(nice|rtprio)")
            return
        self.api.start("box")
        rows = {line[:25].strip(): line[25:].split()[:2] for line in self.api.sh("box", "cat /proc/self/limits").splitlines()[1:]}
        self.assertEqual((rows["Max nice priority"], rows["Max realtime priority"]), (["25", "25"], ["10", "10"]))

    def test_hold_for_init_and_commands(self):
        self.launch(limits__kernel__nofile="300:400", limits__kernel__core="0", limits__kernel__nproc="500",
                    limits__kernel__cpu="unlimited", limits__kernel__memlock="65536")
        for where in ("1", "self"):
            rows = {line[:25].strip(): line[25:].split()[:2]
                    for line in self.api.sh("box", f"cat /proc/{where}/limits").splitlines()[1:]}
            self.assertEqual(rows["Max open files"], ["300", "400"], where)
            self.assertEqual(rows["Max core file size"], ["0", "0"])
            self.assertEqual(rows["Max processes"], ["500", "500"])
            self.assertEqual(rows["Max locked memory"], ["65536", "65536"])
            self.assertEqual(rows["Max cpu time"], ["unlimited", "unlimited"])
        self.assertEqual(self.api.sh("box", "ulimit -n", user=1000), "300")

    def test_bad_values(self):
        for name, value in (("nofile", "many"), ("nofile", "5:3"), ("nproc", "-1")):
            message = self.assert_api_error(400, self.api.create, "box", "tiny", config={f"limits.kernel.{name}": value})
            self.assertIn(f"limits.kernel.{name}", message)
        self.assert_api_error(400, self.api.create, "box", "tiny", config={"limits.kernel.nonsense": "1"})


class SysctlTest(KeysCase):
    def test_are_set_in_the_instance_only(self):
        with open("/proc/sys/net/ipv4/ip_default_ttl", encoding="utf-8") as file:
            before = file.read()
        self.launch(**{"linux.sysctl.net.ipv4.ip_default_ttl": "77", "linux.sysctl.net.ipv4.conf.eth0.forwarding": "1",
                       "linux.sysctl.kernel.shmmni": "1234"})
        self.assertEqual(self.api.sh("box", "cat /proc/sys/net/ipv4/ip_default_ttl"), "77")
        self.assertEqual(self.api.sh("box", "cat /proc/sys/net/ipv4/conf/eth0/forwarding"), "1")
        self.assertEqual(self.api.sh("box", "cat /proc/sys/kernel/shmmni"), "1234")
        with open("/proc/sys/net/ipv4/ip_default_ttl", encoding="utf-8") as file:
            self.assertEqual(file.read(), before)

    def test_of_the_whole_host_are_refused(self):
        for name in ("kernel.core_pattern", "vm.swappiness", "fs.file-max", "kernel.panic", "net..x", "net/../kernel/panic"):
            message = self.assert_api_error(400, self.api.create, "box", "tiny", config={f"linux.sysctl.{name}": "1"})
            self.assertIn("linux.sysctl.", message)

    def test_one_that_fails_is_named(self):
        self.api.create("box", "tiny", config={"linux.sysctl.net.ipv4.nothing": "1"})
        self.assertIn("linux.sysctl.net.ipv4.nothing", self.assert_api_error(400, self.api.start, "box"))


class KernelModulesTest(KeysCase):
    def test_are_there_before_the_start(self):
        present = next(name for name in ("loop", "fuse", "overlay", "ipv6") if os.path.exists(f"/sys/module/{name}"))
        self.launch(**{"linux.kernel_modules": f"{present}, {present}", "linux.kernel_modules.load": "boot"})
        message = self.assert_api_error(400, self.api.update, "box", config={"linux.kernel_modules": f"{present},lxmgr-none"})
        self.assertIn("linux.kernel_modules: 'lxmgr-none'", message)
        self.assertNotIn("none", self.api.instance("box")["config"]["linux.kernel_modules"])
        self.api.create("late", "tiny", config={"linux.kernel_modules": "lxmgr-none"})
        self.assertIn("'lxmgr-none'", self.assert_api_error(400, self.api.start, "late"))
        for bad in ("ondemand", "never"):
            message = self.assert_api_error(400, self.api.update, "late", config={"linux.kernel_modules.load": bad})
            self.assertIn("must be boot", message)
        for bad in ("-r", "a b", "../x", "a,,b"):
            self.assert_api_error(400, self.api.update, "late", config={"linux.kernel_modules": bad})


if __name__ == "__main__":
    main()
