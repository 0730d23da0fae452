"""Images made of instances and snapshots: by the stock client, in every format; what they hold; what is refused."""
import hashlib
import io
import os
import stat
import subprocess
import tarfile

from harness import clients
from harness.case import DaemonCase, main
from harness.pause import Pause
from harness.rest import ApiError

MAGIC = {"none": b"metadata.yaml", "gzip": b"\x1f\x8b", "xz": b"\xfd7zXZ", "zstd": b"\x28\xb5\x2f\xfd"}


class PublishTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.api.create("source", "tiny")
        self.api.start("source")
        # What a packer gets wrong: holes, hard links, ids, modes, attributes, names.
        self.api.sh("source", "mkdir -p /srv/d && cd /srv/d && echo hello > file && ln file link && ln -s file soft && "
                    "dd if=/dev/zero of=holes bs=1 count=1 seek=9999999 2>/dev/null && echo x > 'na me' && "
                    "chown 1000:1000 file && chmod 4755 'na me' && head -c 3000000 /dev/urandom > noise")
        self.sum = self.api.sh("source", "cd /srv/d; sha256sum noise")
        self.api.stop("source")
        self.before = set(self.api.get("/1.0/images"))

    def tearDown(self):
        for name in self.daemon.instance_names():
            self.remove_instance(name)
        for url in set(self.api.get("/1.0/images")) - self.before:
            self.api.do("DELETE", url)
        super().tearDown()

    def publish(self, name="source", kind="instance", **more):
        body = {"source": {"type": kind, "name": name}, **more}
        return self.api.do("POST", "/1.0/images", body, timeout=60)["metadata"]["fingerprint"]

    def check_copy(self, fingerprint):
        self.api.do("POST", "/1.0/instances", {"name": "copy", "source": {"type": "image", "fingerprint": fingerprint}})
        self.api.start("copy")
        self.assertEqual(self.api.sh("copy", "cd /srv/d; cat soft; stat -c '%u:%g %h' link; stat -c %a 'na me'; "
                                     "stat -c %s holes; sha256sum noise; cat /etc/hostname"),
                         f"hello\n1000:1000 2\n4755\n10000000\n{self.sum}\ncopy")
        self.assertLess(int(self.api.sh("copy", "du -k /srv/d/holes").split()[0]), 100)
        self.remove_instance("copy")

    def test_every_format(self):
        for algorithm in ("none", "gzip", "xz", "zstd", "squashfs"):
            with self.subTest(algorithm=algorithm):
                fingerprint = self.publish(compression_algorithm=algorithm)
                image = self.api.get(f"/1.0/images/{fingerprint}")
                reply = self.api.raw("GET", f"/1.0/images/{fingerprint}/export")
                if algorithm == "squashfs":
                    self.assertIn("multipart/form-data", reply.headers["Content-Type"])
                    self.assertIn(b"hsqs", reply.body)
                else:
                    self.assertTrue(reply.body.startswith(MAGIC[algorithm]))
                    self.assertEqual((hashlib.sha256(reply.body).hexdigest(), len(reply.body)), (fingerprint, image["size"]))
                self.assertEqual((image["architecture"], image["properties"]["os"]), ("x86_64", "tiny"))
                self.check_copy(fingerprint)
                self.api.do("DELETE", f"/1.0/images/{fingerprint}")
        self.assert_api_error(400, self.publish, compression_algorithm="rot13")

    def test_whiteouts_and_harmless_devices(self):
        self.api.do("POST", "/1.0/storage-pools", {"name": "plain", "driver": "dir", "config": {}})
        self.addCleanup(self.api.do, "DELETE", "/1.0/storage-pools/plain")
        devices = {"root": {"type": "disk", "path": "/", "pool": "plain"}}
        trees = os.path.join(f"/proc/{self.daemon.sandbox.pid}/root{self.daemon.root}", "storage-pools/plain/containers")
        self.api.create("nodes", "tiny", devices=devices)
        kept = {"gone": (stat.S_IFCHR, 0, 0), "null": (stat.S_IFCHR, 1, 3), "ptmx": (stat.S_IFCHR, 5, 2)}
        dropped = {"disk": (stat.S_IFBLK, 8, 0), "mem": (stat.S_IFCHR, 1, 1)}
        for name, (kind, major, minor) in {**kept, **dropped}.items():
            os.mknod(f"{trees}/nodes/rootfs/{name}", kind | 0o600, os.makedev(major, minor))
        for algorithm in ("zstd", "squashfs"):
            with self.subTest(algorithm=algorithm):
                image = self.publish("nodes", compression_algorithm=algorithm)
                self.api.do("POST", "/1.0/instances", {"name": "copy", "devices": devices,
                                                       "source": {"type": "image", "fingerprint": image}})
                for name, (kind, major, minor) in kept.items():
                    found = os.lstat(f"{trees}/copy/rootfs/{name}")
                    self.assertEqual((stat.S_IFMT(found.st_mode), found.st_rdev), (kind, os.makedev(major, minor)), name)
                for name in dropped:
                    self.assertFalse(os.path.lexists(f"{trees}/copy/rootfs/{name}"), name)
                self.api.start("copy")
                self.remove_instance("copy")
                self.api.do("DELETE", f"/1.0/images/{image}")
        self.remove_instance("nodes")

    def test_other_programs_read_it(self):
        for algorithm, program in (("gzip", "gzip"), ("xz", "xz"), ("zstd", "zstd")):
            data = self.api.raw("GET", f"/1.0/images/{self.publish(compression_algorithm=algorithm)}/export").body
            plain = subprocess.run([program, "-dc"], input=data, capture_output=True, check=True).stdout
            with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
                names = archive.getnames()
                self.assertEqual(archive.getmember("rootfs/srv/d/file").uid, 1000)
            self.assertEqual(names[:3], ["metadata.yaml", "templates", "templates/hostname.tpl"])

    def test_lxc_publishes(self):
        client = clients.lxc(self.daemon)
        client("publish", "source", "--alias", "mine", "--public", "--expire", "2030-01-02T15:04:05Z", "flavour=vanilla")
        image = self.api.get("/1.0/images/" + self.api.get("/1.0/images/aliases/mine")["target"])
        self.assertEqual((image["public"], image["expires_at"][:10], image["properties"]),
                         (True, "2030-01-02", {"flavour": "vanilla"}))
        self.check_copy(image["fingerprint"])
        client("snapshot", "source", "then")
        self.api.start("source")
        self.api.sh("source", "rm -rf /srv/d")
        self.assert_api_error(400, self.publish)  # it runs
        client("publish", "source/then", "--alias", "then", "--compression", "zstd")
        self.check_copy(self.api.get("/1.0/images/aliases/then")["target"])

    def test_key_for_the_compression(self):
        self.api.call("PATCH", "/1.0", {"config": {"images.compression_algorithm": "zstd"}})
        try:
            fingerprint = self.publish(aliases=[{"name": "by-key", "description": ""}])
        finally:
            self.api.call("PUT", "/1.0", {"config": {}})
        self.assertTrue(self.api.raw("GET", f"/1.0/images/{fingerprint}/export").body.startswith(MAGIC["zstd"]))
        self.assertEqual(self.api.get("/1.0/images/aliases/by-key")["target"], fingerprint)

    def test_an_alias_that_is_taken_meanwhile_leaves_no_image(self):
        tiny = self.api.get("/1.0/images/aliases/tiny")["target"]
        with Pause(self.daemon, "image-publish-packed") as pause:
            started = self.api.call("POST", "/1.0/images", {
                "source": {"type": "instance", "name": "source"}, "compression_algorithm": "none",
                "aliases": [{"name": "free", "description": ""}, {"name": "taken", "description": ""}]})
            pause.wait()
            self.api.call("POST", "/1.0/images/aliases", {"name": "taken", "target": tiny, "description": ""})
            pause.go_on()
            with self.assertRaisesRegex(ApiError, "taken.*already exists"):
                self.api.wait(started)
        self.assertEqual(set(self.api.get("/1.0/images")), self.before)
        self.assert_api_error(404, self.api.get, "/1.0/images/aliases/free")
        self.assertEqual(len(os.listdir(os.path.join(self.daemon.root, "images"))), len(self.before))
        self.api.call("DELETE", "/1.0/images/aliases/taken")
        fingerprint = self.publish(aliases=[{"name": "taken", "description": "now"}])
        self.assertEqual(self.api.get("/1.0/images/aliases/taken")["target"], fingerprint)

    def test_refused(self):
        self.assert_api_error(404, self.publish, "nobody")
        self.assert_api_error(404, self.publish, "source/nothing", "snapshot")
        self.assert_api_error(400, self.publish, "source", "snapshot")
        self.assert_api_error(400, self.publish, auto_update=True)

    def test_cancel_leaves_nothing(self):
        self.api.start("source")
        self.api.sh("source", "head -c 200000000 /dev/urandom > /srv/big")
        self.api.stop("source")
        for algorithm in ("xz", "squashfs"):
            started = self.api.call("POST", "/1.0/images", {"source": {"type": "instance", "name": "source"},
                                                           "compression_algorithm": algorithm})
            operation = started["operation"].split("?")[0]
            while "pack_progress" not in str(self.api.get(operation)["metadata"]):
                self.assertEqual(self.api.get(operation)["status"], "Running")
            self.api.call("DELETE", operation)
            self.assertEqual(self.api.get(f"{operation}/wait?timeout=60")["status"], "Cancelled")
            self.assertEqual(set(self.api.get("/1.0/images")), self.before)
            self.assertEqual(os.listdir(os.path.join(self.daemon.root, "tmp")), [])


if __name__ == "__main__":
    main()
