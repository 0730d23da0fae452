"""Copies between servers: a peer that means no good, and objects of projects."""
import glob
import os
import struct
import subprocess
import time

from harness import daemon as daemons
from harness import remote, tree
from harness.case import DaemonCase, main
from harness.migration import WithPeer
from harness.projects import ProjectCase

FEATURES = b"\x42\x06\x08\x01\x10\x01\x20\x01"  # xattrs, delete, streams with an end


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def part(field, value):
    """A field of Protocol Buffers: bytes, or a number."""
    if isinstance(value, int):
        return varint(field << 3) + varint(value)
    return varint(field << 3 | 2) + varint(len(value)) + value


WHOLE = FEATURES + part(1002, 1)  # between two of ours: a tree without rsync


class HostileTest(DaemonCase):
    """The test is the source that brings an instance."""
    needs_images = ()
    stay = []

    def arrive(self, **more):
        operation = self.api.call("POST", "/1.0/instances", {"name": "prey", "source": {"type": "migration", "mode": "push"},
                                                             **more})["metadata"]
        url = f"/1.0/operations/{operation['id']}"
        control, fs = (self.api.attach(url, operation["metadata"][name]) for name in ("control", "fs"))
        for one in (control, fs):
            self.addCleanup(one.socket.close)
        return url, control, fs

    def ends(self, url, status="Failure"):
        """Why; nothing is left."""
        said = self.api.get(f"{url}/wait?timeout=60")
        self.assertEqual(said["status"], status)
        self.assertEqual(self.daemon.instance_names(), self.stay)
        deadline = time.monotonic() + 60
        while (left := self.left()) != (self.stay, [], []):  # what ends and goes in the background
            self.assertLess(time.monotonic(), deadline, left)
            time.sleep(0.02)
        return said["err"]

    def left(self):
        """Instances and snapshots in the pool, and programs that move them."""
        pool = os.path.join(self.daemon.root, "storage-pools/default")
        return os.listdir(f"{pool}/containers"), os.listdir(f"{pool}/snapshots"), self.rsyncs()

    def rsyncs(self):
        found = []
        for path in glob.glob("/proc/[0-9]*/status"):
            try:
                with open(path) as file:
                    status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
                if status["Name"] in ("rsync", "lxmgr-rsync") and int(self.parent(status["PPid"])) == self.daemon.pid:
                    found.append(status)
            except (FileNotFoundError, ProcessLookupError, KeyError):
                pass
        return found

    @staticmethod
    def parent(pid):
        with open(f"/proc/{pid}/status") as file:
            return next(line.split()[1] for line in file if line.startswith("PPid:"))

    def test_messages_that_grow(self):
        for offer, said in ((b"\x2a\x00" * 3_000_000, "too many snapshots"), (b"\x22\x00" * 1_500_000, "too large"),
                            (FEATURES + part(3, part(1, 1) + part(3, 2**32 - 1) + part(5, 2**32 - 1)), "map of ids"),
                            (FEATURES + b"\x3a\x05hello" * 2_000_000, "too large")):
            with self.subTest(said=said):
                url, control, _ = self.arrive()
                control.send(offer)
                self.assertIn(said, self.ends(url))

    def test_snapshots_with_odd_config(self):
        config = part(1, b"volatile.last_state.idmap") + part(2, b'[{"Maprange":5,"Isuid":"x"},7]')
        url, control, _ = self.arrive()
        control.send(FEATURES + part(5, part(1, b"s1") + part(2, config)))
        self.assertIn("idmap", self.ends(url))
        url, control, _ = self.arrive()
        control.send(FEATURES + part(5, part(1, b"../s1")))
        self.assertIn("name", self.ends(url).lower())

    def test_what_it_says_is_one_short_line(self):
        url, control, _ = self.arrive()
        control.send(FEATURES)
        self.assertIsNotNone(control.message())
        control.send(part(1, 0) + part(2, b"no\x1b[2J\xff\n" + b"x" * 1_000_000))
        said = self.ends(url)
        self.assertLess(len(said), 1100)
        self.assertTrue(said.isprintable() and "no?[2J" in said, said[:100])

    def test_a_stream_without_end(self):
        """rsync has given up: it is not listened to for ever."""
        url, control, fs = self.arrive()
        control.send(FEATURES)
        self.assertIsNotNone(control.message())
        with self.assertRaises(OSError):
            for _ in range(100):
                fs.send(b"\0" * (1 << 20))
        self.ends(url)

    def test_rsync_is_in_a_box(self):
        self.check_box(FEATURES, "rsync")

    def test_what_takes_whole_trees_is_in_it_too(self):
        self.check_box(WHOLE, "lxmgr-rsync")

    def check_box(self, offer, program):
        url, control, fs = self.arrive()
        control.send(offer)
        self.assertIsNotNone(control.message())
        status = self.running_rsync()
        self.assertEqual(status["Name"], program)
        self.assertEqual((len(status["NSpid"].split()), status["NoNewPrivs"], status["Seccomp"]), (2, "1", "2"))
        self.assertEqual(int(status["CapEff"], 16) & (1 << 21), 0)  # CAP_SYS_ADMIN
        pid = status["Pid"]
        self.assertEqual(set(os.listdir(f"/proc/{pid}/root")), {"usr", "bin", "lib", "lib64", "shell", "volume"})
        for kind in ("pid", "net", "mnt", "ipc"):
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{kind}"), os.readlink(f"/proc/{self.daemon.pid}/ns/{kind}"))
        for one in (control, fs):
            one.socket.close()
        self.assertIn("lost", self.ends(url))

    def test_whole_trees_that_are_none(self):
        """Names that lead elsewhere, entries of nowhere, sizes and numbers that lie."""
        root = tree.directory("")
        nodes = tree.entry("n", "disk", tree.meta(0o60600), struct.pack("<Q", 8 << 8))
        for stream, said in (
                (b"lxtree9\n" + root, "Bad message"), (tree.MAGIC + tree.directory("x"), "Bad message"),
                *((tree.MAGIC + root + tree.directory(name), "Bad message")
                  for name in ("..", ".", "a/b", "/tmp", "", "a\0b")),
                *((tree.MAGIC + root + tree.file(name, b"x"), "Bad message") for name in ("../x", "", "x" * 256)),
                (tree.MAGIC + root + tree.symlink("way", "/volume/..") + tree.directory("way"), "Not a directory"),
                (tree.MAGIC + root + tree.entry("h", "link", struct.pack("<Q", 1)), "Bad message"),
                (tree.MAGIC + root + tree.file("x", b"more", size=2), "Bad message"),
                (tree.MAGIC + root + tree.file("x", b"", attributes=1 << 30), "Bad message"),
                (tree.MAGIC + root + nodes, "Operation not permitted"),
                (tree.MAGIC + root + tree.directory("a") * 3000, "Bad message"),
                (tree.MAGIC + b"u", "Bad message"), (tree.MAGIC + root + b"u" + root, "Bad message"),
                (tree.MAGIC + root + b"e", "Bad message"), (tree.MAGIC + root + b"?" + tree.text("x"), "Bad message")):
            with self.subTest(stream[8:60]):
                url, control, fs = self.arrive()
                control.send(WHOLE)
                self.assertIn(part(1002, 1), control.message()[1])
                fs.send(stream)
                fs.end_of_input()
                self.assertRegex(self.ends(url), said + "|Not a directory|Too many levels")

    def test_a_whole_tree(self):
        """As the other end of a good one; what is of the source's host and what only root there had is as it was sent."""
        url, control, fs = self.arrive()
        control.send(WHOLE)
        self.assertIsNotNone(control.message())
        rootfs = tree.directory("rootfs") + tree.file("twice", b"hello", number=1) + \
            tree.directory("sub", mode=0o41777) + tree.entry("h", "again", struct.pack("<Q", 1)) + \
            tree.symlink("way", "/etc/passwd") + b"u" + tree.file("hole", b"end", size=1 << 30, at=(1 << 30) - 3) + b"u"
        metadata = tree.file("metadata.yaml", b"architecture: x86_64\ncreation_date: 1\n")
        fs.send(tree.MAGIC + tree.directory("") + metadata + rootfs + b"ue")
        fs.end_of_input()
        self.assertEqual(self.api.get(f"{url}/wait?timeout=60")["status"], "Success")
        for path in ("/twice", "/sub/again"):
            found = self.api.pull("prey", path)
            self.assertEqual((found.body, found.headers["X-LXD-uid"]), (b"hello", "7"))
        self.assertEqual(self.api.pull("prey", "/sub").headers["X-LXD-mode"], "1777")
        self.assertEqual(self.api.pull("prey", "/sub/way").headers["X-LXD-type"], "symlink")
        path = os.path.join(self.daemon.root, "storage-pools/default/containers/prey")
        find = ["find", path, "-name", "hole", "-size", "+1000M", "-printf", "%b"]
        self.assertLess(int(subprocess.run(find, capture_output=True, check=True).stdout), 1000)

    def running_rsync(self):
        deadline = time.monotonic() + 60
        while not (found := self.rsyncs()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found[0]

    def test_cancelled_in_the_middle(self):
        url, control, fs = self.arrive()
        control.send(FEATURES)
        self.assertIsNotNone(control.message())
        self.running_rsync()
        self.api.call("DELETE", url)
        self.ends(url, "Cancelled")
        for one in (control, fs):
            one.read_all()  # to its end

    def test_a_restricted_client_leads_it_nowhere_near(self):
        remote.set_config(self.api, core__https_address="[::]:8443")
        self.addCleanup(remote.set_config, self.api, core__https_address="")
        for restricted, said in ((True, "loopback"), (False, "cannot be reached")):
            certificate = remote.Certificate(self.daemon.base, f"client{restricted}")
            self.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "name": certificate.name,
                                                        "restricted": restricted, "projects": ["default"] if restricted else []})
            self.addCleanup(self.api.call, "DELETE", f"/1.0/certificates/{certificate.fingerprint}")
            for host in ("127.0.0.1", "[::1]", "localhost", "[::ffff:127.0.0.1]"):
                with remote.HttpsApi(self.daemon, certificate) as client:
                    made = client.call("POST", "/1.0/instances", {"name": "prey", "source": {
                        "type": "migration", "mode": "pull", "operation": f"https://{host}:1/1.0/operations/x",
                        "secrets": {"control": "x", "fs": "y"}}})
                self.assertIn(said, self.ends(made["operation"]))


