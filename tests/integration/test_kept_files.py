"""Images and backups of the server on custom volumes: the keys storage.images_volume and storage.backups_volume."""
import json
import os

from harness import images
from harness.case import DaemonCase, main
from harness.daemon import read
from harness.rest import PATIENCE, UnixConnection

POOL = "/1.0/storage-pools/default/volumes/custom"
IMAGES, BACKUPS = "storage.images_volume", "storage.backups_volume"
MIB = 1 << 20


class KeptFilesCase(DaemonCase):
    def tearDown(self):
        if not self.daemon.running():
            self.daemon.start()
        for name in set(self.daemon.instance_names()) - self.expected_names:
            self.remove_instance(name)
        self.keep()
        for url in self.api.get(POOL):
            if "/snapshots/" not in url:
                self.api.do("DELETE", url)
        super().tearDown()

    def keep(self, **places):
        """The server's config: places of images and backups, none for those that are left out."""
        return self.api.call("PUT", "/1.0", {"config": {f"storage.{kind}_volume": place for kind, place in places.items()}})

    def volume(self, name, **config):
        self.api.do("POST", POOL, {"name": name, "config": config})

    def in_state(self, kind):
        folder = os.path.join(self.daemon.root, kind)
        return sorted(os.listdir(folder)) if os.path.exists(folder) else []

    def on_volume(self, kind):
        """As the daemon has it mounted, wherever that is."""
        mounts = os.path.join(self.daemon.root, "mounts")
        pattern = f"./{kind}-*/{kind}/files/*"
        found = self.daemon.sandbox.run("sh", "-c", f"cd {mounts} && find . -type f -path '{pattern}'", check=False)
        return sorted(os.path.basename(path) for path in found.split())

    def mounts(self):
        return [line.split()[4] for line in read(f"/proc/{self.daemon.sandbox.pid}/mountinfo").splitlines()
                if f"{self.daemon.root}/mounts/" in line]

    def assert_images_work(self, name):
        """An instance of an image that is unpacked nowhere yet, and the image as a download."""
        pool = f"fresh-{name}"
        self.api.do("POST", "/1.0/storage-pools", {"name": pool, "driver": "dir", "config": {}})
        self.api.launch(name, "tiny", devices={"root": {"type": "disk", "path": "/", "pool": pool}})
        self.assertEqual(self.api.sh(name, "cat /etc/hostname"), name)
        self.remove_instance(name)
        self.api.do("DELETE", f"/1.0/storage-pools/{pool}")
        fingerprint = self.api.get("/1.0/images/aliases/tiny")["target"]
        self.assertEqual(self.api.raw("GET", f"/1.0/images/{fingerprint}/export").status, 200)


