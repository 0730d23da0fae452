"""Snapshots, restoring, copies, moves between pools and rebuilding of instances, schedules and expiry."""
import datetime
import os
import time

from harness.case import DaemonCase, main

NEVER = "0001-01-01T00:00:00Z"


class SnapshotBase(DaemonCase):
    def snapshot(self, name, snapshot="", **more):
        return self.api.do("POST", f"/1.0/instances/{name}/snapshots", {"name": snapshot, "stateful": False, **more})

    def restore(self, name, snapshot):
        return self.api.do("PUT", f"/1.0/instances/{name}", {"restore": snapshot})

    def copy(self, source, name, source_more=None, **more):
        body = {"name": name, "type": "container", "source": {"type": "copy", "source": source, **(source_more or {})}}
        return self.api.do("POST", "/1.0/instances", {**body, **more})

    def snapshots(self, name):
        return [url.rsplit("/", 1)[1] for url in self.api.get(f"/1.0/instances/{name}/snapshots")]

    def text(self, name, path):
        return self.api.pull(name, path).body

    def volumes(self, pool="default"):
        return sorted(os.listdir(os.path.join(self.daemon.root, "storage-pools", pool, "snapshots")))


class SnapshotTest(SnapshotBase):
    def test_create_list_show_rename_delete(self):
        self.api.create("one", "tiny", config={"user.note": "then"})
        with self.api.events() as events:
            operation = self.snapshot("one", "first")
            self.assertEqual(operation["description"], "Snapshotting instance")
            events.wait_action("instance-snapshot-created", "one/snapshots/first")
            self.snapshot("one")
            self.snapshot("one")
            self.assertEqual(self.api.get("/1.0/instances/one/snapshots"),
                             [f"/1.0/instances/one/snapshots/{s}" for s in ("first", "snap0", "snap1")])
            self.assertEqual(self.api.get("/1.0/containers/one/snapshots")[0], "/1.0/containers/one/snapshots/first")
            self.api.do("POST", "/1.0/instances/one/snapshots/first", {"name": "renamed"})
            events.wait_action("instance-snapshot-renamed", "one/snapshots/renamed")
            self.api.do("DELETE", "/1.0/instances/one/snapshots/snap0")
            events.wait_action("instance-snapshot-deleted", "one/snapshots/snap0")
        self.assertEqual(self.snapshots("one"), ["renamed", "snap1"])
        shown = self.api.get("/1.0/instances/one/snapshots/renamed")
        self.assertEqual((shown["name"], shown["expires_at"], shown["stateful"]), ("renamed", NEVER, False))
        self.assertEqual(shown["config"]["user.note"], "then")
        self.assertEqual(shown["expanded_devices"]["root"]["pool"], "default")
        self.assertEqual([s["name"] for s in self.api.get("/1.0/instances/one/snapshots?recursion=1")],
                         ["renamed", "snap1"])
        full = self.api.get("/1.0/instances?recursion=2")[0]
        self.assertEqual([s["name"] for s in full["snapshots"]], ["renamed", "snap1"])
        self.assertEqual(len(self.api.get("/1.0/instances/one?recursion=1")["snapshots"]), 2)
        self.assertEqual(len(self.volumes()), 2)
        self.api.delete("one")
        self.assertEqual(self.volumes(), [])

    def test_as_those_of_its_volume(self):
        self.api.create("one", "tiny")
        self.snapshot("one", "first")
        url = "/1.0/storage-pools/default/volumes/container/one/snapshots"
        self.assertEqual(self.api.get(url), [f"{url}/first"])
        self.assertEqual(self.api.get(f"{url}?recursion=1")[0]["name"], "one/first")
        self.assertEqual(self.api.get(f"{url}/first")["name"], "first")
        self.assert_api_error(404, self.api.get, f"{url}/second")
        self.assertIn("belong", self.assert_api_error(400, self.api.do, "DELETE", f"{url}/first"))

    def test_what_is_refused(self):
        self.api.create("two", "tiny")
        self.snapshot("two", "s")
        self.assert_api_error(409, self.snapshot, "two", "s")
        for name in ("a/b", "a b", "..", "x" * 256):
            self.assert_api_error(400, self.snapshot, "two", name)
        self.assertIn("not supported", self.assert_api_error(400, self.snapshot, "two", "t", stateful=True))
        self.assert_api_error(404, self.snapshot, "absent", "s")
        self.assert_api_error(404, self.restore, "two", "absent")
        self.assert_api_error(404, self.api.do, "DELETE", "/1.0/instances/two/snapshots/absent")
        self.assert_api_error(404, self.copy, "two/absent", "three")
        self.assert_api_error(409, self.copy, "two", "two")

    def test_expiry_is_changed_with_etags(self):
        self.api.create("three", "tiny")
        self.snapshot("three", "s", expires_at="2040-01-01T00:00:00Z")
        url = "/1.0/instances/three/snapshots/s"
        self.assertEqual(self.api.get(url)["expires_at"], "2040-01-01T00:00:00Z")
        etag = self.api.raw("GET", url).headers["ETag"]
        self.api.do("PATCH", url, {})
        self.assertEqual(self.api.get(url)["expires_at"], "2040-01-01T00:00:00Z")
        self.api.do("PUT", url, {"expires_at": "2041-01-01T00:00:00Z"}, {"If-Match": etag})
        self.assert_api_error(412, self.api.do, "PUT", url, {"expires_at": None}, {"If-Match": etag})
        self.api.do("PUT", url, {})
        self.assertEqual(self.api.get(url)["expires_at"], NEVER)

    def test_restore_of_a_stopped_instance(self):
        self.api.create("four", "tiny", config={"user.note": "then"})
        self.api.push("four", "/root/mark", b"then")
        uuid = self.api.instance("four")["config"]["volatile.uuid"]
        self.snapshot("four", "s")
        self.api.push("four", "/root/mark", b"now")
        self.api.raw("DELETE", self.api.file_target("four", "/etc/passwd"))
        self.api.update("four", config={"user.note": "now", "user.more": "1"})
        with self.api.events() as events:
            self.restore("four", "s")
            events.wait_action("instance-restored", "four")
        self.assertEqual(self.text("four", "/root/mark"), b"then")
        config = self.api.instance("four")["config"]
        self.assertEqual((config["user.note"], config.get("user.more"), config["volatile.uuid"]), ("then", None, uuid))
        self.restore("four", "four/s")
        self.api.start("four")
        self.assertEqual(self.api.sh("four", "cat /root/mark"), "then")

    def test_snapshot_and_restore_of_a_running_instance(self):
        self.api.launch("five", "tiny")
        pid = self.api.state("five")["pid"]
        self.api.sh("five", "echo then > /root/mark; rm -r /etc/passwd; mkdir -p /a/b; ln /root/mark /a/b/link")
        self.snapshot("five", "s")
        self.assertEqual((self.api.state("five")["pid"], self.api.state("five")["status"]), (pid, "Running"))
        self.api.sh("five", "echo now > /root/mark; rm -r /a; echo x > /etc/passwd")
        self.restore("five", "s")
        self.assertEqual(self.api.instance("five")["status"], "Running")
        self.assertNotEqual(self.api.state("five")["pid"], pid)
        self.assertEqual(self.api.sh("five", "cat /root/mark /a/b/link; stat -c %h /root/mark; ls /etc/passwd || :"),
                         "then\nthen\n2")

    def test_rename_carries_snapshots(self):
        self.api.create("six", "tiny")
        self.api.push("six", "/root/mark", b"then")
        self.snapshot("six", "s")
        self.api.do("POST", "/1.0/instances/six", {"name": "seven"})
        self.assertEqual(self.snapshots("seven"), ["s"])
        self.api.push("seven", "/root/mark", b"now")
        self.restore("seven", "s")
        self.assertEqual(self.text("seven", "/root/mark"), b"then")
        self.api.start("seven")
        self.assertEqual(self.api.sh("seven", "cat /etc/hostname"), "seven")

    def test_snapshots_are_there_after_a_restart_of_the_daemon(self):
        self.api.create("eight", "tiny")
        self.snapshot("eight", "s")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.snapshots("eight"), ["s"])
        self.restore("eight", "s")


