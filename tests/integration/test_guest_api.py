"""/dev/lxd/sock: what an instance can ask about itself, through the socket as its processes see it."""
import http.client
import json
import os
import socket
import threading
import time

from harness.case import DaemonCase, main
from harness.rest import Api, EventStream
from harness.websocket import WebSocketRefused


class GuestCase(DaemonCase):
    def guest_path(self, name="box", directory="lxd"):
        return f"/proc/{self.api.state(name)['pid']}/root/dev/{directory}/sock"

    def ask(self, target, name="box", method="GET", body=None, directory="lxd"):
        """(status, content type, body) of one request from inside the instance."""
        guest = Api(self.guest_path(name, directory), timeout=20)
        try:
            reply = guest.raw(method, target, body)
        finally:
            guest.close()
        return reply.status, reply.headers["Content-Type"], reply.body.decode()

    def answer(self, target, name="box"):
        status, _, body = self.ask(target, name)
        self.assertEqual(status, 200, body)
        return body

    def patch_state(self, state, name="box"):
        return self.ask("/1.0", name, "PATCH", {"state": state})[0]


class GuestApiTest(GuestCase):
    def test_what_it_answers(self):
        self.api.launch("box", "tiny", config={"user.role": "web", "cloud-init.user-data": "#cloud-config\nx: y\n",
                                               "limits.processes": "500", "user.meta-data": "more: data\n"})
        self.assertEqual(json.loads(self.answer("/")), ["/1.0"])
        about = json.loads(self.answer("/1.0"))
        self.assertEqual(about, {"api_version": "1.0", "instance_type": "container", "state": "Started",
                                 "location": socket.gethostname()})
        self.assertEqual(json.loads(self.answer("/1.0/config")),
                         ["/1.0/config/cloud-init.user-data", "/1.0/config/user.meta-data", "/1.0/config/user.role"])
        self.assertEqual(self.answer("/1.0/config/user.role"), "web")
        self.assertEqual(self.answer("/1.0/config/cloud-init.user-data"), "#cloud-config\nx: y\n")
        instance = self.api.instance("box")
        devices = json.loads(self.answer("/1.0/devices"))
        self.assertEqual(devices["root"], instance["expanded_devices"]["root"])
        self.assertEqual(devices["eth0"]["hwaddr"], instance["config"]["volatile.eth0.hwaddr"])
        self.assertEqual(self.answer("/1.0/meta-data"), "#cloud-config\ninstance-id: " +
                         instance["config"]["volatile.cloud-init.instance-id"] + "\nlocal-hostname: box\nmore: data\n")
        self.assertEqual(self.answer("http://lxd/1.0/"), self.answer("/1.0"))
        self.assertEqual(json.loads(self.ask("/1.0", directory="incus")[2]), about)

    def test_what_it_refuses(self):
        self.api.launch("box", "tiny")
        for target, status in (("/1.0/config/limits.processes", 403), ("/1.0/config/volatile.uuid", 403),
                               ("/1.0/config/user.none", 404), ("/1.0/instances", 404), ("/1.0/containers/box", 404),
                               ("/internal/shutdown", 404), ("/1.0/config/..%2f..%2f", 403), ("/1.0/events", 400),
                               ("/1.0/images/abc/export", 403), ("/2.0", 404)):
            with self.subTest(target=target):
                seen, kind, body = self.ask(target)
                self.assertEqual((seen, kind), (status, "text/plain; charset=utf-8"), body)
        for method, body in (("PUT", {"state": "Ready"}), ("DELETE", None), ("PATCH", {"state": "Stopped"}),
                             ("PATCH", {"state": "Ready", "config": {}}), ("PATCH", ["x"]), ("PATCH", {"state": 1})):
            with self.subTest(method=method, body=body):
                self.assertIn(self.ask("/1.0", method=method, body=body)[0], (400, 501))
        self.assertEqual(self.ask("/1.0", method="PATCH", body={"state": "x" * 5000})[0], 413)

    def test_ready(self):
        self.api.launch("box", "tiny")
        with self.api.events() as events:
            self.assertEqual(self.patch_state("Ready"), 200)
            events.wait_action("instance-ready", "box")
        self.assertEqual(self.api.instance("box")["status"], "Ready")
        self.assertEqual(self.api.get("/1.0/instances?recursion=1")[0]["status_code"], 113)
        self.assertEqual(self.api.state("box")["status"], "Ready")
        self.assertEqual(self.api.instance("box")["config"]["volatile.last_state.ready"], "true")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.api.instance("box")["status"], "Ready")
        self.assertEqual(json.loads(self.answer("/1.0"))["state"], "Ready")
        self.assertEqual(self.api.exec("box", ["true"])[0], 0)
        self.assertEqual(self.patch_state("Started"), 200)
        self.assertEqual(self.api.instance("box")["status"], "Running")
        self.assertEqual(self.patch_state("Ready"), 200)
        self.api.set_state("box", "restart", force=True)
        self.assertEqual(self.api.instance("box")["status"], "Running")

    def test_events(self):
        self.api.launch("box", "tiny", config={"user.a": "1"})
        self.api.launch("other", "tiny")
        os.mkdir(share := os.path.join(self.daemon.base, "share"))
        with EventStream(self.guest_path(), "/1.0/events") as both, \
                EventStream(self.guest_path("other"), "/1.0/events?type=config") as others:
            self.api.update("box", config={"user.a": "2", "boot.stop.priority": "3"})
            event = both.wait_for(lambda e: e["type"] == "config")
            self.assertEqual(event["metadata"], {"key": "user.a", "old_value": "1", "value": "2"})
            self.api.update("box", devices={"share": {"type": "disk", "path": "/share", "source": share}})
            event = both.wait_for(lambda e: e["type"] == "device")
            self.assertEqual((event["metadata"]["name"], event["metadata"]["action"]), ("share", "added"))
            self.assertEqual(event["metadata"]["config"]["path"], "/share")
            profile = self.api.get("/1.0/profiles/default")
            self.api.call("PUT", "/1.0/profiles/default", {**profile, "config": {"user.all": "x"}})
            for stream in (both, others):
                stream.wait_for(lambda e: e["metadata"].get("key") == "user.all")
            self.api.call("PUT", "/1.0/profiles/default", profile)
            self.assertEqual(len([e for e in others.seen if e["metadata"].get("key") != "user.all"]), 0)
        with self.assertRaises(WebSocketRefused):
            EventStream(self.guest_path(), "/1.0/events?type=lifecycle")

    def test_cloud_init_id_follows_what_cloud_init_reads(self):
        self.api.create("box", "tiny")
        def number():
            return self.api.instance("box")["config"]["volatile.cloud-init.instance-id"]
        first = number()
        self.api.update("box", config={"user.other": "x"})
        self.assertEqual(number(), first)
        self.api.update("box", config={"cloud-init.user-data": "#cloud-config\n"})
        self.assertNotEqual(number(), first)
        # A profile that is stored, and a crash before it reaches the instance.
        second = number()
        self.daemon.terminate()
        self.daemon.start(environment={"LXMGR_FAILPOINT": "instances.profile.stored"})
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.api.call("PATCH", "/1.0/profiles/default", {"config": {"cloud-init.vendor-data": "#cloud-config\n"}})
        self.assertEqual(self.daemon.wait_dead(), -9)
        self.daemon.start()
        self.assertNotEqual(number(), second)
        self.api.call("PATCH", "/1.0/profiles/default", {"config": {"cloud-init.vendor-data": ""}})


