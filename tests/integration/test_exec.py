"""exec: streams, exit codes, environment, users, signals, terminals, recorded output, many at once."""
import json
import select
import socket
import struct
import threading
import time

from harness.case import DaemonCase, main
from harness.websocket import CLOSE, PONG, WebSocketRefused


class ExecTest(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.api.launch("box", "tiny", config={"environment.FROM_CONFIG": "yes"})

    def test_output_and_error_are_apart(self):
        code, out, err = self.api.exec("box", ["sh", "-c", "echo out; echo err >&2; exit 7"])
        self.assertEqual((code, out, err), (7, b"out\n", b"err\n"))

    def test_input_reaches_the_command(self):
        data = bytes(range(256)) * 4096
        code, out, _ = self.api.exec("box", ["cat"], stdin=data)
        self.assertEqual((code, out), (0, data))

    def test_end_of_input_is_seen(self):
        self.assertEqual(self.api.exec("box", ["wc", "-c"], stdin=b"12345")[1].strip(), b"5")

    def test_large_output_is_whole(self):
        code, out, _ = self.api.exec("box", ["head", "-c", "20000000", "/dev/zero"])
        self.assertEqual((code, len(out)), (0, 20000000))

    def test_a_client_that_is_slow_to_read_gets_everything(self):
        """It says goodbye before it has read, and answers a ping after that: pylxd does, when its threads get no turn."""
        operation, fds = self.api.exec_start("box", ["sh", "-c", "echo said; echo err >&2"])
        sockets = {fd: self.api.attach(operation, fds[fd]) for fd in ("0", "1", "2")}
        self.assertEqual(self.api.get(f"{operation}/wait")["metadata"]["return"], 0)
        for one in sockets.values():
            one.send(struct.pack(">H", 1001), CLOSE)
        for fd, said in (("1", b"said\n"), ("2", b"err\n")):
            ended = select.poll()
            ended.register(sockets[fd].socket, select.POLLRDHUP)
            self.assertTrue(ended.poll(60000))
            sockets[fd].send(b"keepalive", PONG)
            self.assertEqual(sockets[fd].read_all(), said)
        for one in sockets.values():
            one.close()

    def test_nothing_comes_with_the_end_of_a_handshake(self):
        """ws4py, below pylxd, reads it by 128 bytes, and of the frames that come with the last of them only the first."""
        operation, fds = self.api.exec_start("box", ["echo", "said"])
        sockets = {}
        for fd in ("0", "1", "2"):
            sockets[fd] = socket.socket(socket.AF_UNIX)
            sockets[fd].settimeout(60)
            sockets[fd].connect(self.daemon.socket_path)
            sockets[fd].sendall((f"GET {operation}/websocket?secret={fds[fd]} HTTP/1.1\r\nHost: lxd\r\nConnection: Upgrade\r\n"
                                 "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                 "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        self.assertEqual(self.api.get(f"{operation}/wait")["metadata"]["return"], 0)
        for one in sockets.values():
            head = b""
            while b"\r\n\r\n" not in head:
                head += one.recv(128)
            self.assertRegex(head, rb"(?s)^HTTP/1\.1 101 .*\r\n\r\n\Z")
            one.close()

    def test_not_found_is_127_and_not_executable_126(self):
        self.assertEqual(self.api.exec("box", ["/no/such/program"])[0], 127)
        self.api.push("box", "/root/plain", b"data", mode="0644")
        self.assertEqual(self.api.exec("box", ["/root/plain"])[0], 126)

    def test_a_signal_becomes_128_plus_its_number(self):
        self.assertEqual(self.api.exec("box", ["sh", "-c", "kill -9 $$"])[0], 137)

    def test_environment(self):
        out = self.api.sh("box", "env", environment={"MINE": "a b"})
        for line in ("MINE=a b", "FROM_CONFIG=yes", "HOME=/root", "USER=root"):
            self.assertIn(line, out.splitlines())
        self.assertIn("/usr/bin", next(line for line in out.splitlines() if line.startswith("PATH=")))

    def test_user_group_and_directory(self):
        self.assertEqual(self.api.sh("box", "id -u; id -g; pwd", user=1000, group=1000, cwd="/tmp"), "1000\n1000\n/tmp")
        self.assertEqual(self.api.sh("box", "pwd"), "/root")

    def test_without_websockets_the_exit_code_is_in_the_operation(self):
        body = {"command": ["sh", "-c", "exit 3"], "wait-for-websocket": False, "interactive": False, "environment": {}}
        operation = self.api.do("POST", "/1.0/instances/box/exec", body)
        self.assertEqual(operation["metadata"]["return"], 3)

    def test_without_websockets_there_is_no_terminal(self):
        body = {"command": ["sh", "-c", "tty; cat; echo err >&2; exit 3"], "interactive": True, "record-output": True}
        operation = self.api.do("POST", "/1.0/instances/box/exec", body)
        self.assertEqual((operation["class"], operation["metadata"]["return"]), ("task", 3))
        for key, said in (("1", b"not a tty\n"), ("2", b"err\n")):
            url = operation["metadata"]["output"][key]
            self.assertEqual(self.api.raw("GET", url).body, said)
            self.api.call("DELETE", url)

    def test_a_directory_that_cannot_be_entered(self):
        """Root chooses it; what is not there is no failure."""
        self.api.sh("box", "mkdir -p -m 700 /root/own")
        for cwd, wanted in (("/nope", "/"), ("/etc/passwd", "/"), ("nope", "/"), ("tmp", "/tmp"), ("/root/own", "/root/own")):
            for user in (0, 1000):
                self.assertEqual(self.api.sh("box", "pwd", cwd=cwd, user=user), wanted)
        for home, wanted in (("/nope", "/"), ("/root/own", "/root/own")):
            self.assertEqual(self.api.sh("box", "pwd", environment={"HOME": home}, user=1000), wanted)

    def test_recorded_output(self):
        body = {"command": ["sh", "-c", "echo out; echo err >&2"], "wait-for-websocket": False, "interactive": False,
                "environment": {}, "record-output": True}
        operation = self.api.do("POST", "/1.0/instances/box/exec", body)
        output = operation["metadata"]["output"]
        self.assertEqual(self.api.raw("GET", output["1"]).body, b"out\n")
        self.assertEqual(self.api.raw("GET", output["2"]).body, b"err\n")
        for url in output.values():
            self.assertEqual(self.api.raw("DELETE", url).status, 200)
            self.assertGreaterEqual(self.api.raw("GET", url).status, 404)

    def test_a_signal_over_control_reaches_the_command(self):
        script = "trap 'echo caught; exit 5' TERM; echo up; while :; do sleep 0.1; done"
        operation, fds = self.api.exec_start("box", ["sh", "-c", script])
        control, stdin, out, err = (self.api.attach(operation, fds[fd]) for fd in ("control", "0", "1", "2"))
        with control, stdin, out, err:
            out.read_until(b"up\n")
            control.send(json.dumps({"command": "signal", "args": None, "signal": 15}))
            self.assertEqual(out.read_all(), b"caught\n")
            self.assertEqual(self.api.get(f"{operation}/wait")["metadata"]["return"], 5)

    def test_loss_of_the_control_socket_ends_the_command(self):
        operation, fds = self.api.exec_start("box", ["sleep", "1000"])
        sockets = {fd: self.api.attach(operation, fds[fd]) for fd in ("control", "0", "1", "2")}
        sockets["control"].socket.close()
        ended = self.api.get(f"{operation}/wait?timeout=20")
        self.assertGreaterEqual(ended["status_code"], 200)
        for fd in ("0", "1", "2"):
            sockets[fd].close()

    def test_a_secret_is_checked_and_works_once(self):
        operation, fds = self.api.exec_start("box", ["true"])
        with self.assertRaises(WebSocketRefused):
            self.api.attach(operation, "0" * 64)
        sockets = [self.api.attach(operation, fds["control"])]
        if self.daemon.kind == "lxmgr":  # LXD 5.0.2 lets a second one in
            with self.assertRaises(WebSocketRefused):
                self.api.attach(operation, fds["control"])
        sockets += [self.api.attach(operation, fds[fd]) for fd in ("0", "1", "2")]
        self.assertEqual(self.api.get(f"{operation}/wait?timeout=20")["metadata"]["return"], 0)
        for one in sockets:
            one.close()

    def test_exec_needs_a_running_instance(self):
        self.api.create("off", "tiny")
        self.assert_api_error(400, self.api.exec, "off", ["true"])
        self.assert_api_error(404, self.api.exec, "nobody", ["true"])

    def test_a_frozen_instance_is_said_to_be(self):
        self.api.launch("still", "tiny")
        self.api.set_state("still", "freeze")
        for what, body in (("exec", {"command": ["true"]}), ("console", {})):
            message = self.assert_api_error(400, self.api.call, "POST", f"/1.0/instances/still/{what}", body)
            self.assertEqual(message, "Instance is frozen")

    def test_an_empty_command_is_refused(self):
        if self.daemon.kind == "lxd":
            self.skipTest("LXD 5.0.2 accepts it and answers with exit code 127")
        self.assert_api_error(400, self.api.exec, "box", [])

    def test_a_hundred_at_once(self):
        results, errors = [], []

        def one(number):
            try:
                results.append(self.api.exec("box", ["sh", "-c", f"echo {number}; exit {number}"]))
            except Exception as error:  # reported by the assertion below
                errors.append(error)

        began = time.monotonic()
        threads = [threading.Thread(target=one, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        self.assertEqual(sorted((code, int(out)) for code, out, _ in results), [(n, n) for n in range(100)])
        self.assertLess(time.monotonic() - began, 300)


class TerminalTest(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.api.launch("box", "tiny")

    def open(self, command, **more):
        operation, fds = self.api.exec_start("box", command, interactive=True, **more)
        self.assertEqual(set(fds), {"0", "control"})
        control = self.api.attach(operation, fds["control"])
        return operation, control, self.api.attach(operation, fds["0"])

    def ended(self, operation):
        """The exit code; LXD ends an interactive operation when the client has closed its sockets."""
        return self.api.get(f"{operation}/wait?timeout=20")["metadata"]["return"]

    def test_size_resize_and_exit(self):
        operation, control, terminal = self.open(["sh"], width=91, height=33, environment={"TERM": "xterm"})
        with control, terminal:
            terminal.send(b"stty size; tty\n")
            self.assertIn(b"/dev/pts/", terminal.read_until(b"/dev/pts/"))
            control.send(json.dumps({"command": "window-resize", "args": {"width": "120", "height": "44"}, "signal": 0}))
            deadline = time.monotonic() + 60
            seen = b""
            while b"44 120" not in seen and time.monotonic() < deadline:
                terminal.send(b"stty size; echo done''done\n")
                seen = terminal.read_until(b"donedone")
            self.assertIn(b"44 120", seen)
            terminal.send(b"exit 9\n")
            terminal.read_all()
        self.assertEqual(self.ended(operation), 9)

    def test_the_end_of_input_is_typed(self):
        """`lxc exec -t` whose input is a file: who reads the terminal does not wait for ever, and nobody is hung up on."""
        for sent in (b"", b"line\n", b"half"):
            operation, control, terminal = self.open(["sh", "-c", "cat > /root/input; echo en''ded; exit 6"])
            with control, terminal:
                terminal.send(sent)
                terminal.end_of_input()
                self.assertIn(b"ended", terminal.read_all())
            self.assertEqual(self.ended(operation), 6)
            self.assertEqual(self.api.pull("box", "/root/input").body, sent)

    def test_control_c_interrupts_the_foreground(self):
        script = "trap 'echo inter''rupted; exit 4' INT; echo up; while :; do sleep 1; done"
        operation, control, terminal = self.open(["sh", "-c", script])
        with control, terminal:
            terminal.read_until(b"up")
            terminal.send(b"\x03")
            self.assertIn(b"interrupted", terminal.read_all())
        self.assertEqual(self.ended(operation), 4)

    def test_the_terminal_is_the_commands_own(self):
        operation, control, terminal = self.open(["sh", "-c", "tty; ps -o pid,tty,args 2>/dev/null; ls -l /proc/self/fd/0"])
        with control, terminal:
            self.assertIn(b"/dev/pts/", terminal.read_all())
        self.assertEqual(self.ended(operation), 0)


if __name__ == "__main__":
    main()
