"""A pool on a file system that is full: every step of what makes volumes fails with the name of what it was for, leaves
nothing, harms nothing, and goes through once there is room."""
import glob
import os
import pathlib
import subprocess
import time

from harness.case import DaemonCase, main
from harness.rest import ApiError

KIB = 1 << 10
URL = "/1.0/storage-pools"
STEPS = (0, 16, 64, 256, 512, 1024, 2048, 4096, 8192)  # KiB that are free; at the end everything fits


class FullBase(DaemonCase):
    pools = ("dir", "overlay")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.places = {}
        for driver in cls.pools:
            place = os.path.join(cls.daemon.base, f"small-{driver}")
            os.mkdir(place)
            with open(f"{place}.img", "wb") as file:
                file.truncate((128 if driver == "btrfs" else 96) << 20)
            make = ["mkfs.btrfs", "-q", "-M"] if driver == "btrfs" else ["mkfs.ext4", "-q", "-m", "0"]
            subprocess.run([*make, f"{place}.img"], check=True)
            cls.daemon.sandbox.run("mount", "-o", "loop", f"{place}.img", place)
            cls.places[driver] = f"/proc/{cls.daemon.sandbox.pid}/root{place}"
            cls.api.do("POST", URL, {"name": f"small-{driver}", "driver": driver, "config": {"source": place}})

    @classmethod
    def tearDownClass(cls):
        for driver in cls.pools:
            cls.api.do("DELETE", f"{URL}/small-{driver}")
            cls.daemon.sandbox.run("umount", os.path.join(cls.daemon.base, f"small-{driver}"))
        super().tearDownClass()

    def ballast(self, driver):
        return os.path.join(self.places[driver], "ballast")

    def leave(self, driver, kibibytes):
        """Only so much is free afterwards."""
        if os.path.exists(self.ballast(driver)):
            os.unlink(self.ballast(driver))
        if kibibytes is None:
            return
        info = os.statvfs(self.places[driver])
        size = info.f_bavail * info.f_frsize - kibibytes * KIB
        if driver == "btrfs":
            return self.leave_on_btrfs(kibibytes)
        with open(self.ballast(driver), "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size - 64 * KIB, 1))  # its extents take blocks too
            try:
                while (now := os.statvfs(self.places[driver])).f_bavail * now.f_frsize > kibibytes * KIB:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, now.f_frsize)
            except OSError:
                pass

    def leave_on_btrfs(self, kibibytes):
        """What statfs(2) shows there may be taken by anything: filled to the end, then that much is given back."""
        place = self.ballast("btrfs")
        with open(place, "wb") as file:
            for step in (4096 * KIB, 64 * KIB, 4 * KIB):
                try:
                    while True:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
                except OSError:
                    pass
            os.ftruncate(file.fileno(), os.fstat(file.fileno()).st_size - kibibytes * KIB)
            os.fsync(file.fileno())

    def listing(self, driver):
        """What the pool holds; an unpacked image is worth keeping, whatever came of the instance."""
        place = self.places[driver]
        return {(folder, name) for folder in ("containers", "custom", "snapshots", "tmp")
                for name in os.listdir(os.path.join(place, folder))}

    def assert_as_before(self, driver, before, what):
        """What takes long to remove goes in the background."""
        deadline = time.monotonic() + 60
        while (now := self.listing(driver)) != before and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(now, before, what)

    def sweep(self, driver, subject, work, unharmed, steps=STEPS):
        """Does the work with ever more room until it succeeds; at least once it must have failed."""
        failures = 0
        for free in steps + (None,):
            # What was deleted before may still be on its way.
            before = {one for one in self.listing(driver) if not one[1].startswith("trash-")}
            self.leave(driver, free)
            try:
                work()
            except ApiError as error:
                failures += 1
                self.assertIn("No space left", error.message, f"{free} KiB")
                self.assertIn(subject, error.message)
                self.leave(driver, None)
                self.assert_as_before(driver, before, f"left behind with {free} KiB free")
                unharmed()
                continue
            self.leave(driver, None)
            break
        self.assertGreater(failures, 0, "it was never full")
        self.assertTrue(free is not None or failures == len(steps))


    def devices(self, driver):
        return {"root": {"type": "disk", "path": "/", "pool": f"small-{driver}"}}


