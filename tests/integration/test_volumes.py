"""Custom volumes: life, snapshots, copies, moves; as disks of instances, at start and while they run."""
import datetime
import os
import time

from harness.case import DaemonCase, main
from harness.rest import ApiError

NEVER = "0001-01-01T00:00:00Z"
POOL = "/1.0/storage-pools/default/volumes"


class VolumeBase(DaemonCase):
    def url(self, name, pool="default"):
        return f"/1.0/storage-pools/{pool}/volumes/custom/{name}"

    def volume(self, name, pool="default", config=None, **more):
        self.api.do("POST", f"/1.0/storage-pools/{pool}/volumes/custom", {"name": name, "config": config or {}, **more})
        self.addCleanup(self.drop, name, pool)

    def drop(self, name, pool="default"):
        for instance in self.api.get("/1.0/instances?recursion=1"):
            if instance["status"] != "Stopped":
                self.api.stop(instance["name"])
            self.api.delete(instance["name"])
        if self.api.raw("GET", self.url(name, pool)).status == 200:
            self.api.do("DELETE", self.url(name, pool))

    def disk(self, name, path="/srv", pool="default", **more):
        return {"type": "disk", "pool": pool, "source": name, "path": path, **more}

    @staticmethod
    def wait_event(events, action, end):
        events.wait_for(lambda e: e["type"] == "lifecycle" and e["metadata"]["action"] == action and
                        e["metadata"]["source"].endswith(end))

    def snapshot(self, name, snapshot="", **more):
        return self.api.do("POST", f"{self.url(name)}/snapshots", {"name": snapshot, **more})

    def snapshots(self, name, pool="default"):
        return [url.rsplit("/", 1)[1] for url in self.api.get(f"{self.url(name, pool)}/snapshots")]

    def copy(self, source, name, pool="default", **more):
        return self.api.do("POST", f"/1.0/storage-pools/{pool}/volumes/custom",
                           {"name": name, "source": {"type": "copy", "name": source, "pool": "default", **more}})

    def directories(self, pool="default"):
        return sorted(os.listdir(os.path.join(self.daemon.root, "storage-pools", pool, "custom")))

    def write(self, instance, text, path="/srv/mark"):
        self.api.sh(instance, f"echo {text} > {path}")

    def read(self, instance, path="/srv/mark"):
        return self.api.sh(instance, f"cat {path}")


