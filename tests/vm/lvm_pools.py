#!/usr/bin/env python3
"""Pools of driver lvm through the daemon, and limits on file systems with project quotas: what this machine's kernel lacks.
test_vm.py runs it in a stock Debian machine."""
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import test_recover  # noqa: E402
from harness.case import DaemonCase, main  # noqa: E402
from harness.sweep import SweepCases  # noqa: E402
from test_storage_limits import LimitCase  # noqa: E402

MIB = 1 << 20
URL = "/1.0/storage-pools"


def host(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


class LvmTest(DaemonCase):
    def assert_idle(self, group):
        """The kernel takes devices away behind the back of who closed them. Those of other groups are another test's."""
        deadline = time.monotonic() + 30
        while (now := self.devices(group)) and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertEqual(now, [])

    @staticmethod
    def devices(group):
        return [line for line in host("dmsetup", "ls").splitlines() if line.startswith(f"{group}-")]

    def tearDown(self):
        for url in self.api.get(URL):
            if not url.endswith("/default"):
                self.drop(url)
        super().tearDown()

    def drop(self, url):
        for name in set(self.daemon.instance_names()) - self.expected_names:
            self.remove_instance(name)
        for volume in self.api.get(f"{url}/volumes/custom"):
            if "/snapshots/" not in volume:
                self.api.do("DELETE", volume)
        self.api.do("DELETE", url)

    def pool(self, name, **config):
        self.api.do("POST", URL, {"name": name, "driver": "lvm", "config": config})

    @staticmethod
    def root(pool, size=None):
        device = {"type": "disk", "path": "/", "pool": pool}
        return {"root": {**device, "size": size} if size else device}

    def fill(self, name, path):
        code, _, err = self.api.exec(name, ["dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=200"])
        self.assertNotEqual(code, 0)
        self.assertIn("No space left", err.decode())

    def df(self, name, path="/"):
        # From behind: busybox puts a long name of a device on a line of its own.
        return int(self.api.sh(name, f"df -k {path}").splitlines()[-1].split()[-5]) * 1024

    def end(self, pool):
        for name in set(self.daemon.instance_names()) - self.expected_names:
            self.remove_instance(name)
        self.api.do("DELETE", f"{URL}/{pool}")

    def test_pool_in_a_file(self):
        for config in ({"size": "1MiB"}, {"size": "1GiB", "lvm.use_thinpool": "maybe"}, {"source": "nosuchgroup"},
                       {"size": "1GiB", "lvm.vg_name": "a/b"}, {"size": "1GiB", "volume.block.filesystem": "vfat"},
                       {"size": "1GiB", "lvm.stripes": "2"}, {"size": "1GiB", "lvm.thinpool_metadata_size": "much"}):
            self.assert_api_error(400, self.pool, "bad", **config)
        self.pool("thin", size="1GiB", **{"volume.block.mount_options": "discard,noatime", "lvm.thinpool_metadata_size": "8MiB"})
        told = host("lvs", "--noheadings", "--units", "m", "-o", "lv_when_full,lv_metadata_size", "thin/LXDThinPool")
        self.assertEqual(told.split(), ["error", "8.00m"])
        shown = self.api.get(f"{URL}/thin")["config"]
        self.assertEqual((shown["lvm.vg_name"], shown["lvm.thinpool_name"], shown["size"]), ("thin", "LXDThinPool", "1GiB"))
        self.api.launch("a", "tiny", devices=self.root("thin", "64MiB"))
        self.api.launch("b", "tiny", devices=self.root("thin"))
        self.assertLessEqual(self.df("a"), 64 * MIB)
        self.assertIn("noatime", self.api.sh("a", "grep ' / ' /proc/mounts"))
        self.fill("a", "/fill")
        self.api.sh("b", "dd if=/dev/zero of=/big bs=1M count=80 && rm /big")
        self.assertEqual(self.api.state("a")["disk"]["root"]["total"], 64 * MIB)
        self.api.update("a", devices=self.root("thin", "128MiB"))
        self.assertGreater(self.df("a"), 100 * MIB)
        self.api.sh("a", "rm /fill; echo then > /mark")
        self.assertIn("in use", self.assert_api_error(400, self.api.update, "a", devices=self.root("thin", "32MiB")))
        self.api.do("POST", "/1.0/instances/a/snapshots", {"name": "s"})
        self.api.sh("a", "echo now > /mark")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.api.sh("a", "cat /mark"), "now")
        self.api.do("PATCH", f"{URL}/thin", {"config": {"size": "1200MiB"}})
        self.assertGreater(self.api.get(f"{URL}/thin/resources")["space"]["total"], 1050 * MIB)
        self.api.do("POST", "/1.0/instances", {"name": "c", "source": {"type": "copy", "source": "a/s"}})
        self.api.start("c")
        self.assertEqual(self.api.sh("c", "cat /mark"), "then")
        self.api.stop("a")
        self.api.do("PUT", "/1.0/instances/a", {"restore": "s"})
        self.api.update("a", devices=self.root("thin", "48MiB"))
        self.api.do("POST", "/1.0/instances/a", {"name": "renamed"})
        self.api.start("renamed")
        self.assertEqual(self.api.sh("renamed", "cat /mark"), "then")
        self.assertLessEqual(self.df("renamed"), 48 * MIB)
        self.end("thin")
        self.assert_idle("thin")

    def test_volumes(self):
        self.pool("thin", size="1200MiB")
        volumes = f"{URL}/thin/volumes/custom"
        self.api.do("POST", volumes, {"name": "v", "config": {"size": "320MiB", "block.filesystem": "xfs"}})
        self.assert_api_error(400, self.api.do, "POST", volumes, {"name": "w", "config": {"block.filesystem": "zfs"}})
        self.assert_api_error(400, self.api.do, "POST", volumes, {"name": "w", "config": {"size": "4MiB"}})
        self.assert_api_error(400, self.api.do, "POST", f"{URL}/default/volumes/custom",
                              {"name": "w", "config": {"block.filesystem": "xfs"}})
        disk = {"type": "disk", "pool": "thin", "source": "v", "path": "/srv"}
        self.api.launch("a", "tiny", devices={"v": disk})
        self.assertIn("xfs", self.api.sh("a", "grep ' /srv ' /proc/mounts; echo one > /srv/mark"))
        self.api.do("POST", f"{volumes}/v/snapshots", {"name": "s"})
        self.api.do("PATCH", f"{volumes}/v", {"config": {"size": "400MiB"}})
        self.assertGreater(self.df("a", "/srv"), 330 * MIB)
        self.assert_api_error(400, self.api.do, "PATCH", f"{volumes}/v", {"config": {"block.filesystem": "ext4"}})
        self.api.do("POST", volumes, {"name": "w", "source": {"type": "copy", "name": "v", "pool": "thin"}})
        self.api.update("a", devices={"w": {**disk, "source": "w", "path": "/mnt"}})
        self.assertEqual(self.api.sh("a", "cat /mnt/mark"), "one")
        self.api.do("POST", f"{URL}/default/volumes/custom", {
            "name": "away", "config": {}, "source": {"type": "copy", "name": "v", "pool": "thin", "volume_only": True}})
        self.api.do("DELETE", f"{URL}/default/volumes/custom/away")
        self.api.do("POST", volumes, {"name": "block", "content_type": "block", "config": {"size": "12GiB"}})
        self.api.do("PATCH", f"{volumes}/block", {"config": {"size": "14GiB"}})
        root = {"root": {"type": "disk", "path": "/", "pool": "thin", "size": "400MiB", "initial.block.filesystem": "btrfs"}}
        self.api.launch("b", "tiny", devices=root)
        self.assertIn(" / btrfs ", self.api.sh("b", "grep ' / ' /proc/mounts"))
        self.assert_api_error(400, self.api.create, "c", "tiny", devices={"root": {**root["root"], "pool": "default"}})
        self.remove_instance("a")
        self.remove_instance("b")
        for name in ("block", "v", "w"):
            self.api.do("DELETE", f"{volumes}/{name}")
        self.end("thin")
        self.assert_idle("thin")

    def test_group_of_somebody_else(self):
        image = os.path.join(self.daemon.base, "group.img")
        host("truncate", "-s", "1G", image)
        device = host("losetup", "-f", "--show", image).strip()
        try:
            self.in_groups(device)
        finally:
            host("losetup", "-d", device)

    def in_groups(self, device):
        host("pvcreate", "-q", device)
        self.assertIn("empty it first", self.assert_api_error(400, self.pool, "p", source=device))
        host("vgcreate", "-q", "theirs", device)
        host("lvcreate", "-q", "-y", "-L", "64M", "-n", "precious", "theirs")
        self.assertIn("volume group theirs already",
                      self.assert_api_error(400, self.pool, "p", size="1GiB", **{"lvm.vg_name": "theirs"}))
        for thin in ("true", "false"):
            self.pool("p", source="theirs", **{"lvm.use_thinpool": thin})
            self.api.do("POST", f"{URL}/p/volumes/custom", {"name": "v", "config": {"size": "48MiB"}})
            self.api.do("POST", f"{URL}/p/volumes/custom/v/snapshots", {"name": "s"})
            self.api.do("DELETE", f"{URL}/p/volumes/custom/v")
            self.end("p")
            self.assertEqual(host("lvs", "--noheadings", "-o", "lv_name", "theirs").split(), ["precious"])
        self.in_one_group()
        host("vgremove", "-q", "-f", "-y", "theirs")
        host("pvremove", "-q", "-y", device)
        host("mkfs.ext4", "-q", device)
        self.assertIn("source.wipe=true", self.assert_api_error(400, self.pool, "p", source=device))
        self.pool("p", source=device, **{"source.wipe": "true", "lvm.vg_name": "mine"})
        self.assertNotIn("source.wipe", self.api.get(f"{URL}/p")["config"])
        self.assertIn("cannot empty", self.assert_api_error(400, self.pool, "q", source=device, **{"source.wipe": "true"}))
        self.assertIn("force_reuse", self.assert_api_error(400, self.pool, "q", source="mine"))
        self.pool("q", source="mine", **{"lvm.vg.force_reuse": "true"})
        self.api.do("POST", f"{URL}/q/volumes/custom", {"name": "v", "config": {"size": "48MiB"}})
        self.end("p")
        self.assertEqual(self.api.get(f"{URL}/q/volumes/custom/v")["config"]["size"], "48MiB")
        self.api.do("DELETE", f"{URL}/q/volumes/custom/v")
        self.end("q")
        host("vgremove", "-q", "-f", "-y", "mine")
        host("pvremove", "-q", "-y", device)
        self.assertEqual(host("wipefs", device), "")

    def in_one_group(self):
        """Two pools in one volume group have to say so, and the end of one leaves the other's alone."""
        self.pool("p", source="theirs")
        self.assertIn("lvm.vg.force_reuse", self.assert_api_error(400, self.pool, "q", source="theirs"))
        self.assert_api_error(400, self.pool, "q", size="1GiB", **{"lvm.vg.force_reuse": "true"})
        self.pool("q", source="theirs", **{"lvm.vg.force_reuse": "true"})
        self.api.create("a", "tiny", devices=self.root("q", "64MiB"))
        self.api.do("DELETE", f"{URL}/p")
        self.api.start("a")
        self.end("q")

    def test_stripes(self):
        """Volumes over two devices: what the pool says, what a volume says, and a thin pool of both."""
        devices = []
        try:
            for number in range(2):
                image = os.path.join(self.daemon.base, f"half{number}.img")
                host("truncate", "-s", "512M", image)
                devices.append(host("losetup", "-f", "--show", image).strip())
            host("vgcreate", "-q", "-y", "wide", *devices)
            self.over_two_devices()
            host("vgremove", "-q", "-f", "-y", "wide")
            host("pvremove", "-q", "-y", *devices)
        finally:
            for device in devices:
                host("losetup", "-d", device)
        self.assertIn("as many devices", self.assert_api_error(400, self.pool, "p", size="1GiB", **{"volume.lvm.stripes": "2"}))

    def stripes(self):
        """Of everything in the group that has them: (how many, their size)."""
        told = host("lvs", "-a", "--noheadings", "--units", "k", "--separator", ";", "-o", "lv_name,stripes,stripe_size", "wide")
        rows = [line.strip().split(";") for line in told.splitlines()]
        return {name.strip("[]"): (int(count), size) for name, count, size in rows}

    def over_two_devices(self):
        volumes = f"{URL}/p/volumes/custom"
        for wrong in ({"lvm.stripes": "0"}, {"lvm.stripes": "x"}, {"lvm.stripes.size": "5000"}, {"lvm.stripes.size": "2KiB"}):
            self.assert_api_error(400, self.pool, "p", source="wide", **{f"volume.{key}": value for key, value in wrong.items()})
        self.assertIn("as many devices", self.assert_api_error(400, self.pool, "p", source="wide", **{"volume.lvm.stripes": "3"}))
        spread = {"volume.lvm.stripes": "2", "volume.lvm.stripes.size": "16KiB"}
        self.pool("p", source="wide", **spread, **{"lvm.use_thinpool": "false"})
        self.assert_api_error(400, self.api.do, "POST", f"{URL}/default/volumes/custom",
                              {"name": "v", "config": {"lvm.stripes": "2"}})
        self.api.do("POST", volumes, {"name": "v", "config": {"size": "52MiB"}})
        self.assertEqual([shape for name, shape in self.stripes().items() if name.startswith("lxv_")], [(2, "16.00k")])
        self.assertEqual(self.api.get(f"{volumes}/v")["config"]["lvm.stripes"], "2")
        disk = {"type": "disk", "pool": "p", "source": "v", "path": "/srv"}
        self.api.launch("a", "tiny", devices={"v": disk})
        self.api.sh("a", "echo one > /srv/mark")
        for size in (53, 68):  # as large as it is in whole extents of both already, and more
            self.api.do("PATCH", f"{volumes}/v", {"config": {"size": f"{size}MiB"}})
        self.assertGreater(self.df("a", "/srv"), 56 * MIB)
        self.assertEqual([shape for name, shape in self.stripes().items() if name.startswith("lxv_")], [(2, "16.00k")])
        self.remove_instance("a")
        self.api.do("DELETE", f"{volumes}/v")
        self.assertIn("fewer devices", self.assert_api_error(
            400, self.api.do, "POST", volumes, {"name": "w", "config": {"size": "32MiB", "lvm.stripes": "3"}}))
        self.api.do("POST", volumes, {"name": "w", "config": {"size": "32MiB", "lvm.stripes": "1"}})
        self.assertEqual([count for name, (count, _) in self.stripes().items() if name.startswith("lxv_")], [1])
        self.api.do("DELETE", f"{volumes}/w")
        self.end("p")
        self.pool("p", source="wide", **spread)
        self.assertEqual(self.stripes()["LXDThinPool_tdata"], (2, "16.00k"))
        self.api.do("POST", volumes, {"name": "v", "config": {"size": "48MiB"}})
        self.api.do("DELETE", f"{volumes}/v")
        self.end("p")


