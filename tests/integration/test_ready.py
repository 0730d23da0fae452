"""Waiting for instances: systemd's word that it has booted, the guest's own, and addresses; by API and client."""
import json
import threading
import time

from harness.case import DaemonCase, main
from harness.clients import Client
from harness.daemon import binaries
from harness.rest import Api

WAIT = "/1.0/instances/{}/lxmgr_wait?for={}&timeout={}"


class WaitCase(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = Client(cls.daemon, str(binaries() / "lxmgr"), {"LXMGR_DIR": cls.daemon.root})

    def wait(self, name, what, timeout=30):
        return self.api.get(WAIT.format(name, what, timeout))

    def beside(self, work):
        """Runs a wait in the background; a function that gives its result."""
        result = []
        thread = threading.Thread(target=lambda: result.append(work()))
        thread.start()
        def join():
            thread.join(300)
            return result[0]
        return join

    def say_ready(self, name, state="Ready"):
        guest = Api(f"/proc/{self.api.state(name)['pid']}/root/dev/lxd/sock")
        self.assertEqual(guest.raw("PATCH", "/1.0", {"state": state}).status, 200)
        guest.close()


class TinyTest(WaitCase):
    def test_address(self):
        self.api.create("box", "tiny")
        self.api.start("box")
        seen = self.wait("box", "ip")
        self.assertTrue(seen["met"])
        self.assertEqual(seen["addresses"], [self.address("box")])
        self.assertEqual(self.client("wait", "box", "ip"), self.address("box") + "\n")
        self.api.sh("box", "ip addr flush dev eth0")
        self.assertEqual(self.wait("box", "ip", 0), {"met": False, "addresses": [], "ready_at": None})
        waiting = self.beside(lambda: self.wait("box", "ip"))
        time.sleep(0.3)
        began = time.monotonic()
        self.api.sh("box", "ip addr add 192.0.2.9/24 dev eth0")
        self.assertEqual(waiting()["addresses"], ["192.0.2.9"])
        self.assertLess(time.monotonic() - began, 20)  # and not at the end of the wait

    def test_ready_by_the_guests_own_word(self):
        self.api.launch("box", "tiny")
        self.assertFalse(self.wait("box", "ready", 0)["met"])
        self.assertNotIn("lxmgr_ready_at", self.api.state("box"))
        began = time.monotonic()
        done = self.client.run("wait", "box", "ready", "--timeout", "1", check=False)
        self.assertEqual((done.returncode, done.stderr), (1, b"Error: Instance 'box' is not ready within 1 s\n"))
        self.assertGreater(time.monotonic() - began, 0.9)
        waiting = self.beside(lambda: self.wait("box", "ready"))
        time.sleep(0.3)
        self.say_ready("box")
        self.assertTrue(waiting()["met"])
        ready_at = self.api.state("box")["lxmgr_ready_at"]
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.api.state("box")["lxmgr_ready_at"], ready_at)
        self.say_ready("box", "Started")
        self.assertNotIn("lxmgr_ready_at", self.api.state("box"))

    def test_a_word_that_overtakes_the_end_of_the_start(self):
        self.api.create("box", "tiny")
        guest = Api(f"{self.daemon.root}/run/box/guest/sock")
        over = threading.Event()

        def say():
            while not over.is_set():
                try:
                    if guest.raw("PATCH", "/1.0", {"state": "Ready"}).status == 200:
                        return True
                except OSError:
                    guest.close()
            return False
        for _ in range(5):
            said = self.beside(say)
            self.api.start("box")
            self.assertTrue(said())
            self.assertEqual(self.api.instance("box")["status"], "Ready")
            self.assertEqual(self.api.instance("box")["config"]["volatile.last_state.ready"], "true")
            guest.close()
            self.api.stop("box")
        over.set()
        self.api.start("box")
        self.assertEqual(self.api.instance("box")["status"], "Running")

    def test_an_end_ends_the_wait(self):
        self.api.create("box", "tiny")
        for what in ("ready", "ip"):
            self.assert_api_error(400, self.wait, "box", what)
            self.assert_api_error(404, self.wait, "none", what)
        self.assert_api_error(400, self.wait, "box", "coffee")
        self.assert_api_error(400, self.wait, "box", "ready", "soon")
        self.api.start("box")
        waiting = self.beside(lambda: self.api.raw("GET", WAIT.format("box", "ready", 60)))
        time.sleep(0.3)
        self.api.stop("box")
        self.assertEqual(waiting().status, 400)

    def test_clients_that_leave_cost_nothing(self):
        self.api.launch("box", "tiny")
        for _ in range(20):
            one = Api(self.daemon.socket_path)
            connection = one.connection()
            connection.request("GET", WAIT.format("box", "ip" if _ % 2 else "ready", 3600))
            connection.close()

    def test_words_on_the_command_line(self):
        self.assertIn("10.88.0.", self.client("launch", "tiny", "box", "--wait", "ip"))
        self.client("stop", "--force", "box")
        self.assertIn("10.88.0.", self.client("start", "box", "--wait", "ip", "--timeout", "90"))
        self.assertIn("not yet", self.client("boot-times", "box"))
        self.assertIsNone(json.loads(self.client("boot-times", "box", "-f", "json"))["ready_at"])
        self.api.create("still", "tiny")
        self.assertIn(b"is not running", self.client.run("boot-times", "still", check=False).stderr)
        for words in (("wait", "box", "tea"), ("wait", "box", "ip", "--timeout", "x"),
                      ("start", "box", "--wait", "tea")):
            self.assertEqual(self.client.run(*words, check=False).returncode, 2, words)


class SystemdTest(WaitCase):
    needs_images = ("bookworm",)

    def test_ready(self):
        with self.api.events() as events:
            self.client("launch", "bookworm", "deb", "--wait", "ready")
            self.assertIn(self.api.sh("deb", "systemctl is-system-running || true"), ("running", "degraded"))
            events.wait_action("instance-ready", "deb")
        state = self.api.state("deb")
        self.assertLess(state["started_at"], state["lxmgr_ready_at"])
        self.assertEqual(state["status"], "Running")
        times = json.loads(self.client("boot-times", "deb", "-f", "json"))
        self.assertEqual((times["started_at"], times["ready_at"]), (state["started_at"], state["lxmgr_ready_at"]))
        self.assertTrue(10 < times["boot_ms"] < 600_000, times)
        self.assertIn("Boot took:", self.client("boot-times", "deb"))
        self.daemon.kill()
        self.daemon.start()
        after = self.api.state("deb")
        for key in ("started_at", "lxmgr_ready_at"):
            self.assertEqual(after[key], state[key])
        self.assertTrue(self.wait("deb", "ready", 0)["met"])

    def test_ready_while_there_is_no_daemon(self):
        self.api.create("deb", "bookworm")
        self.api.start("deb")
        self.daemon.kill()
        self.daemon.start()
        self.assertTrue(self.wait("deb", "ready", 300)["met"])
        # Only init's word counts.
        self.client("restart", "--force", "deb")
        self.assertTrue(self.wait("deb", "ready", 300)["met"])
        self.assertEqual(self.api.instance("deb")["status"], "Running")


main()