class FullTest(FullBase):
    pools = ("dir", "overlay", "btrfs")

    def check(self, driver):
        pool = f"{URL}/small-{driver}/volumes/custom"
        self.sweep(driver, "'a'", lambda: self.api.create("a", "tiny", devices=self.devices(driver)), lambda: None)
        self.api.start("a")
        self.api.sh("a", "dd if=/dev/urandom of=/much bs=1k count=3000 2>/dev/null; md5sum /much > /sum; sync")

        def whole(name="a"):
            if self.api.instance(name)["status"] != "Running":
                self.api.start(name)
            self.api.sh(name, "md5sum -c /sum")
        self.sweep(driver, "'a/s'", lambda: self.api.do("POST", "/1.0/instances/a/snapshots", {"name": "s"}), whole)
        self.sweep(driver, "'b'", lambda: self.api.do("POST", "/1.0/instances", {
            "name": "b", "source": {"type": "copy", "source": "a", "instance_only": True}}), whole)
        whole("b")
        self.sweep(driver, "'a'", lambda: self.api.do("PUT", "/1.0/instances/a", {"restore": "s"}), whole)
        whole()
        self.api.do("POST", pool, {"name": "v", "config": {}})
        disk = {"type": "disk", "pool": f"small-{driver}", "source": "v", "path": "/srv"}
        self.api.update("a", devices={"v": disk})
        self.api.sh("a", "cp /much /sum /srv; sync")

        def volume_whole():
            self.api.sh("a", "cmp /much /srv/much")
        self.sweep(driver, "'v'", lambda: self.api.do("POST", f"{pool}/v/snapshots", {"name": "s"}), volume_whole)
        self.sweep(driver, "'w'", lambda: self.api.do("POST", pool, {"name": "w", "source": {
            "type": "copy", "name": "v", "pool": f"small-{driver}", "volume_only": True}}), volume_whole)
        self.api.update("a", devices={"v": None})
        self.sweep(driver, "'v'", lambda: self.api.do("PUT", f"{pool}/v", {"restore": "s"}), lambda: None)
        for name in "vw":
            self.api.do("DELETE", f"{pool}/{name}")
        for name in "ab":
            self.remove_instance(name)

    def test_dir(self):
        self.check("dir")

    def test_overlay(self):
        self.check("overlay")

    def test_btrfs(self):
        """Snapshots and copies share all data: what there is no room for is the trees' own blocks."""
        self.check("btrfs")


class OptimizedTest(FullBase):
    """Backups in btrfs' own form, made and read."""
    pools = ("btrfs",)
    steps = (0, 64, 1024)

    def whole(self, name="m"):
        for number in range(2):
            self.assertEqual(self.api.pull(name, f"/much{number}").body, self.much[number])

    def sweep_some(self, subject, work):
        self.sweep("btrfs", subject, work, self.whole, self.steps)

    def back_up(self):
        self.api.do("POST", "/1.0/instances/m/backups", {"name": "b", "optimized_storage": True, "compression_algorithm": "none"})

    def test_backup_and_import(self):
        self.much = [os.urandom(2000 * KIB) for _ in range(2)]
        self.api.create("m", "tiny", devices=self.devices("btrfs"))
        self.api.push("m", "/much0", self.much[0])
        self.api.do("POST", "/1.0/instances/m/snapshots", {"name": "s"})
        self.api.push("m", "/much1", self.much[1])
        self.sweep_some("'m'", self.back_up)
        data = self.api.raw("GET", "/1.0/instances/m/backups/b/export").body
        self.api.do("DELETE", "/1.0/instances/m/backups/b")
        pool = {"X-LXD-pool": "small-btrfs", "Content-Type": "application/octet-stream"}
        self.sweep_some("'i'", lambda: self.api.do("POST", "/1.0/instances", data, {**pool, "X-LXD-name": "i"}))
        self.whole("i")
        self.api.do("PUT", "/1.0/instances/i", {"restore": "s"})
        self.assertEqual(self.api.raw("GET", self.api.file_target("i", "/much1")).status, 404)
        self.assertEqual(self.api.pull("i", "/much0").body, self.much[0])
        self.leave("btrfs", 0)  # what makes room goes when there is none
        for name in "im":
            self.remove_instance(name)
        self.leave("btrfs", None)


