"""Envelopes, status codes, ETag, recursion, filter, projects, events, limits of the HTTP server."""
import re
import socket
import threading
import time

from harness.case import DaemonCase, main
from harness.daemon import BRIDGE


class EnvelopeTest(DaemonCase):
    def test_server_info(self):
        info = self.api.get("/1.0")
        for key in ("api_extensions", "api_status", "api_version", "auth", "public", "auth_methods", "config", "environment"):
            self.assertIn(key, info)
        self.assertEqual((info["api_version"], info["auth"], info["public"]), ("1.0", "trusted", False))
        self.assertEqual(info["environment"]["server_pid"], self.daemon.pid)
        self.assertIn("instances", info["api_extensions"])

    def test_list_of_versions(self):
        self.assertEqual(self.api.get("/"), ["/1.0"])

    def test_envelopes_have_all_members(self):
        keys = {"type", "status", "status_code", "operation", "error_code", "error", "metadata"}
        for target in ("/1.0", "/1.0/instances", "/1.0/nothing"):
            self.assertEqual(set(self.api.raw("GET", target).json), keys)

    def test_waiters_for_a_ready_daemon(self):
        """`lxd waitready` and `incus admin waitready` ask so."""
        self.assertEqual(self.api.raw("GET", "/internal/ready").json["type"], "sync")

    def test_unknown_path(self):
        reply = self.api.raw("GET", "/1.0/nothing")
        self.assertEqual((reply.status, reply.json["type"], reply.json["error_code"]), (404, "error", 404))
        self.assertEqual(reply.json["error"], "not found")

    def test_method_that_is_not_served(self):
        reply = self.api.raw("DELETE", "/1.0")
        self.assertEqual((reply.status, reply.json["error"]), (501, "not implemented"))

    def test_bad_json(self):
        reply = self.api.raw("POST", "/1.0/instances", b"{not json", {"Content-Type": "application/json"})
        self.assertEqual(reply.status, 400)
        self.assertEqual(self.api.raw("POST", "/1.0/profiles", b"[1,2]").status, 400)

    def test_no_body_takes_nothing_away(self):
        self.api.do("PATCH", "/1.0", {"config": {"user.kept": "yes"}})
        self.addCleanup(self.api.do, "PATCH", "/1.0", {"config": {"user.kept": ""}})
        for method in ("PUT", "PATCH"):
            for target in ("/1.0", "/1.0/profiles/default", "/1.0/networks/lxtestbr0", "/1.0/storage-pools/default"):
                reply = self.api.raw(method, target, b"")
                self.assertEqual((reply.status, "no body" in reply.json["error"]), (400, True), (method, target))
        self.assertEqual(self.api.get("/1.0")["config"]["user.kept"], "yes")

    def test_types_of_instances(self):
        self.api.create("box", "tiny")
        self.assertEqual(self.api.get("/1.0/instances?instance-type=container"), ["/1.0/instances/box"])
        for target in ("/1.0/instances?instance-type=virtual-machine", "/1.0/virtual-machines",
                       "/1.0/virtual-machines?recursion=2"):
            self.assertEqual(self.api.get(target), [], target)
        self.assertEqual(self.api.raw("GET", "/1.0/instances?instance-type=robot").status, 400)
        self.assertEqual(self.api.raw("GET", "/1.0/virtual-machines/box").status, 404)

    def test_size_by_name(self):
        self.api.create("box", "tiny", {"limits.memory": "1GiB"}, instance_type="c2-m0.5")
        config = self.api.instance("box")["config"]
        self.assertEqual((config["limits.cpu"], config["limits.memory"]), ("2", "1GiB"))
        self.api.delete("box")
        self.api.create("box", "tiny", instance_type="m0.5")
        self.assertEqual(self.api.instance("box")["config"]["limits.memory"], "512MB")
        for bad in ("t2.micro", "c", "c0", "c1-c2", "c1.5", "m-1", "mnan", "c1-", "c9999999999999999999"):
            self.assert_api_error(400, self.api.create, "other", "tiny", instance_type=bad)

    def test_what_profiles_name_is_there(self):
        nic = {"type": "nic", "network": "nowhere"}
        disk = {"type": "disk", "path": "/", "pool": "nowhere"}
        for device in (nic, disk):
            body = {"name": "p", "devices": {"one": device}}
            self.assert_api_error(400, self.api.call, "POST", "/1.0/profiles", body)
            self.assert_api_error(400, self.api.call, "PATCH", "/1.0/profiles/default", {"devices": {"one": device}})
        self.assertEqual(self.api.get("/1.0/profiles"), ["/1.0/profiles/default"])
        self.assertNotIn("one", self.api.get("/1.0/profiles/default")["devices"])

    def test_aliases_with_a_slash(self):
        """pylxd and curl leave it as it is, others send %2F."""
        fingerprint = self.api.get("/1.0/images/aliases/tiny")["target"]
        self.api.do("POST", "/1.0/images/aliases", {"name": "debian/12/x", "target": fingerprint})
        for target in ("/1.0/images/aliases/debian/12/x", "/1.0/images/aliases/debian%2F12%2Fx"):
            self.assertEqual(self.api.get(target)["name"], "debian/12/x")
        self.assertEqual(self.api.raw("GET", "/1.0/images/aliases/debian/12").status, 404)
        self.api.do("PATCH", "/1.0/images/aliases/debian/12/x", {"description": "d"})
        self.api.do("DELETE", "/1.0/images/aliases/debian/12/x")
        self.assertEqual(self.api.raw("GET", "/1.0/images/aliases/debian/12/x").status, 404)

    def test_log_of_failures(self):
        self.api.create("box", "tiny", devices={"gone": {"type": "disk", "path": "/x", "source": "/var/tmp/lxmgr-none"}})
        self.assertEqual(self.api.raw("GET", "/1.0/instances/box/logs/lxc.log").body, b"")
        self.assertIn("/1.0/instances/box/logs/lxc.log", self.api.get("/1.0/instances/box/logs"))
        self.assert_api_error(400, self.api.start, "box")
        said = self.api.raw("GET", "/1.0/instances/box/logs/lxc.log").body.decode()
        self.assertRegex(said, r"^\d{4}-\S+ It did not start: .*/var/tmp/lxmgr-none.*\n$")

    def test_unknown_members_are_tolerated(self):
        self.api.call("POST", "/1.0/profiles", {"name": "new", "newer_field": {"x": 1}, "config": None, "devices": None})
        self.api.call("DELETE", "/1.0/profiles/new")

    def test_recursion(self):
        self.api.create("one", "tiny")
        self.assertIn("/1.0/instances/one", self.api.get("/1.0/instances"))
        self.assertEqual([i["name"] for i in self.api.get("/1.0/instances?recursion=1")], ["one"])
        full = self.api.get("/1.0/instances?recursion=2")[0]
        self.assertEqual(full["state"]["status"], "Stopped")
        self.assertIn("snapshots", full)
        self.assertEqual(self.api.get("/1.0/containers"), ["/1.0/containers/one"])
        self.assertEqual(self.api.get("/1.0/containers/one")["name"], "one")

    def test_filter(self):
        for name in ("web1", "web2", "db1"):
            self.api.create(name, "tiny", config={"user.role": name[:-1]})
        listed = self.api.get("/1.0/instances?recursion=1&filter=name%20eq%20web1")
        self.assertEqual([i["name"] for i in listed], ["web1"])
        listed = self.api.get("/1.0/instances?recursion=1&filter=config.user.role%20eq%20web")
        self.assertEqual(sorted(i["name"] for i in listed), ["web1", "web2"])
        self.assertGreaterEqual(self.api.raw("GET", "/1.0/instances?recursion=1&filter=name%20like").status, 400)

    def test_project(self):
        self.assertEqual(self.api.get("/1.0/instances?project=default"), [])
        if self.daemon.kind == "lxmgr":
            self.assertEqual(self.api.raw("GET", "/1.0/instances?project=other").status, 404)

    def test_an_error_names_the_object(self):
        self.assertEqual(self.assert_api_error(404, self.api.get, "/1.0/instances/ghost"), "Instance not found")


