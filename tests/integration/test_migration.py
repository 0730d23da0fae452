"""Instances and volumes copied and moved between two servers: with another lxmgrd, and with the real LXD 5.0.2."""
import base64
import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import unittest

from harness import daemon as daemons
from harness import images, pair
from harness.case import DaemonCase, main
from harness.migration import PairCases

MODES = ("pull", "push", "relay")


class Migration(PairCases):
    def there_and_back(self, mode):
        self.make("trip")
        self.client("copy", "a:trip", "b:trip", "--mode", mode)
        self.client("copy", "b:trip", "a:back", "--mode", mode)
        self.check(self.there, "trip")
        self.check(self.api, "back")
        self.there.delete("trip")

    def test_pull(self):
        self.there_and_back("pull")

    def test_push(self):
        self.there_and_back("push")

    def test_relay(self):
        self.there_and_back("relay")

    def test_move_after_it_ran(self):
        """Its disk may carry the host's ids then; and it comes home as what it was."""
        self.make("nomad")
        uuid = self.api.instance("nomad")["config"]["volatile.uuid"]
        self.client("move", "a:nomad", "b:nomad")
        self.assertNotIn("nomad", self.daemon.instance_names())
        self.there.start("nomad")
        self.there.stop("nomad")
        self.client("move", "b:nomad", "a:nomad")
        self.assertNotIn("nomad", self.peer.daemon.instance_names())
        self.assertEqual(self.api.instance("nomad")["config"]["volatile.uuid"], uuid)
        self.check(self.api, "nomad")

    def test_refresh(self):
        self.make("base")
        self.client("copy", "a:base", "b:base")
        changed = self.later + b"!!"  # between two lxmgrd, of the size of what it replaces
        self.api.push("base", "/root/third", changed)
        self.api.do("POST", "/1.0/instances/base/snapshots", {"name": "s3"})
        self.api.do("DELETE", "/1.0/instances/base/snapshots/s2")
        self.api.push("base", "/root/fourth", b"four")
        self.client("copy", "a:base", "b:base", "--refresh")
        listed = self.there.get("/1.0/instances/base/snapshots?recursion=1")
        self.assertEqual([one["name"].split("/")[-1] for one in listed], ["s1", "s3"])
        self.assertEqual((self.there.pull("base", "/root/third").body, self.there.pull("base", "/root/fourth").body),
                         (changed, b"four"))
        self.there.do("PUT", "/1.0/instances/base", {"restore": "s3"})
        self.assert_api_error(404, self.there.pull, "base", "/root/fourth")
        before = self.api.instance("base")["config"]
        self.there.do("PATCH", "/1.0/instances/base", {"config": {"user.note": "from there"}})
        self.client("copy", "b:base", "a:base", "--refresh")
        self.assert_api_error(404, self.api.pull, "base", "/root/fourth")
        self.assertEqual(self.api.instance("base")["config"],
                         {**before, "user.note": "from there", "volatile.apply_template": "copy"})
        self.api.start("base")
        self.api.stop("base")
        self.there.delete("base")

    def test_running_and_partial(self):
        """A running one without its processes, one without snapshots and with other keys, a snapshot alone."""
        self.make("live")
        self.api.start("live")
        self.client("copy", "a:live", "b:live", "--stateless", "--instance-only", "-c", "user.more=yes")
        self.assertEqual(self.api.instance("live")["status"], "Running")
        self.check(self.there, "live", snapshots=())
        self.assertEqual(self.there.instance("live")["config"]["user.more"], "yes")
        self.assertNotEqual(self.client.run("copy", "a:live", "b:other", check=False).returncode, 0)
        self.client("copy", "a:live/s1", "b:moment")
        self.assertEqual(self.there.pull("moment", "/root/second").body, b"two")
        self.assertNotIn("other", self.peer.daemon.instance_names())
        for name in ("live", "moment"):
            self.there.delete(name)


    def test_volumes(self):
        """With a snapshot, there and back, and up to date again."""
        url = "/1.0/storage-pools/default/volumes/custom"
        self.api.call("POST", url, {"name": "data", "config": {"user.note": "kept"}})
        self.api.create("user", "tiny", devices={"d": {"type": "disk", "pool": "default", "source": "data", "path": "/d"}})
        self.api.start("user")
        self.api.sh("user", "echo one > /d/file")
        self.api.do("POST", f"{url}/data/snapshots", {"name": "v1"})
        self.api.sh("user", "echo twenty > /d/file; echo more > /d/more")
        for mode in MODES:
            self.client("storage", "volume", "copy", "a:default/data", f"b:default/{mode}", "--mode", mode)
            self.assertEqual(self.there.get(f"{url}/{mode}")["config"].get("user.note"), "kept")
            self.assertEqual(self.there.get(f"{url}/{mode}/snapshots"), [f"{url}/{mode}/snapshots/v1"])
        self.api.sh("user", "rm /d/more")
        # Compressed where both ends want it, as LXD always does.
        self.api.call("PATCH", "/1.0/storage-pools/default", {"config": {"rsync.compression": "true"}})
        self.client("storage", "volume", "copy", "b:default/pull", "a:default/back")
        self.api.stop("user")
        self.api.update("user", devices={"d": {"type": "disk", "pool": "default", "source": "back", "path": "/d"}})
        self.api.start("user")
        self.assertEqual(self.api.sh("user", "cat /d/file /d/more"), "twenty\nmore")
        self.api.stop("user")
        self.client("storage", "volume", "copy", "a:default/data", "b:default/pull", "--refresh")
        self.api.call("PATCH", "/1.0/storage-pools/default", {"config": {"rsync.compression": ""}})
        self.client("storage", "volume", "copy", "b:default/pull", "a:default/back", "--refresh")
        self.api.start("user")
        self.assertEqual(self.api.sh("user", "ls /d"), "file")
        self.remove_instance("user")
        for name in ("data", "back"):
            self.api.call("DELETE", f"{url}/{name}")
        for name in MODES:
            self.there.call("DELETE", f"{url}/{name}")


