"""Devices of a running instance: added, changed and removed while it runs, and gone when it stops."""
import contextlib
import os
import subprocess
import threading
import time

from harness.case import DaemonCase, main
from harness.clients import lxc
from harness.outside import Place
from harness.pause import Pause
from harness.rest import ApiError


class DiskTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.source = os.path.join(self.daemon.base, f"share-{self._testMethodName}")
        os.makedirs(os.path.join(self.source, "sub"), exist_ok=True)
        os.chmod(self.source, 0o777)
        self.write("file", "from the host")

    def write(self, name, text):
        with open(os.path.join(self.source, name), "w", encoding="utf-8") as file:
            file.write(text)

    def disk(self, **keys):
        return {"type": "disk", "source": self.source, "path": "/mnt/share",
                **{key.replace("_", "."): value for key, value in keys.items()}}

    def mounts(self, path="/mnt/share"):
        return [line for line in self.api.sh("box", "cat /proc/self/mountinfo").splitlines() if line.split()[4] == path]

    def test_added_changed_and_removed_while_running(self):
        self.api.launch("box", "tiny")
        pid = self.api.state("box")["pid"]
        self.api.update("box", devices={"share": self.disk()})
        self.assertEqual(self.api.sh("box", "cat /mnt/share/file"), "from the host")
        self.assertEqual(len(self.mounts()), 1)
        self.api.update("box", devices={"share": self.disk(path="/srv/deep/er")})
        self.assertEqual(self.mounts(), [])
        self.assertEqual(self.api.sh("box", "cat /srv/deep/er/file"), "from the host")
        self.api.update("box", devices={"share": self.disk(path="srv/deep/er")})  # as LXD: from the root on
        self.assertEqual(len(self.mounts("/srv/deep/er")), 1)
        self.api.update("box", devices={"share": None})
        self.assertEqual(self.mounts("/srv/deep/er"), [])
        self.assertEqual(self.api.sh("box", "ls /srv/deep/er"), "")
        self.assertEqual(self.api.state("box")["pid"], pid)

    def test_attached(self):
        self.api.launch("box", "tiny", devices={"share": self.disk(attached="false"),
                                                "gone": self.disk(source="/no/such/path", path="/mnt/gone", attached="no")})
        self.assertEqual(self.mounts(), [])
        self.api.update("box", devices={"share": self.disk(attached="true")})
        self.assertEqual(self.api.sh("box", "cat /mnt/share/file"), "from the host")
        self.api.update("box", devices={"share": self.disk(attached="false")})
        self.assertEqual(self.mounts(), [])
        self.assertNotEqual(self.api.exec("box", ["test", "-e", "/mnt/share/file"])[0], 0)
        self.assert_api_error(400, self.api.update, "box", devices={"share": self.disk(attached="maybe")})
        root = {**self.api.instance("box")["expanded_devices"]["root"], "attached": "false"}
        self.assertIn("attached", self.assert_api_error(400, self.api.update, "box", devices={"root": root}))

    @contextlib.contextmanager
    def block(self, *command):
        """A loop device with a file system that holds a file."""
        image = os.path.join(self.source, "image")
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        subprocess.run([*command, image], check=True, capture_output=True)
        device = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
        try:
            yield device
        finally:
            subprocess.run(["losetup", "--detach", device], check=True)

    def test_block_device(self):
        """The file system on it, cold and hot."""
        with self.block("mkfs.ext4", "-q", "-d", os.path.join(self.source, "sub"), "-E", "root_owner=0:0") as device:
            self.api.launch("box", "tiny", devices={"data": self.disk(source=device, shift="true")})
            self.api.sh("box", "echo hello > /mnt/share/file; sync")
            line, = self.mounts()
            words = line.split()
            self.assertEqual((words[words.index("-") + 1], words[words.index("-") + 2]), ("ext4", device))
            self.assertIn("nodev", words[5])
            self.api.update("box", devices={"data": None})
            self.assertEqual(self.mounts(), [])
            self.api.update("box", devices={"data": self.disk(source=device, readonly="true")})
            self.assertEqual(self.api.sh("box", "cat /mnt/share/file"), "hello")
            code, _, _ = self.api.exec("box", ["sh", "-c", "mount -o remount,rw /mnt/share; echo x > /mnt/share/other"])
            self.assertNotEqual(code, 0)
            self.api.stop("box")
            self.api.start("box")
            self.assertEqual(self.api.sh("box", "cat /mnt/share/file"), "hello")
            self.api.update("box", devices={"data": None})

    def test_block_device_without_a_file_system(self):
        with self.block("truncate", "--size=64M") as device:
            self.api.launch("box", "tiny")
            message = self.assert_api_error(400, self.api.update, "box", devices={"data": self.disk(source=device)})
            self.assertIn(f"'{device}' has no file system", message)
            self.assertEqual(self.mounts(), [])

    def test_readonly_stays_readonly_whatever_root_inside_does(self):
        """The guest's root may remount what is in its mount namespace; a lock of the kernel's must keep it from that."""
        self.api.launch("box", "tiny", devices={"share": self.disk(readonly="true")})
        self.api.update("box", devices={"late": self.disk(readonly="true", path="/mnt/late")})
        for path in ("/mnt/share", "/mnt/late"):
            with self.subTest(path=path):
                self.assertNotEqual(self.api.exec("box", ["sh", "-c", f"echo x > {path}/new"])[0], 0)
                self.api.exec("box", ["mount", "-o", "remount,bind,rw,dev,suid", path])
                self.assertNotEqual(self.api.exec("box", ["sh", "-c", f"echo x > {path}/new"])[0], 0)
        self.assertEqual(sorted(os.listdir(self.source)), ["file", "sub"])

    def test_tmpfs_options_and_what_is_refused(self):
        self.api.launch("box", "tiny")
        self.api.update("box", devices={"ram": {"type": "disk", "source": "tmpfs:", "path": "/ram",
                                                "raw.mount.options": "size=1m,mode=0700,noexec"}})
        line = self.mounts("/ram")[0]
        for word in ("tmpfs", "noexec", "nodev", "size=1024k"):
            self.assertIn(word, line)
        self.assertEqual(self.api.sh("box", "stat -c '%u %a' /ram"), "0 700")
        for keys in ({"raw_mount_options": "dev"}, {"raw_mount_options": "size=1m"}, {"propagation": "sideways"},
                     {"source": "relative"}, {"source": "/no/such/path"}, {"path": "/a/../b"}):
            with self.subTest(keys=keys):
                before = self.api.instance("box")["devices"]
                self.assert_api_error(400, self.api.update, "box", devices={"bad": self.disk(**keys)})
                self.assertEqual(self.api.instance("box")["devices"], before)
        self.api.update("box", devices={"gone": self.disk(source="/no/such/path", required="false")})

    def test_more_than_can_be_attached_leaves_nothing_of_the_start(self):
        devices = {f"d{i}": {"type": "disk", "source": "tmpfs:", "path": f"/mnt/d{i}"} for i in range(215)}
        self.api.create("box", "tiny", devices=devices)
        message = self.assert_api_error(400, self.api.start, "box")
        self.assertIn("mounts", message)
        deadline = time.monotonic() + 60
        while left := [one for one in self.leaks.problems() if one.startswith(("cgroup", "mount", "process"))]:
            self.assertLess(time.monotonic(), deadline, left)  # not even the cgroups, which are made ahead
            time.sleep(0.1)

    def test_options_and_shift(self):
        self.write("script", "#!/bin/sh\n")
        os.chmod(os.path.join(self.source, "script"), 0o755)
        self.api.launch("box", "tiny")
        self.api.update("box", devices={"share": self.disk(raw_mount_options="noexec,noatime", shift="true")})
        self.assertEqual(self.api.sh("box", "stat -c %u /mnt/share/file"), "0")
        self.assertNotEqual(self.api.exec("box", ["/mnt/share/script"])[0], 0)
        self.assertIn("noatime", self.mounts()[0])

    def test_propagation(self):
        run = self.daemon.sandbox.run
        self.api.launch("box", "tiny")
        for name, propagation, seen in (("a", "private", False), ("b", "rslave", True), ("c", "shared", True)):
            with self.subTest(propagation=propagation):
                inner = os.path.join(self.source, "sub")
                self.api.update("box", devices={name: self.disk(propagation=propagation, path=f"/mnt/{name}")})
                run("mount", "-t", "tmpfs", "none", inner)
                try:
                    self.assertEqual(bool(self.mounts(f"/mnt/{name}/sub")), seen)
                    self.api.exec("box", ["mount", "-t", "tmpfs", "none", f"/mnt/{name}/sub"])
                    self.assertEqual(run("cat", "/proc/self/mountinfo").count(inner), 1, "never back to the host")
                finally:
                    run("umount", inner)
                self.api.update("box", devices={name: None})

    def test_recursive(self):
        """What is mounted below the source comes along only when asked for, and is as read-only as the source."""
        run, inner = self.daemon.sandbox.run, os.path.join(self.source, "sub")
        self.api.launch("box", "tiny")
        run("sh", "-c", f"mount -t tmpfs none {inner} && touch {inner}/below")
        try:
            self.api.update("box", devices={"share": self.disk(recursive="false")})
            self.assertEqual((self.mounts("/mnt/share/sub"), self.api.sh("box", "ls /mnt/share/sub")), ([], ""))
            self.api.update("box", devices={"share": self.disk(recursive="true")})
            self.assertEqual((len(self.mounts("/mnt/share/sub")), self.api.sh("box", "ls /mnt/share/sub")), (1, "below"))
            self.api.update("box", devices={"share": self.disk(recursive="true", readonly="true")})
            self.assertIn("Read-only", self.api.exec("box", ["touch", "/mnt/share/sub/new"])[2].decode())
            self.api.update("box", devices={"share": None})
            self.assertEqual(self.mounts("/mnt/share/sub"), [])
        finally:
            run("umount", inner)

    def test_a_hostile_path_leads_nowhere_else(self):
        self.api.launch("box", "tiny")
        for link in (f"ln -s {self.daemon.base} /mnt/trap", "ln -s ../../../../../../../../var/tmp /mnt/up",
                     "ln -s /proc/1/root /mnt/magic"):
            self.api.sh("box", link)
        before = self.daemon.sandbox.run("cat", "/proc/self/mountinfo")
        listing = sorted(os.listdir(self.daemon.base))
        for target in ("trap", "up", "magic"):
            with self.subTest(target=target):
                try:
                    self.api.update("box", devices={"share": self.disk(path=f"/mnt/{target}/inside")})
                except Exception:  # refused, or resolved inside
                    continue
                self.api.update("box", devices={"share": None})
        self.assertEqual(sorted(os.listdir(self.daemon.base)), listing)
        self.assertFalse(os.path.exists("/var/tmp/inside"))
        self.assertEqual(self.daemon.sandbox.run("cat", "/proc/self/mountinfo"), before)

    def test_users_of_a_profile_side_by_side(self):
        disk = {"type": "disk", "source": self.source, "path": "/mnt/share"}
        self.api.call("POST", "/1.0/profiles", {"name": "sharing"})
        names = ("box", "second", "third")
        for name in names:
            self.api.launch(name, "tiny", profiles=["default", "sharing"])
        with Pause(self.daemon, "instances.profile.user") as pause:
            def change():
                self.api.call("PATCH", "/1.0/profiles/sharing", {"devices": {"share": disk}})
                self.api.close()
            changing = threading.Thread(target=change)
            changing.start()
            pause.wait()
            deadline = time.monotonic() + 30
            while pause.reached("instances.profile.user") < len(names):
                self.assertLess(time.monotonic(), deadline, "users wait for each other")
            pause.go_on()
            changing.join()
        for name in names:
            self.assertIn("/mnt/share", self.api.sh(name, "cat /proc/mounts"))
        # All or none: one port of the host is for one of them.
        door = {"type": "proxy", "listen": "tcp:127.0.0.1:8020", "connect": "tcp:127.0.0.1:80"}
        with self.assertRaises(ApiError) as caught:
            self.api.call("PUT", "/1.0/profiles/sharing", {"devices": {"door": door}})
        self.assertIn("Applying the profile to instance '", caught.exception.message)
        self.assertEqual(self.api.get("/1.0/profiles/sharing")["devices"], {"share": disk})
        self.assertEqual(subprocess.run(["pgrep", "-f", "lxmgr-proxy .*/door"], check=False).returncode, 1)
        for name in names:
            self.assertIn("/mnt/share", self.api.sh(name, "cat /proc/mounts"))
        for name in names:
            self.remove_instance(name)
        self.api.call("DELETE", "/1.0/profiles/sharing")

    def test_of_a_profile_and_by_the_stock_client(self):
        client = lxc(self.daemon)
        self.api.launch("box", "tiny")
        client("config", "device", "add", "box", "share", "disk", f"source={self.source}", "path=/mnt/share")
        self.assertEqual(self.api.sh("box", "cat /mnt/share/file"), "from the host")
        client("config", "device", "set", "box", "share", "readonly", "true")
        self.assertNotEqual(self.api.exec("box", ["touch", "/mnt/share/new"])[0], 0)
        client("config", "device", "remove", "box", "share")
        self.assertEqual(self.mounts(), [])
        client("profile", "create", "sharing")
        client("profile", "add", "box", "sharing")
        client("profile", "device", "add", "sharing", "share", "disk", f"source={self.source}", "path=/mnt/share")
        self.assertEqual(self.api.sh("box", "cat /mnt/share/file"), "from the host")
        client("profile", "remove", "box", "sharing")
        self.assertEqual(self.mounts(), [])
        client("profile", "delete", "sharing")

    def test_a_new_daemon_takes_it_away(self):
        self.api.launch("box", "tiny")
        self.api.update("box", devices={"share": self.disk()})
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.api.sh("box", "cat /mnt/share/file"), "from the host")
        self.api.update("box", devices={"share": None})
        self.assertEqual(self.mounts(), [])


    def test_a_crash_at_each_step_leaves_it_whole_or_absent(self):
        for point in ("instances.device_intent", "runtime.attach.target", "instances.device_attached", "instances.update.live",
                      "instances.update.row"):
            for change in ("add", "remove"):
                with self.subTest(point=point, change=change):
                    self.api.launch("box", "tiny", devices={"share": self.disk()} if change == "remove" else {})
                    self.daemon.kill()
                    self.daemon.start(environment={"LXMGR_FAILPOINT": point})
                    try:
                        self.api.update("box", devices={"share": self.disk() if change == "add" else None})
                    except Exception:
                        self.daemon.wait_dead()
                    self.daemon.kill()
                    self.daemon.start()
                    self.assertEqual(len(self.mounts()), 1 if "share" in self.api.instance("box")["devices"] else 0)
                    self.api.update("box", devices={"share": self.disk()})
                    self.assertEqual(self.api.sh("box", "cat /mnt/share/file"), "from the host")
                    self.api.update("box", devices={"share": None})
                    self.assertEqual(self.mounts(), [])
                    self.remove_instance("box")


