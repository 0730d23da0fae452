"""kill -9 of the daemon at every named point of the small operations on volumes, snapshots, backups, aliases, images and pools:
renaming, changing, detaching and deleting; see harness/sweep.py."""
import os

from harness.case import DaemonCase, main
from harness.sweep import SweepCases
from harness.volume_sweep import POOL, VolumeSweep


class Many:
    """Some operations in one sweep, each of a transaction or two."""
    test_moments = None
    occurrences = 40

    def backup_files(self):
        folder = os.path.join(self.daemon.root, "backups")
        return len(os.listdir(folder)) if os.path.exists(folder) else 0

    def once_more(self):
        """Whatever a crash left can be taken away, and everything goes well from the beginning."""
        self.cleanup()
        self.assertEqual(self.backup_files(), 0)
        self.prepare()
        self.operate()
        self.look()


class VolumeUpkeepSweep(Many, VolumeSweep, DaemonCase):
    def prepare(self):
        super().prepare()
        for name in ("s", "t"):
            self.api.do("POST", f"{POOL}/v/snapshots", {"name": name})
        self.write("now")
        for name in ("b", "c"):
            self.api.do("POST", f"{POOL}/v/backups", {"name": name, "compression_algorithm": "none"})

    def operate(self):
        self.put_disk(None)
        self.api.do("PATCH", f"{POOL}/v", {"config": {"snapshots.expiry": "1d", "user.a": "b"}})
        self.api.do("POST", f"{POOL}/v/snapshots/s", {"name": "r"})
        self.api.do("PATCH", f"{POOL}/v/snapshots/r", {"description": "kept", "expires_at": "2099-01-02T03:04:05Z"})
        self.api.do("DELETE", f"{POOL}/v/snapshots/t")
        self.api.do("POST", f"{POOL}/v/backups/b", {"name": "d"})
        self.api.do("DELETE", f"{POOL}/v/backups/c")
        self.api.do("POST", f"{POOL}/v", {"name": "w"})

    def look(self):
        self.assertEqual(self.volumes(), {("w", "default")})
        self.assertEqual([self.api.get(f"{POOL}/w/{kind}") for kind in ("snapshots", "backups")],
                         [[f"{POOL}/w/snapshots/r"], [f"{POOL}/w/backups/d"]])
        self.assertEqual(self.api.raw("GET", f"{POOL}/w/backups/d/export").status, 200)
        self.assertEqual(self.read("w"), "now")
        self.api.do("PUT", f"{POOL}/w", {"restore": "r"})
        self.assertEqual(self.read("w"), "then")

    def audit(self, point):
        super().audit(point)
        (name, _), = self.volumes()
        self.assertIn(name, "vw")
        self.assertEqual(self.backup_files(), len(self.api.get(f"{POOL}/{name}/backups")))
        has = "data" in self.api.instance("bystander")["devices"]
        self.assertEqual(self.api.exec("bystander", ["stat", "/srv/mark"])[0] == 0, has)
        self.put_disk(None)
        self.assertEqual(self.read(name), "now")
        self.once_more()


class InstanceUpkeepSweep(Many, SweepCases, DaemonCase):
    """Of snapshots and backups of an instance that runs."""
    URL = "/1.0/instances/subject"

    def prepare(self):
        self.create()
        for name in ("s", "t"):
            self.api.do("POST", f"{self.URL}/snapshots", {"name": name})
        self.api.start("subject")
        for name in ("b", "c"):
            self.api.do("POST", f"{self.URL}/backups", {"name": name, "compression_algorithm": "none"})

    def operate(self):
        self.api.do("POST", f"{self.URL}/snapshots/s", {"name": "r"})
        self.api.do("PUT", f"{self.URL}/snapshots/r", {"expires_at": "2099-01-02T03:04:05Z"})
        self.api.do("DELETE", f"{self.URL}/snapshots/t")
        self.api.do("POST", f"{self.URL}/backups/b", {"name": "d"})
        self.api.do("DELETE", f"{self.URL}/backups/c")

    def urls(self, kind):
        return [one.rsplit("/", 1)[1] for one in self.api.get(f"{self.URL}/{kind}")]

    def look(self):
        self.assertEqual((self.urls("snapshots"), self.urls("backups")), (["r"], ["d"]))
        self.assertEqual(self.api.raw("GET", f"{self.URL}/backups/d/export").status, 200)
        self.assert_whole("subject")

    def audit(self, point):
        self.assertEqual(self.names(), {"subject"})
        self.assertEqual(self.backup_files(), len(self.urls("backups")))
        snapshots = os.listdir(os.path.join(self.daemon.root, "storage-pools/default/snapshots"))
        self.assertEqual(len(snapshots), len(self.urls("snapshots")))
        self.assertEqual(self.api.exec("subject", ["true"])[0], 0)
        self.once_more()


class ImageAndPoolSweep(Many, SweepCases, DaemonCase):
    """Aliases and properties of an image; what can be said of a pool."""
    ALIASES = "/1.0/images/aliases"
    DEFAULT = "/1.0/storage-pools/default"

    def prepare(self):
        self.image = self.api.get(f"{self.ALIASES}/tiny")["target"]

    def operate(self):
        self.api.call("POST", self.ALIASES, {"name": "one", "target": self.image, "description": ""})
        self.api.call("PATCH", f"{self.ALIASES}/one", {"description": "changed"})
        self.api.call("POST", f"{self.ALIASES}/one", {"name": "two"})
        self.api.call("PATCH", f"/1.0/images/{self.image}", {"public": True, "properties": {"note": "new"}})
        self.api.call("PATCH", self.DEFAULT, {"config": {"volume.size": "48MiB", "rsync.bwlimit": "10MiB"}, "description": "d"})

    def look(self):
        self.assertEqual(self.api.get(f"{self.ALIASES}/two")["description"], "changed")
        self.assertEqual(self.api.get(f"/1.0/images/{self.image}")["properties"]["note"], "new")
        self.assertEqual(self.api.get(self.DEFAULT)["config"]["volume.size"], "48MiB")
        self.create()
        self.assert_whole("subject")

    def audit(self, point):
        names = {url.rsplit("/", 1)[1] for url in self.api.get(self.ALIASES)}
        self.assertIn(names, ({"tiny"}, {"tiny", "one"}, {"tiny", "two"}))
        config = self.api.get(self.DEFAULT)["config"]
        self.assertEqual("volume.size" in config, "rsync.bwlimit" in config)
        self.once_more()

    def cleanup(self):
        super().cleanup()
        for url in self.api.get(self.ALIASES):
            if not url.endswith("/tiny"):
                self.api.call("DELETE", url)
        url = "/1.0/images/" + self.api.get(f"{self.ALIASES}/tiny")["target"]
        image = self.api.get(url)
        image["properties"].pop("note", None)
        self.api.call("PUT", url, {**image, "public": False})
        self.api.call("PUT", self.DEFAULT, {"config": {}, "description": ""})


if __name__ == "__main__":
    main()
