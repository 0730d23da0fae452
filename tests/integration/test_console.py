"""console: its log, attach, type, detach, attach again."""
import json
import time

from harness.case import DaemonCase, main

ECHOING_INIT = b"""#!/bin/sh
exec </dev/console >/dev/console 2>&1
echo console is up
trap 'poweroff -f' PWR
while :; do read line || sleep 1; [ -z "$line" ] || echo "got $line"; done
"""


class Case(DaemonCase):
    def wait_log(self, name, text):
        """Until init has said it on the console."""
        deadline = time.monotonic() + 60
        while text not in (body := self.api.raw("GET", f"/1.0/instances/{name}/console").body):
            self.assertLess(time.monotonic(), deadline, body)
            time.sleep(0.02)


class ConsoleTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.api.create("box", "tiny")
        cls.api.push("box", "/sbin/init", ECHOING_INIT, mode="0755")
        cls.api.start("box")

    def attach(self):
        envelope = self.api.call("POST", "/1.0/instances/box/console", {"width": 80, "height": 24, "type": "console"})
        operation, fds = envelope["operation"].split("?")[0], envelope["metadata"]["metadata"]["fds"]
        self.assertEqual(set(fds), {"0", "control"})
        control = self.api.attach(operation, fds["control"])
        return operation, control, self.api.attach(operation, fds["0"])

    def test_log_holds_what_init_said(self):
        reply = self.api.raw("GET", "/1.0/instances/box/console")
        self.assertEqual(reply.status, 200)
        self.assertIn("octet-stream", reply.headers["Content-Type"])
        self.wait_log("box", b"console is up")

    def test_attach_type_detach_attach(self):
        if self.daemon.kind == "lxd":
            self.skipTest("LXD's console helper passes nothing through without a terminal of its own here")
        for word in (b"first", b"second"):
            operation, control, terminal = self.attach()
            terminal.send(word + b"\n")
            self.assertIn(b"got " + word, terminal.read_until(b"got " + word))
            control.send(json.dumps({"command": "window-resize", "args": {"width": "100", "height": "30"}}))
            terminal.close()
            control.close()
            self.assertGreaterEqual(self.api.get(f"{operation}/wait?timeout=10")["status_code"], 200)
        self.assertIn(b"got second", self.api.raw("GET", "/1.0/instances/box/console").body)

    def test_console_of_a_stopped_instance(self):
        self.api.create("off", "tiny")
        self.assert_api_error(400, self.api.call, "POST", "/1.0/instances/off/console", {"width": 80, "height": 24})


class ConsoleLogTest(Case):
    def test_log_can_be_cleared(self):
        if self.daemon.kind == "lxd":
            self.skipTest("LXD 5.0.2 keeps the log in liblxc's ring, which is empty here")
        self.api.launch("box", "tiny")
        self.wait_log("box", b"tiny init is up")
        self.assertEqual(self.api.raw("DELETE", "/1.0/instances/box/console").status, 200)
        self.assertNotIn(b"tiny init is up", self.api.raw("GET", "/1.0/instances/box/console").body)




if __name__ == "__main__":
    main()
