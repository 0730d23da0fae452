"""Backups of instances: made, shown, downloaded, expired; instances made from them; what is hostile is refused."""
import io
import json
import os
import stat
import subprocess
import tarfile
import threading
import time

from harness import clients
from harness.case import DaemonCase, main
from harness.daemon import binaries
from harness.pause import Pause

PROGRESS = r"^\d+\.\d\dMB \(\d+\.\d\dMB/s\)$"
OCTETS = {"Content-Type": "application/octet-stream"}


class BackupBase(DaemonCase):
    def url(self, instance, backup=""):
        return f"/1.0/instances/{instance}/backups" + (f"/{backup}" if backup else "")

    def back_up(self, instance, name="", **more):
        return self.api.do("POST", self.url(instance), {"name": name, "compression_algorithm": "none", **more})

    def download(self, instance, backup):
        reply = self.api.raw("GET", f"{self.url(instance, backup)}/export")
        self.assertEqual(reply.status, 200)
        return reply.body

    def restore(self, data, **headers):
        named = {f"X-LXD-{key}": value for key, value in headers.items()}
        return self.api.do("POST", "/1.0/instances", data, {**OCTETS, **named})

    def files(self):
        folder = os.path.join(self.daemon.root, "backups")
        return os.listdir(folder) if os.path.exists(folder) else []