class GrowthSweep(SweepCases, DaemonCase):
    """kill -9 at every point of the growth of a pool and of a volume in use: both end as large as asked for, and whole. The
    pool grows from point to point, since making one takes long here."""

    test_moments = None
    volume = f"{URL}/grown/volumes/custom/v"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pool_mib, cls.volume_mib = 320, 32
        cls.api.do("POST", URL, {"name": "grown", "driver": "lvm", "config": {"size": f"{cls.pool_mib}MiB"}})
        cls.api.do("POST", f"{URL}/grown/volumes/custom", {"name": "v", "config": {"size": f"{cls.volume_mib}MiB"}})
        cls.api.update("bystander", devices={"v": {"type": "disk", "pool": "grown", "source": "v", "path": "/srv"}})
        cls.api.sh("bystander", "dd if=/dev/urandom of=/srv/much bs=1M count=8 2>/dev/null; md5sum /srv/much > /srv/sum; sync")

    @classmethod
    def tearDownClass(cls):
        cls.api.stop("bystander")
        cls.api.delete("bystander")
        cls.api.do("DELETE", cls.volume)
        cls.api.do("DELETE", f"{URL}/grown")
        super().tearDownClass()

    def room(self):
        return int(self.api.sh("bystander", "df -k /srv").splitlines()[-1].split()[-5]) * 1024

    def prepare(self):
        self.bare = self.room()
        self.before = {f"{URL}/grown": f"{self.pool_mib}MiB", self.volume: f"{self.volume_mib}MiB"}
        type(self).pool_mib += 64
        type(self).volume_mib += 16
        self.wanted = {f"{URL}/grown": f"{self.pool_mib}MiB", self.volume: f"{self.volume_mib}MiB"}

    def operate(self):
        for url, size in self.wanted.items():
            self.api.do("PATCH", url, {"config": {"size": size}})

    def audit(self, point):
        for url in self.wanted:
            self.assertIn(self.api.get(url)["config"]["size"], (self.before[url], self.wanted[url]))
        self.operate()
        for url, size in self.wanted.items():
            self.assertEqual(self.api.get(url)["config"]["size"], size)
        # Beside the thin pool: 64 MiB of directories, and its metadata twice.
        self.assertGreater(self.api.get(f"{URL}/grown/resources")["space"]["total"], (self.pool_mib - 110) * MIB)
        self.assertGreater(self.room(), self.bare + 14 * MIB)  # the file system's own tables have grown, too
        self.api.sh("bystander", "md5sum -c /srv/sum; echo still > /srv/writable; sync")