class ObjectsTest(DaemonCase):
    """Objects that other objects know of; LXD passes."""

    def test_what_is_there_already(self):
        """With which code a second one of the same name is refused."""
        fingerprint = self.api.get("/1.0/images")[0].rsplit("/", 1)[1]
        volumes, zones = "/1.0/storage-pools/default/volumes/custom", "/1.0/network-zones"
        forwards = f"/1.0/networks/{BRIDGE}/forwards"
        for code, path, body, made in (
                (400, "/1.0/networks", {"name": "twice0", "config": {"ipv4.address": "none", "ipv6.address": "none"}}, "twice0"),
                (400, "/1.0/network-acls", {"name": "twice"}, "twice"), (400, zones, {"name": "twice.lab"}, "twice.lab"),
                (409, forwards, {"listen_address": "192.0.2.7"}, "192.0.2.7"), (409, "/1.0/profiles", {"name": "twice"}, "twice"),
                (409, "/1.0/projects", {"name": "twice", "config": {}}, "twice"), (409, volumes, {"name": "twice"}, "twice"),
                (409, "/1.0/images/aliases", {"name": "twice", "target": fingerprint}, "twice")):
            with self.subTest(path=path):
                self.api.call("POST", path, body)
                self.assert_api_error(code, self.api.call, "POST", path, body)
                if path == zones:
                    self.api.call("POST", f"{path}/{made}/records", {"name": "www"})
                    self.assert_api_error(409, self.api.call, "POST", f"{path}/{made}/records", {"name": "www"})
                    self.api.call("DELETE", f"{path}/{made}/records/www")
                self.api.call("DELETE", f"{path}/{made}")

    def test_users_of_pools_and_projects(self):
        """Snapshots are among them, and what the default project has for the others."""
        volume, acl = "/1.0/storage-pools/default/volumes/custom/held", "/1.0/network-acls/held"
        self.api.create("user", "tiny")
        self.api.do("POST", "/1.0/instances/user/snapshots", {"name": "s1"})
        self.api.call("POST", volume.rsplit("/", 1)[0], {"name": "held"})
        self.api.do("POST", f"{volume}/snapshots", {"name": "v1"})
        self.api.call("POST", "/1.0/network-acls", {"name": "held"})
        pool = self.api.get("/1.0/storage-pools/default")["used_by"]
        snapshots = {"/1.0/instances/user/snapshots/s1", f"{volume}/snapshots/v1"}
        self.assertLessEqual({"/1.0/instances/user", volume, *snapshots}, set(pool))
        project = self.api.get("/1.0/projects/default")["used_by"]
        self.assertLessEqual({"/1.0/instances/user", volume, acl, f"/1.0/networks/{BRIDGE}"}, set(project))
        self.assertEqual([url for url in project if "/snapshots/" in url], [])
        self.api.call("DELETE", volume)
        self.api.call("DELETE", acl)

    def test_log_lines_are_events(self):
        """Of requests and operations, to those who listen, whatever the log file holds; without secrets."""
        with self.api.events("logging") as events:
            self.api.raw("GET", "/1.0/instances/nosuch?secret=hidden")
            self.api.create("said", "tiny")

            def line(message, **context):
                found = events.wait_for(lambda e: e["metadata"]["message"] == message and
                                        context.items() <= e["metadata"]["context"].items())
                self.assertEqual((found["type"], found["metadata"]["level"], found["location"]), ("logging", "debug", "none"))
                return found["metadata"]["context"]

            asked = line("Handling API request", method="POST", url="/1.0/instances")
            self.assertEqual((asked["protocol"], asked["username"], asked["ip"]), ("unix", "root", "@"))
            for message in ("New operation", "Started operation", "Success for operation"):
                said = line(message, description="Creating instance")
                self.assertEqual(sorted(said), ["class", "description", "operation", "project"])
            if self.daemon.kind == "lxmgr":
                self.assertNotIn("hidden", str(events.seen))


