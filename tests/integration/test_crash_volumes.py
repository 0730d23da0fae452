"""kill -9 of the daemon at every named point of operations on custom volumes; see harness/sweep.py."""
from harness.case import DaemonCase, main
from harness.volume_sweep import POOL, VolumeSweep


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
