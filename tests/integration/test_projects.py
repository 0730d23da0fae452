"""Projects: their own instances, images, profiles and volumes; and how the clients work in them."""
import time

from harness import clients, images
from harness.case import main
from harness.daemon import binaries
from harness.projects import ProjectCase


class LifecycleTest(ProjectCase):
    def test_create_change_rename_delete(self):
        self.assertEqual(self.api.get("/1.0/projects"), ["/1.0/projects/default"])
        query = self.project("web", user__note="one")
        shown = self.api.get("/1.0/projects/web")
        self.assertEqual(shown["config"], {"features.images": "true", "features.profiles": "true",
                                           "features.storage.volumes": "true", "user.note": "one"})
        self.assertEqual(shown["used_by"], ["/1.0/profiles/default?project=web"])
        etag = self.api.raw("GET", "/1.0/projects/web").headers["ETag"]
        self.api.call("PATCH", "/1.0/projects/web", {"description": "sites"}, {"If-Match": etag})
        self.assert_api_error(412, self.api.call, "PATCH", "/1.0/projects/web", {"description": "x"}, {"If-Match": etag})
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.api.get("/1.0/projects/web")["description"], "sites")
        self.assertEqual(self.api.get(f"/1.0/profiles{query}"), ["/1.0/profiles/default?project=web"])
        self.api.do("POST", "/1.0/projects/web", {"name": "site"})
        self.made.append("site")
        self.assertEqual(self.api.get("/1.0/profiles?project=site"), ["/1.0/profiles/default?project=site"])
        self.assert_api_error(404, self.api.get, "/1.0/instances?project=web")
        self.api.call("DELETE", "/1.0/projects/site")
        self.assert_api_error(404, self.api.get, "/1.0/projects/site")

    def test_what_is_refused(self):
        for name in ("a_b", "a/b", "", "a b", "-a", "x" * 41, "*"):
            self.assert_api_error(400, self.api.call, "POST", "/1.0/projects", {"name": name})
        self.assert_api_error(409, self.api.call, "POST", "/1.0/projects", {"name": "default"})
        for config in ({"features.networks": "true"}, {"no.such": "1"}, {"limits.cpu": "some"}, {"restricted.backups": "maybe"},
                       {"limits.memory": "50%"}, {"restricted.cluster.target": "allow"}):
            self.assert_api_error(400, self.api.call, "POST", "/1.0/projects", {"name": "bad", "config": config})
        for call in (("DELETE", "/1.0/projects/default"), ("POST", "/1.0/projects/default", {"name": "other"})):
            self.assert_api_error(403, self.api.call, *call)
        self.assert_api_error(400, self.api.call, "PATCH", "/1.0/projects/default", {"config": {"features.images": "false"}})
        self.project("web", features__images="false")
        self.make("web")
        self.assertIn("empty", self.assert_api_error(400, self.api.call, "DELETE", "/1.0/projects/web"))
        self.assertIn("empty", self.assert_api_error(400, self.api.call, "POST", "/1.0/projects/web", {"name": "x"}))
        self.assertIn("empty", self.assert_api_error(400, self.api.call, "PATCH", "/1.0/projects/web",
                                                     {"config": {"features.images": "true"}}))


