"""raw.lxc: each line's effect is read inside the instance or from the kernel."""
import os
import tempfile

from harness.case import DaemonCase, main


class RawLxcTest(DaemonCase):
    def launch(self, *lines, **config):
        more = {key.replace("__", "."): value for key, value in config.items()}
        self.api.launch("box", "tiny", config={"raw.lxc": "\n".join(lines), **more})

    def bounding_set(self, where):
        status = self.api.sh("box", f"cat /proc/{where}/status")
        return int(next(line for line in status.splitlines() if line.startswith("CapBnd")).split()[1], 16)

    def test_environment_and_sysctl(self):
        self.launch("# a comment", "", "lxc.environment = COLOUR=blue and green", "lxc.sysctl.net.ipv4.ip_forward=1",
                    "lxc.apparmor.profile=unconfined")
        variables = self.api.exec("box", ["cat", "/proc/1/environ"])[1].split(b"\0")
        self.assertIn(b"COLOUR=blue and green", variables)
        self.assertEqual(self.api.sh("box", "cat /proc/sys/net/ipv4/ip_forward"), "1")

    def test_capabilities(self):
        self.launch("lxc.cap.drop = sys_time net_raw", "lxc.cap.drop = sys_nice")
        for where in ("1", "self"):
            found = self.bounding_set(where)
            for number in (25, 13, 23):  # sys_time, net_raw, sys_nice
                self.assertFalse(found >> number & 1, f"{where} has capability {number}")
            self.assertTrue(found >> 21 & 1)
        self.remove_instance("box")
        self.launch("lxc.cap.keep = chown kill setuid setgid sys_admin sys_boot dac_override")
        kept = sum(1 << number for number in (0, 5, 7, 6, 21, 22, 1))
        for where in ("1", "self"):
            self.assertEqual(self.bounding_set(where), kept)

    def test_capabilities_of_a_privileged_one(self):
        self.launch("lxc.cap.drop = net_raw", security__privileged="true")
        for where in ("1", "self"):
            found = self.bounding_set(where)
            for number in (13, 16, 25):  # its own, and what it never has: sys_module, sys_time
                self.assertFalse(found >> number & 1, f"{where} has capability {number}")

    def test_mounts(self):
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="lxmgr-raw-") as folder:
            with open(os.path.join(folder, "file"), "w", encoding="utf-8") as file:
                file.write("from the host")
            os.chmod(folder, 0o755)
            self.launch(f"lxc.mount.entry = {folder} mnt/host none bind,ro,create=dir 0 0",
                        f"lxc.mount.entry = {folder}/file etc/shared none bind,create=file",
                        "lxc.mount.entry = /no/such/place mnt/gone none bind,optional",
                        "lxc.mount.entry = tmpfs mnt/scratch tmpfs nosuid,size=1M,mode=0700")
            self.assertEqual(self.api.sh("box", "cat /mnt/host/file /etc/shared"), "from the hostfrom the host")
            self.assertNotEqual(self.api.exec("box", ["touch", "/mnt/host/new"])[0], 0)
            mounts = {line.split()[1]: line.split()[2:4] for line in self.api.sh("box", "cat /proc/mounts").splitlines()}
            self.assertIn("ro", mounts["/mnt/host"][1].split(","))
            self.assertEqual(mounts["/mnt/scratch"][0], "tmpfs")
            self.assertIn("nosuid", mounts["/mnt/scratch"][1].split(","))
            self.assertIn("size=1024k", mounts["/mnt/scratch"][1].split(","))
            self.assertNotIn("/mnt/gone", mounts)
            self.remove_instance("box")
        self.api.create("box", "tiny", config={"raw.lxc": "lxc.mount.entry = /no/such/place mnt none bind"})
        self.assertIn("/no/such/place", self.assert_api_error(400, self.api.start, "box"))

    def test_cgroup_files(self):
        v1 = os.path.isdir("/sys/fs/cgroup/pids")
        self.launch("lxc.cgroup.pids.max = 77" if v1 else "lxc.cgroup2.pids.max = 77")
        with open(f"/proc/{self.api.state('box')['pid']}/cgroup", encoding="utf-8") as file:
            groups = {line.split(":")[1]: line.strip().split(":", 2)[2] for line in file}
        path = f"/sys/fs/cgroup/pids{groups['pids']}" if v1 else f"/sys/fs/cgroup{groups['']}"
        with open(os.path.join(path.removesuffix("/init.scope"), "pids.max"), encoding="utf-8") as file:
            self.assertEqual(file.read().strip(), "77")
        self.remove_instance("box")
        self.api.create("box", "tiny", config={"raw.lxc": "lxc.cgroup2.no.such.file = 1"})
        self.assertIn("lxc.cgroup2.no.such.file", self.api_error(self.api.start, "box"))

    def api_error(self, call, *arguments):
        """The words of a failure, whatever its code."""
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001
            return str(error)
        raise AssertionError("it did not fail")

    def test_devices_of_a_privileged_one(self):
        loop = "mknod /root/d b 7 9999; cat /root/d 2>&1; mknod /root/k c 1 11; head -c 0 /root/k 2>&1"
        self.launch(security__privileged="true")
        refused = self.api.sh("box", loop + "; true")
        self.assertEqual(refused.count("Operation not permitted"), 2, refused)
        self.remove_instance("box")
        self.launch("lxc.cgroup.devices.allow = b 7:* rwm", "lxc.cgroup2.devices.allow = c 1:11 rwm", security__privileged="true")
        self.assertNotIn("Operation not permitted", self.api.sh("box", loop + "; true"))
        self.remove_instance("box")
        self.launch("lxc.cgroup.devices.allow = a", security__privileged="true")
        self.assertNotIn("Operation not permitted", self.api.sh("box", loop + "; true"))

    def test_init_command(self):
        self.api.create("box", "tiny", config={"raw.lxc": "lxc.init.cmd = /bin/sleep 1234"})
        self.api.start("box")
        self.assertEqual(self.api.exec("box", ["cat", "/proc/1/cmdline"])[1], b"/bin/sleep\x001234\0")
        self.api.stop("box")

    def test_what_means_nothing_here_is_an_error(self):
        for lines, words in ((["lxc.hook.pre-start = /bin/true"], ("line 1", "lxc.hook.pre-start", "not supported")),
                             (["", "lxc.prlimit.nofile = 10"], ("line 2", "limits.kernel.nofile")),
                             (["lxc.idmap = u 0 0 1"], ("raw.idmap",)), (["lxc.seccomp.profile = x"], ("raw.seccomp",)),
                             (["lxc.net.0.type = veth"], ("nic",)), (["nonsense"], ("line 1", "'='")),
                             (["lxc.cap.drop = sys_magic"], ("'sys_magic'",)),
                             (["lxc.cap.drop = kill", "lxc.cap.keep = kill"], ("exclude",)),
                             (["lxc.mount.entry = proc proc proc defaults"], ("bind",)),
                             (["lxc.mount.entry = /etc mnt none bind,uid=3"], ("'uid=3'",)),
                             (["lxc.mount.entry = etc mnt none bind"], ("absolute",)),
                             (["lxc.cgroup2.cgroup.procs = 1"], ("lxc.cgroup2.cgroup.procs", "not a file")),
                             (["lxc.cgroup2.../x.y = 1"], ("not a file",)),
                             (["lxc.cgroup.devices.allow = c x:1 rwm"], ("device rule",)),
                             (["lxc.apparmor.profile = mine"], ("unconfined",)), (["lxc.environment = =x"], ("NAME=VALUE",)),
                             (["lxc.init.cmd = init"], ("absolute",)), (["lxc.sysctl.kernel.panic = 1"], ("line 1",))):
            message = self.assert_api_error(400, self.api.create, "box", "tiny", config={"raw.lxc": "\n".join(lines)})
            for word in ("raw.lxc", *words):
                self.assertIn(word, message)


if __name__ == "__main__":
    main()
