"""lxmgr over HTTPS: the page docs/how-to/remote.md, command by command, and what goes wrong."""
import base64
import concurrent.futures
import json
import os
import re

from harness import remote
from harness.case import DaemonCase, main
from harness.clients import Client
from harness.daemon import REPOSITORY, binaries

PAGE = REPOSITORY / "docs" / "how-to" / "remote.md"


class RemoteCliTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.daemon.sandbox.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
        program = str(binaries() / "lxmgr")
        self.server = Client(self.daemon, program, {"LXMGR_DIR": self.daemon.root,
                                                    "LXMGR_CONF": os.path.join(self.daemon.base, "server")})
        self.client = remote.RemoteClient(self.daemon, program, {
            "LXMGR_DIR": "/nowhere", "LXMGR_CONF": os.path.join(self.daemon.base, self.id())})

    def tearDown(self):
        for url in self.api.get("/1.0/certificates"):
            self.api.call("DELETE", url)
        for group in self.api.get("/1.0/operations?recursion=1").values():
            for one in group:
                if one["class"] == "token" and one["status_code"] < 200:
                    self.api.call("DELETE", f"/1.0/operations/{one['id']}")
        self.api.call("PUT", "/1.0", {"config": {}})
        self.daemon.sandbox.run("ip", "address", "del", "192.0.2.1/32", "dev", "lo")
        super().tearDown()

    def test_page(self):
        token, said = "", {}
        for who, line in re.findall(r"^(server|client)\$ lxmgr (.*)$", PAGE.read_text(), re.MULTILINE):
            if "FINGERPRINT" in line:
                line = line.replace("FINGERPRINT", self.api.get("/1.0/certificates?recursion=1")[0]["fingerprint"][:12])
            out = getattr(self, who)(*line.replace("TOKEN", token).split())
            said[line] = out
            if line.startswith("config trust add"):
                token = out.strip()
        self.assertGreater(len(said), 25)
        self.assertEqual(said["exec lab:dev -- echo hello"], "hello\n")
        self.assertEqual(said["file pull lab:dev/etc/hostname -"], "dev\n")
        self.assertEqual(said["remote get-default"], "lab\n")
        self.assertIn("visitor", said["config trust list-tokens"])

    def added(self):
        self.server("config", "set", "core.https_address=:8443")
        token = self.server("config", "trust", "add", "--name", "laptop").strip()
        self.client("remote", "add", "lab", token)
        return token

    def test_ends_while_the_connection_does(self):
        """The thread that carries TLS may still be at work when the program ends."""
        self.added()

        def ask(number):
            return self.client.run("query", "lab:/1.0", check=False)

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for done in pool.map(ask, range(200)):
                self.assertEqual((done.returncode, done.stderr), (0, b""))

    def failure(self, *arguments):
        done = self.client.run(*arguments, check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.stderr.decode()

    def test_everything_travels(self):
        self.added()
        self.client("remote", "switch", "lab")
        self.client("launch", "tiny", "dev")
        big = os.path.join(self.daemon.base, "big")
        with open(big, "wb") as file:
            file.write(os.urandom(5 << 20))
        self.client("file", "push", big, "dev/root/big")
        done = self.client.run("file", "pull", "dev/root/big", "-")
        with open(big, "rb") as file:
            self.assertEqual(done.stdout, file.read())
        self.assertEqual(self.client("exec", "dev", "--", "sh", "-c", "cat; exit 0", stdin=b"x" * 300000), "x" * 300000)
        self.assertEqual(self.client.run("exec", "dev", "--", "sh", "-c", "exit 7", check=False).returncode, 7)
        code, out = self.client.terminal("exec", "dev", "-t", "--", "sh", "-c", "tty; exit 3")
        self.assertEqual(code, 3, out)
        self.assertEqual(json.loads(self.client("list", "-f", "json"))[0]["name"], "dev")
        self.client("delete", "--force", "dev")
        self.assertIn("laptop", self.client("config", "trust", "list"))
        fingerprint = self.api.get("/1.0/certificates?recursion=1")[0]["fingerprint"]
        self.server("config", "trust", "edit", fingerprint[:12],
                    stdin=b"name: held\ntype: client\nrestricted: true\nprojects: [default]\n")
        self.assertIn("restricted: true", self.server("config", "trust", "show", fingerprint[:12]))
        self.assertIn("not authorized", self.failure("config", "trust", "list").lower())
        self.client("list")

    def test_what_goes_wrong(self):
        token = self.added()
        self.assertIn("already", self.failure("remote", "add", "lab", token))
        newcomer = remote.RemoteClient(self.daemon, self.client.prefix[-1], {
            "LXMGR_DIR": "/nowhere", "LXMGR_CONF": os.path.join(self.daemon.base, "newcomer")})
        add = ("remote", "add", "lab", "192.0.2.1", "--accept-certificate", "--password")
        self.assertIn("Not authorized", newcomer.run(*add, "secret", check=False).stderr.decode())
        self.server("config", "set", "core.trust_password=secret")
        self.assertIn("Not authorized", newcomer.run(*add, "wrong", check=False).stderr.decode())
        newcomer(*add, "secret")
        newcomer("list", "lab:")
        self.assertIn("no address", self.failure("remote", "add", "x", "https://"))
        self.assertIn("Cannot reach", self.failure("remote", "add", "x", "192.0.2.1:9999"))
        self.assertIn("--accept-certificate", self.failure("remote", "add", "x", "192.0.2.1"))
        self.assertIn("no remote", self.failure("list", "nowhere:"))
        self.assertIn("two servers", self.failure("launch", "lab:tiny", "dev"))
        self.assertIn("local", self.failure("remote", "remove", "local"))
        self.assertIn("not running", self.failure("list"))

    def test_a_token_says_which_certificate_to_expect(self):
        self.server("config", "set", "core.https_address=:8443")
        token = self.server("config", "trust", "add", "--name", "laptop").strip()
        said = json.loads(base64.b64decode(token))
        wrong = base64.b64encode(json.dumps({**said, "fingerprint": "ab" * 32}).encode()).decode()
        for more in ((), ("--accept-certificate",)):
            self.assertIn("certificate", self.failure("remote", "add", "lab", "192.0.2.1", "--token", wrong, *more))
        self.assertEqual(self.api.get("/1.0/certificates"), [])
        self.client("remote", "add", "lab", "192.0.2.1", "--token", token)
        self.client("list", "lab:")

    def test_another_certificate_is_not_talked_to(self):
        self.added()
        folder = os.path.join(self.daemon.base, self.id(), "servercerts")
        other = remote.Certificate(self.daemon.base, "impostor")
        with open(os.path.join(folder, "lab.crt"), "w", encoding="ascii") as file:
            file.write(other.pem)
        self.assertIn("another certificate", self.failure("list", "lab:"))


if __name__ == "__main__":
    main()
