"""kill -9 of the daemon at every named point of the moves of images and backups between the state directory and volumes; see
harness/sweep.py."""
import os

from harness.case import DaemonCase, main
from harness.sweep import SweepCases

POOL = "/1.0/storage-pools/default/volumes/custom"
BACKUP = "/1.0/instances/bystander/backups/b"


class MoveSweep(SweepCases, DaemonCase):
    """Into a volume, from one to another, and back."""
    test_moments = None
    occurrences = 15

    def keep(self, place):
        config = {"storage.images_volume": place, "storage.backups_volume": place} if place else {}
        self.api.call("PUT", "/1.0", {"config": config})

    def prepare(self):
        for name in "vw":
            self.api.do("POST", POOL, {"name": name, "config": {}})
        self.api.do("POST", "/1.0/instances/bystander/backups", {"name": "b", "compression_algorithm": "none"})

    def operate(self):
        for place in ("default/v", "default/w", ""):
            self.keep(place)

    def files(self):
        """Of both kinds, wherever they are."""
        state = [os.path.join(self.daemon.root, kind) for kind in ("images", "backups")]
        custom = f"{self.daemon.root}/storage-pools/default/custom"
        found = [os.path.join(top, name) for place in (*state, custom) for top, _, names in os.walk(place) for name in names]
        return [path for path in found if not path.endswith("/backup.yaml")]

    def look(self):
        fingerprint = self.api.get("/1.0/images/aliases/tiny")["target"]
        self.assertEqual(self.api.raw("GET", f"/1.0/images/{fingerprint}/export").status, 200)
        self.assertEqual(self.api.raw("GET", f"{BACKUP}/export").status, 200)
        self.assertEqual(sorted(os.path.basename(path) == fingerprint for path in self.files()), [False, True])

    def audit(self, point):
        self.look()
        self.cleanup()
        self.prepare()
        self.operate()
        self.look()
        self.assertFalse([path for path in self.files() if "/custom/" in path])

    def cleanup(self):
        self.keep("")
        super().cleanup()
        if self.api.raw("GET", BACKUP).status == 200:
            self.api.do("DELETE", BACKUP)
        for url in self.api.get(POOL):
            self.api.do("DELETE", url)


if __name__ == "__main__":
    main()
