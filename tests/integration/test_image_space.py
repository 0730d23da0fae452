"""A disk that is too small for an image that is fetched, or made of an instance, or for a backup: a clear error, nothing
left, and the same request succeeds when there is room."""
import hashlib
import os
import shutil
import subprocess
import tempfile

from harness import images, streams
from harness.case import DaemonCase, main
from harness.rest import ApiError

SIZE = 48 << 20


class FullDiskTest(DaemonCase):
    needs_images = ()

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            return super().setUpClass()
        cls.folder = tempfile.mkdtemp(prefix="lxmgr-test-", dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        os.chmod(cls.folder, 0o711)
        disk, mount = os.path.join(cls.folder, "disk"), os.path.join(cls.folder, "mount")
        with open(disk, "wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", disk], check=True)
        os.mkdir(mount, 0o711)
        subprocess.run(["mount", "-o", "loop", disk, mount], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", mount], check=False)
        os.chmod(mount, 0o711)
        certificate, key = streams.make_certificate(cls.folder)
        cls.options = {"environment": {"SSL_CERT_FILE": certificate}}
        before = os.environ.get("LXMGR_TEST_TMP")
        os.environ["LXMGR_TEST_TMP"] = mount
        try:
            super().setUpClass()
        finally:
            del os.environ["LXMGR_TEST_TMP"]
            if before is not None:
                os.environ["LXMGR_TEST_TMP"] = before
        cls.streams = streams.Streams(cls.daemon, certificate, key)
        cls.addClassCleanup(cls.streams.stop)
        cls.streams.start()
        cls.fingerprint, _ = cls.streams.ubuntu_layout(("20240821",))

    @classmethod
    def tearDownClass(cls):
        cls.streams.stop()
        super().tearDownClass()

    def fill(self, left):
        """All of the disk but so many bytes."""
        path = os.path.join(self.daemon.base, "filler")
        space = os.statvfs(self.daemon.base)
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - left)
        return path

    def listing(self):
        places = {folder: os.path.join(self.daemon.root, folder) for folder in ("tmp", "images", "backups")}
        return {folder: set(os.listdir(place)) for folder, place in places.items() if os.path.exists(place)}

    def until_there_is_room(self, left, operate):
        before = self.listing()
        filler = self.fill(left)
        try:
            with self.assertRaises(ApiError) as caught:
                operate()
            self.assertIn("No space left on device", caught.exception.message)
            self.assertEqual(self.listing(), before)
        finally:
            os.unlink(filler)
        operate()

    def test_fetch_and_publish(self):
        source = {"type": "image", "mode": "pull", "server": streams.URL, "protocol": "simplestreams", "alias": "24.04"}
        body = {"name": "one", "source": source}
        self.until_there_is_room(400 << 10, lambda: self.api.do("POST", "/1.0/instances", body, timeout=60))
        self.api.start("one")
        self.api.sh("one", "head -c 4000000 /dev/urandom > /srv-noise")
        self.api.stop("one")
        body = {"source": {"type": "instance", "name": "one"}}
        self.until_there_is_room(2 << 20, lambda: self.api.do("POST", "/1.0/images", body, timeout=60))
        self.assertEqual(len(self.api.get("/1.0/images")), 2)

    def test_export_needs_no_room(self):
        """Of an image of two files, in one body."""
        source = {"type": "image", "mode": "pull", "server": streams.URL, "protocol": "simplestreams", "alias": "24.04"}
        fingerprint = self.api.do("POST", "/1.0/images", {"source": source}, timeout=60)["metadata"]["fingerprint"]
        filler = self.fill(64 << 10)
        try:
            reply = self.api.raw("GET", f"/1.0/images/{fingerprint}/export")
        finally:
            os.unlink(filler)
        self.assertEqual(reply.status, 200)
        boundary = reply.headers["Content-Type"].split("boundary=")[1].encode()
        _, metadata, rootfs, end = (b"\r\n" + reply.body).split(b"\r\n--" + boundary)
        files = [part.split(b"\r\n\r\n", 1)[1] for part in (metadata, rootfs)]
        self.assertEqual((end, hashlib.sha256(b"".join(files)).hexdigest()), (b"--\r\n", fingerprint))
        self.api.do("DELETE", f"/1.0/images/{fingerprint}")

    def test_upload_url_and_refresh(self):
        with open(images.tiny(), "rb") as file:
            whole = file.read()
        octets = {"Content-Type": "application/octet-stream"}
        self.until_there_is_room(256 << 10, lambda: self.api.do("POST", "/1.0/images", whole, octets, timeout=60))
        for url in self.api.get("/1.0/images"):
            self.api.do("DELETE", url)
        self.streams.url_image()
        self.api.call("PATCH", "/1.0", {"config": {"images.allow_local_urls": "true"}})
        body = {"source": {"type": "url", "url": f"{streams.URL}/get"}}
        self.until_there_is_room(256 << 10, lambda: self.api.do("POST", "/1.0/images", body, timeout=60))
        self.api.call("PUT", "/1.0", {"config": {}})
        for url in self.api.get("/1.0/images"):
            self.api.do("DELETE", url)
        source = {"type": "image", "mode": "pull", "server": streams.URL, "protocol": "simplestreams", "alias": "24.04"}
        older = self.api.do("POST", "/1.0/images", {"auto_update": True, "source": source}, timeout=60)["metadata"]["fingerprint"]
        newest, _ = self.streams.ubuntu_layout(("20240821", "20240822"))
        self.until_there_is_room(256 << 10, lambda: self.api.do("POST", f"/1.0/images/{older}/refresh", timeout=60))
        self.assertEqual(self.api.get("/1.0/images"), [f"/1.0/images/{newest}"])
        self.api.do("DELETE", f"/1.0/images/{newest}")
        self.streams.ubuntu_layout(("20240821",))

    def test_backups(self):
        source = {"type": "image", "mode": "pull", "server": streams.URL, "protocol": "simplestreams", "alias": "24.04"}
        self.api.do("POST", "/1.0/instances", {"name": "two", "source": source}, timeout=60)
        self.api.do("POST", "/1.0/storage-pools/default/volumes/custom", {"name": "v", "config": {}})
        self.api.update("two", devices={"v": {"type": "disk", "pool": "default", "source": "v", "path": "/data"}})
        self.api.start("two")
        self.api.sh("two", "head -c 4000000 /dev/urandom | tee /data/noise > /noise")
        self.api.stop("two")
        self.api.update("two", devices={"v": None})
        for url in ("/1.0/instances/two", "/1.0/storage-pools/default/volumes/custom/v"):
            for algorithm in ("none", "gzip"):
                with self.subTest(url=url, algorithm=algorithm):
                    self.api.do("POST", f"{url}/backups", {"name": "small", "compression_algorithm": "gzip"})
                    body = {"name": "b", "compression_algorithm": algorithm}
                    self.until_there_is_room(2 << 20, lambda: self.api.do("POST", f"{url}/backups", body))
                    self.assertEqual(len(self.api.get(f"{url}/backups")), 2)
                    for name in ("small", "b"):
                        self.api.do("DELETE", f"{url}/backups/{name}")
        self.api.do("DELETE", "/1.0/storage-pools/default/volumes/custom/v")
        self.api.delete("two")
        for url in self.api.get("/1.0/images"):  # the other test fetches it
            self.api.do("DELETE", url)


if __name__ == "__main__":
    main()
