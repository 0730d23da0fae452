"""Backups in the form of btrfs (optimized_storage): made and read here, exchanged with the real LXD, hostile ones refused."""
import io
import os
import struct
import tarfile

import test_backups
import test_crash_backups
from harness import clients, pair
from harness import daemon as daemons
from harness.case import DaemonCase, main
from harness.daemon import binaries
from harness.leaks import LeakCheck

POOLS = "/1.0/storage-pools"
SNAPSHOTS = "storage-pools/default/snapshots"


def crc32c(data):
    """Of a send stream: CRC-32C that begins with 0 and is not turned over at its end."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def command(kind, *attributes):
    body = b"".join(struct.pack("<HH", number, len(value)) + value for number, value in attributes)
    head = struct.pack("<IH", len(body), kind)
    return head + struct.pack("<I", crc32c(head + bytes(4) + body)) + body


def with_files(data, change):
    """The tarball with members that `change` gives other bytes (None: it is left out)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            content = change(member.name, old.extractfile(member).read())
            if content is not None:
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
    return out.getvalue()


def inside(daemon, path):
    """A path of a pool that only the daemon's namespace has mounted."""
    return os.path.join(f"/proc/{daemon.sandbox.pid}/root{daemon.root}", path)


class OptimizedBase(test_backups.BackupBase):
    driver = "btrfs"

    def back_up(self, instance, name="", **more):
        return super().back_up(instance, name, **{"optimized_storage": True, **more})


class RoundTripTest(OptimizedBase, test_backups.RoundTripTest):
    def pool_of_trees(self):
        return "default"

    def test_compressions_and_pools(self):
        self.api.do("POST", POOLS, {"name": "other", "driver": "btrfs", "config": {"size": "512MiB"}})
        root = {"type": "disk", "path": "/", "pool": "default", "size": "64MiB"}
        self.api.create("one", "tiny", devices={"root": root})
        self.api.do("POST", "/1.0/instances/one/snapshots", {"name": "s"})
        self.api.push("one", "/root/later", b"more")
        for compression in ("gzip", "zstd"):
            self.back_up("one", compression, compression_algorithm=compression, instance_only=compression == "zstd")
            self.assertTrue(self.api.get(self.url("one", compression))["optimized_storage"])
            self.restore(self.download("one", compression), name="two", pool="other")
            self.assertEqual(self.api.pull("two", "/root/later").body, b"more")
            self.assertEqual(len(self.api.get("/1.0/instances/two/snapshots")), 0 if compression == "zstd" else 1)
            self.assertEqual(self.api.instance("two")["expanded_devices"]["root"]["size"], "64MiB")
            self.api.start("two")
            code, _, _ = self.api.exec("two", ["dd", "if=/dev/zero", "of=/fill", "bs=1M", "count=80"])
            self.assertNotEqual(code, 0, "there is no limit")
            self.api.stop("two")
            self.api.delete("two")
        self.api.do("DELETE", f"{POOLS}/other")

    def test_each_snapshot_says_only_what_it_has_more(self):
        self.api.create("one", "tiny")
        for number in range(3):
            self.api.do("POST", "/1.0/instances/one/snapshots", {"name": f"s{number}"})
            self.api.push("one", f"/root/f{number}", os.urandom(100_000))
        self.back_up("one", "b")
        data = self.download("one", "b")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            sizes = {member.name: member.size for member in tar}
        self.assertEqual(list(sizes)[:2], ["backup/index.yaml", "backup/optimized_header.yaml"])
        self.assertGreater(sizes["backup/snapshots/s0.bin"], 1_000_000)
        for name in ("backup/snapshots/s1.bin", "backup/snapshots/s2.bin", "backup/container.bin"):
            self.assertLess(sizes[name], 150_000, sizes)
        self.restore(data, name="two")
        for number in (2, 1, 0):
            self.api.do("PUT", "/1.0/instances/two", {"restore": f"s{number}"})
            there = [self.api.raw("GET", self.api.file_target("two", f"/root/f{one}")).status for one in range(3)]
            self.assertEqual(there, [200] * number + [404] * (3 - number))

    def test_lxmgr(self):
        self.api.create("one", "tiny")
        lxmgr = clients.Client(self.daemon, str(binaries() / "lxmgr"), {"LXMGR_DIR": self.daemon.root})
        file = os.path.join(self.daemon.base, "one.tar")
        lxmgr("export", "one", file, "--optimized-storage", "--compression", "none")
        with tarfile.open(file) as tar:
            self.assertIn("backup/container.bin", tar.getnames())
        lxmgr("import", file, "two")
        self.api.start("two")
        os.unlink(file)