class DirSnapshotTest(SnapshotTest):
    driver = "dir"


class CopyTest(SnapshotBase):
    def test_copy_has_its_own_identity_and_the_snapshots(self):
        self.api.create("src", "tiny", config={"user.note": "kept", "limits.memory": "100MiB"})
        self.api.push("src", "/etc/machine-id", b"0123456789abcdef0123456789abcdef\n")
        self.api.push("src", "/root/mark", b"then")
        self.snapshot("src", "s")
        self.api.push("src", "/root/mark", b"now")
        self.copy("src", "dst", config={"limits.memory": "200MiB"})
        source, made = self.api.instance("src"), self.api.instance("dst")
        self.assertEqual((made["config"]["user.note"], made["config"]["limits.memory"]), ("kept", "200MiB"))
        for key in ("volatile.uuid", "volatile.eth0.hwaddr", "volatile.cloud-init.instance-id"):
            self.assertNotEqual(made["config"][key], source["config"][key], key)
        self.assertEqual(made["config"]["volatile.base_image"], source["config"]["volatile.base_image"])
        self.assertEqual(self.snapshots("dst"), ["s"])
        self.api.start("src")
        self.api.start("dst")
        self.assertEqual(self.api.sh("dst", "cat /etc/hostname /root/mark"), "dst\nnow")
        self.assertEqual(self.api.sh("dst", "stat -c %s /etc/machine-id"), "0")
        self.api.sh("dst", "echo dst > /root/mark")
        self.assertEqual(self.api.sh("src", "cat /root/mark"), "now")
        self.restore("dst", "s")
        self.assertEqual(self.api.sh("dst", "cat /root/mark"), "then")
        self.assertNotEqual(self.api.instance("dst")["config"]["volatile.eth0.hwaddr"],
                            source["config"]["volatile.eth0.hwaddr"])
        self.api.stop("dst")
        self.api.stop("src")
        self.api.delete("src")
        self.api.start("dst")

    def test_copy_of_a_snapshot_and_without_snapshots(self):
        self.api.create("src", "tiny")
        self.api.push("src", "/root/mark", b"then")
        self.snapshot("src", "s")
        self.api.push("src", "/root/mark", b"now")
        self.copy("src/s", "old")
        self.copy("src", "bare", {"instance_only": True})
        self.assertEqual((self.text("old", "/root/mark"), self.snapshots("old")), (b"then", []))
        self.assertEqual((self.text("bare", "/root/mark"), self.snapshots("bare")), (b"now", []))

    def test_copy_of_a_running_instance(self):
        self.api.launch("src", "tiny")
        self.api.sh("src", "echo now > /root/mark")
        self.copy("src", "dst")
        self.assertEqual(self.api.instance("src")["status"], "Running")
        self.api.start("dst")
        self.assertEqual(self.api.sh("dst", "cat /root/mark"), "now")

    def test_refresh(self):
        self.api.create("src", "tiny")
        self.snapshot("src", "a")
        self.copy("src", "dst")
        self.snapshot("dst", "mine")
        self.snapshot("src", "b")
        self.api.push("src", "/root/mark", b"later")
        self.api.push("dst", "/root/own", b"1")
        self.copy("src", "dst", {"refresh": True})
        self.assertEqual(self.snapshots("dst"), ["a", "b"])
        self.assertEqual(self.text("dst", "/root/mark"), b"later")
        self.assertEqual(self.api.raw("GET", self.api.file_target("dst", "/root/own")).status, 404)
        self.api.start("dst")
        self.assertEqual(self.api.sh("dst", "cat /etc/hostname"), "dst")
        self.assert_api_error(400, self.copy, "src", "dst", {"refresh": True})
        self.copy("src", "fresh", {"refresh": True})
        self.assertEqual(self.snapshots("fresh"), ["a", "b"])

    def test_rebuild(self):
        self.api.create("again", "tiny", config={"user.note": "kept"})
        self.api.push("again", "/root/mark", b"1")
        self.snapshot("again", "s")
        self.api.do("POST", "/1.0/instances/again/rebuild", {"source": {"type": "image", "alias": "tiny"}})
        self.assertEqual(self.api.raw("GET", self.api.file_target("again", "/root/mark")).status, 404)
        self.assertEqual(self.api.instance("again")["config"]["user.note"], "kept")
        self.api.start("again")
        self.assertEqual(self.api.sh("again", "cat /etc/hostname"), "again")
        body = {"source": {"type": "none"}}
        self.assert_api_error(400, self.api.do, "POST", "/1.0/instances/again/rebuild", body)
        self.api.stop("again")
        self.api.do("POST", "/1.0/instances/again/rebuild", body)
        self.assertNotIn("volatile.base_image", self.api.instance("again")["config"])
        self.assertEqual(self.api.raw("GET", self.api.file_target("again", "/etc")).status, 404)
        self.restore("again", "s")
        self.api.start("again")
        self.assertEqual(self.api.sh("again", "cat /root/mark"), "1")


