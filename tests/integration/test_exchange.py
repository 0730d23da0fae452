"""Images and backups between two servers: with another lxmgrd, and with the real LXD 5.0.2, both ways."""
import glob
import json
import os
import shutil
import tempfile
import unittest

from harness import daemon as daemons
from harness import images, pair, remote
from harness.case import DaemonCase, main


class Exchange:
    """`peer_kind`: the server at the other end."""
    peer_kind = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = pair.Peer(cls.daemon, cls.peer_kind)
        cls.addClassCleanup(cls.peer.daemon.close)
        cls.client = cls.peer.client()
        cls.fingerprint = cls.api.get("/1.0/images/aliases/tiny")["target"]

    @classmethod
    def tearDownClass(cls):
        cls.peer.close()
        super().tearDownClass()

    def there_and_back(self, mode):
        """A private image goes to the peer, disappears here, and comes back."""
        self.client("image", "copy", "a:tiny", "b:", "--mode", mode, "--alias", f"went-{mode}")
        there = self.peer.api.get(f"/1.0/images/{self.fingerprint}")
        self.assertEqual((there["public"], there["aliases"][0]["name"]), (False, f"went-{mode}"))
        here = self.api.get(f"/1.0/images/{self.fingerprint}")
        self.assertEqual((there["properties"], there["size"]), (here["properties"], here["size"]))
        self.api.do("DELETE", f"/1.0/images/{self.fingerprint}")
        self.client("image", "copy", f"b:went-{mode}", "a:", "--mode", mode, "--alias", "tiny")
        self.assertEqual(self.api.get("/1.0/images/aliases/tiny")["target"], self.fingerprint)
        self.client("image", "delete", f"b:went-{mode}")

    def test_images_pull(self):
        self.there_and_back("pull")

    def test_images_push(self):
        self.there_and_back("push")

    def test_images_relay(self):
        self.there_and_back("relay")

    def our_client(self):
        client = remote.RemoteClient(self.daemon, str(daemons.binaries() / "lxmgr"), {
            "LXMGR_DIR": self.daemon.root, "LXMGR_CONF": os.path.join(self.daemon.base, "own")})
        if "lab" not in client("remote", "list", "-f", "csv"):
            client("remote", "add", "lab", pair.url(pair.FAR), "--accept-certificate", "--password", "pw")
        return client

    def test_images_by_our_client(self):
        """There and back in each mode, and in the first that works."""
        ours, url = self.our_client(), f"/1.0/images/{self.fingerprint}"
        before = self.api.get(url)
        for mode in ("pull", "push", "relay", ""):
            with self.subTest(mode=mode):
                how = ("--mode", mode) if mode else ()
                ours("image", "copy", "tiny", "lab:", "--alias", "went", "--copy-aliases", *how)
                there = self.peer.api.get(url)
                self.assertEqual((there["public"], {alias["name"] for alias in there["aliases"]}), (False, {"went", "tiny"}))
                self.assertEqual((there["properties"], there["size"]), (before["properties"], before["size"]))
                self.api.do("DELETE", url)
                ours("image", "copy", "lab:went", "--alias", "tiny", *how)
                here = self.api.get(url)
                self.assertEqual((here["properties"], here["size"]), (before["properties"], before["size"]))
                self.assertEqual(self.api.get("/1.0/images/aliases/tiny")["target"], self.fingerprint)
                self.peer.api.do("DELETE", url)
                for api in (self.api, self.peer.api):
                    self.assertEqual(api.get("/1.0/operations").get("running", []), [])

    def test_what_our_client_refuses(self):
        ours, url = self.our_client(), f"/1.0/images/{self.fingerprint}"
        for said, words in (("server that it is on", ("tiny",)), ("server that it is on", ("tiny", "local:")),
                            ("is no server", ("tiny", "lab")), ("is no server", ("tiny", "lab:tiny")),
                            ("There is no image", ("absent", "lab:")), ("--auto-update needs", ("tiny", "lab:", "--auto-update")),
                            ("--auto-update needs --mode", ("tiny", "lab:", "--auto-update", "--mode", "push")),
                            ("--mode is for", ("images:debian/13", "--mode", "push"))):
            done = ours.run("image", "copy", *words, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(said, done.stderr.decode())

    def test_an_image_that_our_client_wants_kept_up_to_date(self):
        ours, url = self.our_client(), f"/1.0/images/{self.fingerprint}"
        self.api.call("PATCH", url, {"public": True})
        self.addCleanup(self.api.call, "PATCH", url, {"public": False})
        ours("image", "copy", "tiny", "lab:", "--auto-update", "--public")
        there = self.peer.api.get(url)
        self.assertEqual((there["auto_update"], there["public"], there["update_source"]["alias"]), (True, True, "tiny"))
        self.peer.api.do("DELETE", url)

    def test_backups(self):
        """An instance with a snapshot is exported, imported at the other end, and changed; and home again."""
        folder = tempfile.mkdtemp(dir=self.daemon.base)
        self.addCleanup(shutil.rmtree, folder)
        self.api.create("trip", "tiny", config={"user.note": "kept"})
        self.api.push("trip", "/root/first", b"one")
        self.api.do("POST", "/1.0/instances/trip/snapshots", {"name": "s1"})
        self.api.push("trip", "/root/second", b"two")
        file = os.path.join(folder, "trip.tar.gz")
        self.client("export", "a:trip", file)
        self.client("import", "b:", file)
        there = self.peer.api
        self.assertEqual(there.instance("trip")["config"]["user.note"], "kept")
        there.start("trip")
        self.assertEqual(there.sh("trip", "cat /root/first /root/second; echo three > /root/third"), "onetwo")
        there.stop("trip")
        self.client("export", "b:trip", file)
        self.remove_instance("trip")
        self.client("import", "a:", file)
        self.api.start("trip")
        self.assertEqual(self.api.sh("trip", "cat /root/first /root/second /root/third").strip(), "onetwothree")
        self.assertEqual([one["name"] for one in self.api.get("/1.0/instances/trip/snapshots?recursion=1")], ["s1"])
        self.api.stop("trip")
        self.api.do("PUT", "/1.0/instances/trip", {"restore": "s1"})
        self.assertEqual(self.api.pull("trip", "/root/first").body, b"one")
        self.assert_api_error(404, self.api.pull, "trip", "/root/second")
        there.delete("trip")

    VOLUMES = "/1.0/storage-pools/default/volumes/custom"

    @staticmethod
    def disk_files(daemon):
        """Contents of block volumes and of their snapshots."""
        pool = f"/proc/{daemon.sandbox.pid}/root{daemon.root}/storage-pools/default"
        return glob.glob(f"{pool}/custom*/**/root.img", recursive=True)

    def disks(self, daemon):
        """How each begins, and what is far behind; with its size, and whether it takes less room."""
        found = []
        for path in self.disk_files(daemon):
            with open(path, "rb") as file:
                found.append((file.read(4), os.pread(file.fileno(), 4, 9 << 20), file.seek(0, os.SEEK_END)))
                if daemon.kind == "lxmgr":
                    self.assertLess(os.fstat(file.fileno()).st_blocks * 512, 1 << 20, "zeros take room")
        return sorted(found)

    @staticmethod
    def write_disk(path, text):
        with open(path, "r+b") as file:
            file.write(text)
            os.pwrite(file.fileno(), b"far", 9 << 20)

    def test_block_volumes(self):
        """A block volume with a snapshot goes there as a backup, and another comes here."""
        folder = tempfile.mkdtemp(dir=self.daemon.base)
        self.addCleanup(shutil.rmtree, folder)
        for here, there, remotes in ((self.daemon, self.peer.daemon, "ab"), (self.peer.daemon, self.daemon, "ba")):
            body = {"name": "disk", "type": "custom", "content_type": "block", "config": {"size": "16MiB"}}
            here.api.do("POST", self.VOLUMES, body)
            disk, = self.disk_files(here)
            self.write_disk(disk, b"then")
            here.api.do("POST", f"{self.VOLUMES}/disk/snapshots", {"name": "s"})
            self.write_disk(disk, b"now ")
            before = self.disks(here)
            self.assertEqual([one[:2] for one in before], [(b"now ", b"far\0"), (b"then", b"far\0")])
            file = os.path.join(folder, "disk.tar.gz")
            self.client("storage", "volume", "export", f"{remotes[0]}:default", "disk", file)
            here.api.do("DELETE", f"{self.VOLUMES}/disk")
            self.client("storage", "volume", "import", f"{remotes[1]}:default", file)
            os.unlink(file)
            self.assertEqual(there.api.get(f"{self.VOLUMES}/disk")["content_type"], "block")
            self.assertEqual(self.disks(there), before)
            there.api.do("DELETE", f"{self.VOLUMES}/disk/snapshots/s")
            self.assertEqual(self.disks(there), before[:1])
            there.api.do("DELETE", f"{self.VOLUMES}/disk")


class LxmgrTest(Exchange, DaemonCase):
    peer_kind = daemons.Daemon

    def stranger(self):
        made = remote.HttpsApi(self.daemon, None, pair.NEAR)
        self.addCleanup(made.close)
        return made

    def secret(self, api=None, **body):
        made = (api or self.api).call("POST", f"/1.0/images/{self.fingerprint}/secret", body)["metadata"]
        self.assertEqual(made["class"], "token")
        return made["metadata"]["secret"]

    def test_secret_of_a_private_image(self):
        stranger, url = self.stranger(), f"/1.0/images/{self.fingerprint}"
        for path in ("", "/export", "?secret=", "/export?secret=" + "0" * 64):
            self.assert_api_error(404, stranger.call, "GET", url + path)
        self.assertEqual((stranger.get("/1.0/images"), stranger.get("/1.0/images/aliases")), ([], []))
        self.assert_api_error(404, stranger.call, "GET", "/1.0/images/aliases/tiny")
        self.assert_api_error(403, stranger.call, "POST", url + "/secret")
        secret = self.secret()
        self.assertEqual(stranger.get(f"{url}?secret={secret}")["fingerprint"], self.fingerprint)
        with open(images.tiny(), "rb") as file:
            self.assertEqual(stranger.raw("GET", f"{url}/export?secret={secret}").body, file.read())
        self.assert_api_error(404, stranger.call, "GET", f"{url}/export?secret={secret}")
        self.assert_api_error(404, stranger.call, "GET", f"{url}?secret={secret}")
        # A secret of an image that is to be brought opens nothing.
        self.assert_api_error(400, self.secret_to_push)
        self.api.call("PATCH", url, {"public": True})
        self.addCleanup(self.api.call, "PATCH", url, {"public": False})
        self.assertEqual(stranger.get("/1.0/images/aliases/tiny")["target"], self.fingerprint)
        self.assertEqual(stranger.raw("GET", f"{url}/export").status, 200)

    def secret_to_push(self, fingerprint="", api=None, **more):
        body = {"source": {"mode": "push", "type": "image", "fingerprint": fingerprint or self.fingerprint}, **more}
        return (api or self.api).call("POST", "/1.0/images", body)["metadata"]["metadata"]["secret"]

    def test_who_may_bring_an_image(self):
        stranger = self.stranger()
        with open(images.tiny(), "rb") as file:
            whole = file.read()
        headers = {"Content-Type": "application/octet-stream", "X-LXD-fingerprint": self.fingerprint,
                   "X-LXD-public": "true", "X-LXD-properties": "os=evil"}
        self.api.do("DELETE", f"/1.0/images/{self.fingerprint}")
        self.addCleanup(self.daemon.import_image, images.tiny(), "tiny")
        secret = self.secret_to_push(properties={"os": "mine"}, aliases=[{"name": "brought", "description": ""}])
        self.assert_api_error(403, stranger.call, "POST", "/1.0/images", whole, headers)
        self.assert_api_error(403, stranger.call, "POST", "/1.0/images", whole, {**headers, "X-LXD-secret": "0" * 64})
        self.assert_api_error(403, stranger.call, "POST", "/1.0/images",
                              json.dumps({"source": {"type": "image"}}).encode(),
                              {**headers, "X-LXD-secret": secret, "Content-Type": "application/json"})
        made = stranger.call("POST", "/1.0/images", whole, {**headers, "X-LXD-secret": secret})["metadata"]
        ended = stranger.get(f"/1.0/operations/{made['id']}/wait?timeout=20&secret={made['metadata']['secret']}")
        self.assertEqual(ended["status"], "Success", ended["err"])
        self.assert_api_error(403, stranger.call, "POST", "/1.0/images", whole, {**headers, "X-LXD-secret": secret})
        image = self.api.get("/1.0/images/aliases/brought")["target"]
        shown = self.api.get(f"/1.0/images/{image}")
        self.assertEqual((shown["public"], shown["properties"]["os"]), (False, "mine"))
        self.api.do("DELETE", f"/1.0/images/{image}")
        # Another image than was said.
        secret = self.secret_to_push("1" * 64)
        made = stranger.call("POST", "/1.0/images", whole,
                             {**headers, "X-LXD-fingerprint": "1" * 64, "X-LXD-secret": secret})["metadata"]
        ended = stranger.get(f"/1.0/operations/{made['id']}/wait?timeout=20&secret={made['metadata']['secret']}")
        self.assertEqual(ended["status"], "Failure")
        self.assertEqual(self.api.get("/1.0/images"), [])

    def test_pushes_that_fail(self):
        url = f"/1.0/images/{self.fingerprint}/export"
        for wrong in ({}, {"target": pair.url(pair.FAR)}, {"target": "http://10.99.0.2", "secret": "x"},
                      {"target": pair.url(pair.FAR), "secret": "a\nb"}):
            self.assert_api_error(400, self.api.call, "POST", url, wrong)
        certificate = self.peer.api.get("/1.0")["environment"]["certificate"]
        body = {"target": pair.url(pair.FAR), "certificate": certificate, "secret": "0" * 64}
        self.assertIn("403: not authorized", self.assert_api_error(400, self.api.do, "POST", url, body))
        mine = self.api.get("/1.0")["environment"]["certificate"]
        self.assertIn("pinned", self.assert_api_error(400, self.api.do, "POST", url, {**body, "certificate": mine}))
        self.assertEqual(os.listdir(os.path.join(self.daemon.root, "tmp")), [])

    def test_rebuild_and_launch_from_the_other_server(self):
        self.client("image", "copy", "a:tiny", "b:", "--public")
        self.api.do("DELETE", f"/1.0/images/{self.fingerprint}")
        certificate = self.peer.api.get("/1.0")["environment"]["certificate"]
        source = {"type": "image", "mode": "pull", "server": pair.url(pair.FAR), "protocol": "lxd",
                  "certificate": certificate, "fingerprint": self.fingerprint}
        self.api.do("POST", "/1.0/instances", {"name": "empty", "source": {"type": "none"}})
        self.api.do("POST", "/1.0/instances/empty/rebuild", {"source": source})
        self.api.start("empty")
        self.assertEqual(self.api.instance("empty")["config"]["volatile.base_image"], self.fingerprint)
        self.remove_instance("empty")
        self.api.call("POST", "/1.0/images/aliases", {"name": "tiny", "target": self.fingerprint, "description": ""})
        self.api.call("PATCH", f"/1.0/images/{self.fingerprint}", {"public": False})
        self.peer.api.do("DELETE", f"/1.0/images/{self.fingerprint}")


@unittest.skipUnless(shutil.which("lxd"), "no lxd here")
class LxdTest(Exchange, DaemonCase):
    peer_kind = daemons.Lxd


if __name__ == "__main__":
    main()