class NodeTest(DaemonCase):
    def test_char_device_comes_and_goes(self):
        self.api.launch("box", "tiny")
        self.assertEqual(self.api.exec("box", ["test", "-e", "/dev/full2"])[0], 1)
        self.api.update("box", devices={"full": {"type": "unix-char", "source": "/dev/full", "path": "/dev/full2",
                                                 "uid": "5", "gid": "6", "mode": "0640"}})
        self.assertEqual(self.api.sh("box", "stat -c '%F %u %g %a %t:%T' /dev/full2"),
                         "character special file 5 6 640 1:7")
        self.assertIn("No space left", self.api.exec("box", ["sh", "-c", "echo x > /dev/full2"])[2].decode())
        self.api.update("box", devices={"full": None})
        self.assertEqual(self.api.exec("box", ["test", "-e", "/dev/full2"])[0], 1)

    def test_by_numbers_at_start_and_after_a_crash(self):
        self.api.launch("box", "tiny", devices={"z": {"type": "unix-char", "path": "/opt/dev/zero", "major": "1",
                                                      "minor": "5"}})
        self.assertEqual(self.api.sh("box", "head -c 4 /opt/dev/zero | od -An -tx1"), "00 00 00 00")
        self.daemon.kill()
        self.daemon.start()
        self.api.update("box", devices={"z": None})
        self.assertEqual(self.api.exec("box", ["test", "-e", "/opt/dev/zero"])[0], 1)

    def test_block_device(self):
        self.api.launch("box", "tiny")
        loop = {"type": "unix-block", "path": "/dev/blk", "major": "7", "minor": "99", "gid": "6"}
        self.api.update("box", devices={"loop": loop})
        self.assertEqual(self.api.sh("box", "stat -c '%F %a %u %g %t:%T' /dev/blk"), "block special file 660 0 6 7:63")

    def test_bad_input(self):
        self.api.launch("box", "tiny")
        for keys in ({}, {"path": "/dev/nothing-here"}, {"source": "/dev/full", "mode": "999"}, {"path": "/dev/x", "major": "1"},
                     {"source": "/dev"}, {"source": "/dev/full", "uid": "-1"}, {"source": "/dev/full", "colour": "red"}):
            with self.subTest(keys=keys):
                self.assert_api_error(400, self.api.update, "box", devices={"x": {"type": "unix-char", **keys}})
        self.api.update("box", devices={"x": {"type": "unix-char", "path": "/dev/nothing-here", "required": "false"}})

    def test_by_the_stock_client(self):
        client = lxc(self.daemon)
        self.api.launch("box", "tiny")
        client("config", "device", "add", "box", "full", "unix-char", "source=/dev/full", "path=/dev/full2")
        self.api.sh("box", "test -c /dev/full2")
        client("config", "device", "remove", "box", "full")
        self.assertEqual(self.api.exec("box", ["test", "-e", "/dev/full2"])[0], 1)


class NicTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.daemon.sandbox.run("ip", "link", "add", "dummy7", "type", "veth", "peer", "name", "dummy8")
        self.daemon.sandbox.run("ip", "link", "set", "dummy7", "up")

    def tearDown(self):
        self.daemon.sandbox.run("ip", "link", "del", "dummy7", check=False)
        super().tearDown()

    def links(self):
        return self.api.sh("box", "ls /sys/class/net").split()

    def test_macvlan(self):
        nic = {"type": "nic", "nictype": "macvlan", "parent": "dummy7", "name": "mv0", "hwaddr": "00:16:3e:00:00:07"}
        self.api.launch("box", "tiny", devices={"mv": nic})
        self.assertEqual(self.api.sh("box", "cat /sys/class/net/mv0/address"), "00:16:3e:00:00:07")
        self.api.update("box", devices={"mv": None})
        self.assertNotIn("mv0", self.links())
        self.api.update("box", devices={"mv": {**nic, "mode": "private", "mtu": "1400"}})
        self.assertEqual(self.api.sh("box", "cat /sys/class/net/mv0/mtu"), "1400")
        show = ["nsenter", "-t", str(self.api.state("box")["pid"]), "-n", "ip", "-details", "link", "show", "mv0"]
        self.assertIn("mode private", subprocess.run(show, capture_output=True, text=True, check=True).stdout)
        self.assert_api_error(400, self.api.update, "box", devices={"no": {**nic, "name": "mv1", "parent": "nothing0",
                                                                           "hwaddr": "00:16:3e:00:00:08"}})
        self.daemon.kill()
        self.daemon.start()
        self.api.update("box", devices={"mv": None})
        self.assertNotIn("mv0", self.links())

    def test_p2p(self):
        self.api.launch("box", "tiny")
        self.api.update("box", devices={"p": {"type": "nic", "nictype": "p2p", "name": "p2p0", "host_name": "p2phost"}})
        self.assertIn("p2p0", self.links())
        run = self.daemon.sandbox.run
        run("ip", "address", "add", "192.0.2.9/31", "dev", "p2phost")
        self.api.sh("box", "ip address add 192.0.2.8/31 dev p2p0")
        Place(self.daemon.sandbox.pid).wait_ping("192.0.2.8")
        self.api.update("box", devices={"p": None})
        self.assertNotIn("p2p0", self.links())
        self.assertNotIn("p2phost", run("ip", "-brief", "link"))


if __name__ == "__main__":
    main()