class EtagTest(DaemonCase):
    def test_if_match(self):
        self.api.create("tagged", "tiny")
        for target in ("/1.0/instances/tagged", "/1.0/profiles/default"):
            with self.subTest(target=target):
                reply = self.api.raw("GET", target)
                self.assertRegex(reply.headers["ETag"], r'^"[0-9a-f]{64}"$')
                body = {key: reply.metadata[key] for key in ("config", "devices", "description", "profiles", "architecture",
                                                             "ephemeral") if key in reply.metadata}
                wrong = self.api.raw("PUT", target, body, {"If-Match": '"' + "0" * 64 + '"'})
                self.assertEqual((wrong.status, wrong.json["error_code"]), (412, 412))
                self.api.do("PUT", target, body, {"If-Match": reply.headers["ETag"]})

    def test_patch_merges(self):
        self.api.create("patched", "tiny", config={"user.a": "1"})
        self.api.do("PATCH", "/1.0/instances/patched", {"config": {"user.b": "2"}})
        config = self.api.instance("patched")["config"]
        self.assertEqual((config["user.a"], config["user.b"]), ("1", "2"))

    def test_bad_config_key_fails_the_operation(self):
        self.api.create("wrong", "tiny")
        before = self.api.instance("wrong")["config"]
        self.assert_api_error(400, self.api.update, "wrong", config={"no.such.key": "1"})
        self.assert_api_error(400, self.api.update, "wrong", config={"limits.memory": "a lot"})
        self.assertEqual(self.api.instance("wrong")["config"], before)


