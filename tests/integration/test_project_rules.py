"""What projects allow: limits, restrictions, and what a client sees that is restricted to some."""
import json
import os
import shutil
import tempfile

from harness import remote
from harness.case import main
from harness.projects import ProjectCase


class LimitsTest(ProjectCase):
    def test_limits(self):
        query = self.project("web", features__images="false", limits__instances="2", limits__memory="128MiB", limits__cpu="3",
                             limits__processes="300", limits__disk="200MiB", limits__containers="5")
        good = {"limits.memory": "64MiB", "limits.cpu": "1", "limits.processes": "100"}
        root = {"root": {"type": "disk", "path": "/", "pool": "default", "size": "60MiB"}}
        for lacks in good:
            config = {key: value for key, value in good.items() if key != lacks}
            self.assertIn(lacks, self.make("web", code=400, config=config, devices=root))
        self.assertIn("size", self.make("web", code=400, config=good))
        self.assertIn("plain number", self.make("web", code=400, config={**good, "limits.memory": "10%"}, devices=root))
        self.assertIn("size", self.make("web", code=400, config=good, devices={"root": {**root["root"], "size": "0"}}))
        self.make("web", "one", config=good, devices=root)
        self.assertIn("limits.memory", self.make("web", code=400, config={**good, "limits.memory": "65MiB"}, devices=root))
        self.make("web", "two", config=good, devices=root)
        self.assertIn("limits.instances", self.make("web", "three", code=400, config=good, devices=root))
        self.assertIn("limits.cpu", self.assert_api_error(400, self.api.do, "PATCH", f"/1.0/instances/two{query}",
                                                          {"config": {"limits.cpu": "3"}}))
        self.assertIn("limits.disk", self.assert_api_error(
            400, self.api.call, "POST", f"/1.0/storage-pools/default/volumes/custom{query}",
            {"name": "v", "config": {"size": "90MiB"}}))
        volumes = f"/1.0/storage-pools/default/volumes/custom{query}"
        self.api.call("POST", volumes, {"name": "v", "config": {"size": "10MiB"}})
        state = self.api.get("/1.0/projects/web/state")["resources"]
        self.assertEqual(state["memory"], {"Limit": 128 << 20, "Usage": 128 << 20})
        self.assertEqual(state["instances"], {"Limit": 2, "Usage": 2})
        self.assertEqual(state["disk"], {"Limit": 200 << 20, "Usage": 130 << 20})
        self.assertEqual(state["virtual-machines"], {"Limit": -1, "Usage": 0})
        self.assert_api_error(400, self.api.call, "PATCH", "/1.0/projects/web", {"config": {"limits.memory": "100MiB"}})
        self.api.call("PATCH", "/1.0/projects/web", {"config": {"limits.memory": "1GiB"}})
        profile = self.api.get(f"/1.0/profiles/default{query}")
        self.api.call("POST", f"/1.0/profiles{query}", {"name": "more"})
        self.api.do("PATCH", f"/1.0/instances/two{query}", {"profiles": ["default", "more"]})
        self.assertIn("limits.processes", self.assert_api_error(
            400, self.api.call, "PUT", f"/1.0/profiles/more{query}", {"config": {"limits.processes": "x"}, "devices": {}}))
        self.assertEqual(profile["config"], {})
        self.assert_api_error(400, self.api.call, "PATCH", "/1.0/projects/default", {"config": {"limits.instances": "x"}})

    def test_disk_of_one_pool(self):
        query = self.project("web", features__images="false", features__profiles="false")
        self.assertIn("absent", self.assert_api_error(400, self.api.call, "PATCH", "/1.0/projects/web",
                                                      {"config": {"limits.disk.pool.absent": "1GiB"}}))
        other = os.path.join(self.daemon.base, "other")
        os.mkdir(other)
        self.api.call("POST", "/1.0/storage-pools", {"name": "other", "driver": "dir", "config": {"source": other}})
        self.api.call("PATCH", "/1.0/projects/web", {"config": {"limits.disk.pool.other": "100MiB"}})
        volumes = "/1.0/storage-pools/{}/volumes/custom" + query
        self.api.call("POST", volumes.format("default"), {"name": "free"})
        self.assertIn("size", self.assert_api_error(400, self.api.call, "POST", volumes.format("other"), {"name": "free"}))
        self.api.call("POST", volumes.format("other"), {"name": "kept", "config": {"size": "60MiB"}})
        self.assertIn("limits.disk.pool.other", self.assert_api_error(
            400, self.api.call, "POST", volumes.format("other"), {"name": "more", "config": {"size": "60MiB"}}))
        resources = self.api.get("/1.0/projects/web/state")["resources"]
        self.assertEqual(resources["disk.other"], {"Limit": 100 << 20, "Usage": 60 << 20})
        self.assertEqual(resources["disk"], {"Limit": -1, "Usage": 60 << 20})
        # 0: of a pool that the project is not shown it cannot have anything either.
        hide = {"config": {"limits.disk.pool.other": "0"}}
        self.assert_api_error(400, self.api.call, "PATCH", "/1.0/projects/web", hide)
        self.api.call("DELETE", f"/1.0/storage-pools/other/volumes/custom/kept{query}")
        pools = f"/1.0/storage-pools{query}"
        self.assertEqual(self.api.get(pools), ["/1.0/storage-pools/default", "/1.0/storage-pools/other"])
        self.api.call("PATCH", "/1.0/projects/web", hide)
        self.assertEqual(self.api.get(pools), ["/1.0/storage-pools/default"])
        self.assert_api_error(404, self.api.get, f"/1.0/storage-pools/other{query}")
        self.assertIn("limits.disk.pool.other", self.assert_api_error(
            400, self.api.call, "POST", volumes.format("other"), {"name": "more", "config": {"size": "10MiB"}}))
        self.assertEqual(self.api.get("/1.0/storage-pools/other")["name"], "other")
        self.api.call("DELETE", f"/1.0/storage-pools/default/volumes/custom/free{query}")
        self.api.call("DELETE", "/1.0/storage-pools/other")

    def test_restrictions(self):
        query = self.project("web", features__images="false", restricted="true")
        subnets = "restricted.networks.subnets"
        for value in ("192.0.2.0/24", ":192.0.2.0/24", "up0:", "up0:x", "up0:192.0.2.0/24,up0"):
            self.assertIn(subnets, self.assert_api_error(400, self.api.call, "PATCH", "/1.0/projects/web",
                                                         {"config": {subnets: value}}))
        self.api.call("PATCH", "/1.0/projects/web", {"config": {subnets: "up0:192.0.2.0/24, up0:2001:db8::/64"}})
        for config, said in (({"security.nesting": "true"}, "nesting"), ({"security.privileged": "true"}, "privileged"),
                             ({"raw.idmap": "both 1000 1000"}, "raw.idmap"), ({"linux.kernel_modules": "loop"}, "low-level"),
                             ({"security.syscalls.intercept.mknod": "true"}, "interception"),
                             ({"security.syscalls.deny_compat": "true"}, "low-level")):
            self.assertIn(said, self.make("web", code=403, config=config))
        for device in ({"type": "disk", "source": "/tmp", "path": "/mnt"}, {"type": "unix-char", "path": "/dev/null"},
                       {"type": "nic", "nictype": "p2p", "name": "eth1"}, {"type": "usb", "vendorid": "1234"},
                       {"type": "proxy", "listen": "tcp:127.0.0.1:81", "connect": "tcp:127.0.0.1:80"}):
            self.assertIn("forbidden", self.make("web", code=403, devices={"more": device}))
        eth0 = self.api.get("/1.0/profiles/default")["devices"]["eth0"]
        for key, value in (("ipv4.routes", "198.51.100.0/28"), ("ipv6.routes.external", "fd98::/64"), ("vlan", "7"),
                           ("vlan.tagged", "8"), ("host_name", "mine0")):
            self.assertIn(key, self.make("web", code=403, devices={"eth0": {**eth0, key: value}}))
        self.assert_api_error(403, self.api.call, "POST", f"/1.0/profiles{query}",
                              {"name": "bad", "config": {"security.nesting": "true"}})
        self.make("web")
        self.assert_api_error(403, self.api.do, "PATCH", f"/1.0/instances/box{query}", {"config": {"security.nesting": "true"}})
        self.assertIn("snapshot", self.operation_error("POST", f"/1.0/instances/box/snapshots{query}", {"name": "s"}))
        self.assertIn("backup", self.operation_error("POST", f"/1.0/instances/box/backups{query}", {"name": "b"}))
        self.api.call("PATCH", "/1.0/projects/web", {"config": {
            "restricted.snapshots": "allow", "restricted.backups": "allow", "restricted.containers.nesting": "allow",
            "restricted.containers.privilege": "allow", "restricted.containers.lowlevel": "allow",
            "restricted.containers.interception": "allow", "restricted.devices.disk": "allow",
            "restricted.devices.disk.paths": "/var/tmp,/tmp/x", "restricted.devices.nic": "allow",
            "restricted.devices.unix-char": "allow", "restricted.devices.unix-block": "allow",
            "restricted.devices.unix-hotplug": "allow", "restricted.devices.usb": "allow", "restricted.devices.gpu": "allow",
            "restricted.devices.proxy": "allow", "restricted.devices.pci": "allow", "restricted.devices.infiniband": "block",
            "restricted.idmap.uid": "1000", "restricted.idmap.gid": "1000-1001", "restricted.images.servers": "example.org"}})
        self.api.do("POST", f"/1.0/instances/box/snapshots{query}", {"name": "s"})
        self.make("web", "two", config={"security.nesting": "true", "security.syscalls.intercept.mknod": "true"},
                  devices={"share": {"type": "disk", "source": "/var/tmp", "path": "/mnt"},
                           "null": {"type": "unix-char", "source": "/dev/null", "path": "/dev/null2"}})
        for source in ("/tmp", "/tmp/xy"):
            self.make("web", "no", code=403, devices={"share": {"type": "disk", "source": source, "path": "/mnt"}})
        folder = tempfile.mkdtemp(dir="/var/tmp")
        self.addCleanup(shutil.rmtree, folder)
        for name, leads_to in (("out", "/etc"), ("up", "../../../etc"), ("in", "real")):
            os.symlink(leads_to, f"{folder}/{name}")
        os.mkdir(f"{folder}/real")
        for name in ("out", "up"):
            self.operation_error("POST", f"/1.0/instances{query}", {
                "name": name, "source": {"type": "image", "alias": "tiny"}, "start": True,
                "devices": {"share": {"type": "disk", "source": f"{folder}/{name}", "path": "/mnt"}}})
        self.make("web", "in", start=True, devices={"share": {"type": "disk", "source": f"{folder}/in", "path": "/mnt"}})
        self.assert_api_error(400, self.api.do, "PATCH", f"/1.0/instances/in{query}", {
            "devices": {"more": {"type": "disk", "source": f"{folder}/out", "path": "/mnt2"}}})
        self.make("web", "no", code=403, config={"security.syscalls.intercept.mount": "true"})
        self.make("web", "no", code=403, config={"raw.idmap": "both 0 0"})
        self.make("web", "no", code=403, config={"raw.idmap": "uid 1001 1001"})
        self.assert_api_error(403, self.api.call, "PATCH", "/1.0/projects/web",
                              {"config": {"restricted.containers.nesting": "block"}})
        self.assert_api_error(403, self.api.do, "POST", f"/1.0/instances{query}", {"name": "no", "source": {
            "type": "image", "server": "https://images.example.net", "protocol": "simplestreams", "alias": "x"}})
        self.assert_api_error(403, self.api.call, "PATCH", "/1.0/projects/web", {"config": {
            "restricted.containers.privilege": "isolated"}})
        self.api.call("POST", "/1.0/projects", {"name": "net", "config": {
            "restricted": "true", "restricted.networks.access": "other", "restricted.storage-pools.access": "other"}})
        self.made.append("net")
        self.assertEqual(self.api.get("/1.0/networks?project=net"), [])
        devices = self.api.get("/1.0/profiles/default")["devices"]
        for name, said in (("eth0", "Network"), ("root", "pool")):
            message = self.assert_api_error(403, self.api.call, "PUT", "/1.0/profiles/default?project=net",
                                            {"config": {}, "devices": {name: devices[name]}})
            self.assertIn(said, message)

    def operation_error(self, *request):
        try:
            self.api.do(*request)
        except Exception as error:  # at once, or in the operation
            return str(error)
        raise AssertionError(f"{request} was allowed")


