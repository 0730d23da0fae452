"""kill -9 of the daemon at every named point of what makes, copies, refreshes and resizes custom volumes, and of what
makes and deletes pools; see harness/sweep.py."""
import os

from harness.case import DaemonCase, main
from harness.sweep import SweepCases
from harness.volume_sweep import POOL, VolumeSweep

MIB = 1 << 20
POOLS = "/1.0/storage-pools"


class SizedSweep(VolumeSweep):
    """Volumes with files, with a size, which is a file system in a file, and with a disk."""
    bodies = ({"name": "v", "config": {}}, {"name": "limited", "config": {"size": "32MiB"}},
              {"name": "disk", "content_type": "block", "config": {"size": "16MiB"}})

    def make(self):
        there = {name for name, _ in self.volumes()}
        for body in self.bodies:
            if body["name"] not in there:
                self.api.do("POST", POOL, body)

    def total(self, name, pool="default"):
        return self.api.get(f"{POOLS}/{pool}/volumes/custom/{name}/state")["usage"]["total"]

    def disk_size(self):
        """Of the file behind the block volume, which is the only one of its kind."""
        custom = f"{self.daemon.root}/storage-pools/default/custom"
        places = [os.path.join(custom, name, "rootfs/root.img") for name in os.listdir(custom)]
        return [os.stat(place).st_size for place in places if os.path.exists(place)]

    def mark(self, name, text):
        self.put_disk(name)
        self.api.sh("bystander", f"echo {text} > /srv/mark")
        self.put_disk(None)


class CreateSweep(SizedSweep, DaemonCase):
    def prepare(self):
        pass

    def operate(self):
        self.make()

    def audit(self, point):
        super().audit(point)
        self.make()
        self.assertEqual((self.total("limited"), self.disk_size()), (32 * MIB, [16 * MIB]))
        for name in ("v", "limited"):
            self.mark(name, name)
            self.assertEqual(self.read(name), name)


class ResizeSweep(SizedSweep, DaemonCase):
    """While nobody has it: in use not every kernel grows one."""

    def prepare(self):
        self.make()
        self.mark("limited", "kept")

    def resize(self, name, size):
        self.api.do("PATCH", f"{POOL}/{name}", {"config": {"size": size}})

    def operate(self):
        self.resize("limited", "64MiB")
        self.resize("disk", "24MiB")

    def audit(self, point):
        super().audit(point)
        for name, sizes in (("limited", ("32MiB", "64MiB")), ("disk", ("16MiB", "24MiB"))):
            self.assertIn(self.api.get(f"{POOL}/{name}")["config"]["size"], sizes)
        self.operate()
        self.put_disk(None)
        self.assertEqual((self.total("limited"), self.disk_size()), (64 * MIB, [24 * MIB]))
        self.assertEqual(self.read("limited"), "kept")
        self.put_disk("limited")
        self.api.sh("bystander", "dd if=/dev/zero of=/srv/big bs=1M count=40 && sync")


class CopySweep(SizedSweep, DaemonCase):
    """Within a pool and to another, with a snapshot."""

    def prepare(self):
        VolumeSweep.prepare(self)
        self.api.do("POST", f"{POOL}/v/snapshots", {"name": "s"})
        self.write("now")
        self.put_disk(None)

    def copy(self, name, pool):
        self.api.do("POST", f"{POOLS}/{pool}/volumes/custom", {
            "name": name, "source": {"type": "copy", "name": "v", "pool": "default"}})

    def operate(self):
        there = self.volumes()
        for name, pool in (("near", "default"), ("far", "plain")):
            if (name, pool) not in there:
                self.copy(name, pool)

    def audit(self, point):
        super().audit(point)
        self.operate()
        for name, pool in (("v", "default"), ("near", "default"), ("far", "plain")):
            url = f"{POOLS}/{pool}/volumes/custom/{name}"
            self.assertEqual(self.read(name, pool), "now")
            self.api.do("PUT", url, {"restore": "s"})
            self.assertEqual(self.read(name, pool), "then")


class RefreshSweep(CopySweep):
    """The copies lack a snapshot, and have one that the source has no more."""

    def prepare(self):
        super().prepare()
        CopySweep.operate(self)
        self.api.do("DELETE", f"{POOL}/v/snapshots/s")
        self.write("newer")
        self.put_disk(None)
        self.api.do("POST", f"{POOL}/v/snapshots", {"name": "t"})

    def refresh(self, name, pool):
        self.api.do("POST", f"{POOLS}/{pool}/volumes/custom", {
            "name": name, "source": {"type": "copy", "name": "v", "pool": "default", "refresh": True}})

    def operate(self):
        self.refresh("near", "default")
        self.refresh("far", "plain")

    def audit(self, point):
        VolumeSweep.audit(self, point)
        for again in (False, True):
            if again:
                self.operate()
            for name, pool in (("near", "default"), ("far", "plain")):
                url = f"{POOLS}/{pool}/volumes/custom/{name}"
                has = self.read(name, pool), [one.split("/")[-1] for one in self.api.get(f"{url}/snapshots")]
                self.assertIn(has, [("newer", ["t"])] + [("now", ["s"])] * (not again))


class PoolSweep(SweepCases, DaemonCase):
    """Made and deleted: one below the daemon's directory, one in a directory of the user's."""
    test_moments = None
    driver = "dir"

    @classmethod
    def tearDownClass(cls):
        cls.api.stop("bystander")
        cls.api.delete("bystander")
        super().tearDownClass()

    def place(self):
        return os.path.join(self.daemon.base, "place")

    def pools(self):
        return {url.split("/")[-1] for url in self.api.get(POOLS)} - {"default"}

    def make(self):
        os.makedirs(self.place(), exist_ok=True)
        for name, config in (("own", {}), ("placed", {"source": self.place()})):
            if name not in self.pools():
                self.api.do("POST", POOLS, {"name": name, "driver": self.driver, "config": config})

    def operate(self):
        self.make()
        self.cleanup()

    def audit(self, point):
        self.make()
        for name in ("own", "placed"):
            self.api.create("box", "tiny", devices={"root": {"type": "disk", "path": "/", "pool": name}})
            self.assert_starts()
            self.api.delete("box")
        self.cleanup()
        self.assertEqual(os.listdir(os.path.join(self.daemon.root, "storage-pools")), ["default"])
        self.assertEqual(os.listdir(self.place()), [])

    def assert_starts(self):
        self.api.start("box")
        self.assertEqual(self.api.sh("box", "cat /etc/hostname"), "box")
        self.api.stop("box")

    def cleanup(self):
        super().cleanup()
        for name in self.pools():
            self.api.do("DELETE", f"{POOLS}/{name}")


class OverlayPoolSweep(PoolSweep):
    driver = "overlay"


if __name__ == "__main__":
    main()
