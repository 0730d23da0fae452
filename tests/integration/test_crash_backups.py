"""kill -9 of the daemon at every named point while a backup is made and while one is imported; see harness/sweep.py."""
import os

from harness.case import DaemonCase, main
from harness.sweep import SweepCases
from harness.volume_sweep import POOL, VolumeSweep

URL = "/1.0/instances/subject/backups"


class BackupSweep(SweepCases, DaemonCase):
    options_of_backup = {}
    test_moments = None  # every step is a transaction or the writing of one file, and those are points

    def prepare(self):
        self.create()
        self.api.start("subject")

    def operate(self):
        self.api.do("POST", URL, {"name": "b", "compression_algorithm": "none", **self.options_of_backup})

    def count(self, path):
        folder = os.path.join(self.daemon.root, path)
        return len(os.listdir(folder)) if os.path.exists(folder) else 0

    def audit(self, point):
        backups = self.api.get(URL)
        self.assertIn(backups, ([], [f"{URL}/b"]))
        self.assertEqual(self.count("backups"), len(backups))
        self.assertEqual(self.count("storage-pools/default/snapshots"), 0)
        self.assertEqual(self.api.exec("subject", ["true"])[0], 0)
        if not backups:
            self.operate()
        self.assertEqual(self.api.raw("GET", f"{URL}/b/export").status, 200)
        self.assert_whole("subject")


class ImportSweep(BackupSweep):
    test_moments = SweepCases.test_moments  # it is unpacked while it comes
    moments = 12
    data = None

    def prepare(self):
        if self.data is None:
            self.create()
            self.api.do("POST", "/1.0/instances/subject/snapshots", {"name": "s"})
            self.api.do("POST", URL, {"name": "b", "compression_algorithm": "none", **self.options_of_backup})
            type(self).data = self.api.raw("GET", f"{URL}/b/export").body
            self.api.delete("subject")

    def operate(self):
        self.api.do("POST", "/1.0/instances", self.data, {"Content-Type": "application/octet-stream"})

    def audit(self, point):
        self.assertIn(self.names(), (set(), {"subject"}))
        self.assertEqual(self.count("storage-pools/default/snapshots"), len(self.names()))
        self.assertEqual(self.count("storage-pools/default/containers"), 1 + len(self.names()))
        self.assertEqual(self.count("tmp"), 0)
        if not self.names():
            self.operate()
        self.api.do("PUT", "/1.0/instances/subject", {"restore": "s"})
        self.assert_whole("subject")


class VolumeBackupSweep(VolumeSweep, DaemonCase):
    """Of a volume that a running instance has, with a snapshot, and of a disk."""
    bodies = ({"name": "disk", "content_type": "block", "config": {"size": "16MiB"}},)
    count = BackupSweep.count

    def prepare(self):
        super().prepare()
        for body in self.bodies:
            self.api.do("POST", POOL, body)
        self.api.do("POST", f"{POOL}/v/snapshots", {"name": "s"})
        self.write("now")

    def backups(self):
        return [url for name in ("v", "disk") for url in self.api.get(f"{POOL}/{name}/backups")]

    def operate(self):
        for name in ("v", "disk"):
            if not self.api.get(f"{POOL}/{name}/backups"):
                self.api.do("POST", f"{POOL}/{name}/backups", {"name": "b", "compression_algorithm": "none"})

    def audit(self, point):
        super().audit(point)
        self.assertEqual(self.count("backups"), len(self.backups()))
        self.assertEqual(self.api.exec("bystander", ["true"])[0], 0)
        self.operate()
        self.assertEqual(self.count("backups"), 2)
        for url in self.backups():
            self.assertEqual(self.api.raw("GET", f"{url}/export").status, 200)


class VolumeImportSweep(VolumeBackupSweep):
    data = None

    def prepare(self):
        if self.data is None:
            super().prepare()
            super().operate()
            type(self).data = {url.split("/")[-3]: self.api.raw("GET", f"{url}/export").body for url in self.backups()}
            self.cleanup()

    def operate(self):
        there = {name for name, _ in self.volumes()}
        for name in sorted(set(self.data) - there):
            self.api.do("POST", POOL, self.data[name], {"Content-Type": "application/octet-stream"})

    def audit(self, point):
        VolumeSweep.audit(self, point)
        self.assertEqual(self.count("tmp"), 0)
        self.operate()
        self.assertEqual(self.directories(), 3)
        self.assertEqual(self.read("v"), "now")
        self.api.do("PUT", f"{POOL}/v", {"restore": "s"})
        self.assertEqual(self.read("v"), "then")


if __name__ == "__main__":
    main()
