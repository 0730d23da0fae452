"""Pools of driver btrfs: where they live, what their volumes can, and what is left of them when the daemon is killed."""
import glob
import os
import subprocess
import time

from harness import clients
from harness.case import DaemonCase, main
from harness.leaks import LeakCheck
from harness.sweep import SweepCases

MIB = 1 << 20
URL = "/1.0/storage-pools"
SUBVOLUME = r"""
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
int main(int argc, char **argv) {
    int at = open(argv[2], O_RDONLY | O_DIRECTORY), rc = -1;
    struct btrfs_ioctl_vol_args one = {.fd = at};
    struct btrfs_ioctl_vol_args_v2 two = {.fd = at};
    strcpy(one.name, argv[3]);
    strcpy(two.name, argv[3]);
    if (!strcmp(argv[1], "create")) rc = ioctl(at, BTRFS_IOC_SUBVOL_CREATE, &one);
    if (!strcmp(argv[1], "create2")) rc = ioctl(at, BTRFS_IOC_SUBVOL_CREATE_V2, &two);
    if (!strcmp(argv[1], "snapshot")) rc = ioctl(at, BTRFS_IOC_SNAP_CREATE, &one);
    if (!strcmp(argv[1], "snapshot2")) rc = ioctl(at, BTRFS_IOC_SNAP_CREATE_V2, &two);
    if (rc != 0) puts(strerror(errno));
    return rc != 0;
}
"""


class PoolCase(DaemonCase):
    def mounts(self):
        """What of btrfs is mounted in the daemon's namespace."""
        with open(f"/proc/{self.daemon.sandbox.pid}/mountinfo", encoding="utf-8") as file:
            return [line.split()[4] for line in file if " - btrfs " in line and self.daemon.base in line]

    def loops(self):
        found = []
        for path in glob.glob("/sys/block/loop*/loop/backing_file"):
            try:
                with open(path, encoding="utf-8") as file:
                    text = file.read().strip()
            except OSError:
                continue
            if self.daemon.base in text:
                found.append(text)
        return found

    def image_file(self, name):
        return os.path.join(self.daemon.root, "disks", f"{name}.img")

    def setUp(self):
        super().setUp()
        self.made, self.devices = [], []

    def tearDown(self):
        if self.daemon.running():
            for name in reversed(self.made):
                self.drop(name)
        for device in self.devices:
            subprocess.run(["losetup", "-d", device], check=True)
        super().tearDown()

    def pool(self, name, **config):
        self.made.append(name)
        self.api.do("POST", URL, {"name": name, "driver": "btrfs", "config": config})

    def drop(self, name):
        if self.api.raw("GET", f"{URL}/{name}").status == 200:
            for instance in set(self.daemon.instance_names()) - self.expected_names:
                self.remove_instance(instance)
            self.api.do("DELETE", f"{URL}/{name}")

    @staticmethod
    def root(pool, size=None):
        device = {"type": "disk", "path": "/", "pool": pool}
        return {"root": {**device, "size": size} if size else device}

    def restart(self):
        self.daemon.kill()
        self.daemon.start()


