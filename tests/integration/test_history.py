"""Who asked for what and what came of it: the audit trail, its endpoint and `lxmgr history`."""
import json
import time

from harness import remote
from harness.case import DaemonCase, main
from harness.clients import Client
from harness.daemon import binaries

URL = "/1.0/lxmgr/history"


class HistoryTest(DaemonCase):
    def setUp(self):
        super().setUp()
        remote.set_config(self.api, core__https_address="[::]:8443")
        self.start_id = max([one["id"] for one in self.api.get(f"{URL}?recursion=1")], default=0)

    def tearDown(self):
        for url in self.api.get("/1.0/certificates"):
            self.api.call("DELETE", url)
        remote.set_config(self.api, core__https_address="", core__trust_password="")
        super().tearDown()

    def records(self, query=""):
        """Those of this test."""
        return [one for one in self.api.get(f"{URL}?recursion=1{query}") if one["id"] > self.start_id]

    def client(self, name=None, **more):
        certificate = remote.Certificate(self.daemon.base, name or f"stranger{time.monotonic_ns()}")
        if name:
            self.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "name": name, **more})
        made = remote.HttpsApi(self.daemon, certificate)
        self.addCleanup(made.close)
        return certificate, made

    def test_requests_operations_and_refusals(self):
        self.assertIn("lxmgr_history", self.api.get("/1.0")["api_extensions"])
        self.api.create("box", "tiny")
        self.api.start("box")
        self.assert_api_error(404, self.api.call, "DELETE", "/1.0/profiles/nosuch")
        self.api.get("/1.0/instances")
        shown = {(one["method"], one["path"]): one for one in self.records()}
        made = shown["POST", "/1.0/instances"]
        self.assertEqual((made["result"], made["status_code"], made["description"]), ("success", 202, "Creating instance"))
        self.assertEqual(made["requestor"], {"username": "root", "protocol": "unix", "address": "@", "certificate": ""})
        self.assertGreaterEqual(made["ended_at"], made["created_at"])
        self.assertTrue(made["operation"].startswith("/1.0/operations/"))
        self.assertEqual(shown["PUT", "/1.0/instances/box/state"]["description"], "Starting instance")
        failed = shown["DELETE", "/1.0/profiles/nosuch"]
        self.assertEqual((failed["result"], failed["status_code"]), ("failure", 404))
        self.assertIn("not found", failed["error"])
        self.assertFalse([path for method, path in shown if method == "GET"])
        # One whose operation fails, and one that runs on.
        self.assert_api_error(400, self.api.do, "PUT", "/1.0/instances/box/state", {"action": "start"})
        self.assertEqual([one["result"] for one in self.records() if one["path"].endswith("/state")], ["success", "failure"])
        self.assertEqual(self.api.get(f"{URL}/{made['id']}"), made)
        self.assert_api_error(404, self.api.get, f"{URL}/987654321")

    def test_clients_elsewhere_and_strangers(self):
        certificate, full = self.client("laptop")
        _, held = self.client("held", restricted=True, projects=["default"])
        stranger_certificate, stranger = self.client()
        full.call("POST", "/1.0/profiles", {"name": "mine", "config": {"user.secret": "hunter2"}})
        full.call("DELETE", "/1.0/profiles/mine")
        for client in (held, stranger):
            self.assertEqual(client.raw("PUT", "/1.0?secret=hunter3", {"config": {"core.trust_password": "hunter2"}}).status, 403)
            self.assertEqual(client.raw("GET", URL).status, 403)
        self.assertEqual(stranger.raw("POST", "/1.0/certificates", {"password": "hunter2"}).status, 403)
        records = self.records()
        made = next(one for one in records if one["path"] == "/1.0/profiles")
        self.assertEqual((made["requestor"]["username"], made["requestor"]["certificate"], made["requestor"]["protocol"]),
                         (certificate.fingerprint, "laptop", "tls"))
        self.assertTrue(made["requestor"]["address"].startswith("127.0.0.1:"))
        refused = [(one["requestor"]["username"], one["method"], one["path"]) for one in records if one["result"] == "refused"]
        for who in ([one["fingerprint"] for one in self.api.get("/1.0/certificates?recursion=1") if one["name"] == "held"][0],
                    stranger_certificate.fingerprint):
            self.assertIn((who, "PUT", "/1.0"), refused)
            self.assertIn((who, "GET", URL), refused)
        self.assertIn((stranger_certificate.fingerprint, "POST", "/1.0/certificates"), refused)
        self.assertNotIn("hunter", json.dumps(records))
        self.assertEqual(len(self.records("&filter=result+eq+refused")), len(refused))
        self.assertEqual(self.records("&limit=1"), records[-1:])
        self.assertEqual(self.api.get(f"{URL}?recursion=1&limit=1&before={records[-1]['id']}"), [records[-2]])
        self.assertEqual(self.api.get(f"{URL}?limit=1"), [f"{URL}/{records[-1]['id']}"])
        for bad in ("limit=0", "limit=x", "limit=10001", "before=0", "filter=what"):
            self.assert_api_error(400, self.api.get, f"{URL}?{bad}")

    def test_kill_loses_the_last_moments_at_most(self):
        self.api.create("box", "tiny")
        self.api.start("box")
        self.api.raw("POST", "/1.0/instances/box/exec", {"command": ["sleep", "1000"], "wait-for-websocket": False})
        self.assertEqual([one["result"] for one in self.records()][-1], "running")  # and written down
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.records()[-1]["result"], "interrupted")
        # What is asked for just before an orderly end is there.
        self.api.call("POST", "/1.0/profiles", {"name": "last", "config": {}})
        self.daemon.terminate()
        self.daemon.start()
        self.assertEqual(self.records()[-1]["path"], "/1.0/profiles")
        self.api.call("DELETE", "/1.0/profiles/last")

    def test_strangers_cannot_push_it_out(self):
        self.api.call("POST", "/1.0/profiles", {"name": "kept", "config": {}})
        _, stranger = self.client()
        for _ in range(60):
            stranger.raw("DELETE", "/1.0/profiles/kept")
        records = self.records("&limit=10000")
        self.assertEqual(len([one for one in records if one["result"] == "refused"]), 60)
        self.assertTrue([one for one in records if one["path"] == "/1.0/profiles"])
        self.api.call("DELETE", "/1.0/profiles/kept")

    def test_command(self):
        self.api.call("POST", "/1.0/profiles", {"name": "seen", "config": {}})
        self.api.call("DELETE", "/1.0/profiles/seen")
        lxmgr = Client(self.daemon, str(binaries() / "lxmgr"), {"LXMGR_DIR": self.daemon.root})
        text = lxmgr("history", "-n", "5")
        self.assertIn("DELETE /1.0/profiles/seen", text)
        self.assertIn("root", text)
        listed = json.loads(lxmgr("history", "--filter", "method eq DELETE", "-f", "json"))
        self.assertEqual((listed[-1]["path"], listed[-1]["result"]), ("/1.0/profiles/seen", "success"))

    def test_top(self):
        for name in ("busy", "idle"):
            self.api.launch(name, "tiny")
        self.api.create("off", "tiny")
        burn = {"command": ["sh", "-c", "while :; do :; done"], "wait-for-websocket": False}
        self.api.raw("POST", "/1.0/instances/busy/exec", burn)
        lxmgr = Client(self.daemon, str(binaries() / "lxmgr"), {"LXMGR_DIR": self.daemon.root})
        lines = lxmgr("top", "--interval", "1").splitlines()
        self.assertIn("3 instances, 2 running", lines[0])
        self.assertEqual(lines[2].split(), ["NAME", "STATE", "CPU%", "MEMORY", "PROCESSES", "RECEIVED", "SENT"])
        self.assertEqual([line.split()[0] for line in lines[3:]], ["busy", "idle", "off"])
        self.assertGreater(float(lines[3].split()[2]), 5)
        self.assertEqual(lines[5].split(), ["off", "Stopped", "-", "-", "-", "-", "-"])
        code, seen = lxmgr.terminal("top", "--interval", "1", steps=(
            (b"busy", b"a"), (b"by name", b"r"), (b"by name, reversed", b"q")))
        self.assertEqual(code, 0, seen)
        for part in (b"\x1b[?1049h", b"by cpu", b"by name", b"by name, reversed", b"\x1b[?25h\x1b[?1049l"):
            self.assertIn(part, seen)
        self.assertEqual(lxmgr.run("top", "--interval", "0", check=False).returncode, 2)


main()
