"""kill -9 of the daemon at every named point of snapshots, restores, copies, rebuilds and moves; see harness/sweep.py."""
import os

from harness.case import DaemonCase, main
from harness.sweep import CONFIG, PlainPool, SweepCases


class SnapshotSweep(SweepCases, DaemonCase):
    """Of a running instance, which is frozen for a moment and must not stay so."""

    def prepare(self):
        self.create()
        self.api.push("subject", "/root/mark", b"then")
        self.api.start("subject")

    def operate(self):
        self.api.do("POST", "/1.0/instances/subject/snapshots", {"name": "s"})

    def snapshots(self):
        return [url.rsplit("/", 1)[1] for url in self.api.get("/1.0/instances/subject/snapshots")]

    def snapshot_volumes(self):
        return os.listdir(os.path.join(self.daemon.root, "storage-pools/default/snapshots"))

    def audit(self, point):
        self.assertIn(self.snapshots(), ([], ["s"]))
        self.assertEqual(len(self.snapshot_volumes()), len(self.snapshots()))
        self.assertEqual(self.api.exec("subject", ["true"])[0], 0)
        if not self.snapshots():
            self.operate()
        self.api.stop("subject")
        self.api.push("subject", "/root/mark", b"now")
        self.api.do("PUT", "/1.0/instances/subject", {"restore": "s"})
        self.assertEqual(self.api.pull("subject", "/root/mark").body, b"then")
        self.assert_whole("subject")


class SnapshotDeleteSweep(SnapshotSweep):
    def prepare(self):
        self.create()
        self.api.push("subject", "/root/mark", b"then")
        SnapshotSweep.operate(self)
        self.api.start("subject")

    def operate(self):
        self.api.do("DELETE", "/1.0/instances/subject/snapshots/s")

    def audit(self, point):
        if not self.snapshots():
            self.api.do("POST", "/1.0/instances/subject/snapshots", {"name": "s"})
        super().audit(point)


class RestoreSweep(SnapshotSweep):
    """Config and content come back together or not at all."""

    def prepare(self):
        super().prepare()
        SnapshotSweep.operate(self)
        self.api.update("subject", config={"user.when": "now"})
        self.api.sh("subject", "echo -n now > /root/mark")

    def operate(self):
        self.api.do("PUT", "/1.0/instances/subject", {"restore": "s"})

    def audit(self, point):
        self.assertEqual((self.snapshots(), len(self.snapshot_volumes())), (["s"], 1))
        restored = "user.when" not in self.api.instance("subject")["config"]
        self.assertEqual(self.api.pull("subject", "/root/mark").body, b"then" if restored else b"now")
        self.operate()
        self.assertEqual(self.api.pull("subject", "/root/mark").body, b"then")
        self.assert_whole("subject")


class CopySweep(SnapshotSweep):
    def prepare(self):
        super().prepare()
        SnapshotSweep.operate(self)

    def operate(self):
        self.api.do("POST", "/1.0/instances", {"name": "copied", "source": {"type": "copy", "source": "subject"}})

    def audit(self, point):
        self.assertIn(self.names(), ({"subject"}, {"subject", "copied"}))
        self.assertEqual(len(self.snapshot_volumes()), len(self.names()))
        self.assertEqual(self.api.exec("subject", ["true"])[0], 0)
        if "copied" not in self.names():
            self.operate()
        self.assert_whole("copied")


class RefreshSweep(SnapshotSweep):
    """The copy lacks a snapshot, and has one that the source has no more."""

    def prepare(self):
        super().prepare()
        SnapshotSweep.operate(self)
        CopySweep.operate(self)
        self.api.do("DELETE", "/1.0/instances/subject/snapshots/s")
        self.api.do("POST", "/1.0/instances/subject/snapshots", {"name": "t"})
        self.api.sh("subject", "echo -n now > /root/mark")

    def operate(self):
        self.api.do("POST", "/1.0/instances", {"name": "copied", "source": {
            "type": "copy", "source": "subject", "refresh": True}})

    def audit(self, point):
        self.assertEqual(self.names(), {"subject", "copied"})
        snapshots = [url.rsplit("/", 1)[1] for url in self.api.get("/1.0/instances/copied/snapshots")]
        self.assertIn(snapshots, (["s"], ["t"]))
        self.assertEqual(len(self.snapshot_volumes()), 2)
        self.assertIn(self.api.pull("copied", "/root/mark").body, (b"then", b"now"))
        self.assertEqual(self.api.exec("subject", ["true"])[0], 0)
        self.operate()
        self.assertEqual(self.api.pull("copied", "/root/mark").body, b"now")
        self.api.do("PUT", "/1.0/instances/copied", {"restore": "t"})
        self.assertEqual(self.api.pull("copied", "/root/mark").body, b"then")
        self.assert_whole("copied")


class RebuildSweep(SnapshotSweep):
    def prepare(self):
        self.create()
        self.api.push("subject", "/root/mark", b"then")

    def operate(self):
        self.api.do("POST", "/1.0/instances/subject/rebuild", {"source": {"type": "image", "alias": "tiny"}})

    def audit(self, point):
        self.assertEqual(self.snapshot_volumes(), [])
        self.operate()
        self.assertEqual(self.api.raw("GET", self.api.file_target("subject", "/root/mark")).status, 404)
        self.assert_whole("subject")


class MoveSweep(PlainPool, SnapshotSweep):
    def prepare(self):
        self.create()
        self.api.push("subject", "/root/mark", b"then")
        SnapshotSweep.operate(self)

    def operate(self):
        self.api.do("POST", "/1.0/instances/subject", {"name": "subject", "migration": True, "pool": "plain"})

    def audit(self, point):
        self.assertEqual(self.names(), {"subject"})
        pool = self.api.instance("subject")["expanded_devices"]["root"]["pool"]
        other = {"plain": "default", "default": "plain"}[pool]
        for kind, count in (("snapshots", 1), ("containers", 1)):
            found = [name for name in os.listdir(f"{self.daemon.root}/storage-pools/{pool}/{kind}") if name != "bystander"]
            self.assertEqual(len(found), count, f"{kind} in {pool}")
            left = [name for name in os.listdir(f"{self.daemon.root}/storage-pools/{other}/{kind}") if name != "bystander"]
            self.assertEqual(left, [], f"{kind} in {other}")
        if pool == "default":
            self.operate()
        self.api.do("PUT", "/1.0/instances/subject", {"restore": "s"})
        self.assertEqual(self.api.pull("subject", "/root/mark").body, b"then")
        self.assert_whole("subject")


if __name__ == "__main__":
    main()
