"""Images from simplestreams servers, in both public layouts, for the stock clients and through the API; and servers that
fail or mean harm."""
import os
import sqlite3
import tempfile
import time

from harness import clients, streams
from harness.case import main
from harness.daemon import binaries
from harness.rest import ApiError
from harness.streams_case import StreamsCase


class SharedImagesTest(StreamsCase):
    def test_default_says_what_an_image_is(self):
        self.streams.ubuntu_layout()
        self.api.call("POST", "/1.0/projects", {"name": "web"})
        asked = {"source": self.source("lts"), "auto_update": True, "public": True}
        image = self.api.do("POST", "/1.0/images?project=web", asked, timeout=60)["metadata"]["fingerprint"]
        self.assertEqual(self.fetch("24.04"), image)
        for query in ("", "?project=web"):
            shown = self.api.get(f"/1.0/images/{image}{query}")
            self.assertEqual((shown["auto_update"], shown["public"], shown["update_source"]["alias"]), (False, False, "24.04"))
        self.assert_api_error(400, self.api.do, "POST", "/1.0/images?project=web", asked)
        self.assertFalse(self.api.get(f"/1.0/images/{image}")["auto_update"])
        self.api.do("DELETE", f"/1.0/images/{image}?project=web")
        self.assert_api_error(400, self.api.do, "POST", "/1.0/images?project=web", asked)
        self.api.do("POST", "/1.0/instances?project=web", {"name": "one", "source": self.source("lts"), "devices": {
            "root": {"type": "disk", "path": "/", "pool": "default"}}}, timeout=60)
        shown = self.api.get(f"/1.0/images/{image}")
        self.assertEqual((shown["cached"], shown["update_source"]["alias"]), (False, "24.04"))
        self.api.do("DELETE", "/1.0/instances/one?project=web")
        self.api.do("DELETE", f"/1.0/images/{image}?project=web")
        self.api.call("DELETE", "/1.0/projects/web")