class GrowTest(FullBase):
    """A btrfs pool in a file, on a file system that has no room for what growing it writes."""
    pools = ("dir",)

    def test_btrfs_pool(self):
        disks = os.path.join(self.daemon.root, "disks")
        os.makedirs(disks, mode=0o700, exist_ok=True)
        inner = os.path.join(self.daemon.base, "small-dir")
        self.daemon.sandbox.run("mkdir", f"{inner}/disks")
        self.daemon.sandbox.run("mount", "--bind", f"{inner}/disks", disks)
        self.api.do("POST", URL, {"name": "grown", "driver": "btrfs", "config": {"size": "256MiB"}})
        self.api.create("a", "tiny", devices={"root": {"type": "disk", "path": "/", "pool": "grown"}})
        much = os.urandom(3000 * KIB)
        pool = os.path.join(self.daemon.root, "storage-pools", "grown")

        def push(path, content):
            """And nothing is left to be written when the file system underneath is full."""
            self.api.push("a", path, content)
            self.daemon.sandbox.run("sync", "-f", pool)
        push("/much", much)

        def unharmed():
            self.assertEqual(self.api.pull("a", "/much").body, much)
            self.assertEqual(self.api.get(f"{URL}/grown")["config"]["size"], "256MiB")
            self.assertEqual(self.api.get(f"{URL}/grown/resources")["space"]["total"], 256 << 20)
            push("/more", b"there is room again")
        self.sweep("dir", "'grown'", lambda: self.api.do("PATCH", f"{URL}/grown", {"config": {"size": "512MiB"}}), unharmed,
                   (0, 64, 1024, 4096))
        self.assertEqual(self.api.get(f"{URL}/grown/resources")["space"]["total"], 512 << 20)
        self.assertEqual(self.api.pull("a", "/much").body, much)
        self.remove_instance("a")
        self.api.do("DELETE", f"{URL}/grown")
        self.daemon.sandbox.run("umount", disks)
        self.daemon.sandbox.run("rmdir", f"{inner}/disks")


class ArrivalTest(FullBase):
    """What comes from elsewhere: moves from another pool, imports, and the image of a rebuild."""
    pools = ("dir", "overlay", "btrfs")
    steps = (0, 256, 1024)

    def backup(self, url):
        self.api.do("POST", f"{url}/backups", {"name": "b", "compression_algorithm": "none"})
        data = self.api.raw("GET", f"{url}/backups/b/export").body
        self.api.do("DELETE", f"{url}/backups/b")
        return data

    def check(self, driver):
        here, there = f"{URL}/default/volumes/custom", f"{URL}/small-{driver}/volumes/custom"
        pool = {"X-LXD-pool": f"small-{driver}", "Content-Type": "application/octet-stream"}
        self.api.create("m", "tiny")
        self.api.push("m", "/much", os.urandom(3000 * KIB))
        self.api.do("POST", "/1.0/instances/m/snapshots", {"name": "s"})
        much = self.api.pull("m", "/much").body

        def whole(name="m"):
            self.assertEqual(self.api.pull(name, "/much").body, much)

        def sweep(subject, work, unharmed=whole):
            self.sweep(driver, subject, work, unharmed, self.steps)
        data = self.backup("/1.0/instances/m")
        sweep("'i'", lambda: self.api.do("POST", "/1.0/instances", data, {**pool, "X-LXD-name": "i"}))
        whole("i")
        sweep("'m'", lambda: self.api.do("POST", "/1.0/instances/m", {"name": "m", "migration": True, "pool": f"small-{driver}"}))
        whole()
        self.assertIn("m", os.listdir(os.path.join(self.places[driver], "containers")))
        if driver == "dir":  # the others' share the image's files
            sweep("'i'", lambda: self.api.do("POST", "/1.0/instances/i/rebuild", {"source": {"type": "image", "alias": "tiny"}}),
                  lambda: whole("i"))
        self.api.do("POST", here, {"name": "v", "config": {}})
        self.api.launch("a", "tiny", devices={"v": {"type": "disk", "pool": "default", "source": "v", "path": "/srv"}})
        self.api.sh("a", "dd if=/dev/urandom of=/srv/much bs=1k count=3000 2>/dev/null; sync")
        self.remove_instance("a")
        data = self.backup(f"{here}/v")
        sweep("'w'", lambda: self.api.do("POST", there, data, {**pool, "X-LXD-name": "w"}))
        sweep("'v'", lambda: self.api.do("POST", f"{here}/v", {"name": "v", "pool": f"small-{driver}"}))
        for name in "vw":
            self.api.do("DELETE", f"{there}/{name}")
        for name in "im":
            self.remove_instance(name)

    def test_dir(self):
        self.check("dir")

    def test_overlay(self):
        self.check("overlay")

    def test_btrfs(self):
        self.check("btrfs")


