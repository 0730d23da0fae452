"""images: import, aliases, properties, export, delete; and archives made to do harm."""
import hashlib
import os
import tarfile

from harness import images
from harness.case import DaemonCase, main
from harness.rest import ApiError


class ImagesTest(DaemonCase):
    needs_images = ()

    def tearDown(self):
        for name in self.daemon.instance_names():
            self.remove_instance(name)
        for url in self.api.get("/1.0/images"):
            self.api.do("DELETE", url)
        super().tearDown()

    def test_unified_import(self):
        path = images.tiny()
        fingerprint = self.daemon.import_image(path, "t")
        with open(path, "rb") as file:
            self.assertEqual(fingerprint, hashlib.sha256(file.read()).hexdigest())
        image = self.api.get(f"/1.0/images/{fingerprint}")
        self.assertEqual((image["architecture"], image["type"], image["size"]), ("x86_64", "container", os.path.getsize(path)))
        self.assertEqual(image["properties"]["os"], "tiny")
        self.assertEqual([a["name"] for a in image["aliases"]], ["t"])

    def test_split_import_and_export(self):
        files = images.distro("bookworm")
        fingerprint = self.daemon.import_image(files, "bw")
        digest = hashlib.sha256()
        for path in files:
            with open(path, "rb") as file:
                digest.update(file.read())
        self.assertEqual(fingerprint, digest.hexdigest())
        reply = self.api.raw("GET", f"/1.0/images/{fingerprint}/export")
        self.assertIn("multipart/form-data", reply.headers["Content-Type"])
        for path in files:
            with open(path, "rb") as file:
                self.assertIn(file.read(), reply.body)

    def test_unified_export_is_the_file(self):
        fingerprint = self.daemon.import_image(images.tiny(), None)
        reply = self.api.raw("GET", f"/1.0/images/{fingerprint}/export")
        with open(images.tiny(), "rb") as file:
            self.assertEqual(reply.body, file.read())

    def test_the_same_image_twice(self):
        fingerprint = self.daemon.import_image(images.tiny(), "t")
        message = self.assert_api_error(400, self.daemon.import_image, images.tiny(), None)
        self.assertIn("fingerprint already exists", message)
        self.assertEqual(self.api.get("/1.0/images"), [f"/1.0/images/{fingerprint}"])

    def test_aliases(self):
        fingerprint = self.daemon.import_image(images.tiny(), "first")
        self.assertEqual(self.api.get("/1.0/images/aliases/first")["target"], fingerprint)
        self.api.call("POST", "/1.0/images/aliases/first", {"name": "debian/second"})
        self.assertEqual(self.api.raw("GET", "/1.0/images/aliases/first").status, 404)
        self.assertEqual(self.api.get("/1.0/images/aliases/debian%2Fsecond")["name"], "debian/second")
        self.api.create("by-alias", "debian/second")
        self.api.call("DELETE", "/1.0/images/aliases/debian%2Fsecond")
        self.assertEqual(self.api.get("/1.0/images/aliases"), [])

    def test_properties(self):
        fingerprint = self.daemon.import_image(images.tiny(), None)
        target = f"/1.0/images/{fingerprint}"
        reply = self.api.raw("GET", target)
        body = {key: reply.metadata[key] for key in ("auto_update", "properties", "public", "expires_at", "profiles")}
        body["properties"]["mine"] = "yes"
        body["public"] = True
        self.api.call("PUT", target, body, {"If-Match": reply.headers["ETag"]})
        changed = self.api.get(target)
        self.assertEqual((changed["properties"]["mine"], changed["public"]), ("yes", True))

    def test_a_put_without_profiles_keeps_them(self):
        """pylxd's image.save() is such a PUT; what is made of the image afterwards has a root disk still."""
        fingerprint = self.daemon.import_image(images.tiny(), "kept")
        self.api.call("PUT", f"/1.0/images/{fingerprint}", {"properties": {"os": "mine", "n": "1"}, "public": True})
        self.assertEqual(self.api.get(f"/1.0/images/{fingerprint}")["profiles"], ["default"])
        for properties, status in (({"os": "mine"}, "Success"), ({"os": "mine", "n": "2"}, None)):
            body = {"name": "by-properties", "source": {"type": "image", "properties": properties}}
            if status:
                self.assertEqual(self.api.do("POST", "/1.0/instances", body)["status"], status)
                self.assertEqual(self.api.instance("by-properties")["config"]["volatile.base_image"], fingerprint)
                self.api.do("DELETE", "/1.0/instances/by-properties")
            else:
                self.assertIn("properties", self.assert_api_error(404, self.api.do, "POST", "/1.0/instances", body))
        self.api.call("PUT", f"/1.0/images/{fingerprint}", {"profiles": []})
        self.assertEqual(self.api.get(f"/1.0/images/{fingerprint}")["profiles"], [])

    def test_a_prefix_of_the_fingerprint_will_do(self):
        fingerprint = self.daemon.import_image(images.tiny(), None)
        self.assertEqual(self.api.get(f"/1.0/images/{fingerprint[:12]}")["fingerprint"], fingerprint)

    def test_instances_outlive_their_image(self):
        fingerprint = self.daemon.import_image(images.tiny(), "t")
        self.api.launch("stays", "t")
        self.api.do("DELETE", f"/1.0/images/{fingerprint}")
        self.assertEqual(self.api.sh("stays", "cat /etc/hostname"), "stays")
        self.api.set_state("stays", "restart", force=True)
        self.assertEqual(self.api.sh("stays", "echo up"), "up")
        self.assertEqual(self.api.get("/1.0/images"), [])

    def test_missing_image(self):
        with self.assertRaises(ApiError):
            self.api.create("orphan", "no-such-alias")
        self.assertEqual(self.daemon.instance_names(), [])