class KeptFilesTest(KeptFilesCase):
    def test_images(self):
        before = self.in_state("images")
        self.volume("v", size="512MiB")
        self.keep(images="default/v")
        self.assertEqual((self.in_state("images"), self.on_volume("images")), ([], before))
        self.assert_images_work("a")
        self.api.do("DELETE", f"/1.0/images/{self.api.get('/1.0/images/aliases/tiny')['target']}")
        self.assertEqual(self.on_volume("images"), [])
        self.daemon.import_image(images.tiny(), "tiny")
        self.assertEqual((self.in_state("images"), self.on_volume("images")), ([], before))
        self.assert_images_work("b")
        for end in (self.daemon.terminate, self.daemon.kill):
            end()
            self.daemon.start()
            self.assertEqual((self.in_state("images"), self.on_volume("images")), ([], before))
            self.assertEqual(len(self.mounts()), 1)
        self.assert_images_work("c")
        self.volume("w")
        self.keep(images="default/w")
        self.assertEqual(self.on_volume("images"), before)
        self.api.do("DELETE", f"{POOL}/v")
        self.assert_images_work("d")
        self.keep()
        self.assertEqual((self.in_state("images"), self.on_volume("images"), self.mounts()), (before, [], []))
        self.assert_images_work("e")
        self.api.do("DELETE", f"{POOL}/w")

    def test_published(self):
        """What is packed here, and not by a client, is packed where it is to stay."""
        self.volume("v")
        self.keep(images="default/v")
        before = self.on_volume("images")
        self.api.create("a", "tiny")
        made = self.api.do("POST", "/1.0/images", {"source": {"type": "instance", "name": "a"}})["metadata"]["fingerprint"]
        self.assertEqual(self.on_volume("images"), sorted([*before, made]))
        self.assertEqual(self.in_state("images"), [])
        self.keep()
        self.assertEqual(self.in_state("images"), sorted([*before, made]))
        self.api.do("DELETE", f"/1.0/images/{made}")

    def test_backups(self):
        self.api.create("a", "tiny")
        self.api.do("POST", "/1.0/instances/a/backups", {"name": "one", "compression_algorithm": "none"})
        before = self.in_state("backups")
        self.assertEqual(len(before), 1)
        self.volume("v")
        self.keep(backups="default/v", images="default/v")  # one volume for both
        self.assertEqual((self.in_state("backups"), self.on_volume("backups")), ([], before))
        self.api.do("POST", "/1.0/instances/a/backups", {"name": "two", "compression_algorithm": "none"})
        self.assertEqual((self.in_state("backups"), len(self.on_volume("backups"))), ([], 2))
        self.assert_images_work("b")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(len(self.on_volume("backups")), 2)
        self.api.do("DELETE", "/1.0/instances/a/backups/one")
        self.assertEqual(len(self.on_volume("backups")), 1)
        self.keep(images="default/v")
        self.assertEqual((len(self.in_state("backups")), self.on_volume("backups")), (1, []))
        self.assertEqual(self.api.raw("GET", "/1.0/instances/a/backups/two/export").status, 200)
        self.keep()
        self.volume("w")
        self.keep(backups="default/v", images="default/w")
        self.remove_instance("a")
        self.assertEqual(self.on_volume("backups"), [])

    def test_the_volume_is_the_daemons(self):
        self.volume("v", size="128MiB")
        disk = {"v": {"type": "disk", "pool": "default", "source": "v", "path": "/srv"}}
        self.keep(images="default/v")
        self.api.do("POST", "/1.0/storage-pools", {"name": "other", "driver": "dir", "config": {}})
        self.api.create("a", "tiny")
        copy = {"name": "w", "source": {"type": "copy", "name": "v", "pool": "default"}}
        for method, url, body in (
                ("DELETE", f"{POOL}/v", None), ("POST", f"{POOL}/v", {"name": "w"}),
                ("POST", f"{POOL}/v", {"name": "v", "pool": "other"}), ("POST", f"{POOL}/v/snapshots", {"name": "s"}),
                ("POST", f"{POOL}/v/backups", {"name": "b"}), ("POST", POOL, copy),
                ("PATCH", "/1.0/instances/a", {"devices": disk})):
            message = self.assert_api_error(400, self.api.do, method, url, body)
            self.assertIn(IMAGES, message)
        self.assertEqual(self.api.get(f"{POOL}/v")["used_by"], ["/1.0"])
        self.api.do("PATCH", f"{POOL}/v", {"description": "of the server"})
        self.daemon.terminate()
        self.daemon.start()
        self.assertIn(IMAGES, self.assert_api_error(400, self.api.do, "DELETE", f"{POOL}/v"))
        self.keep()
        self.api.update("a", devices=disk)
        self.api.start("a")
        self.assertEqual(self.api.sh("a", "ls /srv | grep -v lost+found || true"), "")
        self.remove_instance("a")
        self.api.do("DELETE", "/1.0/storage-pools/other")

    def refuse(self, place, *words, code=400):
        before = self.in_state("images")
        message = self.assert_api_error(code, self.keep, images=place)
        for word in (IMAGES, *words):
            self.assertIn(word, message)
        self.assertEqual((self.in_state("images"), self.api.get("/1.0")["config"], self.mounts()), (before, {}, []))

    def test_refused(self):
        for wrong in ("v", "/v", "default/", "default/v/w"):
            self.refuse(wrong, "POOL/VOLUME")
        for missing in ("nowhere/v", "default/v"):
            self.refuse(missing, "no such custom volume", code=404)
        self.api.do("POST", POOL, {"name": "block", "content_type": "block", "config": {"size": "16MiB"}})
        self.refuse("default/block", "block volume")
        self.volume("v")
        self.api.do("POST", f"{POOL}/v/snapshots", {"name": "s"})
        self.refuse("default/v", "snapshots")
        self.api.do("DELETE", f"{POOL}/v/snapshots/s")
        self.api.launch("a", "tiny", devices={"v": {"type": "disk", "pool": "default", "source": "v", "path": "/srv"}})
        self.refuse("default/v", "running instances: a")
        self.api.sh("a", "mkdir /srv/images")
        self.api.stop("a")
        self.refuse("default/v", "devices")
        self.remove_instance("a")
        self.refuse("default/v", "not empty: 'images'")

    def test_no_room(self):
        self.volume("small", size="16MiB")
        self.api.launch("a", "tiny")
        self.api.sh("a", "dd if=/dev/urandom of=/much bs=1M count=20 2>/dev/null")
        self.api.do("POST", "/1.0/instances/a/backups", {"name": "big", "compression_algorithm": "none"})
        before = self.in_state("backups")
        self.assertIn("No room for the backups on 'default/small'",
                      self.assert_api_error(500, self.keep, backups="default/small"))
        self.assertEqual((self.in_state("backups"), self.mounts()), (before, []))
        self.assertEqual(self.api.raw("GET", "/1.0/instances/a/backups/big/export").status, 200)
        self.api.do("DELETE", "/1.0/instances/a/backups/big")
        self.keep(backups="default/small")
        self.assertIn("No space left", self.assert_api_error(
            400, self.api.do, "POST", "/1.0/instances/a/backups", {"name": "big", "compression_algorithm": "none"}))
        self.assertEqual(self.on_volume("backups"), [])

    def test_not_while_an_image_comes_in(self):
        self.volume("v")
        with open(images.tiny(), "rb") as file:
            content = file.read()
        self.api.do("DELETE", f"/1.0/images/{self.api.get('/1.0/images/aliases/tiny')['target']}")
        upload = UnixConnection(self.daemon.socket_path, 60 * PATIENCE)
        upload.putrequest("POST", "/1.0/images")
        upload.putheader("Content-Type", "application/octet-stream")
        upload.putheader("Content-Length", str(len(content)))
        upload.endheaders(content[:len(content) // 2])
        tmp = os.path.join(self.daemon.root, "tmp")
        while not os.listdir(tmp):
            self.assertTrue(self.daemon.running())
        self.assertIn("images are being made", self.assert_api_error(400, self.keep, images="default/v"))
        upload.send(content[len(content) // 2:])
        made = self.api.wait(json.loads(upload.getresponse().read()))["metadata"]["fingerprint"]
        upload.close()
        self.api.call("POST", "/1.0/images/aliases", {"name": "tiny", "target": made, "description": ""})
        self.keep(images="default/v")
        self.assert_images_work("a")


class LostPoolTest(KeptFilesCase):
    """The pool of the volume cannot be opened when the daemon starts."""

    def setUp(self):
        super().setUp()
        self.place = os.path.join(self.daemon.base, "lost")
        os.mkdir(self.place, 0o755)
        self.api.do("POST", "/1.0/storage-pools", {"name": "far", "driver": "dir", "config": {"source": self.place}})
        self.api.do("POST", "/1.0/storage-pools/far/volumes/custom", {"name": "v"})

    def tearDown(self):
        self.keep()
        self.api.do("DELETE", "/1.0/storage-pools/far/volumes/custom/v")
        self.api.do("DELETE", "/1.0/storage-pools/far")
        super().tearDown()

    def restart(self, *renamed):
        self.daemon.terminate()
        os.rename(*renamed)
        self.daemon.start()

    def warnings(self):
        return [one for one in self.api.get("/1.0/warnings?recursion=1")
                if one["type"] == "Storage volume unavailable" and one["status"] != "resolved"]

    def test_nothing_is_written_beneath(self):
        before = self.in_state("images")
        self.keep(images="far/v")
        away = self.place + "-away"
        self.restart(self.place, away)
        self.assertEqual(len(self.warnings()), 1)
        self.assertIn("far/v", self.warnings()[0]["last_message"])
        self.assertIn(IMAGES, self.assert_api_error(503, self.daemon.import_image, images.tiny(), None))
        self.assertIn(IMAGES, self.assert_api_error(400, self.keep))
        self.assertEqual((self.in_state("images"), self.mounts()), ([], []))
        self.assertEqual(len(self.api.get("/1.0/images")), 1)
        self.restart(away, self.place)
        self.assertEqual(self.warnings(), [])
        self.assertEqual(self.on_volume("images"), before)
        self.assert_images_work("a")


if __name__ == "__main__":
    main()
