"""kill -9 of the daemon at every named point while an image is fetched from a server and while one is made of an instance;
see harness/sweep.py."""
import os
import shutil
import tempfile

from harness import images, streams
from harness.case import DaemonCase, main
from harness.sweep import CONFIG, SweepCases


class ImagesSweep(SweepCases, DaemonCase):
    test_moments = None  # every step is a transaction or the writing of one file, and those are points
    options = {}

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="lxmgr-test-")
        cls.addClassCleanup(shutil.rmtree, folder)
        certificate, key = streams.make_certificate(folder)
        cls.options = {"environment": {"SSL_CERT_FILE": certificate}}
        super().setUpClass()
        cls.streams = streams.Streams(cls.daemon, certificate, key)
        cls.fingerprint, _ = cls.streams.ubuntu_layout()
        cls.streams.start()
        cls.addClassCleanup(cls.streams.stop)

    @classmethod
    def tearDownClass(cls):
        cls.streams.stop()
        super().tearDownClass()

    def other_images(self):
        return [url for url in self.api.get("/1.0/images") if self.api.get(url)["properties"].get("os") == "ubuntu"
                or self.api.get(url)["properties"].get("made") == "here"]

    def cleanup(self):
        super().cleanup()
        for url in self.other_images():
            self.api.do("DELETE", url)

    def assert_files_match(self):
        """Files in the store belong to rows, and nothing lies around."""
        rows = {url.rsplit("/", 1)[1] for url in self.api.get("/1.0/images")}
        stored = {name.removesuffix(".rootfs") for name in os.listdir(os.path.join(self.daemon.root, "images"))}
        self.assertEqual(stored, rows)
        self.assertEqual(os.listdir(os.path.join(self.daemon.root, "tmp")), [])


class FetchSweep(ImagesSweep):
    """`subject` is made of an image of a server."""

    def operate(self):
        self.api.do("POST", "/1.0/instances", {"name": "subject", "config": CONFIG, "source": {
            "type": "image", "mode": "pull", "server": streams.URL, "protocol": "simplestreams", "alias": "24.04"}}, timeout=60)

    def audit(self, point):
        self.assert_files_match()
        self.assertIn(self.names(), (set(), {"subject"}))
        if not self.names():
            self.operate()
        self.assertEqual(self.api.get(self.other_images()[0])["cached"], True)
        self.assert_whole("subject")


class PublishSweep(ImagesSweep):
    def prepare(self):
        if "subject" not in self.names():
            self.create()

    def operate(self):
        self.api.do("POST", "/1.0/images", {"source": {"type": "instance", "name": "subject"}, "properties": {"made": "here"},
                                            "compression_algorithm": "none"})

    def audit(self, point):
        self.assert_files_match()
        self.assertEqual(self.names(), {"subject"})
        if not self.other_images():
            self.operate()
        self.api.do("POST", "/1.0/instances", {"name": "made", "config": CONFIG, "source": {
            "type": "image", "fingerprint": self.other_images()[0].rsplit("/", 1)[1]}})
        self.assert_whole("made")


class SnapshotPublishSweep(PublishSweep):
    def prepare(self):
        super().prepare()
        if not self.api.get("/1.0/instances/subject/snapshots"):
            self.api.do("POST", "/1.0/instances/subject/snapshots", {"name": "s"})

    def operate(self):
        self.api.do("POST", "/1.0/images", {"source": {"type": "snapshot", "name": "subject/s"}, "properties": {"made": "here"},
                                            "compression_algorithm": "squashfs"})


class RefreshSweep(ImagesSweep):
    """The server has a newer version of an image, which takes the place of the older one."""

    def prepare(self):
        self.streams.ubuntu_layout(("20240423",))
        self.api.do("POST", "/1.0/images", {"auto_update": True, "aliases": [{"name": "base"}], "source": {
            "type": "image", "mode": "pull", "server": streams.URL, "protocol": "simplestreams", "alias": "24.04"}}, timeout=60)
        self.older = self.api.get("/1.0/images/aliases/base")["target"]
        self.streams.ubuntu_layout()

    def operate(self):
        target = self.api.get("/1.0/images/aliases/base")["target"]
        self.api.do("POST", f"/1.0/images/{target}/refresh", timeout=60)

    def audit(self, point):
        self.assert_files_match()
        self.assertIn(self.api.get("/1.0/images/aliases/base")["target"], (self.older, self.fingerprint))
        self.operate()
        self.assertEqual(self.api.get("/1.0/images/aliases/base")["target"], self.fingerprint)
        self.assertEqual(self.other_images(), [f"/1.0/images/{self.fingerprint}"])
        self.api.create("subject", "base", config=CONFIG)
        self.assert_whole("subject")


class UrlSweep(ImagesSweep):
    """An image is imported from a URL: the bystander's, packed at another time."""

    def prepare(self):
        with open(images.tiny(), "rb") as file:
            whole = bytearray(file.read())
        whole[4:8] = b"then"  # gzip's time, RFC 1952
        self.streams.put("files/then.tar.gz", whole)
        self.streams.put_json("get.headers", {"LXD-Image-Hash": streams.sha256(whole),
                                              "LXD-Image-URL": f"{streams.URL}/files/then.tar.gz"})
        self.api.call("PATCH", "/1.0", {"config": {"images.allow_local_urls": "true"}})

    def operate(self):
        self.api.do("POST", "/1.0/images", {"source": {"type": "url", "url": f"{streams.URL}/get"}, "aliases": [{"name": "u"}],
                                            "properties": {"made": "here"}}, timeout=60)

    def audit(self, point):
        self.assert_files_match()
        if not self.other_images():
            self.operate()
        self.api.create("subject", "u", config=CONFIG)
        self.assert_whole("subject")

    def cleanup(self):
        super().cleanup()
        self.api.call("PUT", "/1.0", {"config": {}})


del ImagesSweep


if __name__ == "__main__":
    main()