class VolumeTest(VolumeBase):
    def test_create_show_change_delete(self):
        with self.api.events() as events:
            self.volume("one", config={"user.a": "b"}, description="what for")
            self.wait_event(events, "storage-volume-created", "volumes/custom/one")
            shown = self.api.get(self.url("one"))
            self.assertEqual({k: shown[k] for k in ("name", "type", "content_type", "config", "description", "used_by",
                                                    "location", "project")},
                             {"name": "one", "type": "custom", "content_type": "filesystem", "config": {"user.a": "b"},
                              "description": "what for", "used_by": [], "location": "none", "project": "default"})
            self.assertEqual(self.api.get(f"{POOL}/custom"), [self.url("one")])
            self.assertIn(self.url("one"), self.api.get(POOL))
            found = self.api.get(f"{POOL}?recursion=1&filter=name%20eq%20one")
            self.assertEqual([v["name"] for v in found], ["one"])
            self.assertIn(self.url("one"), self.api.get("/1.0/storage-pools/default")["used_by"])
            usage = self.api.get(f"{self.url('one')}/state")["usage"]
            self.assertEqual(usage["total"], 0)
            etag = self.api.raw("GET", self.url("one")).headers["ETag"]
            self.api.do("PATCH", self.url("one"), {"config": {"user.c": "d"}})
            self.wait_event(events, "storage-volume-updated", "custom/one")
            self.assertEqual(self.api.get(self.url("one"))["config"], {"user.a": "b", "user.c": "d"})
            stale = self.api.raw("PUT", self.url("one"), {"config": {}}, {"If-Match": etag})
            self.assertEqual(stale.status, 412)
            self.api.do("PUT", self.url("one"), {"config": {"snapshots.expiry": "1d"}, "description": ""})
            self.assertEqual(self.api.get(self.url("one"))["config"], {"snapshots.expiry": "1d"})
            reply = self.api.raw("POST", self.url("one"), {"name": "two"})
            self.assertEqual((reply.status, reply.headers["Location"]), (201, self.url("two")))
            self.wait_event(events, "storage-volume-renamed", "custom/two")
            self.api.do("DELETE", self.url("two"))
            self.wait_event(events, "storage-volume-deleted", "custom/two")
        self.assertEqual(self.directories(), [])

    def test_what_is_refused(self):
        self.volume("one")
        create = lambda **body: self.api.do("POST", f"{POOL}/custom", {"config": {}, **body})
        self.assert_api_error(409, create, name="one")
        for name in ("", "a/b", "..", "a b"):
            self.assert_api_error(400, create, name=name)
        self.assertIn("filesystem", self.assert_api_error(400, create, name="x", content_type="iso"))
        for key in ("size", "bogus", "block.filesystem"):
            self.assertIn(key, self.assert_api_error(400, create, name="x", config={key: "1"}))
        self.assert_api_error(400, create, name="x", config={"security.shifted": "true", "security.unmapped": "true"})
        self.assert_api_error(400, create, name="x", source={"type": "migration"})
        self.assert_api_error(400, self.api.do, "POST", f"{POOL}/container", {"name": "x"})
        self.assert_api_error(404, self.copy, "absent", "x")
        self.assert_api_error(404, self.copy, "one/absent", "x")
        self.assert_api_error(409, self.copy, "one", "one")
        for verb in ("GET", "PUT", "PATCH", "POST", "DELETE"):
            self.assert_api_error(404, self.api.do, verb, self.url("absent"), {"name": "y"})
        self.assert_api_error(404, self.api.do, "PUT", self.url("one"), {"restore": "absent"})
        for keys in ({"shift": "true"}, {"recursive": "true"}, {"source": "one/s"}, {"source": "absent"}):
            self.assert_api_error(400, self.api.create, "c", "tiny", devices={"d": self.disk("one", **keys)})
        self.assertEqual(len(self.directories()), 1)

    def test_roots_as_asked_for(self):
        """initial.* is of new volumes' roots, a pool may say it for all, and security.shared is for block volumes."""
        self.api.do("PATCH", "/1.0/storage-pools/default", {"config": {"volume.initial.mode": "0700",
                                                                       "volume.security.shared": "true"}})
        self.addCleanup(self.api.do, "PUT", "/1.0/storage-pools/default", {"config": {}})
        self.volume("one", config={"initial.uid": "1000", "initial.gid": "1001", "initial.mode": "750"})
        self.volume("two")
        self.volume("disk", content_type="block", config={"size": "16MiB", "security.shared": "false"})
        self.assertNotIn("security.shared", self.api.get(self.url("two"))["config"])
        self.assertEqual(self.api.get(self.url("disk"))["config"], {"size": "16MiB", "security.shared": "false"})
        self.api.launch("a", "tiny", devices={"one": self.disk("one"), "two": self.disk("two", "/two")})
        self.assertEqual(self.api.sh("a", "stat -c %u:%g:%a /srv /two"), "1000:1001:750\n0:0:700")
        create = lambda **body: self.api.do("POST", f"{POOL}/custom", {"name": "x", **body})
        for key, value in (("initial.uid", "-1"), ("initial.mode", "9"), ("initial.gid", "root"), ("security.shared", "true")):
            self.assertIn(key, self.assert_api_error(400, create, config={key: value}))
        self.assertIn("initial.uid", self.assert_api_error(400, create, content_type="block", config={"initial.uid": "1"}))
        self.assert_api_error(400, self.api.do, "PATCH", self.url("one"), {"config": {"initial.uid": "7"}})

    def test_rate_of_copies(self):
        """rsync.bwlimit of either pool is what a copy between two may take; rsync.compression is for other servers."""
        self.api.do("POST", "/1.0/storage-pools", {"name": "slow", "driver": "dir", "config": {"rsync.bwlimit": "1MiB"}})
        self.addCleanup(self.api.do, "DELETE", "/1.0/storage-pools/slow")
        change = lambda **config: self.api.do("PATCH", "/1.0/storage-pools/slow", {"config": config})
        for key, value in (("rsync.bwlimit", "fast"), ("rsync.compression", "maybe"), ("source.recover", "true")):
            self.assertIn(key, self.assert_api_error(400, change, **{key: value}) + key * (value == "fast"))
        change(**{"rsync.bwlimit": "1024", "rsync.compression": "true"})
        self.volume("one")
        self.api.launch("a", "tiny", devices={"one": self.disk("one")})
        self.api.sh("a", "dd if=/dev/urandom of=/srv/much bs=1M count=2 2> /dev/null; md5sum /srv/much > /srv/sum")
        began = time.monotonic()
        self.copy("one", "copy", "slow")
        self.addCleanup(self.drop, "copy", "slow")
        self.assertGreater(time.monotonic() - began, 1.9)
        self.api.update("a", devices={"one": self.disk("copy", pool="slow")})
        self.api.sh("a", "md5sum -c /srv/sum")
        change(**{"rsync.bwlimit": ""})

    @staticmethod
    def days(snapshot):
        begin, end = (datetime.datetime.fromisoformat(snapshot[key][:19]) for key in ("created_at", "expires_at"))
        return (end - begin).days

    def test_block(self):
        self.volume("disk", content_type="block", config={"size": "16MiB"})
        self.assertEqual(self.api.get(self.url("disk"))["content_type"], "block")
        place = os.path.join(self.daemon.root, "storage-pools/default/custom")
        image = lambda at: os.path.join(place, self.directories()[at], "rootfs/root.img")
        self.assertEqual(os.stat(image(0)).st_size, 16 << 20)
        self.assertIn("block volumes cannot be used on containers", self.assert_api_error(
            400, self.api.create, "c", "tiny", devices={"d": self.disk("disk")}))
        with open(image(0), "r+b") as file:
            file.write(b"what it holds")
        self.snapshot("disk", "s")
        self.assertEqual(self.api.get(f"{self.url('disk')}/snapshots/s")["content_type"], "block")
        self.api.do("PATCH", self.url("disk"), {"config": {"size": "32MiB"}})
        message = self.assert_api_error(400, self.api.do, "PATCH", self.url("disk"), {"config": {"size": "8MiB"}})
        self.assertIn("shrunk", message)
        self.assertEqual(self.api.get(self.url("disk"))["config"], {"size": "32MiB"})
        self.copy("disk", "copy")
        self.addCleanup(self.drop, "copy")
        self.assertEqual(self.api.get(self.url("copy"))["content_type"], "block")
        self.api.do("POST", f"{self.url('disk')}/backups", {"name": "b", "compression_algorithm": "none"})
        data = self.api.raw("GET", f"{self.url('disk')}/backups/b/export").body
        self.api.do("POST", f"{POOL}/custom", data, {"Content-Type": "application/octet-stream", "X-LXD-name": "back"})
        self.addCleanup(self.drop, "back")
        self.assertEqual(self.api.get(self.url("back"))["content_type"], "block")
        self.assertEqual(len(self.directories()), 6)
        for number in range(6):
            with open(image(number), "rb") as file:
                self.assertEqual(file.read(13), b"what it holds")
        self.assertEqual(sorted(os.stat(image(number)).st_size >> 20 for number in range(6)), [16, 16, 16, 32, 32, 32])

    def test_snapshots(self):
        self.volume("one", config={"snapshots.expiry": "1d", "snapshots.pattern": "day%d"})
        with self.api.events() as events:
            self.snapshot("one")
            self.wait_event(events, "storage-volume-snapshot-created", "custom/one/snapshots/day0")
            self.snapshot("one", "s", expires_at=NEVER)
            self.assertEqual(self.snapshots("one"), ["day0", "s"])
            self.volume("other", config={"snapshots.expiry": "1d", "snapshots.expiry.manual": "2d"})
            for name, days in (("one", 1), ("other", 2)):
                if name == "other":
                    self.snapshot(name)
                shown = self.api.get(f"{self.url(name)}/snapshots?recursion=1")[0]
                self.assertEqual(self.days(shown), days)
            self.api.do("DELETE", self.url("other"))
            self.assert_api_error(409, self.snapshot, "one", "s")
            self.assert_api_error(400, self.snapshot, "one", "a/b")
            shown = self.api.get(f"{self.url('one')}/snapshots/s")
            self.assertEqual((shown["name"], shown["expires_at"], shown["config"]["snapshots.pattern"]), ("s", None, "day%d"))
            self.assertNotEqual(self.api.get(f"{self.url('one')}/snapshots?recursion=1")[0]["expires_at"], None)
            self.assertEqual(self.api.get(f"{POOL}/custom"), [self.url("one")] + [
                f"{self.url('one')}/snapshots/{s}" for s in ("day0", "s")])
            self.api.do("PATCH", f"{self.url('one')}/snapshots/s", {"description": "kept"})
            self.wait_event(events, "storage-volume-snapshot-updated", "snapshots/s")
            self.api.do("PUT", f"{self.url('one')}/snapshots/s", {"expires_at": "2040-01-01T00:00:00Z", "description": "x"})
            shown = self.api.get(f"{self.url('one')}/snapshots/s")
            self.assertEqual((shown["description"], shown["expires_at"]), ("x", "2040-01-01T00:00:00Z"))
            self.api.do("POST", f"{self.url('one')}/snapshots/s", {"name": "t"})
            self.wait_event(events, "storage-volume-snapshot-renamed", "snapshots/t")
            self.api.do("DELETE", f"{self.url('one')}/snapshots/day0")
            self.wait_event(events, "storage-volume-snapshot-deleted", "snapshots/day0")
        self.assertEqual(self.snapshots("one"), ["t"])
        self.assertEqual(len(self.directories()), 2)
        self.api.do("PATCH", f"{self.url('one')}/snapshots/t", {"expires_at": "2020-01-01T00:00:00Z"})
        deadline = time.monotonic() + 20
        while self.snapshots("one"):
            self.assertLess(time.monotonic(), deadline, "an expired snapshot stays")
            time.sleep(0.05)
        self.api.do("DELETE", self.url("one"))
        self.assertEqual(self.directories(), [])