class BtrfsTest(PoolCase):
    def test_pool_in_a_file(self):
        self.pool("fast", size="512MiB")
        shown = self.api.get(f"{URL}/fast")
        self.assertEqual(shown["config"], {"size": "512MiB", "source": self.image_file("fast")})
        self.assertEqual(self.mounts(), [os.path.join(self.daemon.root, "storage-pools/fast")])
        space = self.api.get(f"{URL}/fast/resources")["space"]
        self.assertEqual(space["total"], 512 * MIB)
        self.assertGreater(space["used"], 0)
        self.api.launch("a", "tiny", devices=self.root("fast"))
        self.assertIn("btrfs", self.api.sh("a", "grep ' / ' /proc/mounts"))
        self.api.do("PATCH", f"{URL}/fast", {"config": {"size": "768MiB"}})
        self.assertEqual(self.api.get(f"{URL}/fast/resources")["space"]["total"], 768 * MIB)
        self.assertIn("smaller", self.assert_api_error(400, self.api.do, "PATCH", f"{URL}/fast", {"config": {"size": "512MiB"}}))
        self.api.do("PATCH", f"{URL}/fast", {"config": {"btrfs.mount_options": "user_subvol_rm_allowed,compress=zstd"}})
        with open(f"/proc/{self.daemon.sandbox.pid}/mounts", encoding="utf-8") as file:
            self.assertIn("compress=zstd", [line for line in file if "storage-pools/fast" in line][0])
        self.assert_api_error(400, self.api.do, "PATCH", f"{URL}/fast", {"config": {"btrfs.mount_options": "no=such"}})
        self.check_mount_options()
        self.assertIn("in use", self.assert_api_error(400, self.api.do, "DELETE", f"{URL}/fast"))
        self.assert_api_error(409, self.api.do, "POST", URL, {"name": "fast", "driver": "btrfs", "config": {}})
        self.restart()
        self.assertEqual(self.api.sh("a", "echo alive"), "alive")
        self.assertEqual(len(self.mounts()), 1)
        self.remove_instance("a")
        self.api.do("DELETE", f"{URL}/fast")
        self.assertEqual((self.mounts(), os.path.exists(self.image_file("fast"))), ([], False))

    def check_mount_options(self):
        """A change holds at once for what runs; so does the end of an option."""
        def options(*, inside=False):
            if inside:
                return self.api.sh("a", "grep ' / ' /proc/mounts").split()[3].split(",")
            with open(f"/proc/{self.daemon.sandbox.pid}/mounts", encoding="utf-8") as file:
                return [line for line in file if "storage-pools/fast" in line][0].split()[3].split(",")

        def change(text):
            self.api.do("PATCH", f"{URL}/fast", {"config": {"btrfs.mount_options": text}})
        change("user_subvol_rm_allowed,compress=lzo,noatime,commit=60,autodefrag")
        self.assertLess({"compress=lzo", "noatime", "commit=60", "autodefrag"}, set(options()))
        self.assertIn("compress=lzo", options(inside=True))
        self.assertIn("btrfs.mount_options", self.assert_api_error(
            400, self.api.do, "PATCH", f"{URL}/fast", {"config": {"btrfs.mount_options": "compress=none-such"}}))
        self.assertIn("compress=lzo", options())
        change("")
        for gone in ("compress=lzo", "noatime", "commit=60", "autodefrag"):
            self.assertNotIn(gone, options())
            self.assertNotIn(gone, options(inside=True))
        self.api.sh("a", "echo still > /writable; sync")

    def test_pool_in_a_directory_and_on_a_device(self):
        self.pool("outer", size="600MiB")
        inner = os.path.join(self.daemon.root, "storage-pools/outer/inner")
        self.daemon.sandbox.run("mkdir", inner)
        self.pool("dir", source=inner)
        self.api.launch("a", "tiny", devices=self.root("dir"))
        self.assertTrue(self.daemon.sandbox.run("ls", f"{inner}/containers/a"))
        self.remove_instance("a")
        self.drop("dir")
        self.daemon.sandbox.run("rmdir", inner)
        image = os.path.join(self.daemon.base, "device.img")
        subprocess.run(["truncate", "-s", "300M", image], check=True)
        device = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
        os.unlink(image)
        self.devices.append(device)
        subprocess.run(["mkfs.ext4", "-q", device], check=True)
        message = self.assert_api_error(400, self.api.do, "POST", URL,
                                        {"name": "dev", "driver": "btrfs", "config": {"source": device}})
        self.assertIn("holds a file system", message)
        self.assert_api_error(400, self.api.do, "POST", URL,
                              {"name": "dev", "driver": "btrfs", "config": {"source": device, "source.wipe": "maybe"}})
        self.pool("dev", source=device, **{"source.wipe": "true"})
        self.assertEqual(self.api.get(f"{URL}/dev")["config"], {"source": device})
        busy = {"name": "bad", "driver": "btrfs", "config": {"source": device, "source.wipe": "true"}}
        self.assertIn("cannot empty", self.assert_api_error(400, self.api.do, "POST", URL, busy))
        self.api.launch("a", "tiny", devices=self.root("dev"))
        self.remove_instance("a")
        self.drop("dev")
        for config in ({"source.wipe": "true"}, {"source": inner, "source.wipe": "true"},
                       {"source": device, "size": "1GiB"}, {"source": "/tmp"}, {"source": "/nowhere"},
                       {"size": "1MiB"}, {"size": "x"}):
            self.assert_api_error(400, self.api.do, "POST", URL, {"name": "bad", "driver": "btrfs", "config": config})
        self.drop("outer")
        self.assertEqual(self.mounts(), [])

    def test_clones_snapshots_and_limits(self):
        self.pool("fast", size="768MiB")
        self.api.launch("a", "tiny", devices=self.root("fast", "64MiB"))
        self.api.sh("a", "echo then > /mark")
        self.api.do("POST", "/1.0/instances/a/snapshots", {"name": "s"})
        self.assertIn(f"{URL}/fast/volumes/container/a/snapshots/s", self.api.get(f"{URL}/fast/volumes/container"))
        code, _, err = self.api.exec("a", ["dd", "if=/dev/zero", "of=/fill", "bs=1M", "count=200"])
        self.assertNotEqual(code, 0)
        self.assertRegex(err.decode(), "(?i)quota exceeded")
        self.assertEqual(self.api.state("a")["disk"]["root"]["total"], 64 * MIB)
        self.api.update("a", devices=self.root("fast", "128MiB"))
        self.api.sh("a", "rm /fill; sync; dd if=/dev/zero of=/fill bs=1M count=80; sync")
        self.assertIn("cannot be limited", self.assert_api_error(400, self.api.update, "a", devices=self.root("fast", "32MiB")))
        self.api.update("a", devices=self.root("fast"))
        self.assertEqual(self.api.state("a")["disk"]["root"]["total"], 0)
        self.api.do("PUT", "/1.0/instances/a", {"restore": "s"})
        self.assertEqual(self.api.sh("a", "cat /mark; ls /fill 2>/dev/null || true"), "then")
        self.api.do("POST", "/1.0/instances", {"name": "b", "source": {"type": "copy", "source": "a"}})
        self.api.start("b")
        self.assertEqual(self.api.sh("b", "cat /mark"), "then")
        self.api.do("POST", "/1.0/instances", {"name": "c", "source": {"type": "copy", "source": "b"},
                                               "devices": self.root("default")})
        self.api.start("c")
        self.assertEqual(self.api.sh("c", "cat /mark"), "then")

    def subvolume(self, instance, *where):
        """What the kernel says to a guest's root user who wants one there."""
        code, out, _ = self.api.exec(instance, ["/subvolume", *where])
        return code, out.decode().strip()

    def test_no_limit_is_escaped_by_subvolumes(self):
        """The kernel counts nothing of what is in a subvolume that a guest makes in its own."""
        program = os.path.join(self.daemon.base, "subvolume")
        subprocess.run(["cc", "-static", "-o", program, "-x", "c", "-"], input=SUBVOLUME.encode(), check=True)
        with open(program, "rb") as file:
            content = file.read()
        self.pool("fast", size="512MiB")
        self.api.do("POST", f"{URL}/fast/volumes/custom", {"name": "v", "config": {"size": "32MiB"}})
        disk = {"type": "disk", "pool": "fast", "source": "v", "path": "/srv"}
        for name, size, devices, config in (("limited", "64MiB", {}, {}), ("free", None, {}, {}),
                                            ("nesting", "64MiB", {}, {"security.nesting": "true"}),
                                            ("volume", None, {"v": disk}, {})):
            self.api.create(name, "tiny", devices={**self.root("fast", size), **devices}, config=config)
            self.api.push(name, "/subvolume", content, mode="0755")
            self.api.start(name)
        for name in ("limited", "volume"):
            for kind in ("create", "create2", "snapshot", "snapshot2"):
                self.assertEqual(self.subvolume(name, kind, "/", "inner"), (1, "Operation not supported"), (name, kind))
        self.assertEqual(self.subvolume("volume", "create", "/srv", "inner"), (1, "Operation not supported"))
        for name in ("free", "nesting"):
            self.assertEqual(self.subvolume(name, "create", "/", "inner"), (0, ""), name)
        for name in ("limited", "free", "nesting", "volume"):
            self.remove_instance(name)
        self.api.do("DELETE", f"{URL}/fast/volumes/custom/v")

    def test_mounted_again_after_a_restart_of_the_host(self):
        self.pool("fast", size="256MiB")
        self.api.create("a", "tiny", devices=self.root("fast"))
        self.daemon.kill()
        self.daemon.sandbox.run("umount", os.path.join(self.daemon.root, "storage-pools/fast"))
        deadline = time.monotonic() + 60
        while self.mounts() or self.loops():  # the kernel gives a loop device back when its last user is gone
            self.assertLess(time.monotonic(), deadline, (self.mounts(), self.loops()))
            time.sleep(0.02)
        self.daemon.start()
        self.assertEqual(len(self.mounts()), 1)
        self.api.start("a")
        self.api.sh("a", "true")

    def test_lxc(self):
        lxc = clients.lxc(self.daemon)
        self.made.append("fast")
        lxc("storage", "create", "fast", "btrfs", "size=512MiB")
        lxc("launch", "tiny", "a", "-s", "fast", "-d", "root,size=100MiB")
        lxc("storage", "volume", "create", "fast", "v", "size=32MiB")
        lxc("storage", "volume", "attach", "fast", "v", "a", "/srv")
        written = lxc.run("exec", "a", "--", "dd", "if=/dev/zero", "of=/srv/x", "bs=1M", "count=64", check=False)
        self.assertNotEqual(written.returncode, 0)
        lxc("storage", "volume", "snapshot", "fast", "v", "s")
        lxc("storage", "set", "fast", "size", "600MiB")
        self.assertIn("600.00MiB", lxc("storage", "info", "fast").replace("629.15MB", "600.00MiB"))
        lxc("storage", "set", "fast", "volume.size", "48MiB")
        lxc("storage", "volume", "create", "fast", "w")
        self.assertEqual(lxc("storage", "volume", "get", "fast", "w", "size"), "48MiB\n")
        lxc("delete", "--force", "a")
        for name in "vw":
            lxc("storage", "volume", "delete", "fast", name)
        lxc("storage", "delete", "fast")
        self.assertEqual(self.mounts(), [])


