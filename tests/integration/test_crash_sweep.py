"""kill -9 of the daemon at every named point of every operation; after a restart nothing is lost, half-made or left over.

The points are listed by doing the operation once with LXMGR_FAILPOINT_LOG; then the daemon is killed at each of them in
turn. Needs binaries built with LXMGR_FAILPOINTS (preset failpoints)."""
import collections
import glob
import http.client
import os
import sqlite3
import tarfile
import threading
import time

from harness import images
from harness.case import DaemonCase, main
from harness.leaks import LeakCheck
from harness.rest import ApiError

CONFIG = {"user.promise": "kept", "limits.memory": "200MiB"}
OCCURRENCES = 2  # of the same point within one operation
MOMENTS = 24     # of an operation at which it is killed from outside


class SweepCases:
    """`prepare` makes what the operation needs, `operate` is the operation, `audit` looks at what a crash left of it."""

    def prepare(self):
        pass

    def operate(self):
        raise NotImplementedError

    def audit(self, point):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.api.launch("bystander", "tiny", config=CONFIG)
        cls.bystander = cls.api.state("bystander")["pid"]

    def restart(self, **environment):
        if self.daemon.running():
            self.daemon.kill()
        seconds = self.daemon.start(environment=environment)
        self.assertLess(seconds, 10)

    def points(self):
        """Every (point, count since the daemon's start) that the operation reaches."""
        log = os.path.join(self.daemon.base, "failpoints")
        self.prepare()
        self.restart(LXMGR_FAILPOINT_LOG=log)
        before = collections.Counter(self.read_points(log))
        self.operate()
        reached = collections.Counter(self.read_points(log)) - before
        self.cleanup()
        return [(name, before[name] + number) for name, count in sorted(reached.items())
                for number in range(1, min(count, OCCURRENCES) + 1)]

    @staticmethod
    def read_points(log):
        if not os.path.exists(log):
            return []
        with open(log, encoding="utf-8") as file:
            return file.read().split()

    def test_every_point(self):
        points = self.points()
        if not self.read_points(os.path.join(self.daemon.base, "failpoints")):
            self.skipTest("LXMGR_SKIP: these binaries have no failpoints")
        self.restart()
        baseline = LeakCheck(self.daemon)
        for name, count in points:
            with self.subTest(point=f"{name}={count}"):
                self.cleanup()  # of a point before this one that failed
                self.crash_at(f"{name}={count}")
                self.check_world()
                self.audit(name)
                self.cleanup()
                self.assertEqual(baseline.compare(5), [], f"left behind after a crash at {name}")
        print(f"{type(self).__name__}: killed at {len(points)} points: {', '.join(f'{n}={c}' for n, c in points)}")

    def test_moments(self):
        """Killed from outside at moments spread over the operation: between the named points too."""
        self.prepare()
        self.restart()
        began = time.monotonic()
        self.operate()
        seconds = time.monotonic() - began
        self.cleanup()
        baseline = LeakCheck(self.daemon)
        for number in range(MOMENTS):
            with self.subTest(moment=f"{number + 1}/{MOMENTS} of {seconds * 1e3:.1f} ms"):
                self.cleanup()  # of a moment before this one that failed
                self.crash_after(seconds * (number + 0.5) / MOMENTS)
                self.check_world()
                self.audit("")
                self.cleanup()
                self.assertEqual(baseline.compare(5), [], "left behind after a crash")

    def crash_after(self, seconds):
        self.prepare()
        self.restart()
        timer = threading.Timer(seconds, self.daemon.process.kill)
        timer.start()
        try:
            self.operate()
        except (ConnectionError, http.client.HTTPException, ApiError, TimeoutError, OSError):
            pass
        self.daemon.wait_dead(20)
        timer.join()
        self.restart()

    def crash_at(self, point):
        self.prepare()
        self.restart(LXMGR_FAILPOINT=point)
        try:
            self.operate()
        except (ConnectionError, http.client.HTTPException, ApiError, TimeoutError, OSError):
            pass
        self.assertEqual(self.daemon.wait_dead(20), -9, "the daemon was not killed at the point")
        self.restart()

    def check_world(self):
        self.wait_idle()
        self.assertEqual(self.api.state("bystander")["pid"], self.bystander)
        self.assertEqual(self.api.exec("bystander", ["true"])[0], 0)
        config = self.api.instance("bystander")["config"]
        self.assertEqual({key: config[key] for key in CONFIG}, CONFIG)
        for path in glob.glob(os.path.join(self.daemon.root, "**", "*.db"), recursive=True):
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
                self.assertEqual(database.execute("PRAGMA foreign_key_check").fetchall(), [])

    def wait_idle(self, timeout=20):
        """No operation hangs: what recovery itself has started comes to its end."""
        deadline = time.monotonic() + timeout
        while running := self.api.get("/1.0/operations").get("running"):
            self.assertLess(time.monotonic(), deadline, f"operations hang: {running}")
            self.api.raw("GET", f"{running[0]}/wait?timeout=5")

    def cleanup(self):
        for name in self.daemon.instance_names():
            if name != "bystander":
                self.stop_if_running(name)
                self.api.delete(name)

    def stop_if_running(self, name):
        if self.api.instance(name)["status"] != "Stopped":
            try:
                self.api.stop(name)
            except ApiError:  # it was ending by itself
                self.api.wait_status(name, "Stopped", 5)

    # ---- what audits ask for
    def names(self):
        return set(self.daemon.instance_names()) - {"bystander"}

    def assert_whole(self, name):
        """It can be started, entered and stopped."""
        config = self.api.instance(name)["config"]
        self.assertEqual({key: config.get(key) for key in CONFIG}, CONFIG)
        if self.api.instance(name)["status"] != "Running":
            self.api.start(name)
        self.assertEqual(self.api.sh(name, "cat /etc/hostname"), name)
        self.api.stop(name)

    def create(self, name="subject"):
        self.api.create(name, "tiny", config=CONFIG)


