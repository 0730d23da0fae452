"""kill -9 of the daemon at every named point of operations on custom volumes; see harness/sweep.py."""
import os

from harness.case import DaemonCase, main
from harness.sweep import SweepCases

POOL = "/1.0/storage-pools/default/volumes/custom"


class VolumeSweep(SweepCases):
    test_moments = None  # every step is a transaction, and those are points

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.api.do("POST", "/1.0/storage-pools", {"name": "plain", "driver": "dir", "config": {}})

    @classmethod
    def tearDownClass(cls):
        cls.api.stop("bystander")
        cls.api.delete("bystander")
        cls.api.do("DELETE", "/1.0/storage-pools/plain")
        super().tearDownClass()

    def volumes(self):
        return {(v["name"].split("/")[0], pool) for pool in ("default", "plain")
                for v in self.api.get(f"/1.0/storage-pools/{pool}/volumes/custom?recursion=1")}

    def rows(self):
        return sum(len(self.api.get(f"/1.0/storage-pools/{pool}/volumes/custom")) for pool in ("default", "plain"))

    def directories(self):
        return sum(len(os.listdir(f"{self.daemon.root}/storage-pools/{pool}/custom")) for pool in ("default", "plain"))

    def put_disk(self, name):
        disk = {"data": {"type": "disk", "pool": "default", "source": name, "path": "/srv"}} if name else {"data": None}
        self.api.update("bystander", devices=disk)

    def read(self, name, pool="default"):
        """Its content, seen by an instance that has it for the moment."""
        disk = {"type": "disk", "pool": pool, "source": name, "path": "/probe"}
        self.api.update("bystander", devices={"probe": disk})
        text = self.api.sh("bystander", "cat /probe/mark")
        self.api.update("bystander", devices={"probe": None})
        return text

    def write(self, text):
        self.put_disk("v")
        self.api.sh("bystander", f"echo {text} > /srv/mark")

    def cleanup(self):
        self.api.update("bystander", devices={"data": None, "probe": None})
        super().cleanup()
        for name, pool in self.volumes():
            self.api.do("DELETE", f"/1.0/storage-pools/{pool}/volumes/custom/{name}")

    def prepare(self):
        self.api.do("POST", POOL, {"name": "v", "config": {}})
        self.write("then")

    def audit(self, point):
        """Every directory has a row, and every row one."""
        self.assertEqual(self.directories(), self.rows())


class SnapshotSweep(VolumeSweep, DaemonCase):
    """While a running instance has it."""

    def operate(self):
        self.api.do("POST", f"{POOL}/v/snapshots", {"name": "s"})

    def audit(self, point):
        super().audit(point)
        self.assertEqual(self.api.exec("bystander", ["true"])[0], 0)
        if not self.api.get(f"{POOL}/v/snapshots"):
            self.operate()
        self.write("now")
        self.put_disk(None)
        self.api.do("PUT", f"{POOL}/v", {"restore": "s"})
        self.assertEqual(self.read("v"), "then")


class RestoreSweep(SnapshotSweep):
    def prepare(self):
        super().prepare()
        SnapshotSweep.operate(self)
        self.write("now")
        self.put_disk(None)

    def operate(self):
        self.api.do("PUT", f"{POOL}/v", {"restore": "s"})

    def audit(self, point):
        VolumeSweep.audit(self, point)
        self.assertIn(self.read("v"), ("then", "now"))
        self.operate()
        self.assertEqual(self.read("v"), "then")


class MoveSweep(RestoreSweep):
    def operate(self):
        self.api.do("POST", f"{POOL}/v", {"name": "v", "pool": "plain"})

    def audit(self, point):
        VolumeSweep.audit(self, point)
        if ("v", "plain") not in self.volumes():
            self.operate()
        self.assertEqual(self.volumes(), {("v", "plain")})
        self.assertEqual(self.read("v", "plain"), "now")


class DeleteSweep(RestoreSweep):
    def operate(self):
        self.api.do("DELETE", f"{POOL}/v")

    def audit(self, point):
        VolumeSweep.audit(self, point)
        self.assertIn(self.volumes(), (set(), {("v", "default")}))


class HotplugSweep(VolumeSweep, DaemonCase):
    def prepare(self):
        super().prepare()
        self.put_disk(None)

    def operate(self):
        self.put_disk("v")

    def audit(self, point):
        super().audit(point)
        has = "data" in self.api.instance("bystander")["devices"]
        self.assertEqual(self.api.exec("bystander", ["stat", "/srv/mark"])[0] == 0, has)
        reply = self.api.raw("POST", f"{POOL}/v", {"name": "w"})
        self.assertEqual(reply.status, 400 if has else 201)


if __name__ == "__main__":
    main()