class NewTest(FullBase):
    """What is made anew: volumes with a file system of their own, pools; and what is brought up to date."""
    steps = (0, 64, 1024)

    def content(self, driver, kind):
        """Of the volume, or of the instance's root."""
        path, = glob.glob(f"{self.places[driver]}/{kind}/*/*/much")
        return pathlib.Path(path).read_bytes()

    def check(self, driver):
        here, there = f"{URL}/default/volumes/custom", f"{URL}/small-{driver}/volumes/custom"
        copy = {"name": "r", "source": {"type": "copy", "name": "v", "pool": "default", "refresh": True}}
        refresh = {"name": "i", "source": {"type": "copy", "source": "a", "refresh": True}, "devices": self.devices(driver)}

        def sweep(subject, work, unharmed=lambda: None):
            self.sweep(driver, subject, work, unharmed, self.steps)
        sweep("'limited'", lambda: self.api.do("POST", there, {"name": "limited", "config": {"size": "32MiB"}}))
        self.api.do("DELETE", f"{there}/limited")
        self.api.do("POST", here, {"name": "v", "config": {}})
        self.api.launch("a", "tiny", devices={"v": {"type": "disk", "pool": "default", "source": "v", "path": "/srv"}})
        write = "for at in /srv /; do (echo {0}; dd if=/dev/urandom bs=1k count=3000 2> /dev/null) > $at/much; done; sync"
        self.api.sh("a", write.format("then"))
        self.api.do("POST", there, copy)
        self.api.do("POST", "/1.0/instances", refresh)
        before = {kind: self.content(driver, kind) for kind in ("custom", "containers")}

        def unharmed(kind):
            self.assertEqual(self.content(driver, kind)[:100], before[kind][:100])
        self.api.sh("a", write.format("now"))
        sweep("'r'", lambda: self.api.do("POST", there, copy), lambda: unharmed("custom"))
        sweep("'i'", lambda: self.api.do("POST", "/1.0/instances", refresh), lambda: unharmed("containers"))
        self.assertEqual([self.content(driver, kind)[:4] for kind in before], [b"now\n"] * 2)
        self.api.do("DELETE", f"{there}/r")
        for name in "ai":
            self.remove_instance(name)
        self.api.do("DELETE", f"{here}/v")

    def test_dir(self):
        self.check("dir")

    def test_overlay(self):
        self.check("overlay")

    def test_pools(self):
        place = os.path.join(self.places["dir"], "pool")
        os.mkdir(place)
        inside = os.path.join(self.daemon.base, "small-dir", "pool")
        self.sweep("dir", "'other'", lambda: self.api.do("POST", URL, {"name": "other", "driver": "dir", "config": {
            "source": inside}}), lambda: self.assertEqual(os.listdir(place), []), (0,))
        self.api.do("DELETE", f"{URL}/other")
        os.rmdir(place)


if __name__ == "__main__":
    main()