class LxmgrTest(Migration, DaemonCase):
    peer_kind = daemons.Daemon
    target_points = ("instances.migration.intent", "migration.receive", "instances.migration.volume=3",
                     "instances.migration.arrived", "instances.migration.row")
    source_points = ("instances.migration.moment", "migration.send=2")
    too_big = 40 << 20

    def test_links_and_sparse_files(self):
        """What LXD's options for rsync leave out is carried between two of us."""
        self.api.create("odd", "tiny")
        self.api.start("odd")
        self.api.sh("odd", "cd /root; echo x > a; ln a b; mkfifo pipe; dd if=/dev/zero of=hole bs=1 count=1 seek=8388607; "
                           "mknod whiteout c 0 0 || true; chmod 4755 a; touch -d '2001-02-03 04:05:06' a")
        self.api.stop("odd")
        self.client("copy", "a:odd", "b:odd")
        self.there.start("odd")
        look = ("cd /root; stat -c '%h %a %Y' a; test -p pipe; test $(du -k hole | cut -f1) -lt 100; "
                "test $(stat -c %i a) = $(stat -c %i b)")
        self.assertEqual(self.there.sh("odd", look), "2 4755 981173106")
        self.there.stop("odd")
        self.there.delete("odd")

    def test_trees_arrive_as_they_were(self):
        """Whole, with all that a file system can hold, and then by rsync: that finds nothing to bring."""
        self.api.create("odd", "tiny")
        self.api.start("odd")
        self.api.sh("odd", "cd /home; i=0; while [ $i -lt 300 ]; do mkdir d$i; cd d$i; i=$((i + 1)); done; echo deep > file; "
                           "cd /home; dd if=/dev/urandom of=big bs=1M count=9 2> /dev/null; ln -s /no/where lost; "
                           "ln -s \"$(printf 'two\\nlines')\" 'na me'; touch -h -d '2001-02-03 04:05:06' lost; "
                           "mkdir shut; chmod 0 shut; chown 1000:1000 big; chmod 2751 big; touch empty; mkdir -m 1777 all; "
                           "ln big all/other; echo own > suid; chmod 4755 suid; echo own > none; chmod 0 none; "
                           "mkdir -m 2775 group; echo x > tail; touch acl; mkdir acls; "
                           "dd if=/dev/null of=tail bs=1M count=0 seek=1 2> /dev/null")
        root = f"/proc/{self.api.state('odd')['pid']}/root/home"
        inside = ["nsenter", "-t", str(self.api.state("odd")["pid"]), "-U", "-S0", "-G0", "--preserve-credentials", "--"]
        for key, value in (("user.note", "x" * 3000), ("user.none", "")):
            subprocess.run(["setfattr", "-n", key, "-v", value, f"{root}/big"], check=True)
        subprocess.run([*inside, "setcap", "cap_net_raw=ep", f"{root}/empty"], check=False)  # where it may
        nobody = (1 << 32) - 1
        # Version 2: the owner rw, user 1000 rw, the group r, at most rw, others r.
        acl = base64.b64encode(struct.pack("<I" + "HHI" * 5, 2, 1, 6, nobody, 2, 6, 1000, 4, 4, nobody,
                                           16, 6, nobody, 32, 4, nobody)).decode()
        for name, kind in (("acl", "access"), ("acls", "default")):
            key = f"system.posix_acl_{kind}"
            subprocess.run([*inside, "setfattr", "-n", key, "-v", f"0s{acl}", f"{root}/{name}"], check=True)
        self.api.sh("odd", "echo inherited > /home/acls/child")
        self.api.stop("odd")
        self.client("copy", "a:odd", "b:odd")
        seen = [self.seen(api, "odd") for api in (self.api, self.there)]
        self.assertEqual(len(seen[0]), 315)
        self.assertEqual(seen[0], seen[1])
        self.client("copy", "a:odd", "b:odd", "--refresh")
        self.assertEqual(self.seen(self.there, "odd"), seen[0])
        self.there.delete("odd")

    def seen(self, api, name):
        """All below /home, while it runs."""
        api.start(name)
        root = f"/proc/{api.state(name)['pid']}/root/home"
        found = []
        for top, folders, names in os.walk(os.fsencode(root)):
            for one in folders + names:
                path = os.path.join(top, one)
                st = os.lstat(path)
                attributes = {key: os.getxattr(path, key, follow_symlinks=False)
                              for key in os.listxattr(path, follow_symlinks=False)}
                content = os.readlink(path) if os.path.islink(path) else pathlib.Path(os.fsdecode(path)).read_bytes() \
                    if os.path.isfile(path) else b""
                found.append((path[len(root):], st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, st.st_nlink,
                              st.st_size if not os.path.isdir(path) else 0, attributes, content))
        api.stop(name)
        base = min(one[2] for one in found)  # the ids of the host that it has there
        return sorted((*one[:2], one[2] - base, one[3] - base, *one[4:]) for one in found)

    def test_image_at_both_servers(self):
        """The copy stands on it, as the source does, and holds what that holds even where size and time look alike."""
        fingerprint = self.peer.daemon.import_image(images.tiny(), "tiny")

        def base(daemon, name):
            path = os.path.join(daemon.root, "storage-pools/default/containers", name, "base")
            return os.path.lexists(path)

        self.api.create("plain", "tiny")
        self.api.start("plain")
        self.api.sh("plain", "rm /etc/group; echo own > /root/own; chmod 750 /root; mkdir /etc/new; ln -s x /etc/new/y")
        self.client("copy", "a:plain", "b:running", "--stateless")
        self.api.stop("plain")
        self.make("kept")
        for name in ("plain", "kept"):
            self.client("copy", f"a:{name}", f"b:{name}")
        self.check(self.there, "kept")
        for name in ("plain", "running"):
            self.assertTrue(base(self.peer.daemon, name), name)
            self.there.start(name)
            self.assertEqual(self.there.sh(name, "test ! -e /etc/group; cat /root/own; stat -c %a /root; readlink /etc/new/y"),
                             "own\n750\nx")
            self.there.stop(name)
        self.assertTrue(base(self.peer.daemon, "kept"))
        self.api.create("sly", "tiny")
        self.api.start("sly")
        self.api.sh("sly", "cd /etc; touch -r passwd /t; tr a-z b-za < passwd > /u; cat /u > passwd; touch -r /t passwd")
        self.api.stop("sly")
        self.client("copy", "a:sly", "b:sly")
        self.assertEqual(self.there.pull("sly", "/etc/passwd").body, self.api.pull("sly", "/etc/passwd").body)
        self.assertFalse(base(self.peer.daemon, "sly"))
        for name in ("plain", "running", "kept", "sly"):
            self.there.delete(name)
        self.there.do("DELETE", f"/1.0/images/{fingerprint}")

    # ---- what goes wrong
    def source_operation(self, name):
        return self.api.call("POST", f"/1.0/instances/{name}", {"migration": True, "live": False})["metadata"]

    def pull(self, name, new_name, **source):
        """The target's operation, whatever its end."""
        operation = self.source_operation(name)
        self.asked = operation["id"]
        certificate = self.api.get("/1.0")["environment"]["certificate"]
        made = self.there.call("POST", "/1.0/instances", {"name": new_name, "config": {"user.note": "kept"}, "source": {
            "type": "migration", "mode": "pull", "operation": f"{pair.url(pair.NEAR)}/1.0/operations/{operation['id']}",
            "certificate": certificate, "secrets": operation["metadata"], **source}})["metadata"]
        return operation["id"], made["id"]

    @staticmethod
    def end_of(api, operation):
        return api.get(f"/1.0/operations/{operation}/wait?timeout=100")

    def ending(self, api, operation):
        """end_of(), from now on in the background: of what ended a while ago nothing is known any more."""
        pool = concurrent.futures.ThreadPoolExecutor(1)
        self.addCleanup(pool.shutdown)
        return pool.submit(self.end_of, api, operation)

    def test_cancelled(self):
        self.make("kept")
        operation = self.source_operation("kept")
        self.api.call("DELETE", f"/1.0/operations/{operation['id']}")
        self.assertEqual(self.end_of(self.api, operation["id"])["status"], "Cancelled")
        waiting = self.there.call("POST", "/1.0/instances",
                                  {"name": "never", "source": {"type": "migration", "mode": "push"}})["metadata"]
        self.assertEqual((waiting["class"], sorted(waiting["metadata"])), ("websocket", ["control", "fs"]))
        self.there.call("DELETE", f"/1.0/operations/{waiting['id']}")
        self.assertEqual(self.end_of(self.there, waiting["id"])["status"], "Cancelled")
        self.assertEqual(self.peer.daemon.instance_names(), [])
        self.check(self.api, "kept")

    def test_refusals(self):
        self.make("kept")
        self.there.create("taken", "", config={})
        here, there = self.pull("kept", "taken2", secrets={"control": "0" * 64, "fs": "0" * 64})
        self.assertIn("403", self.end_of(self.there, there)["err"])
        self.assertIn("Timed out", self.end_of(self.api, here)["err"])
        mine = self.there.get("/1.0")["environment"]["certificate"]
        here, there = self.pull("kept", "taken2", certificate=mine)
        self.assertIn("another certificate", self.end_of(self.there, there)["err"])
        self.api.call("DELETE", f"/1.0/operations/{here}")
        self.assert_api_error(409, self.pull, "kept", "taken")
        self.assert_api_error(400, self.pull, "kept", "x", operation="http://10.99.0.1/1.0/operations/x")
        self.assert_api_error(400, self.pull, "kept", "x", mode="sideways")
        self.assert_api_error(400, self.api.call, "POST", "/1.0/instances/kept", {"migration": True, "target": {}})
        self.assertEqual(self.peer.daemon.instance_names(), ["taken"])
        self.there.delete("taken")
        self.check(self.api, "kept")

    def volumes(self, daemon):
        pool = f"/proc/{daemon.sandbox.pid}/root{daemon.root}/storage-pools/default"  # mounted there only
        return {kind: os.listdir(os.path.join(pool, kind)) for kind in ("containers", "snapshots")}

    def test_target_dies(self):
        """At any point: nothing of it is left there, and the source is as it was."""
        self.make("kept")
        before = self.volumes(self.daemon)
        for point in self.target_points:
            with self.subTest(point=point):
                self.peer.daemon.kill()
                self.peer.daemon.start(environment={"LXMGR_FAILPOINT": point})
                with contextlib.suppress(ConnectionError):  # it may die before it has answered
                    self.pull("kept", "copy")
                ended = self.ending(self.api, self.asked)
                self.peer.daemon.wait_dead()
                self.assertEqual(ended.result()["status"], "Failure")
                self.peer.daemon.start()
                if point.endswith("row"):
                    self.check(self.there, "copy")
                    self.there.delete("copy")
                self.assertEqual(self.volumes(self.peer.daemon), {"containers": [], "snapshots": []})
                self.assertEqual(self.volumes(self.daemon), before)
        self.client("copy", "a:kept", "b:copy")
        self.check(self.there, "copy")
        self.there.delete("copy")

    def test_source_dies(self):
        self.make("kept")
        before = self.volumes(self.daemon)
        for point in self.source_points:
            with self.subTest(point=point):
                self.daemon.kill()
                self.daemon.start(environment={"LXMGR_FAILPOINT": point})
                _, there = self.pull("kept", "copy")
                ended = self.ending(self.there, there)
                self.daemon.wait_dead()
                self.assertEqual(ended.result()["status"], "Failure")
                self.daemon.start()
                self.assertEqual(self.volumes(self.peer.daemon), {"containers": [], "snapshots": []})
                self.assertEqual(self.volumes(self.daemon), before)
        self.check(self.api, "kept")

    def test_the_cable_is_cut(self):
        """In the middle of a copy, so that nobody says goodbye: both find out by themselves, and nothing is left at either."""
        self.make("kept")
        self.api.push("kept", "/root/big", os.urandom(24 << 20))
        before = self.volumes(self.daemon)
        cable = lambda *how: self.daemon.sandbox.run("ip", "link", "set", self.peer.link, *how)  # noqa: E731
        self.daemon.sandbox.run("tc", "qdisc", "add", "dev", self.peer.link, "root", "tbf", "rate", "16mbit", "burst", "64kb",
                                "latency", "200ms")
        try:
            here, there = self.pull("kept", "copy")
            begun = self.sent()
            while self.sent() < begun + (4 << 20):
                self.assertEqual(self.there.get(f"/1.0/operations/{there}")["status"], "Running")
            cable("down")
            for ending in [self.ending(self.api, here), self.ending(self.there, there)]:
                ended = ending.result()
                self.assertEqual(ended["status"], "Failure", ended)
                self.assertIn("lost", ended["err"])
        finally:
            self.daemon.sandbox.run("tc", "qdisc", "del", "dev", self.peer.link, "root")
            cable("up")
        self.assertEqual(self.peer.daemon.instance_names(), [])
        self.assertEqual(self.volumes(self.peer.daemon), {"containers": [], "snapshots": []})
        self.assertEqual(self.volumes(self.daemon), before)
        self.client("copy", "a:kept", "b:copy")
        self.check(self.there, "copy")
        self.there.delete("copy")

    def sent(self):
        """Bytes that went down the cable."""
        return self.statistics()["tx"]["bytes"]

    def statistics(self):
        return json.loads(self.daemon.sandbox.run("ip", "-json", "-statistics", "link", "show", self.peer.link))[0]["stats64"]

    def test_no_room(self):
        """The target's limit is less than what comes."""
        self.api.create("big", "tiny")
        self.api.push("big", "/root/big", os.urandom(self.too_big))
        limited = {"root": {"type": "disk", "path": "/", "pool": "default", "size": "24MiB"}}
        operation = self.source_operation("big")
        certificate = self.api.get("/1.0")["environment"]["certificate"]
        made = self.there.call("POST", "/1.0/instances", {"name": "small", "devices": limited, "source": {
            "type": "migration", "mode": "pull", "operation": f"{pair.url(pair.NEAR)}/1.0/operations/{operation['id']}",
            "certificate": certificate, "secrets": operation["metadata"]}})["metadata"]
        here, there = self.ending(self.api, operation["id"]), self.ending(self.there, made["id"])
        said = there.result()["err"]
        self.assertIn("instance 'small'", said)
        self.assertIn(said.split(":")[0], here.result()["err"])
        self.assertEqual(self.volumes(self.peer.daemon), {"containers": [], "snapshots": []})


@unittest.skipUnless(shutil.which("lxd"), "no lxd here")
class LxdTest(Migration, DaemonCase):
    peer_kind = daemons.Lxd
    later = b"longer"  # LXD's rsync looks at size and second


if __name__ == "__main__":
    main()