class LayoutsTest(StreamsCase):
    def test_lxc_launches_from_both_layouts(self):
        client = streams.StreamsClient(self.daemon, "lxc", clients.lxc(self.daemon).environment, self.certificate)
        squashfs, _ = self.streams.ubuntu_layout()
        client("remote", "add", "ubuntu-like", streams.URL, "--protocol", "simplestreams")
        self.assertIn("24.04", client("image", "list", "ubuntu-like:"))
        client("launch", "ubuntu-like:24.04", "one")
        self.assertEqual(self.api.sh("one", "cat /etc/hostname"), "one")
        config = self.api.instance("one")["config"]
        self.assertEqual((config["volatile.base_image"], config["image.os"], config["image.serial"]),
                         (squashfs, "ubuntu", "20240821"))
        self.assertIn("ubuntu 24.04 LTS amd64 (release) (20240821)", client("image", "list"))
        newest = self.streams.images_layout()
        for image, variant in (("debian/13/cloud", "cloud"), ("debian/trixie/amd64", "default"), ("busybox/1", "unified")):
            client("launch", f"ubuntu-like:{image}", "two")
            self.assertEqual(self.api.instance("two")["config"]["volatile.base_image"], newest[variant])
            client("delete", "--force", "two")
        client("image", "copy", f"ubuntu-like:{newest['default'][:20]}", "local:", "--alias", "mine")
        self.assertEqual(self.api.get("/1.0/images/aliases/mine")["target"], newest["default"])

    def test_incus_launches(self):
        incus = clients.incus(self.daemon)
        client = streams.StreamsClient(self.daemon, incus.program, incus.environment, self.certificate)
        newest = self.streams.images_layout()
        client("remote", "add", "images-like", streams.URL, "--protocol", "simplestreams")
        client("launch", "images-like:debian/13", "one")
        self.assertEqual(self.api.instance("one")["config"]["volatile.base_image"], newest["default"])

    def test_lxmgr_launches_lists_and_copies(self):
        client = streams.StreamsClient(self.daemon, str(binaries() / "lxmgr"), {
            "LXMGR_DIR": self.daemon.root, "LXMGR_IMAGE_SERVERS": f"near={streams.URL},"}, self.certificate)
        newest = self.streams.images_layout()
        listed = client("image", "list", "near:debian/13/cloud")
        self.assertIn("debian/trixie/cloud", listed)
        self.assertNotIn("busybox", listed)
        self.assertIn("Debian trixie amd64 (20250702_05:24)", client("image", "info", "near:debian/13"))
        client("launch", "near:debian/13", "one")
        self.assertEqual(self.api.instance("one")["config"]["volatile.base_image"], newest["default"])
        client("image", "copy", "near:debian/13/cloud", "--copy-aliases", "--alias", "mine", "--auto-update")
        names = {alias["name"] for alias in self.api.get(f"/1.0/images/{newest['cloud']}")["aliases"]}
        self.assertEqual(names, {"mine", "debian/13/cloud", "debian/trixie/cloud"})
        self.assertIn("up to date", client("image", "refresh", "mine"))
        url = self.streams.url_image()
        self.api.call("PATCH", "/1.0", {"config": {"images.allow_local_urls": "true"}})
        self.addCleanup(self.api.call, "PUT", "/1.0", {"config": {}})
        client("image", "import", f"{streams.URL}/get", "--alias", "from-url", "flavour=sour", "--public")
        fetched = self.api.get(f"/1.0/images/{url}")
        self.assertEqual((fetched["public"], fetched["properties"]["flavour"], fetched["aliases"][0]["name"]),
                         (True, "sour", "from-url"))
        failed = client.run("image", "import", f"{streams.URL}/nothing", check=False)
        self.assertIn(b"names no image", failed.stderr)
        failed = client.run("launch", "near:plan/9", "two", check=False)
        self.assertIn(b"no container image 'plan/9'", failed.stderr)
        client("stop", "--force", "one")
        client("publish", "one", "--alias", "made", "flavour=mint")
        self.assertIn("mint", client("image", "info", "made"))

    def test_a_cached_image_is_found_again(self):
        squashfs, _ = self.streams.ubuntu_layout()
        done = self.api.do("POST", "/1.0/instances", {"name": "one", "source": self.source("lts")}, timeout=60)
        self.assertIn("rootfs: 100%", done["metadata"]["download_progress"])
        image = self.api.get(f"/1.0/images/{squashfs}")
        self.assertEqual((image["cached"], image["auto_update"], image["public"]), (True, True, False))
        self.assertEqual(image["update_source"], {"alias": "lts", "certificate": "", "protocol": "simplestreams",
                                                  "server": streams.URL, "image_type": "container"})
        self.assertEqual(image["expires_at"][:10], "2029-05-31")
        properties = {"os": "ubuntu", "release": "noble", "version": "24.04", "architecture": "amd64", "label": "release",
                      "serial": "20240821", "type": "squashfs"}
        self.assertEqual({key: image["properties"][key] for key in properties}, properties)
        self.streams.forget_log()
        self.api.do("POST", "/1.0/instances", {"name": "two", "source": self.source("lts")})
        self.assertEqual(self.streams.requests(), [])
        by_fingerprint = {**self.source(""), "fingerprint": squashfs}
        self.api.do("POST", "/1.0/instances", {"name": "three", "source": by_fingerprint})
        self.assertEqual(self.streams.requests(), [])
        self.api.do("POST", "/1.0/instances", {"name": "four", "source": self.source("noble")})
        self.assertEqual(self.downloads(), [])

    def test_images_as_they_are_asked_for(self):
        squashfs, tarball = self.streams.ubuntu_layout()
        aliases = [{"name": "base", "description": "mine"}]
        fingerprint = self.fetch("24.04/amd64", public=True, auto_update=True, aliases=aliases, properties={"mine": "yes"})
        self.assertEqual(fingerprint, squashfs)
        image = self.api.get(f"/1.0/images/{squashfs}")
        self.assertEqual((image["cached"], image["public"], image["auto_update"], image["properties"]["mine"]),
                         (False, True, True, "yes"))
        self.assertEqual(image["aliases"], aliases)
        self.assertEqual(self.fetch(tarball), tarball)
        self.api.launch("one", "base")
        self.assert_api_error(409, self.fetch, "24.04", aliases=aliases)
        # Another architecture's image is fetched when it is asked for; it is not this machine's to run.
        other = self.fetch("24.04/arm64")
        self.assertEqual(self.api.get(f"/1.0/images/{other}")["architecture"], "aarch64")
        message = self.assert_api_error(400, self.fetch, "26.04")
        self.assertIn("no container image '26.04'", message)

    def test_two_at_once_fetch_it_once(self):
        self.streams.ubuntu_layout()
        body = {"source": self.source("24.04")}
        started = [self.api.call("POST", "/1.0/instances", {"name": name, **body}) for name in ("one", "two", "three")]
        for operation in started:
            self.api.wait(operation)
        self.assertEqual(len(self.downloads()), 2)