class CreateSweep(SweepCases, DaemonCase):
    def operate(self):
        self.create()

    def audit(self, point):
        if "subject" not in self.names():
            self.create()
        self.assert_whole("subject")


class StartSweep(SweepCases, DaemonCase):
    prepare = SweepCases.create

    def operate(self):
        self.api.start("subject")

    def audit(self, point):
        self.assertEqual(self.names(), {"subject"})
        self.assertIn(self.api.instance("subject")["status"], ("Running", "Stopped"))
        self.assert_whole("subject")


class StopSweep(SweepCases, DaemonCase):
    def prepare(self):
        self.create()
        self.api.start("subject")

    def operate(self):
        self.api.stop("subject")

    def audit(self, point):
        self.assertEqual(self.names(), {"subject"})
        if self.api.instance("subject")["status"] == "Running":
            try:
                self.assertEqual(self.api.exec("subject", ["true"])[0], 0)
                self.api.stop("subject")
            except ApiError:  # the kill was sent: it was dying when the daemon found it
                self.api.wait_status("subject", "Stopped", 5)
        self.assert_whole("subject")


class RestartSweep(StopSweep):
    def operate(self):
        self.api.set_state("subject", "restart", force=True)


class DeleteSweep(SweepCases, DaemonCase):
    prepare = SweepCases.create

    def operate(self):
        self.api.delete("subject")

    def audit(self, point):
        if "subject" in self.names():
            self.assert_whole("subject")
            self.api.delete("subject")
        self.create()
        self.assert_whole("subject")


class RenameSweep(SweepCases, DaemonCase):
    prepare = SweepCases.create

    def operate(self):
        self.api.do("POST", "/1.0/instances/subject", {"name": "renamed", "migration": False})

    def audit(self, point):
        self.assertIn(self.names(), ({"subject"}, {"renamed"}))
        if "subject" in self.names():
            self.operate()
        self.assert_whole("renamed")