class OperationTest(DaemonCase):
    def test_shape_and_events(self):
        with self.api.events() as events:
            envelope = self.api.call("POST", "/1.0/instances", {"name": "made", "source": {"type": "image", "alias": "tiny"}})
            self.assertEqual((envelope["type"], envelope["status_code"]), ("async", 100))
            operation = envelope["metadata"]
            self.assertEqual(envelope["operation"], f"/1.0/operations/{operation['id']}")
            self.assertEqual(operation["class"], "task")
            self.assertIn("/1.0/instances/made", operation["resources"]["instances"])
            events.wait_for(lambda e: e["type"] == "operation" and e["metadata"]["id"] == operation["id"] and
                            e["metadata"]["status_code"] == 200)
            events.wait_action("instance-created", "made")
        done = self.api.wait(envelope)
        self.assertEqual((done["status"], done["err"]), ("Success", ""))

    def test_async_reply_has_a_location(self):
        reply = self.api.raw("POST", "/1.0/instances", {"name": "there", "source": {"type": "none"}})
        self.assertEqual((reply.status, reply.headers["Location"]), (202, reply.json["operation"]))
        self.api.wait(reply.json)

    def test_created_reply_has_a_location(self):
        reply = self.api.raw("POST", "/1.0/profiles", {"name": "mine"})
        self.assertEqual((reply.status, reply.headers["Location"]), (201, "/1.0/profiles/mine"))
        self.api.call("DELETE", "/1.0/profiles/mine")

    def test_unknown_operation(self):
        target = "/1.0/operations/00000000-0000-4000-8000-000000000000"
        self.assertEqual(self.api.raw("GET", target).status, 404)
        self.assertEqual(self.api.raw("GET", target + "/wait").status, 404)

    def test_wait_with_timeout_returns_the_running_operation(self):
        self.api.launch("slow", "tiny")
        operation, _ = self.api.exec_start("slow", ["true"])
        began = time.monotonic()
        self.assertEqual(self.api.get(f"{operation}/wait?timeout=1")["status_code"], 103)
        self.assertLess(time.monotonic() - began, 25)

    def test_events_of_a_start_come_in_order(self):
        with self.api.events("lifecycle") as events:
            self.api.launch("ordered", "tiny")
            events.wait_action("instance-started", "ordered")
        actions = [a for a in events.actions() if a.startswith("instance-")]
        self.assertLess(actions.index("instance-created"), actions.index("instance-started"))

    def test_events_keep_the_connection_alive(self):
        from harness.websocket import PING, WebSocket
        with WebSocket(self.daemon.socket_path, "/1.0/events", timeout=15) as events:
            self.assertEqual(events.frame(), (PING, b"keepalive"))


class HttpTest(DaemonCase):
    needs_images = ()

    def connect(self):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(30)
        client.connect(self.daemon.socket_path)
        self.addCleanup(client.close)
        return client

    def only_ours(self):
        if self.daemon.kind != "lxmgr":
            self.skipTest("a promise of lxmgr")

    def answered(self, client):
        data = b""
        while b"\r\n\r\n" not in data:
            more = client.recv(65536)
            if not more:
                return data
            data += more
        return data

    def test_pipelined_requests_are_answered_in_order(self):
        client = self.connect()
        client.sendall(b"GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\nGET /1.0/nothing HTTP/1.1\r\nHost: x\r\n\r\n"
                       b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := client.recv(65536):
            data += chunk
        self.assertEqual(re.findall(rb"HTTP/1\.1 (\d+)", data), [b"200", b"404", b"200"])

    def test_a_client_that_sends_nothing_is_dropped(self):
        self.only_ours()
        client = self.connect()
        client.sendall(b"GET /1.0 HTTP/1.1\r\nHost:")
        began = time.monotonic()
        client.settimeout(20)
        self.answered(client)
        self.assertLess(time.monotonic() - began, 15)

    def test_garbage_and_giant_heads_harm_nobody(self):
        self.only_ours()
        for data in (b"\x00\xff\x16\x03" * 100, b"GET /1.0 HTTP/1.1\r\n" + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n",
                     b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
                     b"POST /1.0/profiles HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
                     b"POST /1.0/profiles HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"):
            with self.subTest(data=data[:20]):
                client = self.connect()
                try:
                    client.sendall(data)
                    self.assertNotIn(b" 200 ", self.answered(client)[:20])
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self.assertEqual(self.api.raw("GET", "/1.0").status, 200)

    def test_a_body_that_is_too_large_is_refused(self):
        self.only_ours()
        client = self.connect()
        client.sendall(b"POST /1.0/profiles HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n{")
        self.assertIn(b" 413 ", self.answered(client)[:20])

    def test_slow_clients_cost_others_nothing(self):
        for _ in range(200):
            self.connect().sendall(b"GET /1.0 HTTP/1.1\r\n")
        times = []
        for _ in range(20):
            began = time.monotonic()
            self.api.get("/1.0")
            times.append(time.monotonic() - began)
        self.assertLess(sorted(times)[10], 2)

    def test_many_threads(self):
        errors = []

        def work():
            try:
                for _ in range(50):
                    self.api.get("/1.0/instances?recursion=1")
            except Exception as error:  # shown by the assertion
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])


if __name__ == "__main__":
    main()
