"""Copies between two lxmgrd whose pools are of driver btrfs: as its streams, and by rsync where those cannot say all."""
import os
import time

import test_migration
from harness import daemon as daemons
from harness.case import main
from harness.rest import PATIENCE

POOLS = "/1.0/storage-pools"
VOLUMES = f"{POOLS}/default/volumes/custom"
BIG = 12 << 20


class BtrfsDaemon(daemons.Daemon):
    def default_driver(self):
        return "btrfs"


def subvolumes(daemon):
    """All of its pool but images: what is published, and what is not."""
    listed = daemon.sandbox.run("btrfs", "subvolume", "list", f"{daemon.root}/storage-pools/default")
    return {path for path in (line.split(" path ")[1] for line in listed.splitlines()) if "images/" not in path}


class BtrfsTest(test_migration.LxmgrTest):
    driver = "btrfs"
    peer_kind = BtrfsDaemon
    target_points = ("instances.migration.intent", "migration.receive_stream", "storage.btrfs.receive.begun=2",
                     "instances.migration.stream=3", "storage.btrfs.receive.tree", "storage.btrfs.receive.published=2",
                     "instances.migration.arrived", "instances.migration.row")
    source_points = ("migration.send_stream", "migration.send_stream=3")
    too_big = 120 << 20  # more than a target takes when it has failed
    test_image_at_both_servers = None  # nothing stands on an image where a copy is a snapshot of it

    def setUp(self):
        super().setUp()
        self.before = {one: subvolumes(one) for one in (self.daemon, self.peer.daemon)}

    def tearDown(self):
        super().tearDown()
        for daemon, names in self.before.items():
            self.wait_gone(daemon, names)

    def wait_gone(self, daemon, names):
        """Subvolumes are removed in the background."""
        deadline = time.monotonic() + 20 * PATIENCE
        while time.monotonic() < deadline and not subvolumes(daemon) <= names:
            time.sleep(0.05)
        self.assertLessEqual(subvolumes(daemon), names)

    def cost(self, *copy):
        """Bytes that the source sends for it."""
        before = self.sent()
        self.client(*copy)
        return self.sent() - before

    def test_only_what_differs_is_sent(self):
        """Between snapshots, and by a refresh: a file that was renamed is not sent again, as rsync would."""
        self.api.create("dev", "tiny")
        self.api.push("dev", "/root/big", os.urandom(BIG))
        self.api.do("POST", "/1.0/instances/dev/snapshots", {"name": "s1"})
        self.rename("dev", "big", "large")
        self.api.do("POST", "/1.0/instances/dev/snapshots", {"name": "s2"})
        cost = self.cost("copy", "a:dev", "b:dev")
        self.assertLess(cost, 2 * BIG)
        self.assertGreater(cost, BIG)
        self.rename("dev", "large", "huge")
        self.api.do("POST", "/1.0/instances/dev/snapshots", {"name": "s3"})
        self.assertLess(self.cost("copy", "a:dev", "b:dev", "--refresh"), BIG // 2)
        self.assertEqual(self.there.pull("dev", "/root/huge").body, self.api.pull("dev", "/root/huge").body)
        self.assert_api_error(404, self.there.pull, "dev", "/root/large")
        # What came as a stream is known again on its way back.
        self.there.push("dev", "/root/more", b"more")
        self.there.do("POST", "/1.0/instances/dev/snapshots", {"name": "s4"})
        before = self.sent("rx")
        self.client("copy", "b:dev", "a:dev", "--refresh")
        self.assertLess(self.sent("rx") - before, BIG // 2)
        self.assertEqual(self.api.pull("dev", "/root/more").body, b"more")
        for api in (self.api, self.there):
            for snapshot, name in (("s1", "big"), ("s2", "large"), ("s3", "huge")):
                api.do("PUT", "/1.0/instances/dev", {"restore": snapshot})
                self.assertEqual(len(api.pull("dev", f"/root/{name}").body), BIG)
        self.there.delete("dev")

    def rename(self, instance, old, new):
        self.api.start(instance)
        self.api.sh(instance, f"mv /root/{old} /root/{new}; sync")
        self.api.stop(instance)

    def sent(self, direction="tx"):
        return self.statistics()[direction]["bytes"]

    def test_snapshots_that_are_another_servers(self):
        """A copy whose snapshots came by rsync has none that a stream could begin with: the refresh is rsync's, too."""
        self.make("base")
        self.there.do("POST", POOLS, {"name": "plain", "driver": "dir", "config": {}})
        self.client("copy", "a:base", "b:base", "--storage", "plain")
        self.client("copy", "b:base", "a:again", "--storage", "default")
        self.client("copy", "b:base", "b:there", "--storage", "default")
        self.api.push("again", "/root/fourth", b"four")
        self.client("copy", "a:again", "b:there", "--refresh")
        self.assertEqual(self.there.pull("there", "/root/fourth").body, b"four")
        for api, name in ((self.there, "base"), (self.there, "there"), (self.api, "again")):
            self.check(api, name)
        for name in ("base", "there"):
            self.there.delete(name)
        self.there.do("DELETE", f"{POOLS}/plain")

    def test_subvolumes_inside(self):
        """Streams leave them out: rsync brings what is in them."""
        self.make("nest")
        root = f"{self.daemon.root}/storage-pools/default/containers/nest/rootfs"
        self.daemon.sandbox.run("btrfs", "-q", "subvolume", "create", f"{root}/root/inner")
        self.api.push("nest", "/root/inner/file", b"inner")
        self.client("copy", "a:nest", "b:nest")
        self.assertEqual(self.there.pull("nest", "/root/inner/file").body, b"inner")
        self.check(self.there, "nest")
        self.there.delete("nest")

    def test_volume_refreshed(self):
        """With its limit, by streams."""
        self.api.create("user", "tiny")
        self.api.call("POST", VOLUMES, {"name": "data", "config": {"size": "64MiB"}})
        attach = {"d": {"type": "disk", "pool": "default", "source": "data", "path": "/d"}}
        self.api.update("user", devices=attach)
        self.api.start("user")
        self.api.sh("user", f"head -c {BIG} /dev/urandom > /d/big")
        self.api.do("POST", f"{VOLUMES}/data/snapshots", {"name": "v1"})
        self.assertGreater(self.cost("storage", "volume", "copy", "a:default/data", "b:default/data"), BIG)
        self.api.sh("user", "mv /d/big /d/large")
        self.api.do("POST", f"{VOLUMES}/data/snapshots", {"name": "v2"})
        self.assertLess(self.cost("storage", "volume", "copy", "a:default/data", "b:default/data", "--refresh"), BIG // 2)
        self.assertEqual(len(self.there.get(f"{VOLUMES}/data/snapshots")), 2)
        self.client("copy", "a:user", "b:user", "--stateless")
        self.there.start("user")
        sums = [api.sh("user", "cd /d; ls; sha256sum large") for api in (self.api, self.there)]
        self.assertEqual(sums[0], sums[1])
        for api in (self.api, self.there):
            api.stop("user")
            api.delete("user")
            api.call("DELETE", f"{VOLUMES}/data")

    def test_cancelled_on_its_way(self):
        self.make("kept")
        self.api.push("kept", "/root/big", os.urandom(2 * BIG))
        before = subvolumes(self.daemon)
        self.daemon.sandbox.run("tc", "qdisc", "add", "dev", self.peer.link, "root", "tbf", "rate", "16mbit", "burst", "64kb",
                                "latency", "200ms")
        try:
            for api, which in ((self.api, 0), (self.there, 1)):
                both = self.pull("kept", "copy")
                begun = self.sent()
                while self.sent() < begun + (2 << 20):
                    self.assertEqual(self.there.get(f"/1.0/operations/{both[1]}")["status"], "Running")
                endings = [self.ending(self.api, both[0]), self.ending(self.there, both[1])]
                api.call("DELETE", f"/1.0/operations/{both[which]}")
                ended = [ending.result()["status"] for ending in endings]
                self.assertEqual(ended[which], "Cancelled")
                self.assertEqual(ended[1 - which], "Failure")
                self.wait_gone(self.daemon, before)
                self.wait_gone(self.peer.daemon, self.before[self.peer.daemon])
                self.assertEqual(self.peer.daemon.instance_names(), [])
        finally:
            self.daemon.sandbox.run("tc", "qdisc", "del", "dev", self.peer.link, "root")


if __name__ == "__main__":
    main()