class ServersTest(StreamsCase):
    """LXD, Incus and lxmgr servers, and URLs."""

    def lxd_source(self, **more):
        return {"type": "image", "mode": "pull", "server": streams.URL, "protocol": "lxd", "alias": "mine", **more}

    def test_lxd_servers(self):
        for split in (False, True):
            with self.subTest(split=split):
                fingerprint = self.streams.lxd_layout(split)
                for source in (self.lxd_source(), self.lxd_source(alias="", fingerprint=fingerprint),
                               self.lxd_source(protocol="")):
                    self.api.do("POST", "/1.0/instances", {"name": "one", "source": source}, timeout=60)
                    image = self.api.get(f"/1.0/images/{fingerprint}")
                    self.assertEqual((image["cached"], image["properties"]["from"], image["filename"]), (True, "lxd", "mine.tar"))
                    self.api.start("one")
                    self.remove_instance("one")
                    self.api.do("DELETE", f"/1.0/images/{fingerprint}")

    def fails(self, word, source):
        with self.assertRaises(ApiError) as caught:
            self.api.do("POST", "/1.0/images", {"source": source}, timeout=30)
        self.assertIn(word, caught.exception.message)
        self.assertEqual(self.api.get("/1.0/images"), [])
        self.assertEqual(os.listdir(os.path.join(self.daemon.root, "tmp")), [])

    def test_lxd_servers_that_lie_or_refuse(self):
        fingerprint = self.streams.lxd_layout(True)
        self.streams.behave({"/export": "flip"})
        self.fails("expected", self.lxd_source())
        self.streams.behave({"/export": "truncate"})
        self.fails("broke off", self.lxd_source())
        self.streams.behave({"/export": "endless"})
        self.fails("", self.lxd_source())
        self.streams.behave({fingerprint: "secret s3", "/export": "secret s3"})
        self.fails("HTTP status 404", self.lxd_source())
        other, _ = streams.make_certificate(tempfile.mkdtemp(dir=self.daemon.base))
        with open(other, encoding="utf-8") as wrong, open(self.certificate, encoding="utf-8") as right:
            self.fails("", self.lxd_source(secret="s3", certificate=wrong.read()))
            source = self.lxd_source(secret="s3", certificate=right.read())
        done = self.api.do("POST", "/1.0/images", {"source": source}, timeout=30)
        self.assertEqual(done["metadata"]["fingerprint"], fingerprint)
        self.assertNotIn("s3", str(self.api.get(f"/1.0/images/{fingerprint}")))

    def test_urls(self):
        fingerprint = self.streams.url_image()
        source = {"type": "url", "url": f"{streams.URL}/get"}
        self.fails("loopback or link-local", source)
        self.api.call("PATCH", "/1.0", {"config": {"images.allow_local_urls": "true"}})
        try:
            done = self.api.do("POST", "/1.0/images", {"source": source, "aliases": [{"name": "u", "description": ""}]})
            self.assertEqual(done["metadata"]["fingerprint"], fingerprint)
            self.assertEqual(self.api.get("/1.0/images/aliases/u")["target"], fingerprint)
            self.assertEqual(self.api.get(f"/1.0/images/{fingerprint}")["update_source"]["protocol"], "direct")
            self.api.do("DELETE", f"/1.0/images/{fingerprint}")
            self.streams.url_image(**{"LXD-Image-Hash": "0" * 64})
            self.fails("expected 000", source)
            self.streams.url_image(**{"LXD-Image-URL": "http://127.0.0.1/x"})
            self.fails("no https URL", source)
            self.fails("names no image", {"type": "url", "url": f"{streams.URL}/nothing"})
            self.fails("https", {"type": "url", "url": "http://127.0.0.1/get"})
        finally:
            self.api.call("PUT", "/1.0", {"config": {}})