class RefusalTest(OptimizedBase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.forget)
        self.api.create("one", "tiny")
        self.api.do("POST", "/1.0/instances/one/snapshots", {"name": "s"})
        self.back_up("one", "b")
        self.data = self.download("one", "b")
        self.idle = LeakCheck(self.daemon)

    def forget(self):
        if "one" in self.daemon.instance_names():
            self.api.delete("one")

    def refuse(self, data, **headers):
        message = self.assert_api_error(400, self.restore, data, name="x", **headers)
        self.assertEqual(self.daemon.instance_names(), ["one"])
        self.assertEqual(len(os.listdir(inside(self.daemon, SNAPSHOTS))), 1)
        return message

    def test_pools_of_other_drivers(self):
        self.api.do("POST", POOLS, {"name": "plain", "driver": "dir", "config": {}})
        self.assertIn("'btrfs'", self.refuse(self.data, pool="plain"))
        self.api.create("two", "tiny", devices={"root": {"type": "disk", "path": "/", "pool": "plain"}})
        self.assertIn("btrfs", self.assert_api_error(400, self.back_up, "two", "b"))
        self.api.delete("two")
        self.api.do("DELETE", f"{POOLS}/plain")
        volume = f"{POOLS}/default/volumes/custom"
        self.api.do("POST", volume, {"name": "v"})
        self.assertIn("instances only", self.assert_api_error(
            400, self.api.do, "POST", f"{volume}/v/backups", {"name": "b", "optimized_storage": True}))
        self.api.do("DELETE", f"{volume}/v")

    def test_subvolumes_inside(self):
        root = os.path.join(self.daemon.root, "storage-pools/default/containers/one/rootfs")
        self.daemon.sandbox.run("btrfs", "-q", "subvolume", "create", f"{root}/root/inner")
        self.assertIn("rootfs/root/inner", self.assert_api_error(400, self.back_up, "one", "nested"))

    def test_what_is_not_whole(self):
        self.refuse(self.data[:len(self.data) // 2])
        for change in (lambda name, data: None if name == "backup/container.bin" else data,
                       lambda name, data: None if name == "backup/snapshots/s.bin" else data,
                       lambda name, data: data[:-20] if name == "backup/container.bin" else data,
                       lambda name, data: data + b"x" if name == "backup/container.bin" else data,
                       lambda name, data: b"" if name == "backup/snapshots/s.bin" else data,
                       lambda name, data: data[:5000] + b"x" + data[5001:] if name == "backup/snapshots/s.bin" else data):
            self.refuse(with_files(self.data, change))

    def test_hostile_streams(self):
        """Commands of the stream's own are put behind its first one, which names the volume."""
        path, to, link, mode, device, uuid = 15, 16, 17, 5, 8, 20
        number = lambda value: struct.pack("<Q", value)
        for name, *more in (
                ("leads out", command(3, (path, b"../../../x"))),
                ("leads out", command(3, (path, b"/tmp/lxmgr-x"))),
                ("not there", command(8, (path, b"up"), (link, b"/tmp")), command(3, (path, b"up/lxmgr-x"))),
                ("what it is not", command(8, (path, b"up"), (link, b"/etc/hosts")),
                 command(15, (path, b"up"), (18, number(0)), (19, b"x"))),
                ("device", command(5, (path, b"disk"), (mode, number(0o60666)), (device, number(0x800)))),
                ("not of this backup", command(3, (path, b"a")), command(
                    16, (path, b"a"), (18, number(0)), (uuid, b"\1" * 16), (21, number(1)), (22, b"a"), (23, number(0)),
                    (24, number(10)))),
                ("more than one", command(1, (path, b"b"), (1, b"\2" * 16), (2, number(1)))),
                ("version 1", command(25)),
                ("Renaming", command(9, (path, b"absent"), (to, b"b")))):
            with self.subTest(name=name):
                def change(member, data, more=more):
                    if member != "backup/snapshots/s.bin":
                        return data
                    first = 17 + 10 + struct.unpack_from("<I", data, 17)[0]
                    return data[:first] + b"".join(more) + data[first:]
                self.assertIn(name, self.refuse(with_files(self.data, change)))
        self.assertFalse(os.path.exists("/tmp/lxmgr-x"))

    def test_volumes_of_others_are_out_of_reach(self):
        """A stream that says how it differs from a volume of this server, whose UUID it has guessed."""
        change = lambda name, data: None if name == "backup/snapshots/s.bin" else data
        index = lambda name, data: data.replace(b"snapshots:\n- s\n", b"snapshots: []\n", 1) if "index" in name else data
        lone = with_files(with_files(self.data, change), index)
        self.assertIn("not of this backup", self.refuse(lone))

    def tearDown(self):
        self.assertEqual(self.idle.compare(), [])
        super().tearDown()


class ExchangeTest(DaemonCase):
    """With the real LXD 5.0.2, both ways."""
    driver = "btrfs"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = pair.Peer(cls.daemon, daemons.Lxd)
        cls.addClassCleanup(cls.peer.daemon.close)
        cls.peer.api.do("POST", POOLS, {"name": "fast", "driver": "btrfs", "config": {"size": "1GiB"}, "description": ""})
        cls.client = cls.peer.client()

    @classmethod
    def tearDownClass(cls):
        cls.peer.api.do("DELETE", f"{POOLS}/fast")
        cls.peer.close()
        super().tearDownClass()

    def test_there_and_back(self):
        self.api.create("trip", "tiny", config={"user.note": "kept"})
        self.api.push("trip", "/root/first", b"one")
        self.api.do("POST", "/1.0/instances/trip/snapshots", {"name": "s1"})
        self.api.push("trip", "/root/second", b"two")
        file = os.path.join(self.daemon.base, "trip.tar.gz")
        # Not compressed, so a compressed stream into LXD is not shown here: in 11 of 55 runs on a busy machine LXD 5.0.2 had
        # not ended that import after 40 to 180 s. Seen: its stacks (of three) stand in tar.Reader.Next of
        # btrfs.CreateVolumeFromBackup, reading a pipe. Supposed, not proven: one decompressor reads on
        # in the file that it shares with the next.
        self.client("export", "a:trip", file, "--optimized-storage", "--compression", "none")
        self.client("import", "b:", file, "-s", "fast")
        there = self.peer.api
        self.assertEqual(there.instance("trip")["config"]["user.note"], "kept")
        there.start("trip")
        self.assertEqual(there.sh("trip", "cat /root/first /root/second; echo three > /root/third"), "onetwo")
        there.stop("trip")
        there.do("POST", "/1.0/instances/trip/snapshots", {"name": "s2"})
        self.client("export", "b:trip", file, "--optimized-storage")
        self.remove_instance("trip")
        self.client("import", "a:", file, "-s", "default")
        self.api.start("trip")
        self.assertEqual(self.api.sh("trip", "cat /root/first /root/second /root/third; cat /etc/hostname"),
                         "onetwothree\ntrip")
        self.api.stop("trip")
        self.assertEqual([one["name"] for one in self.api.get("/1.0/instances/trip/snapshots?recursion=1")], ["s1", "s2"])
        self.api.do("PUT", "/1.0/instances/trip", {"restore": "s1"})
        self.assertEqual(self.api.pull("trip", "/root/first").body, b"one")
        self.assert_api_error(404, self.api.pull, "trip", "/root/second")
        self.assertIn("/etc/hostname", self.api.get("/1.0/instances/trip/metadata")["templates"])
        there.delete("trip")
        os.unlink(file)


class OptimizedSweep:
    """kill -9 at every named point."""
    driver = "btrfs"
    options_of_backup = {"optimized_storage": True}

    def count(self, path):
        return len(os.listdir(inside(self.daemon, path))) if path.startswith("storage-pools") else super().count(path)


class BackupSweep(OptimizedSweep, test_crash_backups.BackupSweep):
    pass


class ImportSweep(OptimizedSweep, test_crash_backups.ImportSweep):
    pass


if __name__ == "__main__":
    main()
