"""Hard limits of what volumes hold: roots of instances and custom volumes, on drivers without quotas of their own."""
import os
import time

from harness.case import DaemonCase, main
from harness.rest import ApiError

MIB = 1 << 20
CAP_SYS_RESOURCE = 1 << 24


class LimitCase(DaemonCase):
    pools = {"default": None, "plain": "dir"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for pool, driver in cls.pools.items():
            if driver:
                cls.api.do("POST", "/1.0/storage-pools", {"name": pool, "driver": driver, "config": {}})

    @classmethod
    def tearDownClass(cls):
        for pool, driver in cls.pools.items():
            if driver:
                cls.api.do("DELETE", f"/1.0/storage-pools/{pool}")
        super().tearDownClass()

    def for_each_pool(self, check):
        for pool in self.pools:
            with self.subTest(pool=pool):
                check(pool)
                for name in set(self.daemon.instance_names()) - self.expected_names:
                    self.remove_instance(name)

    @staticmethod
    def root(pool, size=None):
        device = {"type": "disk", "path": "/", "pool": pool}
        return {"root": {**device, "size": size} if size else device}

    def launch(self, name, pool, size=None):
        self.api.launch(name, "tiny", devices=self.root(pool, size))

    def resize(self, name, pool, size=None):
        self.api.update(name, devices=self.root(pool, size))

    def total(self, name, path="/"):
        """Bytes that df shows."""
        return int(self.api.sh(name, f"df -k {path}").splitlines()[-1].split()[1]) * 1024

    def fill(self, name, path="/fill", mebibytes=200):
        """Writes until it may not: MiB that went in."""
        code, _, err = self.api.exec(name, ["dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={mebibytes}"])
        self.assertNotEqual(code, 0, "nothing stopped it")
        self.assertRegex(err.decode(), "No space left|quota exceeded")
        return int(self.api.sh(name, f"stat -c %s {path}")) // MIB

    def disk(self, name):
        return self.api.state(name)["disk"]["root"]


class RootTest(LimitCase):
    def test_it_stops_what_writes_and_nobody_else(self):
        def check(pool):
            self.launch("a", pool, "48MiB")
            self.launch("b", pool)
            self.assertLessEqual(self.total("a"), 48 * MIB)
            self.assertIn(self.fill("a"), range(20, 49))
            self.api.sh("b", "dd if=/dev/zero of=/big bs=1M count=80 && rm /big && echo fine > /mark")
            self.assertEqual(self.disk("a")["total"], 48 * MIB)
            self.assertLessEqual(self.disk("a")["usage"], 48 * MIB)
            self.assertGreater(self.disk("a")["usage"], 20 * MIB)
            self.assertEqual(self.disk("b")["total"], 0)
            self.api.sh("a", "rm /fill && echo again > /mark && cat /mark")
        self.for_each_pool(check)

    def test_change_of_a_stopped_one(self):
        def check(pool):
            self.api.create("a", "tiny", devices=self.root(pool))
            for size, bytes_ in (("32MiB", 32 * MIB), ("96MiB", 96 * MIB), ("64MiB", 64 * MIB), (None, 0),
                                 ("40MB", 40 * 10**6)):
                self.resize("a", pool, size)
                self.assertEqual(self.disk("a")["total"], bytes_)
                self.api.start("a")
                if bytes_:
                    self.assertLessEqual(self.total("a"), bytes_)
                else:
                    self.assertGreater(self.total("a"), 1 << 30)
                self.api.sh("a", f"echo {bytes_} >> /sizes")
                self.api.stop("a")
            self.api.start("a")
            sizes = [str(n) for n in (32 * MIB, 96 * MIB, 64 * MIB, 0, 40 * 10**6)]
            self.assertEqual(self.api.sh("a", "cat /sizes").split(), sizes)
            self.api.sh("a", "dd if=/dev/urandom of=/held bs=1M count=20")
            self.api.stop("a")
            message = self.assert_api_error(400, self.resize, "a", pool, "16MiB")
            self.assertRegex(message, "Container volume 'a' (holds|does not fit)")
            self.assertEqual(self.api.instance("a")["devices"]["root"]["size"], "40MB")
            self.assertEqual(self.disk("a")["total"], 40 * 10**6)
            self.assert_api_error(400, self.resize, "a", pool, "much")
        self.for_each_pool(check)

    def test_change_of_a_running_one(self):
        def check(pool):
            self.launch("a", pool, "48MiB")
            if self.grows_live():
                self.resize("a", pool, "96MiB")
                self.assertGreater(self.total("a"), 60 * MIB)
            else:
                self.assertIn("while it is in use", self.assert_api_error(400, self.resize, "a", pool, "96MiB"))
                self.assertEqual(self.disk("a")["total"], 48 * MIB)
            self.assertIn("while it is in use", self.assert_api_error(400, self.resize, "a", pool, "40MiB"))
            self.api.sh("a", "echo alive > /mark")
        self.for_each_pool(check)

    def test_one_that_grew_half_way_keeps_what_it_has(self):
        if not self.grows_live():
            self.skipTest("the kernel grows none in use")
        self.launch("a", "plain", "48MiB")
        self.api.sh("a", "echo kept > /mark")
        self.daemon.kill()
        self.daemon.start(environment={"LXMGR_FAILPOINT": "storage.image.half_grown:error"})
        with self.assertRaises(ApiError):
            self.resize("a", "plain", "256MiB")
        self.daemon.kill()
        self.daemon.start()
        self.assertGreater(self.total("a"), 100 * MIB)
        self.api.sh("a", "dd if=/dev/zero of=/big bs=1M count=100 && sync && rm /big")
        self.api.stop("a")
        self.api.start("a")
        self.assertEqual(self.api.sh("a", "cat /mark"), "kept")
        self.resize("a", "plain", "256MiB")
        self.assertGreater(self.total("a"), 200 * MIB)

    @staticmethod
    def grows_live():
        with open("/proc/self/status", encoding="utf-8") as status:
            effective = next(line.split()[1] for line in status if line.startswith("CapEff"))
        return bool(int(effective, 16) & CAP_SYS_RESOURCE)  # EXT4_IOC_RESIZE_FS

    def test_snapshots_copies_and_the_daemons_end(self):
        def check(pool):
            self.launch("a", pool, "48MiB")
            self.api.sh("a", "echo then > /mark")
            self.api.do("POST", "/1.0/instances/a/snapshots", {"name": "s"})
            self.api.sh("a", "echo now > /mark")
            self.daemon.kill()
            self.daemon.start()
            self.assertEqual(self.api.sh("a", "cat /mark"), "now")
            self.assertEqual(self.disk("a")["total"], 48 * MIB)
            self.api.stop("a")
            self.api.do("PUT", "/1.0/instances/a", {"restore": "s"})
            self.assertEqual(self.disk("a")["total"], 48 * MIB)
            self.api.do("POST", "/1.0/instances", {"name": "b", "source": {"type": "copy", "source": "a"}})
            for name in "ab":
                self.api.start(name)
                self.assertEqual(self.api.sh(name, "cat /mark"), "then")
                self.assertLess(self.fill(name), 49)
        self.for_each_pool(check)

    def test_what_does_not_fit_leaves_nothing(self):
        self.launch("a", "plain")
        self.api.sh("a", "dd if=/dev/urandom of=/held bs=1M count=20")
        self.api.stop("a")
        body = {"name": "b", "source": {"type": "copy", "source": "a"}, "devices": self.root("plain", "16MiB")}
        message = self.assert_api_error(400, self.api.do, "POST", "/1.0/instances", body)
        self.assertIn("Container volume 'b' does not fit", message)
        self.assertNotIn("b", self.daemon.instance_names())
        deadline = time.monotonic() + 60
        while os.listdir(os.path.join(self.daemon.root, "storage-pools/plain/tmp")):  # it goes in the background
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        self.api.do("POST", "/1.0/instances", {**body, "devices": self.root("plain", "64MiB")})

    def test_defaults_of_the_pool_and_of_a_profile(self):
        self.api.do("PATCH", "/1.0/storage-pools/plain", {"config": {"volume.size": "32MiB"}})
        self.addCleanup(self.api.do, "PATCH", "/1.0/storage-pools/plain", {"config": {"volume.size": ""}})
        self.api.create("a", "tiny", devices=self.root("plain"))
        self.assertEqual(self.disk("a")["total"], 32 * MIB)
        self.api.do("POST", "/1.0/profiles", {"name": "small", "devices": self.root("plain", "40MiB")})
        self.addCleanup(self.api.do, "DELETE", "/1.0/profiles/small")
        self.api.create("b", "tiny", profiles=["small"])
        self.assertEqual(self.disk("b")["total"], 40 * MIB)
        self.api.do("PUT", "/1.0/profiles/small", {"devices": self.root("plain", "48MiB")})
        self.assertEqual(self.disk("b")["total"], 48 * MIB)
        for key, value in (("volume.size", "much"), ("volume.color", "red"), ("source", "/elsewhere")):
            self.assert_api_error(400, self.api.do, "PATCH", "/1.0/storage-pools/plain", {"config": {key: value}})


class VolumeTest(LimitCase):
    def url(self, pool, name=""):
        return f"/1.0/storage-pools/{pool}/volumes/custom" + (f"/{name}" if name else "")

    def state(self, pool, name):
        return self.api.get(f"{self.url(pool, name)}/state")["usage"]

    def test_volume(self):
        def check(pool):
            self.api.do("POST", self.url(pool), {"name": "v", "config": {"size": "32MiB"}})
            disk = {"data": {"type": "disk", "pool": pool, "source": "v", "path": "/srv"}}
            for name in "ab":
                self.api.launch(name, "tiny", devices=disk)
            self.assertLessEqual(self.total("a", "/srv"), 32 * MIB)
            self.api.sh("a", "echo one > /srv/mark")
            self.assertEqual(self.api.sh("b", "cat /srv/mark"), "one")
            if pool in ("plain", "default"):
                lower = {"config": {"size": "16MiB"}}
                self.assertIn("'v'", self.assert_api_error(400, self.api.do, "PATCH", self.url(pool, "v"), lower))
            self.assertLess(self.fill("b", "/srv/fill"), 33)
            self.assertEqual(self.state(pool, "v")["total"], 32 * MIB)
            self.api.sh("a", "rm /srv/fill; echo fine > /own")
            self.api.do("POST", f"{self.url(pool, 'v')}/snapshots", {"name": "s"})
            for name in "ab":
                self.api.stop(name)
                self.api.delete(name)
            self.api.do("PATCH", self.url(pool, "v"), {"config": {"size": "64MiB"}})
            self.assertEqual(self.state(pool, "v")["total"], 64 * MIB)
            self.api.do("PUT", self.url(pool, "v"), {"restore": "s"})
            self.api.do("POST", self.url(pool), {"name": "w", "source": {"type": "copy", "name": "v", "pool": pool}})
            self.assertEqual(self.state(pool, "w")["total"], 64 * MIB)
            self.api.launch("a", "tiny", devices={"data": {**disk["data"], "source": "w"}})
            self.assertEqual(self.api.sh("a", "cat /srv/mark"), "one")
            self.api.stop("a")
            self.api.delete("a")
            for name in "vw":
                self.api.do("DELETE", self.url(pool, name))
        self.for_each_pool(check)


if __name__ == "__main__":
    main()