class LvmRecoverTest(test_recover.BtrfsTest):
    pool_driver, pool_config = "lvm", {"size": "1GiB"}


class QuotaTest(LimitCase):
    """Project quotas: a limit of a running instance's root is raised and lowered, and stops what writes."""
    pools = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for kind, make in (("ext4", ["mkfs.ext4", "-q", "-O", "quota,project"]), ("xfs", ["mkfs.xfs", "-q"])):
            place = os.path.join(cls.daemon.base, kind)
            os.mkdir(place)
            host("truncate", "-s", "500M", f"{place}.img")
            host(*make, f"{place}.img")
            cls.daemon.sandbox.run("mount", "-o", "loop,prjquota", f"{place}.img", place)
            cls.addClassCleanup(cls.daemon.sandbox.run, "umount", place, check=False)
            for driver in ("dir", "overlay"):
                os.makedirs(f"/proc/{cls.daemon.sandbox.pid}/root{place}/{driver}", mode=0o755)
                cls.api.do("POST", URL, {"name": f"{driver}-{kind}", "driver": driver,
                                         "config": {"source": f"{place}/{driver}"}})

    @classmethod
    def tearDownClass(cls):
        for kind in ("ext4", "xfs"):
            for driver in ("dir", "overlay"):
                cls.api.do("DELETE", f"{URL}/{driver}-{kind}")
            cls.daemon.sandbox.run("umount", os.path.join(cls.daemon.base, kind))
        super().tearDownClass()

    def test_root(self):
        for pool in ("dir-ext4", "overlay-ext4", "dir-xfs", "overlay-xfs"):
            with self.subTest(pool=pool):
                self.launch("a", pool, "48MiB")
                self.launch("b", pool)
                self.assertLessEqual(self.total("a"), 48 * MIB)
                self.assertIn(self.fill("a"), range(20, 49))
                self.api.sh("b", "dd if=/dev/zero of=/big bs=1M count=80 && rm /big")
                self.resize("a", pool, "96MiB")
                self.assertGreater(self.total("a"), 90 * MIB)
                self.api.sh("a", "rm /fill; dd if=/dev/zero of=/fill bs=1M count=60; rm /fill; sync")
                self.resize("a", pool, "32MiB")
                self.assertLess(self.fill("a"), 33)
                self.assertEqual(self.disk("a")["total"], 32 * MIB)
                for name in "ab":
                    self.remove_instance(name)


if __name__ == "__main__":
    main()