class ObjectsTest(ProjectCase):
    def test_two_instances_of_one_name(self):
        self.project("web", features__images="false")
        self.api.launch("box", "tiny", config={"user.of": "default"})
        operation = self.make("web", start=True, config={"user.of": "web"})
        self.assertEqual(operation["resources"]["instances"], ["/1.0/instances/box?project=web"])
        self.assertEqual(self.api.get("/1.0/instances"), ["/1.0/instances/box"])
        self.assertEqual(self.api.get("/1.0/instances?project=web"), ["/1.0/instances/box?project=web"])
        both = self.api.get("/1.0/instances?recursion=2&all-projects=true")
        self.assertEqual(sorted((one["project"], one["name"], one["config"]["user.of"], one["status"]) for one in both),
                         [("default", "box", "default", "Running"), ("web", "box", "web", "Running")])
        own = self.api.get("/1.0/instances/box?project=web")
        self.assertEqual((own["name"], own["project"], own["profiles"]), ("box", "web", ["default"]))
        self.assertEqual(self.exec("web", "hostname"), "box\n")
        used_by = self.api.get("/1.0/networks/" + own["expanded_devices"]["eth0"]["network"])["used_by"]
        self.assertIn("/1.0/instances/box?project=web", used_by)
        addresses = [self.address_of(query) for query in ("", "?project=web")]
        self.assertEqual(len(set(addresses)), 2, addresses)
        leases = {project: [one["address"] for one in self.api.get(
            f"/1.0/networks/{own['expanded_devices']['eth0']['network']}/leases?project={project}")
            if one["hostname"] == "box"] for project in ("default", "web")}
        self.assertEqual(leases, {"default": addresses[:1], "web": addresses[1:]})
        for path in ("/1.0/instances/web_box", "/1.0/instances/box_web", "/1.0/instances/web_box/state"):
            self.assert_api_error(404, self.api.get, path)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.api.get("/1.0/instances/box?project=web")["status"], "Running")
        self.api.do("PUT", "/1.0/instances?project=web", {"state": {"action": "stop", "force": True}})
        self.assertEqual([self.api.get("/1.0/instances/box" + query)["status"] for query in ("", "?project=web")],
                         ["Running", "Stopped"])
        metrics = self.api.raw("GET", "/1.0/metrics").body.decode()
        self.assertIn('name="box",project="default"', metrics)

    def exec(self, project, *command):
        operation = self.api.do("POST", f"/1.0/instances/box/exec?project={project}",
                                {"command": list(command), "wait-for-websocket": False, "record-output": True})
        return self.api.raw("GET", operation["metadata"]["output"]["1"]).body.decode()

    def address_of(self, query):
        name = self.api.get(f"/1.0/instances/box{query}")["config"]["volatile.eth0.hwaddr"]
        network = self.api.get("/1.0/profiles/default")["devices"]["eth0"]["network"]
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for one in self.api.get(f"/1.0/networks/{network}/leases{query}"):
                if one["hwaddr"] == name:
                    return one["address"]
            time.sleep(0.1)
        raise AssertionError(f"no lease for {name}")

    def test_profiles_of_a_project(self):
        query = self.project("web", features__images="false")
        self.api.call("POST", f"/1.0/profiles{query}", {"name": "small", "config": {"limits.memory": "64MiB"}})
        self.assert_api_error(404, self.api.get, "/1.0/profiles/small")
        self.assert_api_error(404, self.api.get, "/1.0/profiles/web%2Fsmall")
        self.make("web", profiles=["default", "small"])
        shown = self.api.get(f"/1.0/instances/box{query}")
        self.assertEqual((shown["profiles"], shown["expanded_config"]["limits.memory"]), (["default", "small"], "64MiB"))
        self.assertEqual(self.api.get(f"/1.0/profiles/small{query}")["used_by"], ["/1.0/instances/box?project=web"])
        self.api.do("PATCH", f"/1.0/instances/box{query}", {"profiles": ["default"]})
        self.api.call("POST", f"/1.0/profiles/small{query}", {"name": "tiny"})
        listed = self.api.get("/1.0/profiles?recursion=1&all-projects=true")
        self.assertEqual(sorted((one["project"], one["name"]) for one in listed),
                         [("default", "default"), ("web", "default"), ("web", "tiny")])
        self.make("default", "other", code=400, profiles=["web/tiny"])
        # Without profiles of its own it uses those of default.
        self.project("plain", features__images="false", features__profiles="false")
        self.make("plain", "guest")
        self.assertIn("/1.0/instances/guest?project=plain", self.api.get("/1.0/profiles/default")["used_by"])

    def test_images_of_a_project(self):
        query = self.project("web")
        self.make("web", code=404)
        fingerprint = self.api.get("/1.0/images/aliases/tiny")["target"]
        self.assertEqual(self.api.get(f"/1.0/images{query}"), [])
        self.assert_api_error(404, self.api.get, f"/1.0/images/{fingerprint}{query}")
        with open(images.tiny(), "rb") as file:
            self.api.do("POST", f"/1.0/images{query}", file, {"Content-Type": "application/octet-stream"})
        self.api.call("POST", f"/1.0/images/aliases{query}", {"name": "tiny", "target": fingerprint, "description": "ours"})
        self.assertEqual(self.api.get(f"/1.0/images{query}"), [f"/1.0/images/{fingerprint}?project=web"])
        self.assertEqual(self.api.get(f"/1.0/images/{fingerprint}{query}")["aliases"], [{"name": "tiny", "description": "ours"}])
        self.assertEqual(self.api.get(f"/1.0/images/{fingerprint}")["aliases"], [{"name": "tiny", "description": ""}])
        self.make("web")
        self.api.do("POST", f"/1.0/images{query}", {"source": {"type": "instance", "name": "box"}, "aliases": [{"name": "made"}]})
        made = self.api.get(f"/1.0/images/aliases/made{query}")["target"]
        self.assert_api_error(404, self.api.get, f"/1.0/images/{made}")
        listed = self.api.get("/1.0/images?recursion=1&all-projects=true")
        self.assertEqual(sorted((one["project"], one["fingerprint"]) for one in listed),
                         sorted([("default", fingerprint), ("web", fingerprint), ("web", made)]))
        self.api.do("DELETE", f"/1.0/images/{fingerprint}{query}")
        self.assertEqual(self.api.get("/1.0/images/aliases/tiny")["target"], fingerprint)
        self.make("default", "still-there")

    def test_volumes_of_a_project(self):
        query = self.project("web", features__images="false")
        volumes = "/1.0/storage-pools/default/volumes"
        for at in ("", query):
            self.api.call("POST", f"{volumes}/custom{at}", {"name": "data", "config": {}})
        self.assertEqual(self.api.get(f"{volumes}/custom{query}"), [f"{volumes}/custom/data?project=web"])
        self.make("web", start=True, devices={"data": {"type": "disk", "pool": "default", "source": "data", "path": "/data"}})
        self.assertEqual(self.api.get(f"{volumes}/custom/data{query}")["used_by"], ["/1.0/instances/box?project=web"])
        self.assertEqual(self.api.get(f"{volumes}/custom/data")["used_by"], [])
        self.assertEqual(self.api.get(f"{volumes}/custom/data{query}")["project"], "web")
        self.exec("web", "touch", "/data/here")
        self.make("default", "thief", code=400,
                  devices={"data": {"type": "disk", "pool": "default", "source": "web/data", "path": "/data"}})
        self.api.do("POST", f"{volumes}/custom/data/snapshots{query}", {"name": "s"})
        self.assertEqual(self.api.get(f"{volumes}/custom/data/snapshots{query}"),
                         [f"{volumes}/custom/data/snapshots/s?project=web"])
        self.assert_api_error(404, self.api.get, f"{volumes}/custom/data/snapshots/s")
        # The volume of that name in the default project has such a snapshot, too, without the file.
        self.api.do("POST", f"{volumes}/custom/data/snapshots", {"name": "s"})
        self.api.do("PATCH", f"/1.0/instances/box{query}", {"devices": {
            "then": {"type": "disk", "pool": "default", "source": "data", "source.snapshot": "s", "path": "/then"}}})
        self.exec("web", "test", "-e", "/then/here")
        self.api.do("DELETE", f"{volumes}/custom/data/snapshots/s")
        self.api.do("POST", f"{volumes}/custom", {"name": "copy", "source": {
            "type": "copy", "name": "data", "pool": "default", "project": "web"}})
        self.api.do("POST", f"{volumes}/custom/copy", {"name": "moved", "project": "web"})
        listed = self.api.get(f"{volumes}/custom?recursion=1&all-projects=true")
        self.assertEqual(sorted((one["project"], one["name"]) for one in listed),
                         [("default", "data"), ("web", "data"), ("web", "data/s"), ("web", "moved"), ("web", "moved/s")])
        self.api.call("DELETE", f"{volumes}/custom/data")
        self.assertIn(f"{volumes}/container/box?project=web", self.api.get(f"{volumes}/container{query}"))

    def test_copy_and_move_across(self):
        query = self.project("web", features__images="false")
        self.api.create("box", "tiny", config={"user.a": "1"})
        self.api.do("POST", "/1.0/instances/box/snapshots", {"name": "s"})
        self.api.do("POST", f"/1.0/instances{query}", {"name": "twin", "source": {
            "type": "copy", "source": "box", "project": "default"}})
        self.assertEqual(self.api.get(f"/1.0/instances/twin{query}")["config"]["user.a"], "1")
        self.assertEqual(self.api.get(f"/1.0/instances/twin/snapshots{query}"),
                         ["/1.0/instances/twin/snapshots/s?project=web"])
        self.api.do("POST", "/1.0/instances/box", {"name": "box", "migration": True, "project": "web"})
        self.assertEqual(self.api.get("/1.0/instances"), [])
        moved = self.api.get(f"/1.0/instances/box{query}")
        self.assertEqual((moved["project"], moved["profiles"]), ("web", ["default"]))
        self.api.do("PUT", f"/1.0/instances/box{query}", {**{key: moved[key] for key in (
            "architecture", "config", "devices", "ephemeral", "profiles")}, "restore": "s"})
        self.api.do("PUT", f"/1.0/instances/box/state{query}", {"action": "start"})
        self.assertEqual(self.exec("web", "cat", "/etc/hostname").strip(), "box")
        self.assert_api_error(400, self.api.do, "POST", f"/1.0/instances/box{query}",
                              {"name": "box", "migration": True, "project": "default"})
        self.assert_api_error(404, self.api.do, "POST", f"/1.0/instances/twin{query}",
                              {"name": "x", "migration": True, "project": "nowhere"})