class PoolsTest(SnapshotBase):
    def setUp(self):
        super().setUp()
        for name, driver in (("plain", "dir"), ("second", "overlay")):
            self.api.do("POST", "/1.0/storage-pools", {"name": name, "driver": driver, "config": {}})

    def tearDown(self):
        for name in set(self.daemon.instance_names()) - self.expected_names:
            self.remove_instance(name)
        for pool in ("plain", "second"):
            self.api.do("DELETE", f"/1.0/storage-pools/{pool}")
        super().tearDown()

    def make(self):
        self.api.launch("src", "tiny", config={"user.note": "kept"})
        self.api.sh("src", "echo then > /root/mark; chown 33:34 /root/mark; rm /etc/passwd")
        self.snapshot("src", "s")
        self.api.sh("src", "echo now > /root/mark")

    def check(self, name, pool):
        self.assertEqual(self.api.instance(name)["expanded_devices"]["root"]["pool"], pool)
        self.api.start(name)
        self.assertEqual(self.api.sh(name, "cat /root/mark; stat -c %u:%g /root/mark; ls /etc/passwd || :"), "now\n33:34")
        self.restore(name, "s")
        self.assertEqual(self.api.sh(name, "cat /root/mark"), "then")
        self.api.stop(name)

    def test_copy_to_another_pool(self):
        self.make()
        for pool in ("plain", "second"):
            self.copy("src", f"to-{pool}", devices={"root": {"type": "disk", "path": "/", "pool": pool}})
            self.check(f"to-{pool}", pool)
            self.assertEqual(len(self.volumes(pool)), 1)

    def test_move_to_another_pool(self):
        self.make()
        move = {"name": "src", "migration": True, "pool": "plain"}
        self.assert_api_error(400, self.api.do, "POST", "/1.0/instances/src", move)
        self.api.stop("src")
        self.api.do("POST", "/1.0/instances/src", move)
        self.assertEqual((self.volumes(), len(self.volumes("plain"))), ([], 1))
        self.assertEqual(os.listdir(os.path.join(self.daemon.root, "storage-pools/default/containers")), [])
        self.check("src", "plain")
        self.api.do("POST", "/1.0/instances/src", {"name": "other", "migration": True, "pool": "second"})
        self.api.start("other")
        self.assertEqual(self.api.sh("other", "cat /etc/hostname /root/mark"), "other\nthen")