class HostileImageTest(DaemonCase):
    """Nothing of these may be imported and started with an effect on the host; nothing may be left of a refused one."""

    needs_images = ()

    def build(self, fill, metadata=images.METADATA, rootfs=True):
        path = os.path.join(self.daemon.base, f"{self.id()}.tar")
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        with tarfile.open(path, "w") as archive:
            if metadata is not None:
                images.add(archive, "metadata.yaml", metadata)
            if rootfs:
                images.add_tiny_rootfs(archive)
            fill(archive)
        return path

    def refused_or_harmless(self, path, host_file=None):
        """Either the import or the creation is refused, or the instance has nothing of the host in it."""
        if self.daemon.kind == "lxd":
            self.skipTest("a promise of lxmgr")
        before = set(os.listdir(os.path.join(self.daemon.root, "images")))
        try:
            fingerprint = self.daemon.import_image(path, None)
            try:
                self.api.do("POST", "/1.0/instances", {"name": "victim", "source": {"type": "image",
                                                                                   "fingerprint": fingerprint}})
                self.api.start("victim")
            finally:
                if "victim" in self.daemon.instance_names():
                    self.remove_instance("victim")
                self.api.do("DELETE", f"/1.0/images/{fingerprint}")
        except ApiError as error:
            self.assertIn(error.code, (400, 413), error.message)
        if host_file:
            self.assertFalse(os.path.exists(host_file), f"{host_file} was written on the host")
        self.assertEqual(set(os.listdir(os.path.join(self.daemon.root, "images"))), before)

    def refused(self, path):
        if self.daemon.kind == "lxd":
            self.skipTest("a promise of lxmgr")
        self.assert_api_error(400, self.daemon.import_image, path, None)
        self.assertEqual(self.api.get("/1.0/images"), [])

    def test_absolute_and_parent_paths(self):
        for number, name in enumerate(("/tmp/lxmgr-escape", "rootfs/../../../../../../tmp/lxmgr-escape", "../lxmgr-escape")):
            with self.subTest(name=name):
                self.refused_or_harmless(self.build(lambda a, n=name: images.add(a, n, b"x")), "/tmp/lxmgr-escape")

    def test_symlink_then_file_through_it(self):
        def fill(archive):
            images.add(archive, "rootfs/out", kind=tarfile.SYMTYPE, link="/tmp")
            images.add(archive, "rootfs/out/lxmgr-escape", b"x")
        self.refused_or_harmless(self.build(fill), "/tmp/lxmgr-escape")

    def test_hardlink_to_the_host(self):
        def fill(archive):
            images.add(archive, "rootfs/shadow", kind=tarfile.LNKTYPE, link="/etc/shadow")
            images.add(archive, "rootfs/shadow2", kind=tarfile.LNKTYPE, link="../../../../../../etc/shadow")
        self.refused_or_harmless(self.build(fill))

    def test_device_node(self):
        def fill(archive):
            info = tarfile.TarInfo("rootfs/dev/disk")
            info.type, info.devmajor, info.devminor, info.mode = tarfile.BLKTYPE, 254, 0, 0o666
            archive.addfile(info)
        self.refused_or_harmless(self.build(fill))

    def test_metadata_that_is_a_symlink(self):
        self.refused(self.build(lambda archive: images.add(archive, "metadata.yaml", kind=tarfile.SYMTYPE, link="/etc/passwd"),
                                metadata=None))

    def test_template_that_is_a_symlink(self):
        metadata = images.METADATA + "  /root/stolen: {when: [create, start], template: steal.tpl}\n"

        def fill(archive):
            images.add(archive, "templates", mode=0o755, kind=tarfile.DIRTYPE)
            images.add(archive, "templates/hostname.tpl", "x\n")
            images.add(archive, "templates/steal.tpl", kind=tarfile.SYMTYPE, link="/etc/shadow")
        path = self.build(fill, metadata)
        self.refused_or_harmless(path)

    def test_template_names_that_leave_their_folder(self):
        metadata = images.METADATA + "  /root/stolen: {when: [create, start], template: ../../../../../etc/shadow}\n"
        self.refused_or_harmless(self.build(lambda a: None, metadata))

    def test_template_target_through_a_symlink(self):
        metadata = images.METADATA + "  /out/lxmgr-escape: {when: [create, start], template: hostname.tpl}\n"

        def fill(archive):
            images.add(archive, "templates", mode=0o755, kind=tarfile.DIRTYPE)
            images.add(archive, "templates/hostname.tpl", "x\n")
            images.add(archive, "rootfs/out", kind=tarfile.SYMTYPE, link="/tmp")
        self.refused_or_harmless(self.build(fill, metadata), "/tmp/lxmgr-escape")

    def test_no_metadata_no_rootfs_no_archive(self):
        self.refused(self.build(lambda a: None, metadata=None))
        self.refused(self.build(lambda a: None, rootfs=False))
        path = os.path.join(self.daemon.base, "garbage")
        for content in (b"", b"not an archive" * 1000, b"hsqs" + b"\0" * 200, b"\x1f\x8b" + b"\xff" * 500):
            with open(path, "wb") as file:
                file.write(content)
            with self.subTest(content=content[:8]):
                self.refused(path)

    def test_metadata_bombs(self):
        bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12))
        self.refused(self.build(lambda a: None, metadata=bomb))
        self.refused(self.build(lambda a: None, metadata="architecture: x86_64\nproperties: {a: '" + "x" * (2 << 20) + "'}\n"))
        self.refused(self.build(lambda a: None, metadata="[" * 100_000))

    def test_a_truncated_archive(self):
        with open(images.tiny(), "rb") as file:
            data = file.read()
        path = os.path.join(self.daemon.base, "cut")
        with open(path, "wb") as file:
            file.write(data[:len(data) // 2])
        self.refused(path)


if __name__ == "__main__":
    main()
