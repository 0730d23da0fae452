"""The cases of a kill -9 sweep: an operation's test class names the operation and what must be true after a crash."""
import collections
import glob
import http.client
import os
import sqlite3
import subprocess
import threading
import time

from harness.leaks import LeakCheck
from harness.rest import PATIENCE, ApiError

CONFIG = {"user.promise": "kept", "limits.memory": "200MiB"}
ALWAYS_REACHED = 2  # of the same point: how many of them every run of an operation has
MOMENTS = 24     # of an operation at which it is killed from outside


class SweepCases:
    """`prepare` makes what the operation needs, `operate` is the operation, `audit` looks at what a crash left of it."""

    moments = MOMENTS
    occurrences = ALWAYS_REACHED  # of the same point within one operation; more where an operation is many small ones

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
        self.daemon.start(environment=environment)

    def points(self):
        """Every (point, count since the operation began) that the operation reaches."""
        log = os.path.join(self.daemon.base, "failpoints")
        self.prepare()
        self.restart_armed(LXMGR_FAILPOINT_LOG=log)
        self.operate()
        reached = collections.Counter(self.read_points(log))
        self.cleanup()
        return [(name, number) for name, count in sorted(reached.items())
                for number in range(1, min(count, self.occurrences) + 1)]

    def restart_armed(self, **environment):
        """How many rows are written in the background while a daemon starts, of history and DHCP and the like, is not the
        same each time: points count from now on."""
        begun = os.path.join(self.daemon.base, "begun")
        if os.path.exists(begun):
            os.unlink(begun)
        self.restart(LXMGR_FAILPOINT_FROM=begun, **environment)
        with open(begun, "wb"):
            pass

    @staticmethod
    def read_points(log):
        if not os.path.exists(log):
            return []
        with open(log, encoding="utf-8") as file:
            return file.read().split()

    def test_every_point(self):
        points = self.points()
        if not self.read_points(os.path.join(self.daemon.base, "failpoints")):
            self.skipTest("these binaries have no failpoints")
        self.restart()
        baseline = LeakCheck(self.daemon)
        for name, count in points:
            with self.subTest(point=f"{name}={count}"):
                self.cleanup()  # of a point before this one that failed
                self.crash_at(f"{name}={count}")
                self.check_world()
                self.audit(name)
                self.cleanup()
                self.assertEqual(baseline.compare(30), [], f"left behind after a crash at {name}")
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
        for number in range(self.moments):
            with self.subTest(moment=f"{number + 1}/{self.moments} of {seconds * 1e3:.1f} ms"):
                self.cleanup()  # of a moment before this one that failed
                self.crash_after(seconds * (number + 0.5) / self.moments)
                self.check_world()
                self.audit("")
                self.cleanup()
                self.assertEqual(baseline.compare(30), [], "left behind after a crash")

    def crash_after(self, seconds):
        self.prepare()
        self.restart()
        timer = threading.Timer(seconds, self.daemon.process.kill)
        timer.start()
        try:
            self.operate()
        except (ConnectionError, http.client.HTTPException, ApiError, TimeoutError, OSError):
            pass
        self.daemon.wait_dead(60)
        timer.join()
        self.restart()

    def crash_at(self, point):
        self.prepare()
        self.restart_armed(LXMGR_FAILPOINT=point)
        ended = False
        try:
            self.operate()
            ended = True
        except (ConnectionError, http.client.HTTPException, ApiError, TimeoutError, OSError):
            pass
        # What is written in the background (history, repairs of networks) takes part in the counting, and may come by less
        # often than when the points were counted: then the daemon is killed behind the operation's end.
        may_pass = ended and int(point.rsplit("=", 1)[1]) > ALWAYS_REACHED
        try:
            self.assertEqual(self.daemon.wait_dead(5 if may_pass else 60), -9, "the daemon was not killed at the point")
        except subprocess.TimeoutExpired:
            self.assertTrue(may_pass, f"the daemon was not killed at {point}")
            self.daemon.process.kill()
            self.daemon.wait_dead(60)
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
        deadline = time.monotonic() + timeout * PATIENCE
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
                self.api.wait_status(name, "Stopped")

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


class PlainPool:
    """To inherit from before a sweep: a second pool, "plain", of driver dir."""

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