class HostileTargetTest(HostileTest):
    """The test is the target that fetches one."""
    needs_images = ("tiny",)
    stay = ["victim"]
    test_messages_that_grow = test_snapshots_with_odd_config = test_rsync_is_in_a_box = None
    test_a_restricted_client_leads_it_nowhere_near = test_a_whole_tree = test_whole_trees_that_are_none = None

    def setUp(self):
        super().setUp()
        self.api.create("victim", "tiny")
        self.api.push("victim", "/root/big", os.urandom(8 << 20))

    def arrive(self, **more):
        operation = self.api.call("POST", "/1.0/instances/victim", {"migration": True, "live": False, **more})["metadata"]
        url = f"/1.0/operations/{operation['id']}"
        control, fs = (self.api.attach(url, operation["metadata"][name]) for name in ("control", "fs"))
        for one in (control, fs):
            self.addCleanup(one.socket.close)
        return url, control, fs

    def test_it_vanishes(self):
        for answer in (None, FEATURES, WHOLE):
            url, control, fs = self.arrive()
            self.assertIsNotNone(control.message())
            if answer:
                control.send(answer)
                self.running_rsync()
            for one in (control, fs):
                one.socket.close()
            self.assertIn("lost", self.ends(url))
        self.api.start("victim")
        self.api.stop("victim")

    def test_a_whole_tree_that_nobody_wants_any_more(self):
        """What has failed at the target is not sent to its end."""
        url, control, fs = self.arrive()
        control.send(WHOLE)
        self.running_rsync()
        fs.end_of_input()
        deadline = time.monotonic() + 60
        while self.rsyncs():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        self.assertLess(len(fs.read_all()), 8 << 20)
        control.send(part(1, 0) + part(2, b"no room"))
        self.assertIn("no room", self.ends(url))

    def test_answers_that_are_none(self):
        for answer, said in ((b"\xff" * 100, "none of the migration protocol"), (b"\x08\x01" + FEATURES, "another way"),
                             (b"\x08\x00", "too old"), (b"\x22\x00" * 1_500_000, "too large")):
            url, control, _ = self.arrive()
            self.assertIsNotNone(control.message())
            control.send(answer)
            self.assertIn(said, self.ends(url))