class PoolSweep(SweepCases, PoolCase):
    """kill -9 at every point of the making of a pool, and of its end."""

    test_moments = None
    ends = False

    @classmethod
    def tearDownClass(cls):
        cls.api.stop("bystander")
        cls.api.delete("bystander")
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.bare_pools = LeakCheck(self.daemon)

    def exists(self):
        return self.api.raw("GET", f"{URL}/subject").status == 200

    def prepare(self):
        if self.ends:
            self.make()

    def make(self):
        self.api.do("POST", URL, {"name": "subject", "driver": "btrfs", "config": {"size": "256MiB"}})

    def operate(self):
        if self.ends:
            self.api.do("DELETE", f"{URL}/subject")
        else:
            self.make()

    def audit(self, point):
        if self.exists():
            self.assertEqual((len(self.mounts()), os.path.exists(self.image_file("subject"))), (1, True))
            self.api.create("there", "tiny", devices=self.root("subject"))
            self.api.delete("there")
        else:
            self.assertEqual((self.mounts(), os.path.exists(self.image_file("subject"))), ([], False))
            self.assertFalse(os.path.exists(os.path.join(self.daemon.root, "storage-pools/subject")))
            self.make()

    def cleanup(self):
        super().cleanup()
        if self.exists():
            self.api.do("DELETE", f"{URL}/subject")


class PoolEndSweep(PoolSweep):
    ends = True


class PoolGrowthSweep(PoolSweep):
    """Of a pool that somebody's volume is in."""

    def prepare(self):
        self.make()
        self.api.create("there", "tiny", devices=self.root("subject"))
        self.api.push("there", "/root/mark", b"kept")

    def size(self):
        return self.api.get(f"{URL}/subject")["config"]["size"]

    def operate(self):
        self.api.do("PATCH", f"{URL}/subject", {"config": {"size": "320MiB"}})

    def audit(self, point):
        self.assertIn(self.size(), ("256MiB", "320MiB"))
        self.operate()
        self.assertEqual(self.size(), "320MiB")
        self.assertEqual(self.api.get(f"{URL}/subject/resources")["space"]["total"], 320 << 20)
        self.assertEqual(self.api.pull("there", "/root/mark").body, b"kept")


if __name__ == "__main__":
    main()
