"""Image metadata of an instance and its templates: read, changed, rendered at their triggers."""
from harness import images
from harness.case import DaemonCase, main

URL = "/1.0/instances/box/metadata"


class TemplatesTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.api.create("box", "tiny", config={"user.greeting": "hello"})

    def template(self, path, source, when, **more):
        """Adds a template with this content for `path`."""
        name = path.rsplit("/", 1)[1] + ".tpl"
        self.api.call("POST", f"{URL}/templates?path={name}", source.encode(), {"Content-Type": "application/octet-stream"})
        metadata = self.api.get(URL)
        metadata["templates"][path] = {"when": when, "template": name, "create_only": False, "properties": {}, **more}
        self.api.call("PUT", URL, metadata)

    def read(self, path):
        return self.api.pull("box", path).body.decode()

    def test_metadata_of_the_image(self):
        metadata = self.api.get(URL)
        self.assertEqual(metadata["architecture"], "x86_64")
        self.assertEqual(metadata["properties"]["os"], "tiny")
        self.assertEqual(metadata["creation_date"], 1700000000)
        self.assertEqual(metadata["templates"]["/etc/hostname"]["when"], ["create", "copy", "rename"])
        self.api.call("PATCH", URL, {"properties": {"owner": "me"}})
        self.assertEqual(self.api.get(URL)["properties"], {**metadata["properties"], "owner": "me"})
        self.assertEqual(self.api.get(f"{URL}/templates"), ["hostname.tpl"])
        self.assertEqual(self.api.raw("GET", f"{URL}/templates?path=hostname.tpl").body, b"{{ container.name }}\n")

    def test_image_properties(self):
        self.template("/etc/of-the-image", "{{ config_get('image.os', '') }} {{ config_get('image.note', '') }}\n", ["start"])
        self.api.update("box", config={"image.note": "mine"})
        self.api.start("box")
        self.assertEqual(self.read("/etc/of-the-image"), "tiny mine\n")

    def test_triggers(self):
        self.template("/etc/first", "{{ trigger }} {{ path }} {{ instance.name }}\n", ["create", "rename"])
        self.template("/srv/deep/every", "{{ config_get('user.greeting', 'none') }} {{ properties.x|default:'y' }}\n",
                      ["start"], properties={"x": "z"})
        self.template("/etc/hosts", "never\n", ["create"], create_only=True)
        self.api.start("box")
        self.assertEqual(self.read("/etc/first"), "create /etc/first box\n")
        self.assertEqual(self.read("/srv/deep/every"), "hello z\n")
        self.assertIn("127.0.0.1", self.read("/etc/hosts"))
        self.api.push("box", "/etc/first", b"mine")
        self.api.stop("box")
        self.api.update("box", config={"user.greeting": "changed"})
        self.api.start("box")
        self.assertEqual(self.read("/etc/first"), "mine")
        self.assertEqual(self.read("/srv/deep/every"), "changed z\n")

    def test_a_rename_before_the_first_start(self):
        self.template("/etc/first", "{{ trigger }} {{ instance.name }}\n", ["create", "rename"])
        self.api.do("POST", "/1.0/instances/box", {"name": "other"})
        try:
            self.api.start("other")
            self.assertEqual(self.api.pull("other", "/etc/first").body, b"create other\n")
            self.api.stop("other")
        finally:
            self.api.do("POST", "/1.0/instances/other", {"name": "box"})

    def test_a_broken_template_stops_the_start_and_says_where(self):
        self.template("/etc/motd", "a\n{% include '/etc/shadow' %}", ["start"])
        message = self.assert_api_error(400, self.api.start, "box")
        self.assertIn("Template 'motd.tpl' for '/etc/motd' of instance 'box': line 2: the tag 'include'", message)
        self.assertEqual(self.api.instance("box")["status"], "Stopped")

    def test_templates_cannot_leave(self):
        for path in ("../x", "/etc/passwd", "a/b", "..", ""):
            self.assert_api_error(400, self.api.call, "POST", f"{URL}/templates?path={path}", b"x")
        metadata = self.api.get(URL)
        metadata["templates"]["/x"] = {"when": ["start"], "template": "../../etc/shadow"}
        self.assert_api_error(400, self.api.call, "PUT", URL, metadata)
        # A planted link leads nowhere but inside.
        self.template("/root/link/target", "inside\n", ["start"])
        self.api.push("box", "/root/link", b"/etc", type="symlink")
        self.api.start("box")
        self.assertEqual(self.read("/etc/target"), "inside\n")

    def test_changes(self):
        before = self.api.get(URL)["properties"]
        etag = self.api.raw("GET", URL).headers["ETag"]
        self.api.call("PATCH", URL, {"properties": {"os": "mine"}}, {"If-Match": etag})
        self.assert_api_error(412, self.api.call, "PUT", URL, {"architecture": "x"}, {"If-Match": etag})
        self.assertEqual(self.api.get(URL)["properties"], {**before, "os": "mine"})
        self.assertEqual(self.api.get(URL)["architecture"], "x86_64")
        self.api.call("DELETE", f"{URL}/templates?path=hostname.tpl")
        self.assertEqual(self.api.get(f"{URL}/templates"), [])
        self.assert_api_error(404, self.api.call, "DELETE", f"{URL}/templates?path=hostname.tpl")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.api.get(URL)["properties"], {**before, "os": "mine"})

    def test_zz_they_outlive_their_image(self):
        self.template("/etc/kept", "kept\n", ["create"])
        fingerprint = self.api.get("/1.0/images/aliases/tiny")["target"]
        self.api.do("DELETE", f"/1.0/images/{fingerprint}")
        self.daemon.kill()
        self.daemon.start()
        self.api.start("box")
        self.assertEqual(self.read("/etc/kept"), "kept\n")
        self.daemon.import_image(images.tiny(), "tiny")  # for the other tests


if __name__ == "__main__":
    main()