class SwitchTest(GuestCase):
    def has_socket(self, name="box"):
        return self.api.exec(name, ["test", "-S", "/dev/lxd/sock"])[0] == 0

    def test_off_from_the_start_and_on_later(self):
        for key in ("security.devlxd", "security.guestapi"):
            with self.subTest(key=key):
                name = key.rsplit(".", 1)[1]
                self.api.launch(name, "tiny", config={key: "false"})
                self.assertFalse(self.has_socket(name))
                self.api.update(name, config={key: None})
                self.assertEqual(self.answer("/", name), '["/1.0"]\n')
                self.assertTrue(self.has_socket(name))
                self.api.update(name, config={key: "no"})
                self.assertFalse(self.has_socket(name))
                self.assertNotIn("/dev/lxd", self.api.sh(name, "cat /proc/mounts"))

    def test_off_ends_what_is_open(self):
        self.api.launch("box", "tiny")
        with EventStream(self.guest_path(), "/1.0/events") as events:
            idle = socket.socket(socket.AF_UNIX)
            idle.settimeout(20)
            idle.connect(self.guest_path())
            self.api.update("box", config={"security.devlxd": "false"})
            self.assertEqual(idle.recv(10), b"")
            events.thread.join(20)
            self.assertFalse(events.thread.is_alive())
            idle.close()
        self.daemon.kill()
        self.daemon.start()
        self.assertFalse(self.has_socket())

    def test_by_a_profile_and_bad_values(self):
        self.api.launch("box", "tiny")
        profile = self.api.get("/1.0/profiles/default")
        self.api.call("PUT", "/1.0/profiles/default", {**profile, "config": {"security.devlxd": "false"}})
        self.assertFalse(self.has_socket())
        self.api.call("PUT", "/1.0/profiles/default", profile)
        self.assertTrue(self.has_socket())
        self.assert_api_error(400, self.api.update, "box", config={"security.devlxd": "perhaps"})
        self.assert_api_error(400, self.api.update, "box", config={"security.devlxd.images": "true"})

    def test_a_new_daemon_serves_what_is_there(self):
        self.api.launch("box", "tiny")
        self.api.launch("bare", "tiny")
        self.api.sh("bare", "umount /dev/lxd")
        for end in (self.daemon.kill, self.daemon.terminate):
            end()
            self.daemon.start()
            for name in ("box", "bare"):
                self.assertEqual(self.answer("/", name), '["/1.0"]\n')
        self.assertEqual(self.api.sh("bare", "grep -c /dev/lxd /proc/mounts"), "1")