class AttachTest(VolumeBase):
    """Of running instances."""

    def test_shared_at_start_and_hotplugged(self):
        self.volume("one")
        self.api.launch("a", "tiny", devices={"data": self.disk("one")})
        self.api.launch("b", "tiny", config={"security.idmap.isolated": "true"})
        self.assertEqual(self.api.get(self.url("one"))["used_by"], ["/1.0/instances/a"])
        self.write("a", "from-a")
        self.api.sh("a", "touch /srv/owned && chown 5:6 /srv/owned")
        self.api.update("b", devices={"data": self.disk("one", "/mnt/data", readonly="true")})
        self.assertEqual(self.read("b", "/mnt/data/mark"), "from-a")
        self.assertEqual(self.api.sh("b", "stat -c %u:%g /mnt/data/owned"), "5:6")
        self.assertNotEqual(self.api.exec("b", ["touch", "/mnt/data/x"])[0], 0)
        self.assertNotEqual(self.api.exec("b", ["mount", "-o", "remount,rw,bind", "/mnt/data"])[0], 0)
        self.assertEqual(self.api.get(self.url("one"))["used_by"], ["/1.0/instances/a", "/1.0/instances/b"])
        self.assert_api_error(400, self.api.do, "DELETE", self.url("one"))
        refused = self.assert_api_error(400, self.api.do, "POST", self.url("one"), {"name": "two"})
        self.assertIn("a, b", refused)
        self.snapshot("one", "s")
        self.assert_api_error(400, self.api.do, "PUT", self.url("one"), {"restore": "s"})
        self.assert_api_error(400, self.api.do, "PATCH", self.url("one"), {"config": {"security.unmapped": "true"}})
        self.write("a", "later")
        self.assertEqual(self.read("b", "/mnt/data/mark"), "later")
        self.daemon.kill()
        self.daemon.start()
        self.assert_api_error(400, self.api.do, "PUT", self.url("one"), {"restore": "s"})
        self.api.update("b", devices={"data": None})
        self.assertNotEqual(self.api.exec("b", ["stat", "/mnt/data/mark"])[0], 0)
        self.api.stop("a")
        self.api.do("PUT", self.url("one"), {"restore": "s"})
        self.api.start("a")
        self.assertEqual(self.read("a"), "from-a")
        self.api.stop("a")
        self.api.do("POST", self.url("one"), {"name": "two"})
        self.addCleanup(self.drop, "two")
        self.assertEqual(self.api.instance("a")["devices"]["data"]["source"], "two")
        self.api.start("a")
        self.assertEqual(self.read("a"), "from-a")
        self.assertEqual(self.api.get(self.url("two"))["used_by"], ["/1.0/instances/a"])

    def test_a_snapshot_in_place_of_its_volume(self):
        self.volume("v")
        self.api.launch("a", "tiny", devices={"v": self.disk("v")})
        self.write("a", "then")
        self.snapshot("v", "s")
        self.write("a", "now")
        self.api.update("a", devices={"s": self.disk("v", "/mnt", **{"source.snapshot": "s", "source.type": "custom"})})
        self.assertEqual((self.read("a"), self.read("a", "/mnt/mark")), ("now", "then"))
        self.assertNotEqual(self.api.exec("a", ["touch", "/mnt/x"])[0], 0)
        for more in ({"source.snapshot": "none"}, {"source.type": "container"}):
            with self.assertRaises(ApiError) as caught:
                self.api.update("a", devices={"t": self.disk("v", "/opt", **more)})
            self.assertIn(caught.exception.code, (400, 404))
        for keys in ({"source.snapshot": "s", "source": "/srv"}, {"initial.block.filesystem": "xfs", "source": "/srv"}):
            self.assert_api_error(400, self.api.update, "a", devices={"t": {"type": "disk", "path": "/opt", **keys}})

    def test_by_a_profile_and_not_required(self):
        self.volume("one")
        self.api.do("POST", "/1.0/profiles", {"name": "data", "devices": {"data": self.disk("one")}})
        self.assertEqual(self.api.get(self.url("one"))["used_by"], ["/1.0/profiles/data"])
        self.api.launch("a", "tiny", profiles=["default", "data"])
        self.write("a", "x")
        self.assertEqual(self.api.get(self.url("one"))["used_by"], ["/1.0/instances/a", "/1.0/profiles/data"])
        self.api.stop("a")
        self.api.do("POST", self.url("one"), {"name": "renamed"})
        self.addCleanup(self.drop, "renamed")
        self.addCleanup(self.api.do, "DELETE", "/1.0/profiles/data")
        self.addCleanup(self.drop, "one")
        self.assertEqual(self.api.get("/1.0/profiles/data")["devices"]["data"]["source"], "renamed")
        self.api.update("a", devices={"more": self.disk("absent", "/more", required="false")})
        self.api.start("a")
        self.assertEqual(self.read("a"), "x")

    def test_copies_and_moves(self):
        self.api.do("POST", "/1.0/storage-pools", {"name": "plain", "driver": "dir", "config": {}})
        self.addCleanup(self.api.do, "DELETE", "/1.0/storage-pools/plain")
        self.volume("one", config={"user.a": "b"})
        self.api.launch("a", "tiny", devices={"data": self.disk("one")})
        self.write("a", "then")
        self.api.sh("a", "chown 7:8 /srv/mark && mkdir /srv/d && ln /srv/mark /srv/d/hard && ln -s mark /srv/soft")
        self.snapshot("one", "s")
        self.write("a", "now")
        for name, source, pool, more in (("copy", "one", "default", {}), ("old", "one/s", "default", {}),
                                         ("far", "one", "plain", {}), ("bare", "one", "plain", {"volume_only": True})):
            operation = self.copy(source, name, pool, **more)
            self.assertEqual(operation["description"], "Copying storage volume")
            self.addCleanup(self.drop, name, pool)
        self.assertEqual([self.snapshots(n, p) for n, p in (("copy", "default"), ("old", "default"), ("far", "plain"),
                                                            ("bare", "plain"))], [["s"], [], ["s"], []])
        self.assertEqual(self.api.get(self.url("copy"))["config"], {"user.a": "b"})
        # As a client sends the keys of a source in an lvm pool.
        self.api.do("POST", "/1.0/storage-pools/plain/volumes/custom", {
            "name": "of-lvm", "source": {"type": "copy", "name": "one", "pool": "default"},
            "config": {"user.a": "b", "block.filesystem": "xfs", "block.mount_options": "noatime"}})
        self.addCleanup(self.drop, "of-lvm", "plain")
        self.assertEqual(self.api.get(self.url("of-lvm", "plain"))["config"], {"user.a": "b"})
        self.assertEqual(self.api.state("a")["status"], "Running")
        self.api.stop("a")
        self.api.do("POST", self.url("one"), {"name": "moved", "pool": "plain"})
        self.addCleanup(self.drop, "moved", "plain")
        self.assertEqual(self.api.instance("a")["devices"]["data"]["pool"], "plain")
        self.api.update("a", devices={"far": self.disk("far", "/far", "plain"), "old": self.disk("old", "/old")})
        self.api.start("a")
        self.assertEqual([self.read("a", f"{p}/mark") for p in ("/srv", "/far", "/old")], ["now", "now", "then"])
        self.assertEqual(self.api.sh("a", "cat /far/soft; stat -c '%u:%g %h' /far/d/hard /srv/d/hard"),
                         "now\n7:8 2\n7:8 2")
        self.assertEqual(self.snapshots("moved", "plain"), ["s"])
        self.write("a", "newest")
        self.assert_api_error(400, self.api.do, "POST", f"/1.0/storage-pools/plain/volumes/custom", {
            "name": "far", "source": {"type": "copy", "name": "moved", "pool": "plain", "refresh": True}})
        self.api.update("a", devices={"far": None})
        self.api.do("POST", "/1.0/storage-pools/plain/volumes/custom", {
            "name": "far", "source": {"type": "copy", "name": "moved", "pool": "plain", "refresh": True}})
        self.api.update("a", devices={"far": self.disk("far", "/far", "plain")})
        self.assertEqual(self.read("a", "/far/mark"), "newest")


class UnmappedTest(VolumeBase):
    def test_ids_as_on_disk(self):
        self.volume("one", config={"security.unmapped": "true"})
        self.api.launch("a", "tiny", devices={"data": self.disk("one")})
        self.assertEqual(self.api.sh("a", "stat -c %u /srv"), "65534")
        self.api.stop("a")
        self.api.do("PUT", self.url("one"), {"config": {"security.shifted": "true"}})
        self.api.start("a")
        self.assertEqual(self.api.sh("a", "stat -c %u:%a /srv"), "0:711")


if __name__ == "__main__":
    main()