class BackupTest(BackupBase):
    def test_create_show_rename_delete(self):
        self.api.create("one", "tiny")
        with self.api.events() as events:
            operation = self.back_up("one", expires_at="2040-01-01T00:00:00Z")
            self.assertEqual(operation["description"], "Backing up instance")
            self.assertEqual(operation["resources"]["backups"], ["/1.0/backups/backup0"])
            self.assertRegex(operation["metadata"]["create_backup_progress"], PROGRESS)
            events.wait_action("instance-backup-created", "one/backups/backup0")
            self.back_up("one", instance_only=True)
            self.assertEqual(self.api.get(self.url("one")), [self.url("one", b) for b in ("backup0", "backup1")])
            shown = self.api.get(self.url("one", "backup0"))
            self.assertEqual((shown["expires_at"], shown["instance_only"]), ("2040-01-01T00:00:00Z", False))
            self.assertEqual([b["name"] for b in self.api.get("/1.0/instances/one?recursion=1")["backups"]],
                             ["backup0", "backup1"])
            self.api.do("POST", self.url("one", "backup0"), {"name": "kept"})
            self.download("one", "kept")
            events.wait_action("instance-backup-retrieved", "one/backups/kept")
            self.api.do("DELETE", self.url("one", "backup1"))
            events.wait_action("instance-backup-deleted", "one/backups/backup1")
        self.assertEqual(len(self.files()), 1)
        self.back_up("one", "soon", expires_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5)))
        deadline = time.monotonic() + 60
        while self.url("one", "soon") in self.api.get(self.url("one")):
            self.assertLess(time.monotonic(), deadline, "an expired backup stays")
            time.sleep(0.1)
        self.api.delete("one")
        self.assertEqual(self.files(), [])

    def test_what_is_refused(self):
        self.api.create("one", "tiny")
        self.back_up("one", "b")
        for body in ({"name": "a/b"}, {"compression_algorithm": "lzop"}, {"optimized_storage": True},
                     {"expires_at": "2001-01-01T00:00:00Z"}, {"target": {"protocol": "s3"}}):
            self.assert_api_error(400, self.api.do, "POST", self.url("one"), body)
        self.assert_api_error(400, self.back_up, "one", "b")
        self.assert_api_error(404, self.api.get, self.url("one", "absent"))
        self.assert_api_error(404, self.api.get, self.url("absent"))
        data = self.download("one", "b")
        self.assert_api_error(409, self.restore, data)
        self.assert_api_error(400, self.restore, b"nonsense", name="x")
        self.assert_api_error(400, self.restore, data, name="not a name")
        self.assert_api_error(404, self.restore, data, name="x", pool="absent")
        self.assert_api_error(400, self.restore, data, name="x", devices="root=size%3D1GiB")
        cut = self.assert_api_error(400, self.restore, data[:len(data) // 2], name="x")
        self.assertIn("read", cut)
        self.assertEqual(self.daemon.instance_names(), ["one"])

    def test_an_import_can_be_cancelled(self):
        self.api.create("one", "tiny")
        self.back_up("one", "b")
        data = self.download("one", "b")
        with Pause(self.daemon, "storage.tree.make.root") as pause:
            # It is unpacked while it comes, and answered when all has come.
            sending = threading.Thread(target=self.send_and_forget, args=(data, {**OCTETS, "X-LXD-name": "two"}))
            sending.start()
            pause.wait()
            operation, = self.api.get("/1.0/operations")["running"]
            self.assertTrue(self.api.get(operation)["may_cancel"])
            self.api.call("DELETE", operation)
            pause.go_on()
            self.assertEqual(self.api.get(f"{operation}/wait?timeout=30")["status"], "Cancelled")
            sending.join()
        self.assertEqual(self.daemon.instance_names(), ["one"])

    def send_and_forget(self, data, headers):
        try:
            self.api.raw("POST", "/1.0/instances", data, headers)
        except OSError:
            pass  # not all of it was taken

    def test_hostile_entries(self):
        self.api.create("one", "tiny")
        self.back_up("one", "b", instance_only=True)
        data = self.download("one", "b")
        root = "backup/container/rootfs"
        for name, more in ((f"{root}/../../x", {}), ("/etc/x", {}), (f"{root}/up/x", {"before": (f"{root}/up", "/tmp")}),
                           (f"{root}/hard", {"type": tarfile.LNKTYPE, "linkname": "backup/container/backup.yaml"}),
                           (f"{root}/disk", {"type": tarfile.BLKTYPE, "devmajor": 8, "devminor": 0})):
            with self.subTest(name=name):
                self.assert_api_error(400, self.restore, self.with_entry(data, name, **more), name="x")
        self.assertFalse(os.path.exists("/tmp/x"))
        self.assertEqual(self.daemon.instance_names(), ["one"])

    @staticmethod
    def with_entry(data, name, before=None, **attributes):
        out = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new:
            for member in old:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
            if before:
                link = tarfile.TarInfo(before[0])
                link.type, link.linkname = tarfile.SYMTYPE, before[1]
                new.addfile(link)
            extra = tarfile.TarInfo(name)
            for key, value in attributes.items():
                setattr(extra, key, value)
            new.addfile(extra)
        return out.getvalue()


class RoundTripTest(BackupBase):
    SCRIPT = ("cd /root && echo text > a && ln a b && ln -s a c && mkfifo pipe && chown 7:8 a && chmod 4755 a && "
              "truncate -s 8M holes && echo end >> holes && mkdir -m 0750 d && touch 'd/na me' && echo x > d/x")

    def test_everything_comes_back(self):
        self.api.launch("one", "tiny", config={"user.a": "b", "user.yes": "true", "user.number": "12"})
        self.api.sh("one", self.SCRIPT)
        root = self.inside("one", "setcap", "cap_net_raw+ep")[0]
        os.setxattr(f"{root}/d", "user.mark", b"\x00bytes")
        self.api.do("POST", "/1.0/instances/one/snapshots", {"name": "s"})
        self.api.sh("one", "echo later > /root/d/x2")
        self.back_up("one", "b")
        self.assertEqual(self.api.instance("one")["status"], "Running")
        data = self.download("one", "b")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            self.assertEqual(tar.next().name, "backup/index.yaml")
        self.assertLess(len(data), 8 << 20)
        hwaddr = self.api.instance("one")["config"]["volatile.eth0.hwaddr"]
        self.restore(data, name="two")
        copied = self.api.instance("two")["config"]
        self.assertNotEqual(copied["volatile.eth0.hwaddr"], hwaddr)
        self.assertEqual([copied[f"user.{key}"] for key in ("a", "yes", "number")], ["b", "true", "12"])
        self.api.stop("one")
        self.api.delete("one")
        self.restore(data)
        self.assertEqual(self.api.instance("one")["config"]["volatile.eth0.hwaddr"], hwaddr)
        self.check("one")
        self.api.stop("one")
        self.api.do("PUT", "/1.0/instances/one", {"restore": "s"})
        self.assertEqual(self.api.raw("GET", self.api.file_target("one", "/root/d/x2")).status, 404)

    def inside(self, name, *command):
        """A program of the host on /root/d/x, as root of the instance; returns the path of /root and what it said."""
        pid = str(self.api.state(name)["pid"])
        root = f"/proc/{pid}/root/root"
        done = subprocess.run(["nsenter", "-U", "-S", "0", "-G", "0", "-t", pid, *command, f"{root}/d/x"], check=True,
                              capture_output=True, text=True)
        return root, done.stdout

    def check(self, name):
        self.api.start(name)
        self.assertEqual(self.api.sh(name, "cd /root; stat -c '%u:%g %a %h %s' a b; readlink c; stat -c '%a' d; ls d; "
                                     "test -p pipe && tail -c 4 holes; stat -c %b holes"),
                         "7:8 4755 2 5\n7:8 4755 2 5\na\n750\nna me\nx\nx2\nend\n8")
        root, out = self.inside(name, "getcap")
        self.assertEqual(os.getxattr(f"{root}/d", "user.mark"), b"\x00bytes")
        self.assertIn("cap_net_raw=ep", out)
        self.assertEqual(self.api.sh(name, "cat /etc/hostname"), name)

    def pool_of_trees(self):
        """A pool whose instances are plain trees on the disk."""
        self.api.do("POST", "/1.0/storage-pools", {"name": "plain", "driver": "dir", "config": {}})
        self.addCleanup(self.api.do, "DELETE", "/1.0/storage-pools/plain")
        return "plain"

    def test_whiteouts_and_harmless_devices(self):
        pool = self.pool_of_trees()
        nodes = {"srv/gone": os.makedev(0, 0), "srv/null": os.makedev(1, 3), "dev/x": os.makedev(5, 0)}
        root = {"type": "disk", "path": "/", "pool": pool}
        self.api.create("one", "tiny", devices={"root": root})
        tree = os.path.join(f"/proc/{self.daemon.sandbox.pid}/root{self.daemon.root}", "storage-pools", pool, "containers")
        for path, device in nodes.items():
            os.makedirs(os.path.dirname(f"{tree}/one/rootfs/{path}"), exist_ok=True)
            os.mknod(f"{tree}/one/rootfs/{path}", stat.S_IFCHR | 0o640, device)
        self.api.do("POST", "/1.0/instances/one/snapshots", {"name": "s"})
        self.back_up("one", "b")
        self.restore(self.download("one", "b"), name="two", pool=pool)
        self.api.do("PUT", "/1.0/instances/two", {"restore": "s"})
        for path, device in nodes.items():
            found = os.lstat(f"{tree}/two/rootfs/{path}")
            self.assertEqual((found.st_mode, found.st_rdev), (stat.S_IFCHR | 0o640, device), path)

    def test_compressions_and_pools(self):
        self.api.do("POST", "/1.0/storage-pools", {"name": "plain", "driver": "dir", "config": {}})
        self.addCleanup(self.api.do, "DELETE", "/1.0/storage-pools/plain")
        self.api.create("one", "tiny")
        self.api.do("POST", "/1.0/instances/one/snapshots", {"name": "s"})
        for name, magic in (("gzip", b"\x1f\x8b"), ("xz", b"\xfd7zXZ"), ("zstd", b"\x28\xb5\x2f\xfd"), ("", b"\x1f\x8b")):
            self.back_up("one", f"b-{name}", compression_algorithm=name, instance_only=name == "zstd")
            data = self.download("one", f"b-{name}")
            self.assertTrue(data.startswith(magic), name)
            self.restore(data, name="two", pool="plain")
            self.assertEqual(self.api.instance("two")["expanded_devices"]["root"]["pool"], "plain")
            self.assertEqual(len(self.api.get("/1.0/instances/two/snapshots")), 0 if name == "zstd" else 1)
            if name == "xz":
                self.api.do("PUT", "/1.0/instances/two", {"restore": "s"})
                self.api.start("two")
                self.api.stop("two")
            self.api.delete("two")


class VolumeBackupTest(BackupBase):
    POOL = "/1.0/storage-pools/default/volumes/custom"

    def test_round_trip(self):
        self.api.do("POST", self.POOL, {"name": "v", "config": {"user.a": "b"}, "description": "what"})
        disk = {"type": "disk", "pool": "default", "source": "v", "path": "/srv"}
        self.api.launch("one", "tiny", devices={"data": disk})
        self.api.sh("one", "echo then > /srv/mark && chown 7:8 /srv/mark")
        self.api.do("POST", f"{self.POOL}/v/snapshots", {"name": "s"})
        self.api.sh("one", "echo now > /srv/mark")
        operation = self.api.do("POST", f"{self.POOL}/v/backups", {"name": "", "compression_algorithm": "zstd"})
        self.assertEqual(operation["resources"]["backups"], ["/1.0/backups/backup0"])
        self.assertRegex(operation["metadata"]["create_backup_progress"], PROGRESS)
        self.assertEqual(self.api.get(f"{self.POOL}/v/backups"), [f"{self.POOL}/v/backups/backup0"])
        self.api.do("POST", f"{self.POOL}/v/backups/backup0", {"name": "kept"})
        self.assertFalse(self.api.get(f"{self.POOL}/v/backups?recursion=1")[0]["volume_only"])
        data = self.api.raw("GET", f"{self.POOL}/v/backups/kept/export").body
        self.assert_api_error(409, self.api.do, "POST", self.POOL, data, OCTETS)
        self.assert_api_error(400, self.api.do, "POST", "/1.0/instances", data, {**OCTETS, "X-LXD-name": "x"})
        self.api.do("POST", self.POOL, data, {**OCTETS, "X-LXD-name": "w"})
        shown = self.api.get(f"{self.POOL}/w")
        self.assertEqual((shown["config"], shown["description"]), ({"user.a": "b"}, "what"))
        self.api.update("one", devices={"more": {**disk, "source": "w", "path": "/w"}})
        self.assertEqual(self.api.sh("one", "cat /w/mark; stat -c %u:%g /w/mark; stat -c %a /w"), "now\n7:8\n711")
        self.api.update("one", devices={"more": None})
        self.api.do("PUT", f"{self.POOL}/w", {"restore": "s"})
        self.api.update("one", devices={"more": {**disk, "source": "w", "path": "/w"}})
        self.assertEqual(self.api.sh("one", "cat /w/mark"), "then")
        self.api.stop("one")
        self.api.delete("one")
        self.api.do("DELETE", f"{self.POOL}/v")
        self.api.do("DELETE", f"{self.POOL}/w")
        self.assertEqual(self.files(), [])


class ForeignVolumeTest(BackupBase):
    """Backups of volumes as LXD writes them when they were attached there, or were made for another driver."""

    POOL = "/1.0/storage-pools/default/volumes/custom"
    IDMAP = json.dumps([{"Isuid": uid, "Isgid": not uid, "Hostid": 500000, "Nsid": 0, "Maprange": 65536}
                        for uid in (True, False)])
    INDEX = {"name": "v", "backend": "lvm", "pool": "default", "snapshots": ["s"], "type": "custom", "config": {
        "volume": {"name": "v", "type": "custom", "content_type": "filesystem", "config": {
            "user.a": "b", "volatile.idmap.last": IDMAP, "volatile.idmap.next": IDMAP, "block.filesystem": "xfs"}},
        "volume_snapshots": [{"name": "s", "config": {"block.filesystem": "xfs", "volatile.idmap.last": "[]"}}]}}

    def foreign(self, data):
        """As if it were of an lvm pool, and attached when the backup was made but not yet at the time of the snapshot."""
        def shift(member):
            if member.name.startswith("backup/volume/"):
                member.uid, member.gid = member.uid + 500000, member.gid + 500000
            return member
        out = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new:
            for member in old:
                content = old.extractfile(member).read() if member.isreg() else b""
                if member.name == "backup/index.yaml":
                    content = json.dumps(self.INDEX).encode()
                    member.size = len(content)
                new.addfile(shift(member), io.BytesIO(content))
        return out.getvalue()

    def test_it_comes_as_one_of_ours(self):
        self.api.do("POST", self.POOL, {"name": "v", "config": {"user.a": "b"}})
        disk = {"type": "disk", "pool": "default", "source": "v", "path": "/srv"}
        self.api.launch("one", "tiny", devices={"data": disk})
        self.api.sh("one", "echo then > /srv/mark && chown 7:8 /srv/mark")
        self.api.do("POST", f"{self.POOL}/v/snapshots", {"name": "s"})
        self.api.do("POST", f"{self.POOL}/v/backups", {"name": "b", "compression_algorithm": "none"})
        data = self.api.raw("GET", f"{self.POOL}/v/backups/b/export").body
        self.api.do("POST", self.POOL, self.foreign(data), {**OCTETS, "X-LXD-name": "w"})
        self.assertEqual(self.api.get(f"{self.POOL}/w")["config"], {"user.a": "b"})
        self.assertEqual(self.api.get(f"{self.POOL}/w/snapshots/s")["config"], {})
        for restored in (False, True):
            if restored:
                self.api.do("PUT", f"{self.POOL}/w", {"restore": "s"})
            self.api.update("one", devices={"more": {**disk, "source": "w", "path": "/w"}})
            self.assertEqual(self.api.sh("one", "stat -c %u:%g /w/mark"), "7:8")
            self.api.update("one", devices={"more": None})
        self.remove_instance("one")
        self.api.do("DELETE", f"{self.POOL}/v")
        self.api.do("DELETE", f"{self.POOL}/w")


class ClientTest(BackupBase):
    def round_trip(self, client, *words):
        path = os.path.join(self.daemon.base, "c.tar.gz")
        client("launch", "tiny", "c")
        client("exec", "c", "--", "sh", "-c", "echo mark > /root/mark")
        client("snapshot", *words, "c", "s")
        client("export", "c", path)
        self.assertEqual(self.api.get(self.url("c")), [])
        client("delete", "--force", "c")
        client("import", path)
        client("import", path, "d")
        self.assertEqual(len(self.api.get("/1.0/instances/d/snapshots")), 1)
        client("start", "c", "d")
        for name in ("c", "d"):
            self.assertEqual(client("exec", name, "--", "cat", "/root/mark", "/etc/hostname"), f"mark\n{name}\n")
        client("export", "d", path, "--instance-only")
        client("storage", "volume", "create", "default", "v")
        client("storage", "volume", "export", "default", "v", path + ".v")
        client("storage", "volume", "import", "default", path + ".v", "w")
        for name in ("v", "w"):
            client("storage", "volume", "delete", "default", name)
        os.unlink(path + ".v")
        client("delete", "--force", "c", "d")
        os.unlink(path)

    def test_lxc(self):
        self.round_trip(clients.lxc(self.daemon))

    def test_incus(self):
        self.round_trip(clients.incus(self.daemon), "create")

    def test_lxmgr(self):
        client = clients.Client(self.daemon, str(binaries() / "lxmgr"), {"LXMGR_DIR": self.daemon.root})
        self.round_trip(client)


if __name__ == "__main__":
    main()