class RestrictedClientTest(ProjectCase):
    def tearDown(self):
        for url in self.api.get("/1.0/certificates"):
            self.api.call("DELETE", url)
        remote.set_config(self.api, core__https_address="")
        super().tearDown()

    def test_sees_its_projects_only(self):
        self.project("web", features__images="false")
        self.project("other", features__images="false", features__profiles="false")
        remote.set_config(self.api, core__https_address="[::]:8443")
        certificate = remote.Certificate(self.daemon.base, "tenant")
        self.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "name": "tenant",
                                                    "restricted": True, "projects": ["web"]})
        self.assert_api_error(400, self.api.call, "POST", "/1.0/certificates", {
            "certificate": remote.Certificate(self.daemon.base, "x").encoded, "restricted": True, "projects": ["nowhere"]})
        client = remote.HttpsApi(self.daemon, certificate)
        self.addCleanup(client.close)
        for project in ("default", "other"):
            self.make(project, "hidden")
        client.do("POST", "/1.0/instances?project=web", {"name": "box", "source": {"type": "image", "alias": "tiny"}})
        self.assertEqual(client.get("/1.0/projects"), ["/1.0/projects/web"])
        self.assertEqual(client.get("/1.0/instances?all-projects=true"), ["/1.0/instances/box?project=web"])
        self.assertEqual([one["name"] for one in client.get("/1.0/instances?all-projects=true&recursion=2")], ["box"])
        self.assertEqual(client.get("/1.0/profiles?all-projects=true"), ["/1.0/profiles/default?project=web"])
        for path in ("/1.0/instances", "/1.0/instances?project=other", "/1.0/instances/hidden", "/1.0/profiles",
                     "/1.0/instances/hidden?all-projects=true", "/1.0/instances/hidden?project=other&all-projects=true",
                     "/1.0/storage-pools/default/volumes/custom"):
            self.assert_api_error(403, client.get, path)
        for path in ("/1.0/projects/default", "/1.0/projects/other/state", "/1.0/instances/other_hidden?project=web",
                     "/1.0/instances/hidden?project=web"):
            self.assert_api_error(404, client.get, path)
        self.assert_api_error(404, client.call, "POST", "/1.0/instances?project=web", {
            "name": "stolen", "source": {"type": "copy", "source": "hidden", "project": "other"}})
        self.assert_api_error(404, client.call, "POST", "/1.0/instances?project=web", {
            "name": "stolen", "source": {"type": "copy", "source": "other_hidden"}})
        self.assert_api_error(404, client.call, "POST", "/1.0/instances/box?project=web",
                              {"name": "box", "migration": True, "project": "other"})
        self.assert_api_error(403, client.call, "DELETE", "/1.0/images/aliases/tiny?project=web")
        self.assert_api_error(403, client.call, "PATCH", "/1.0/projects/web", {"description": "mine"})
        pool = client.get("/1.0/storage-pools/default?project=web")["used_by"]
        self.assertEqual([url for url in pool if "hidden" in url], [])
        self.assertIn("/1.0/instances/box?project=web", pool)
        seen = client.get("/1.0/operations?all-projects=true&recursion=1")
        names = json.dumps(seen)
        self.assertNotIn("hidden", names)
        self.api.call("PATCH", f"/1.0/certificates/{certificate.fingerprint}", {"projects": ["other"]})
        self.assertEqual(client.get("/1.0/projects"), ["/1.0/projects/other"])
        # A certificate forgets a project that goes.
        self.clear("other")
        self.assertEqual(self.api.get(f"/1.0/certificates/{certificate.fingerprint}")["projects"], [])
        self.assertEqual(client.get("/1.0/projects"), [])


if __name__ == "__main__":
    main()
