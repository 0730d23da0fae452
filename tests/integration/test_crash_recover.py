"""kill -9 of the daemon at every named point of `recover`, which brings back what a lost database knew; see harness/sweep.py."""
import os
import pathlib
import shutil
import time

from harness import daemon as daemons
from harness import images
from harness.case import DaemonCase, main
from harness.rest import PATIENCE
from harness.sweep import CONFIG, SweepCases

POOLS = "/1.0/storage-pools"
DATA = f"{POOLS}/plain/volumes/custom/data"


class RecoverSweep(SweepCases, DaemonCase):
    """There is no bystander: no database knows one."""
    test_moments = None  # every step is a transaction, and those are points
    occurrences = 20

    @classmethod
    def setUpClass(cls):
        super(SweepCases, cls).setUpClass()

    def make(self):
        self.api.do("POST", POOLS, {"name": "plain", "driver": "dir", "config": {}})
        self.api.do("POST", f"{POOLS}/plain/volumes/custom", {"name": "data", "config": {"user.v": "w"}})
        self.api.do("POST", f"{DATA}/snapshots", {"name": "v1"})
        disk = {"type": "disk", "pool": "plain", "source": "data", "path": "/data"}
        self.api.create("subject", "tiny", config=CONFIG, devices={"data": disk})
        self.api.push("subject", "/root/mark", b"then")
        self.api.do("POST", "/1.0/instances/subject/snapshots", {"name": "s"})
        self.api.push("subject", "/root/mark", b"now")
        for text, note in (('name: "subject"', "default/containers"), ('"s"', "default/snapshots"), ('"w"', "plain/custom"),
                           ('"v1"', "plain/custom")):
            self.wait_noted(text, note)

    def wait_noted(self, text, kind):
        deadline = time.monotonic() + 20 * PATIENCE
        place = pathlib.Path(self.daemon.root, "storage-pools")
        while not any(text in path.read_text() for path in place.glob(f"{kind}/*/backup.yaml")):
            self.assertLess(time.monotonic(), deadline, f"no note in {kind} says {text!r}")
            time.sleep(0.02)

    def prepare(self):
        if not self.api.get("/1.0/images"):
            self.daemon.import_image(images.tiny(), "tiny")
        self.make()
        self.daemon.kill()
        shutil.rmtree(os.path.join(self.daemon.root, "database"))
        self.daemon.start()
        self.daemon.sandbox.run("ip", "link", "delete", daemons.BRIDGE)
        self.api.do("POST", "/1.0/networks", {"name": daemons.BRIDGE, "type": "bridge", "description": "", "config": {
            "ipv4.address": f"{daemons.SUBNET}.1/24", "ipv4.nat": "true", "ipv6.address": "none"}})

    def operate(self):
        found = self.api.call("POST", "/internal/recover/import", {})["metadata"]
        self.assertEqual(found["DependencyErrors"], [])

    def check_world(self):
        self.wait_idle()

    def on_disk(self, kind):
        return len(os.listdir(os.path.join(self.daemon.root, "storage-pools", kind)))

    def audit(self, point):
        """Each object is there whole or not at all; once more, and all of it is."""
        for name in self.daemon.instance_names():
            self.assertEqual(self.api.get(f"/1.0/instances/{name}/snapshots"), [f"/1.0/instances/{name}/snapshots/s"])
        self.operate()
        self.assertEqual([self.on_disk(kind) for kind in ("default/containers", "default/snapshots", "plain/custom")], [1, 1, 2])
        self.assertEqual(self.api.get(DATA)["config"]["user.v"], "w")
        self.assertEqual(self.api.get(f"{DATA}/snapshots"), [f"{DATA}/snapshots/v1"])
        self.assertEqual(self.api.pull("subject", "/root/mark").body, b"now")
        self.api.do("PUT", "/1.0/instances/subject", {"restore": "s"})
        self.assertEqual(self.api.pull("subject", "/root/mark").body, b"then")
        self.assert_whole("subject")

    def cleanup(self):
        self.operate()  # after an audit that failed
        super().cleanup()
        if f"{POOLS}/plain" in self.api.get(POOLS):
            if self.api.get(f"{POOLS}/plain/volumes/custom"):
                self.api.do("DELETE", DATA)
            self.api.do("DELETE", f"{POOLS}/plain")


if __name__ == "__main__":
    main()