class UpkeepTest(StreamsCase):
    def age(self, column, days):
        """While the daemon is down, a time of every image is put back."""
        self.daemon.terminate()
        with sqlite3.connect(os.path.join(self.daemon.root, "database/lxmgr.db")) as database:
            database.execute(f"UPDATE images SET {column} = {column} - ?", (days * 86400 * 10**9,))
        database.close()
        self.daemon.start()

    def newer(self):
        self.streams.clear()
        return self.streams.ubuntu_layout(("20240821", "20240999", "20241004"))[0]

    def test_refresh(self):
        old, _ = self.streams.ubuntu_layout()
        fingerprint = self.fetch("24.04", auto_update=True, public=True, aliases=[{"name": "base", "description": ""}])
        self.assertFalse(self.api.do("POST", f"/1.0/images/{fingerprint}/refresh")["metadata"]["refreshed"])
        new = self.newer()
        client = clients.Client(self.daemon, str(binaries() / "lxmgr"), {"LXMGR_DIR": self.daemon.root})
        self.assertIn("was refreshed", client("image", "refresh", "base"))
        clients.lxc(self.daemon)("image", "refresh", "base")
        self.assertEqual(self.api.get("/1.0/images"), [f"/1.0/images/{new}"])
        image = self.api.get(f"/1.0/images/{new}")
        self.assertEqual((image["public"], image["auto_update"], image["cached"], image["aliases"][0]["name"]),
                         (True, True, False, "base"))
        self.assertEqual(image["properties"]["serial"], "20241004")
        self.assertNotEqual(old, new)

    def test_auto_update_at_its_time(self):
        self.streams.ubuntu_layout()
        self.api.do("POST", "/1.0/instances", {"name": "one", "source": self.source("24.04")}, timeout=60)
        new = self.newer()
        self.api.call("PATCH", "/1.0", {"config": {"images.auto_update_interval": "7"}})
        self.assertEqual(len(self.api.get("/1.0/images")), 1)
        self.age("uploaded_at", 1)
        deadline = time.monotonic() + 60
        while self.api.get("/1.0/images") != [f"/1.0/images/{new}"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.api.call("PUT", "/1.0", {"config": {}})

    def test_a_cached_image_goes_when_it_is_not_used(self):
        self.streams.ubuntu_layout()
        kept = self.fetch("24.04/arm64")
        self.api.do("POST", "/1.0/instances", {"name": "one", "source": self.source("24.04")}, timeout=60)
        self.api.call("PATCH", "/1.0", {"config": {"images.auto_update_interval": "0"}})
        self.age("uploaded_at", 30)  # its last use was just now
        self.assertEqual(len(self.api.get("/1.0/images")), 2)
        self.age("last_used_at", 9)
        self.assertEqual(len(self.api.get("/1.0/images")), 2)
        self.age("last_used_at", 2)
        deadline = time.monotonic() + 60
        while self.api.get("/1.0/images") != [f"/1.0/images/{kept}"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.api.call("PUT", "/1.0", {"config": {}})


class HostileTest(StreamsCase):
    """Each ends in an error that says what was wrong, soon, and leaves nothing; the same request succeeds later."""

    def refused(self, behaviour, *words):
        self.streams.behave(behaviour)
        for body, url in (({"source": self.source("24.04")}, "/1.0/images"),
                          ({"name": "victim", "source": self.source("24.04")}, "/1.0/instances")):
            with self.assertRaises(ApiError) as caught:
                self.api.do("POST", url, body, timeout=30)
            for word in words:
                self.assertIn(word, caught.exception.message)
        self.assertEqual((self.api.get("/1.0/images"), self.daemon.instance_names()), ([], []))
        for folder in ("tmp", "images"):
            self.assertEqual(os.listdir(os.path.join(self.daemon.root, folder)), [])

    def test_servers_that_fail_or_lie(self):
        squashfs, _ = self.streams.ubuntu_layout()
        for behaviour, words in (
                ({".squashfs": "truncate"}, ("broke off",)),
                ({".squashfs": "flip"}, ("another hash",)),
                ({"lxd.tar.xz": "flip"}, ("another hash",)),
                ({".squashfs": "longer"}, ("where at most",)),
                ({".squashfs": "endless"}, ("more than",)),
                ({"index.json": "endless"}, ("more than",)),
                ({".squashfs": "status 500"}, ("HTTP status 500",)),
                ({"download.json": "status 404"}, ("HTTP status 404",)),
                ({".squashfs": "redirect http://127.0.0.1/x"}, ("no https URL",)),
                ({".squashfs": "redirect file:///etc/passwd"}, ("no https URL",)),
                ({".squashfs": f"redirect https://localhost:{streams.PORT}/x"}, ("loopback",)),
                ({".squashfs": f"redirect {streams.URL}/x.squashfs"}, ("redirects too often",))):
            with self.subTest(behaviour=behaviour):
                self.refused(behaviour, *words)
        self.streams.behave({})
        self.assertEqual(self.fetch("24.04"), squashfs)

    def test_servers_that_stand_still(self):
        """Some seconds without a byte are enough for this daemon; not for others, as the server may have to wait too."""
        squashfs, _ = self.streams.ubuntu_layout()
        self.daemon.terminate()
        self.daemon.start(environment={"LXMGR_FAILPOINT": "image-web-impatient:error"})
        for end in (".squashfs", "index.json"):
            with self.subTest(end=end):
                self.refused({end: "stall"}, "stands still")
        self.daemon.terminate()
        self.daemon.start()
        self.streams.behave({})
        self.assertEqual(self.fetch("24.04"), squashfs)

    def test_a_broken_connection_is_resumed(self):
        for behaviour in ("break", "no-resume"):
            with self.subTest(behaviour=behaviour):
                squashfs, _ = self.streams.ubuntu_layout()
                self.streams.forget_log()
                self.streams.behave({".squashfs": behaviour})
                self.assertEqual(self.fetch("24.04"), squashfs)
                again = [line for line in self.streams.requests() if ".squashfs bytes=" in line]
                self.assertEqual(len(again), 1)
                self.api.do("DELETE", f"/1.0/images/{squashfs}")

    def test_lists_that_mean_harm(self):
        self.streams.ubuntu_layout()
        path = "streams/v1/com.ubuntu.cloud:released:download.json"
        for data, word in ((b"{", "no JSON"), (b"[" * 100000, "nested"), (b'{"products": {}}', "no container image"),
                           (b'{"products": [1, {"a": 2}], "products": 3}', "no container image")):
            with self.subTest(data=data[:20]):
                self.streams.put(path, data)
                self.refused({}, word)
        self.streams.put_json("streams/v1/index.json", {"index": {"x": {
            "datatype": "image-downloads", "path": "../../etc/passwd"}}})
        self.refused({}, "unusable path")

    def test_who_is_not_trusted_is_not_asked(self):
        self.streams.ubuntu_layout()
        for server, word in ((f"http://127.0.0.1:{streams.PORT}", "https"), ("https://127.0.0.1:1", "cannot be fetched")):
            with self.assertRaises(ApiError) as caught:
                self.api.do("POST", "/1.0/images", {"source": {**self.source("24.04"), "server": server}}, timeout=30)
            self.assertIn(word, caught.exception.message)
        self.daemon.terminate()
        self.daemon.start(environment={"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"})
        with self.assertRaises(ApiError) as caught:
            self.fetch("24.04")
        self.assertIn("certificate", caught.exception.message)
        self.daemon.terminate()
        self.daemon.start()

    def test_cancel(self):
        self.streams.ubuntu_layout()
        self.streams.behave({".squashfs": "stall"})
        for url, body in (("/1.0/images", {}), ("/1.0/instances", {"name": "victim"})):
            started = self.api.call("POST", url, {"source": self.source("24.04"), **body})
            operation = started["operation"].split("?")[0]
            self.wait_for_download(operation)
            self.api.call("DELETE", operation)
            with self.assertRaises(ApiError):
                self.api.wait(started, timeout=5)
            self.streams.forget_log()
        self.assertEqual((self.api.get("/1.0/images"), self.daemon.instance_names()), ([], []))

    def wait_for_download(self, operation):
        while "rootfs: " not in (self.api.get(operation)["metadata"] or {}).get("download_progress", ""):
            self.assertEqual(self.api.get(operation)["status"], "Running")


if __name__ == "__main__":
    main()