class UpdateSweep(SweepCases, DaemonCase):
    def prepare(self):
        self.create()
        self.api.start("subject")

    def operate(self):
        self.api.update("subject", config={"limits.memory": "150MiB", "user.new": "1"})

    def audit(self, point):
        config = self.api.instance("subject")["config"]
        self.assertIn((config["limits.memory"], config.get("user.new")), (("200MiB", None), ("150MiB", "1")))
        self.operate()
        self.assertEqual(self.api.instance("subject")["config"]["limits.memory"], "150MiB")
        self.assertEqual(self.api.exec("subject", ["true"])[0], 0)


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


class MoveSweep(SnapshotSweep):
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


class ExecSweep(SweepCases, DaemonCase):
    def prepare(self):
        self.create()
        self.api.start("subject")

    def operate(self):
        self.api.exec("subject", ["sh", "-c", "echo x; exit 3"])

    def audit(self, point):
        self.assertEqual(self.api.exec("subject", ["sh", "-c", "exit 3"])[0], 3)
        self.api.stop("subject")
        self.assert_whole("subject")


class ImportSweep(SweepCases, DaemonCase):
    """The image is another one than the bystander's: the same with a byte more at its end."""

    def prepare(self):
        self.path = os.path.join(self.daemon.base, "other.tar.gz")
        if not os.path.exists(self.path):
            with tarfile.open(self.path, "w:gz", compresslevel=1) as archive:
                images.add(archive, "metadata.yaml", images.METADATA.replace("tiny", "other"))
                images.add(archive, "templates", mode=0o755, kind=tarfile.DIRTYPE)
                images.add(archive, "templates/hostname.tpl", "{{ container.name }}\n")
                images.add_tiny_rootfs(archive)

    def operate(self):
        self.daemon.import_image(self.path, "other")
        self.api.create("subject", "other", config=CONFIG)

    def audit(self, point):
        aliases = [alias.rsplit("/", 1)[1] for alias in self.api.get("/1.0/images/aliases")]
        fingerprints = [image for image in self.api.get("/1.0/images?recursion=1") if image["properties"]["os"] == "other"]
        if not fingerprints:
            self.assertNotIn("other", aliases)
            self.daemon.import_image(self.path, "other")
        elif "other" not in aliases:
            self.api.call("POST", "/1.0/images/aliases", {"name": "other", "target": fingerprints[0]["fingerprint"]})
        if "subject" not in self.names():
            self.api.create("subject", "other", config=CONFIG)
        self.assert_whole("subject")

    def cleanup(self):
        super().cleanup()
        for image in self.api.get("/1.0/images?recursion=1"):
            if image["properties"]["os"] == "other":
                self.api.do("DELETE", f"/1.0/images/{image['fingerprint']}")


class ImageDeleteSweep(ImportSweep):
    def prepare(self):
        super().prepare()
        self.fingerprint = self.daemon.import_image(self.path, "other")
        self.api.create("subject", "other", config=CONFIG)

    def operate(self):
        self.api.do("DELETE", f"/1.0/images/{self.fingerprint}")

    def audit(self, point):
        self.assert_whole("subject")  # it stands on the image, deleted or not
        super().audit(point)


class NetworkSweep(SweepCases, DaemonCase):
    def operate(self):
        self.api.call("POST", "/1.0/networks", {"name": "second0", "type": "bridge", "config": {
            "ipv4.address": "10.89.0.1/24", "ipv6.address": "none"}})
        self.api.call("DELETE", "/1.0/networks/second0")

    def audit(self, point):
        if "/1.0/networks/second0" in self.api.get("/1.0/networks"):
            self.assertTrue(self.api.get("/1.0/networks/second0")["managed"])
            self.api.call("DELETE", "/1.0/networks/second0")
        self.operate()

    def cleanup(self):
        if "/1.0/networks/second0" in self.api.get("/1.0/networks"):
            self.api.call("DELETE", "/1.0/networks/second0")


if __name__ == "__main__":
    main()