class ProjectsTest(WithPeer, ProjectCase):
    """From project "web" of server a to "shop" of server b, and back."""
    peer_kind = daemons.Daemon

    def setUp(self):
        super().setUp()
        self.project("web", features__images="false")
        self.shop()

    def tearDown(self):
        mine, self.api, self.made = (self.api, self.made), self.there, ["shop"]
        self.clear("shop")
        self.api, self.made = mine
        super().tearDown()

    def shop(self, **config):
        """The project there."""
        mine, self.api = (self.api, self.made), self.there
        try:
            self.clear("shop")
            self.project("shop", **config)
        finally:
            self.api, self.made = mine

    def test_instances(self):
        self.api.call("POST", "/1.0/profiles?project=web", {"name": "extra", "config": {"user.extra": "web"}})
        self.there.call("POST", "/1.0/profiles?project=shop", {"name": "extra", "config": {"user.extra": "shop"}})
        self.make("web", profiles=["default", "extra"], config={"user.note": "kept"})
        self.api.do("POST", "/1.0/instances/box/snapshots?project=web", {"name": "s1"})
        mode = {"web": "--project", "shop": "--target-project"}
        self.client("copy", "a:box", "b:box", mode["web"], "web", mode["shop"], "shop")
        self.assertEqual(self.there.get("/1.0/instances"), [])
        there = self.there.get("/1.0/instances/box?project=shop")
        self.assertEqual((there["project"], there["profiles"]), ("shop", ["default", "extra"]))
        self.assertEqual((there["expanded_config"]["user.extra"], there["config"]["user.note"]), ("shop", "kept"))
        snapshot = self.there.get("/1.0/instances/box/snapshots/s1?project=shop")
        self.assertEqual((snapshot["profiles"], snapshot["expanded_config"]["user.extra"]), (["default", "extra"], "shop"))
        for mode in ("push", "relay"):
            self.client("copy", "b:box", f"a:{mode}", "--project", "shop", "--target-project", "web", "--mode", mode)
            self.assertEqual(self.api.get(f"/1.0/instances/{mode}?project=web")["project"], "web")
        self.api.do("POST", "/1.0/instances/box/snapshots?project=web", {"name": "s2"})
        self.client("copy", "a:box", "b:box", "--project", "web", "--target-project", "shop", "--refresh")
        self.assertEqual(self.there.get("/1.0/instances/box/snapshots?project=shop"),
                         [f"/1.0/instances/box/snapshots/{name}?project=shop" for name in ("s1", "s2")])
        self.client("move", "b:box", "a:home", "--project", "shop", "--target-project", "web")
        self.assertEqual(self.there.get("/1.0/instances?project=shop"), [])
        self.assertEqual(self.api.get("/1.0/instances"), [])
        self.assertEqual(len(self.api.get("/1.0/instances/home/snapshots?project=web")), 2)
        self.api.do("PUT", "/1.0/instances/home/state?project=web", {"action": "start"})

    def test_volumes(self):
        url = "/1.0/storage-pools/default/volumes/custom"
        self.api.call("POST", f"{url}?project=web", {"name": "data", "config": {"user.note": "kept"}})
        self.api.do("POST", f"{url}/data/snapshots?project=web", {"name": "v1"})
        for mode in ("pull", "push", "relay"):
            self.client("storage", "volume", "copy", "a:default/data", f"b:default/{mode}", "--project", "web",
                        "--target-project", "shop", "--mode", mode)
            shown = self.there.get(f"{url}/{mode}?project=shop")
            self.assertEqual((shown["project"], shown["config"].get("user.note")), ("shop", "kept"))
            self.assertEqual(len(self.there.get(f"{url}/{mode}/snapshots?project=shop")), 1)
        self.assertEqual(self.there.get(url), [])
        self.client("storage", "volume", "move", "b:default/pull", "a:default/back", "--project", "shop",
                    "--target-project", "web")
        self.assertEqual(self.api.get(f"{url}/back?project=web")["project"], "web")

    def test_images(self):
        self.client("image", "copy", "a:tiny", "b:", "--alias", "small", "--target-project", "shop")
        self.assertEqual(len(self.there.get("/1.0/images?project=shop")), 1)
        self.assertEqual(self.there.get("/1.0/images"), [])
        self.clear("web")
        self.made.remove("web")
        self.project("web")
        self.client("project", "switch", "b:shop")  # of its --project, lxc 5.0.2 makes nothing for images
        self.addCleanup(self.client, "project", "switch", "b:default")
        self.client("image", "copy", "b:small", "a:", "--alias", "mine", "--target-project", "web")
        self.assertEqual(self.api.get("/1.0/images/aliases/mine?project=web")["name"], "mine")

    def refused(self, *arguments, **config):
        self.shop(**config)
        done = self.client.run("copy", "a:box", "b:box", "--project", "web", "--target-project", "shop", *arguments, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.there.get("/1.0/instances?project=shop"), [])
        return (done.stdout + done.stderr).decode() if isinstance(done.stdout, bytes) else done.stdout + done.stderr

    def test_what_the_project_there_allows(self):
        root = {"root": {"type": "disk", "path": "/", "pool": "default", "size": "24MiB"}}
        self.make("web", config={"security.nesting": "true", "limits.memory": "64MiB"}, devices=root)
        self.assertIn("nesting", self.refused(restricted="true", restricted__devices__disk="allow",
                                              restricted__devices__nic="allow").lower())
        self.assertIn("limits.memory", self.refused(limits__memory="32MiB"))
        self.assertIn("limits.disk", self.refused(limits__disk="20MiB"))
        self.shop()
        self.client("copy", "a:box", "b:box", "--project", "web", "--target-project", "shop")

    def test_snapshots_take_no_more_than_the_limit(self):
        root = {"root": {"type": "disk", "path": "/", "pool": "default", "size": "64MiB"}}
        self.make("web", devices=root)
        self.api.raw("POST", "/1.0/instances/box/files?path=/root/big&project=web", os.urandom(40 << 20))
        self.api.do("POST", "/1.0/instances/box/snapshots?project=web", {"name": "s1"})
        self.api.call("DELETE", "/1.0/instances/box/files?path=/root/big&project=web")
        self.assertIn("No room for snapshot 'box/s1'", self.refused("-d", "root,size=24MiB", limits__disk="30MiB"))


if __name__ == "__main__":
    main()
