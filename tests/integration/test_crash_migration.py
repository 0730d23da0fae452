"""kill -9 of one of two servers at every named point of copies between them; see harness/sweep.py."""
import os

from harness import daemon as daemons
from harness import images, pair
from harness.case import DaemonCase, main
from harness.sweep import CONFIG, SweepCases

VOLUMES = "/1.0/storage-pools/default/volumes/custom"


class MigrationSweep(SweepCases):
    """The daemon that dies is the target; "kept" is at the other one."""
    peer_kind = daemons.Daemon
    test_moments = None  # each takes as long as a copy, and most of that is rsync's

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = pair.Peer(cls.daemon, cls.peer_kind)
        cls.addClassCleanup(cls.peer.daemon.close)
        cls.there = cls.peer.api
        cls.peer.daemon.import_image(images.tiny(), "tiny")
        cls.make(cls.there, "kept")

    @classmethod
    def tearDownClass(cls):
        cls.peer.close()
        super().tearDownClass()

    @staticmethod
    def make(api, name):
        api.create(name, "tiny", config=CONFIG)
        api.push(name, "/root/mark", b"then")
        api.do("POST", f"/1.0/instances/{name}/snapshots", {"name": "s1"})
        api.push(name, "/root/mark", b"now")

    def pull(self, source, near, target, path, name, body):
        """The target fetches it."""
        offer = {"name": name, "migration": True, "live": False}
        operation = source.call("POST", f"{path}/{name}", offer)["metadata"]
        more = body.pop("source", {})
        target.do("POST", path, {**body, "source": {
            "type": "migration", "mode": "pull", "operation": f"{pair.url(near)}/1.0/operations/{operation['id']}",
            "certificate": source.get("/1.0")["environment"]["certificate"], "secrets": operation["metadata"], **more}})

    def operate(self):
        self.pull(self.there, pair.FAR, self.api, "/1.0/instances", "kept", {"name": "copy", "config": CONFIG})

    @staticmethod
    def on_disk(daemon):
        return {kind: len(os.listdir(os.path.join(daemon.root, "storage-pools/default", kind)))
                for kind in ("containers", "snapshots", "custom")}

    @staticmethod
    def in_rows(api):
        instances, volumes = api.get("/1.0/instances"), api.get(VOLUMES)
        return {"containers": len(instances), "custom": len(volumes),
                "snapshots": sum(len(api.get(f"{one}/snapshots")) for one in instances)}

    def wait_for_both(self):
        """One that did not die hears of it, and then clears away what it had for the copy."""
        for daemon in (self.daemon, self.peer.daemon):
            for url in daemon.api.get("/1.0/operations").get("running", []):
                ended = daemon.api.raw("GET", f"{url}/wait?timeout=60")  # 404: it ended a while ago
                self.assertTrue(ended.status == 404 or ended.metadata["status"] != "Running", ended.body)

    def check_both(self):
        """Nothing goes on or is left at either of them."""
        self.wait_for_both()
        for daemon in (self.daemon, self.peer.daemon):
            self.assertEqual(self.on_disk(daemon), self.in_rows(daemon.api))

    def audit(self, point):
        self.check_both()
        self.assertLessEqual(self.names(), {"copy"})
        self.assertEqual(self.there.pull("kept", "/root/mark").body, b"now")
        if self.names():
            self.assertEqual(self.api.pull("copy", "/root/mark").body, b"now")
            self.assert_whole("copy")
            self.api.do("PUT", "/1.0/instances/copy", {"restore": "s1"})
            self.assertEqual(self.api.pull("copy", "/root/mark").body, b"then")


class TargetSweep(MigrationSweep, DaemonCase):
    pass


class RefreshSweep(MigrationSweep, DaemonCase):
    """The copy is the old one or the new one, and can be brought up to date."""

    def prepare(self):
        super().operate()
        self.there.do("POST", "/1.0/instances/kept/snapshots", {"name": "s2"})
        self.there.push("kept", "/root/mark", b"later")

    def operate(self):
        self.pull(self.there, pair.FAR, self.api, "/1.0/instances", "kept", {"name": "copy", "source": {"refresh": True}})

    def audit(self, point):
        self.check_both()
        self.assertEqual(self.names(), {"copy"})
        self.assertIn(self.api.pull("copy", "/root/mark").body, (b"now", b"later"))
        self.assert_whole("copy")
        self.operate()
        self.assertEqual(self.api.pull("copy", "/root/mark").body, b"later")
        self.assertEqual(len(self.api.get("/1.0/instances/copy/snapshots")), 2)

    def cleanup(self):
        super().cleanup()
        if len(self.there.get("/1.0/instances/kept/snapshots")) > 1:
            self.there.do("DELETE", "/1.0/instances/kept/snapshots/s2")
        self.there.push("kept", "/root/mark", b"now")


class SourceSweep(MigrationSweep, DaemonCase):
    """The daemon that dies has what is copied."""

    def prepare(self):
        self.make(self.api, "subject")

    def operate(self):
        self.pull(self.api, pair.NEAR, self.there, "/1.0/instances", "subject", {"name": "copy", "config": CONFIG})

    def audit(self, point):
        self.check_both()
        self.assertEqual(self.api.pull("subject", "/root/mark").body, b"now")
        self.assert_whole("subject")

    def cleanup(self):
        super().cleanup()
        if "copy" in self.peer.daemon.instance_names():
            self.there.delete("copy")


class VolumeSweep(MigrationSweep, DaemonCase):
    """Of a volume, which is there already: it is the old one or the new one."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.there.call("POST", VOLUMES, {"name": "data"})
        cls.there.do("POST", f"{VOLUMES}/data/snapshots", {"name": "v1"})

    def prepare(self):
        self.fetch()
        self.there.do("POST", f"{VOLUMES}/data/snapshots", {"name": "v2"})

    def fetch(self, **source):
        self.pull(self.there, pair.FAR, self.api, VOLUMES, "data", {"name": "data", "type": "custom", "source": source})

    def operate(self):
        self.fetch(refresh=True)

    def audit(self, point):
        self.wait_for_both()
        for daemon in (self.daemon, self.peer.daemon):
            rows = [url for url in daemon.api.get(VOLUMES) if "/snapshots/" not in url]
            count = sum(1 + len(daemon.api.get(f"{url}/snapshots")) for url in rows)
            self.assertEqual((len(rows), self.on_disk(daemon)["custom"]), (1, count))
        self.operate()
        self.assertEqual(len(self.api.get(f"{VOLUMES}/data/snapshots")), 2)

    def cleanup(self):
        super().cleanup()
        for url in self.api.get(VOLUMES):
            if "/snapshots/" not in url:
                self.api.call("DELETE", url)
        if len(self.there.get(f"{VOLUMES}/data/snapshots")) > 1:
            self.there.do("DELETE", f"{VOLUMES}/data/snapshots/v2")


class NewVolumeSweep(VolumeSweep):
    """Of one that is not there yet, whose first tree comes as one stream: it is whole, or not there."""

    def prepare(self):
        pass

    def operate(self):
        self.fetch()

    def audit(self, point):
        rows = [url for url in self.api.get(VOLUMES) if "/snapshots/" not in url]
        self.assertEqual(self.on_disk(self.daemon)["custom"], 2 * len(rows))
        self.cleanup()
        self.operate()
        self.assertEqual(len(self.api.get(f"{VOLUMES}/data/snapshots")), 1)


if __name__ == "__main__":
    main()