class ClientCase(ProjectCase):
    def common(self, client):
        client("project", "create", "web", "-c", "features.images=false", "-c", "limits.instances=3")
        self.made.append("web")
        self.assertIn("web", client("project", "list"))
        profile = client("profile", "show", "default")
        client("--project", "web", "profile", "edit", "default", stdin=profile.encode())
        client("--project", "web", "launch", "tiny", "box")
        self.assertNotIn("box", client("list", "-f", "csv"))
        self.assertIn("box", client("list", "--all-projects", "-f", "csv"))
        self.assertEqual(client("--project", "web", "exec", "box", "--", "hostname"), "box\n")
        self.assertIn("INSTANCES", client("project", "info", "web").upper())
        client("--project", "web", "stop", "-f", "box")
        client("--project", "web", "snapshot", *self.snapshot, "box", "s")
        client("--project", "web", "copy", "box", "twin", "--target-project", "default")
        self.assertIn("twin", client("list", "-f", "csv"))
        client("move", "twin", "--target-project", "web")
        self.assertNotIn("twin", client("list", "-f", "csv"))
        client("project", "set", "web", "user.note=1")
        self.assertEqual(client("project", "get", "web", "user.note"), "1\n")
        client("project", "switch", "web")
        self.assertIn("twin", client("list", "-f", "csv"))
        client("delete", "twin")
        client("delete", "box")
        client("project", "switch", "default")
        client("--project", "web", "profile", "edit", "default", stdin=b"config: {}\ndevices: {}\n")
        client("project", "rename", "web", "site")
        self.made.append("site")
        client("project", "delete", "site")

    snapshot = ()


class LxcTest(ClientCase):
    def test_projects(self):
        self.common(clients.lxc(self.daemon))


class IncusTest(ClientCase):
    snapshot = ("create",)

    def test_projects(self):
        self.common(clients.incus(self.daemon))


class LxmgrTest(ClientCase):
    def test_projects(self):
        program = clients.Client(self.daemon, str(binaries() / "lxmgr"), {
            "LXMGR_DIR": self.daemon.root, "LXMGR_CONF": self.daemon.base + "/lxmgr-config"})
        self.common(program)


if __name__ == "__main__":
    main()