class ScheduleTest(SnapshotBase):
    def wait_for(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_expired_snapshots_go_by_themselves(self):
        self.api.create("one", "tiny")
        with self.api.events() as events:
            soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
            self.snapshot("one", "brief", expires_at=soon.isoformat().replace("+00:00", "Z"))
            self.snapshot("one", "kept")
            events.wait_action("instance-snapshot-deleted", "one/snapshots/brief", timeout=60)
        self.assertEqual(self.snapshots("one"), ["kept"])

    def test_expiry_passed_while_no_daemon_was_there(self):
        self.api.create("two", "tiny")
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
        self.snapshot("two", "brief", expires_at=soon.isoformat().replace("+00:00", "Z"))
        self.daemon.kill()
        self.wait_for(lambda: datetime.datetime.now(datetime.timezone.utc) > soon)
        self.daemon.start()
        self.wait_for(lambda: self.snapshots("two") == [])

    def lifetime(self, instance, snapshot):
        """Seconds between a snapshot's creation and its end."""
        shown = self.api.get(f"/1.0/instances/{instance}/snapshots/{snapshot}")
        begin, end = (datetime.datetime.fromisoformat(shown[key][:19]) for key in ("created_at", "expires_at"))
        return (end - begin).total_seconds()

    def test_pattern_and_expiry_keys(self):
        self.api.create("three", "tiny", config={"snapshots.pattern": "auto-{{ creation_date|date:'2006-01-02' }}",
                                                 "snapshots.expiry": "2d 3H"})
        self.snapshot("three")
        self.snapshot("three")
        day = datetime.date.today().isoformat()
        self.assertEqual(self.snapshots("three"), [f"auto-{day}", f"auto-{day}-0"])
        self.assertAlmostEqual(self.lifetime("three", f"auto-{day}"), 51 * 3600, delta=3605)
        # One of its own for what is made by hand; the schedule goes by the other.
        self.api.update("three", config={"snapshots.expiry.manual": "1H", "snapshots.schedule": "@startup"})
        self.snapshot("three", "by-hand")
        self.assertAlmostEqual(self.lifetime("three", "by-hand"), 3600, delta=5)
        self.api.start("three")
        self.assertAlmostEqual(self.lifetime("three", f"auto-{day}-1"), 51 * 3600, delta=3605)
        self.snapshot("three", "forever", expires_at=NEVER)
        self.assertEqual(self.api.get("/1.0/instances/three/snapshots/forever")["expires_at"], NEVER)

    def test_bad_values_are_refused(self):
        self.api.create("four", "tiny")
        for key, value in (("snapshots.schedule", "* * * *"), ("snapshots.schedule", "@sometimes"),
                           ("snapshots.schedule", "61 * * * *"), ("snapshots.expiry", "3x"), ("snapshots.expiry", "d"),
                           ("snapshots.expiry.manual", "soon"),
                           ("snapshots.pattern", "a/b"), ("snapshots.pattern", "%d-%d"),
                           ("snapshots.pattern", "{{ secret }}"), ("snapshots.schedule.stopped", "perhaps")):
            with self.subTest(key=key, value=value):
                self.assertIn(key, self.assert_api_error(400, self.api.update, "four", config={key: value}))

    def test_schedule(self):
        """A cron line of each minute: at most a minute until the next snapshot."""
        with self.api.events() as events:
            self.api.create("five", "tiny", config={"snapshots.schedule": "* * * * *"})
            self.api.create("six", "tiny", config={"snapshots.schedule": "* * * * *", "snapshots.schedule.stopped": "true"})
            events.wait_action("instance-snapshot-created", "six/snapshots/snap0", timeout=130)
        self.assertEqual(self.snapshots("five"), [])

    def test_startup(self):
        self.api.create("seven", "tiny", config={"snapshots.schedule": "@startup, @never"})
        self.api.start("seven")
        self.assertEqual(self.snapshots("seven"), ["snap0"])


if __name__ == "__main__":
    main()