class HostileTest(GuestCase):
    def test_the_guest_cannot_change_the_directory(self):
        for name, config in (("box", {}), ("own", {"security.idmap.isolated": "true"})):
            self.api.launch(name, "tiny", config=config)
            self.assertEqual(self.api.sh(name, "stat -c '%a %u' /dev/lxd/sock"), "666 65534")
            self.api.exec(name, ["mount", "-o", "remount,rw,bind", "/dev/lxd"])
            for script in ("rm /dev/lxd/sock", "touch /dev/lxd/x", "chmod 777 /dev/lxd", "mv /dev/lxd/sock /dev/lxd/y"):
                self.assertNotEqual(self.api.exec(name, ["sh", "-c", script])[0], 0, script)
            self.assertEqual(self.answer("/", name), '["/1.0"]\n')

    def test_each_socket_tells_of_its_own_instance_only(self):
        for name in ("box", "other"):
            self.api.launch(name, "tiny", config={"user.name": name})
        for name in ("box", "other"):
            self.assertEqual(self.answer("/1.0/config/user.name?project=other", name), name)
            self.assertIn(f"local-hostname: {name}\n", self.answer("/1.0/meta-data", name))

    def test_connections_are_bounded(self):
        self.api.launch("box", "tiny")
        self.api.launch("other", "tiny")
        path, held = self.guest_path(), []
        before = len(os.listdir(f"/proc/{self.daemon.pid}/fd"))
        for _ in range(60):
            one = socket.socket(socket.AF_UNIX)
            one.setblocking(False)
            try:
                one.connect(path)
                one.send(b"GET / HTTP/1.1\r\nX: ")  # never ends
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                pass
            held.append(one)
        self.assertEqual(self.answer("/", "other"), '["/1.0"]\n')
        self.assertLess(len(os.listdir(f"/proc/{self.daemon.pid}/fd")) - before, 24)
        for one in held:
            one.close()
        deadline = time.monotonic() + 20
        while not self.is_served():  # refused until those that left are noticed
            self.assertLess(time.monotonic(), deadline)

    def is_served(self):
        try:
            return self.ask("/")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def test_what_is_no_http_is_refused(self):
        self.api.launch("box", "tiny")
        path = self.guest_path()
        for data in (b"\0" * 9000, b"GET / HTTP/1.1\r\nX: " + b"x" * 20000, b"PATCH /1.0 HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Length: 99999999\r\n\r\n" + b"{" * 5000, b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n"):
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(20)
                one.connect(path)
                try:
                    one.sendall(data)
                    self.assertRegex(one.recv(4096), rb"^HTTP/1.1 4\d\d ")
                except (BrokenPipeError, ConnectionResetError):
                    pass
        self.assertEqual(self.answer("/"), '["/1.0"]\n')

    def test_requests_are_paced(self):
        self.api.launch("box", "tiny")
        self.ask("/")
        used = self.cpu_ticks()
        stop = time.monotonic() + 1.5
        counts, path = [], self.guest_path()
        def hammer():
            guest, count = Api(path), 0
            while time.monotonic() < stop:
                guest.raw("GET", "/1.0")
                count += 1
            guest.close()
            counts.append(count)
        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLess(sum(counts), 350)
        self.assertLess(self.cpu_ticks() - used, 60)

    def cpu_ticks(self):
        with open(f"/proc/{self.daemon.pid}/stat", encoding="utf-8") as file:
            return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))

    def test_a_privileged_guest_that_replaces_the_socket(self):
        self.api.launch("box", "tiny", config={"security.privileged": "true"})
        self.api.exec("box", ["mount", "-o", "remount,rw,bind", "/dev/lxd"])
        self.api.exec("box", ["sh", "-c", "rm /dev/lxd/sock; ln -s /etc/passwd /dev/lxd/sock"])
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.answer("/"), '["/1.0"]\n')


main()
