"""proxy devices: forwarders between host and instance, which outlive the daemon and end with the instance."""
import ast
import os
import signal
import subprocess
import textwrap
import threading
import time

from harness.case import DaemonCase, main
from harness.clients import lxc
from harness.pause import Pause
from harness.sandbox import read


class ProxyTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.servers = []
        self.api.launch("box", "tiny")

    def proxy(self, listen, connect, **keys):
        return {"type": "proxy", "listen": listen, "connect": connect,
                **{key.replace("__", "."): value for key, value in keys.items()}}

    def forwarders(self, device):
        """Of this daemon: others of the machine have a "box" too."""
        return [pid for pid in self.daemon.sandbox.processes()
                if f"lxmgr-proxy box/{device}" in read(f"/proc/{pid}/cmdline").replace("\0", " ")]

    def python(self, script, *arguments):
        """A script on the daemon's side of the network."""
        done = subprocess.run(self.daemon.sandbox.command(["python3", "-c", textwrap.dedent(script), *arguments]),
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    SERVER = """
        import socket, sys, threading
        port, reply = int(sys.argv[1]), sys.argv[2]
        def serve(c):
            if reply == "PROXY":
                print(repr(c.makefile("rb").read()), flush=True)
            elif reply:
                c.sendall(reply.encode())
            else:
                while data := c.recv(1 << 16):
                    c.sendall(data)
            c.close()
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", port))
        def datagrams():
            while True:
                data, who = u.recvfrom(1 << 16)
                u.sendto(data, who)
        threading.Thread(target=datagrams, daemon=True).start()
        s = socket.create_server(("127.0.0.1", port), backlog=512); print("up", flush=True)
        while True:
            threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
    """

    def inside(self, *argv):
        """A command of the host in the instance's network."""
        return ["nsenter", "-t", str(self.api.state("box")["pid"]), "-n", "--", *argv]

    def serve(self, port, reply="", command=None):
        """A server inside (or where `command` runs it) that echoes, or sends `reply`."""
        run = command or self.inside
        server = subprocess.Popen(run("python3", "-c", textwrap.dedent(self.SERVER), str(port), reply),
                                  stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.servers.append(server)
        self.assertEqual(server.stdout.readline(), b"up\n")
        return server

    def tearDown(self):
        for server in self.servers:  # a leak check follows
            server.kill()
            server.wait()
        super().tearDown()

    ECHO = """
        import socket, sys
        kind, where = sys.argv[1], sys.argv[2]
        if kind == "unix":
            s = socket.socket(socket.AF_UNIX); s.connect(where.replace("@", "\\0"))
        else:
            s = socket.create_connection((kind, int(where)), 10)
        data = sys.argv[3].encode() * int(sys.argv[4])
        import threading
        threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
        got = b""
        while True:
            part = s.recv(1 << 16)
            if not part: break
            got += part
        assert got == data, (len(got), len(data), got[:50])
        print("ok")
    """

    def test_tcp_with_half_close_and_bulk(self):
        self.serve(7000)
        self.api.update("box", devices={"web": self.proxy("tcp:127.0.0.1:8000", "tcp:127.0.0.1:7000")})
        self.assertEqual(self.python(self.ECHO, "127.0.0.1", "8000", "hello", "1"), "ok")
        self.assertEqual(self.python(self.ECHO, "127.0.0.1", "8000", "0123456789abcdef", "500000"), "ok")
        self.api.update("box", devices={"web": None})
        self.python("""
            import socket
            try:
                socket.create_connection(("127.0.0.1", 8000), 5)
            except ConnectionRefusedError:
                raise SystemExit(0)
            raise SystemExit(1)
        """)

    def test_ranges(self):
        self.serve(7001, "one")
        self.serve(7002, "two")
        self.api.update("box", devices={"web": self.proxy("tcp:127.0.0.1:8001-8002", "tcp:127.0.0.1:7001,7002")})
        answers = self.python("""
            import socket
            for port in (8001, 8002):
                print(socket.create_connection(("127.0.0.1", port), 5).makefile().read().strip())
        """)
        self.assertEqual(answers.split(), ["one", "two"])

    def test_it_outlives_the_daemon_and_ends_with_the_instance(self):
        self.serve(7003)
        self.api.update("box", devices={"web": self.proxy("tcp:127.0.0.1:8003", "tcp:127.0.0.1:7003")})
        self.daemon.kill()
        self.assertEqual(self.python(self.ECHO, "127.0.0.1", "8003", "alone", "3"), "ok")
        self.daemon.start()
        self.assertEqual(self.python(self.ECHO, "127.0.0.1", "8003", "again", "3"), "ok")
        self.api.stop("box")
        self.assertEqual(self.forwarders("web"), [])
        self.api.start("box")
        self.serve(7003)
        self.assertEqual(self.python(self.ECHO, "127.0.0.1", "8003", "anew", "3"), "ok")

    def test_one_that_a_crash_left_is_ended(self):
        self.daemon.kill()
        self.daemon.start(environment={"LXMGR_FAILPOINT": "devices.proxy_started"})
        with self.assertRaises(Exception):
            self.api.update("box", devices={"web": self.proxy("tcp:127.0.0.1:8004", "tcp:127.0.0.1:7004")})
        self.daemon.wait_dead()
        self.daemon.start()
        self.assertNotIn("web", self.api.instance("box")["devices"])
        self.assertEqual(self.forwarders("web"), [])

    def add(self, devices):
        """In a thread of its own."""
        self.api.update("box", devices=devices)
        self.api.close()

    def test_the_instance_ends_while_one_is_added(self):
        nat = self.proxy("tcp:192.0.2.1:8017", "tcp:0.0.0.0:80", nat="true")
        with Pause(self.daemon, "devices.proxy_nat") as pause:
            adding = threading.Thread(target=self.add, args=({"nat": nat},))
            adding.start()
            pause.wait()
            turns = pause.reached("instances.turn.wanted")
            os.kill(self.api.state("box")["pid"], signal.SIGKILL)
            deadline = time.monotonic() + 30
            # Either the end waits its turn, or it is over before the device is there.
            while pause.reached("instances.turn.wanted") == turns and not pause.reached("instances.exit.told"):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            pause.go_on()
            adding.join()
            self.api.wait_status("box", "Stopped")
            self.assertIn("nat", self.api.instance("box")["devices"])
            self.assertNotIn("8017", self.daemon.sandbox.run("nft", "list", "ruleset"))

    def test_unix_and_abstract(self):
        path = os.path.join(self.daemon.base, "front.sock")
        self.serve(7005)
        self.api.update("box", devices={
            "a": self.proxy(f"unix:{path}", "tcp:127.0.0.1:7005", mode="0600", uid="12", gid="13"),
            "b": self.proxy("unix:@front", "tcp:127.0.0.1:7005")})
        status = os.stat(path)
        self.assertEqual((status.st_mode & 0o777, status.st_uid, status.st_gid), (0o600, 12, 13))
        self.assertEqual(self.python(self.ECHO, "unix", path, "by path", "1"), "ok")
        self.assertEqual(self.python(self.ECHO, "unix", "@front", "by name", "1"), "ok")
        self.api.update("box", devices={"a": None, "b": None})
        self.assertFalse(os.path.exists(path))

    def test_who_the_forwarder_is(self):
        self.api.update("box", devices={"web": self.proxy("tcp:127.0.0.1:8009", "tcp:127.0.0.1:7009",
                                                          **{"security.uid": "12", "security.gid": "13"})})
        pid = self.forwarders("web")[0]
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        with open(f"/proc/{self.api.state('box')['pid']}/uid_map", encoding="utf-8") as file:
            base = int(file.read().split()[1])
        self.assertEqual((status["Uid"].split()[0], status["Gid"].split()[0]), (str(base + 12), str(base + 13)))
        self.assertEqual(status["CapEff"], "0" * 16)
        self.api.update("box", devices={"web": None})

    def test_bound_in_the_instance(self):
        self.serve(9000, "from the host", lambda *argv: self.daemon.sandbox.command(argv))
        self.api.update("box", devices={"in": self.proxy("tcp:127.0.0.1:7006", "tcp:127.0.0.1:9000", bind="instance")})
        self.assertEqual(self.api.sh("box", "nc -w 5 127.0.0.1 7006 < /dev/null"), "from the host")
        self.api.update("box", devices={"in": self.proxy("unix:/run/host.sock", "tcp:127.0.0.1:9000", bind="guest",
                                                         uid="3", mode="0660")})
        self.assertEqual(self.api.sh("box", "stat -c '%u %a' /run/host.sock"), "3 660")
        self.api.update("box", devices={"in": None})
        self.assertEqual(self.api.sh("box", "ls /run | grep host.sock || true"), "")

    def test_proxy_protocol(self):
        server = self.serve(7007, "PROXY")
        self.api.update("box", devices={"web": self.proxy("tcp:127.0.0.1:8007", "tcp:127.0.0.1:7007", proxy_protocol="true")})
        port = self.python("""
            import socket
            s = socket.create_connection(("127.0.0.1", 8007), 5)
            print(s.getsockname()[1]); s.sendall(b"body"); s.shutdown(socket.SHUT_WR); s.recv(1)
        """)
        expected = f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} 8007\r\nbody"
        self.assertEqual(ast.literal_eval(server.stdout.readline().decode()), expected.encode())

    def test_udp(self):
        self.serve(7008)
        self.api.update("box", devices={"dns": self.proxy("udp:127.0.0.1:8008", "udp:127.0.0.1:7008")})
        self.python("""
            import socket
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10)
            s.connect(("127.0.0.1", 8008)); s.send(b"ping"); assert s.recv(100) == b"ping"
        """)

    def test_any_address_is_of_both_families(self):
        server = self.serve(7013, "PROXY")
        self.serve(7014)
        self.api.update("box", devices={"web": self.proxy("tcp:[::]:8013", "tcp:127.0.0.1:7013", proxy_protocol="true"),
                                        "dns": self.proxy("udp:[::]:8014", "udp:127.0.0.1:7014")})
        for address, family in (("127.0.0.1", "TCP4"), ("::1", "TCP6")):
            with self.subTest(address=address):
                port = self.python("""
                    import socket, sys
                    s = socket.create_connection((sys.argv[1], 8013), 5)
                    print(s.getsockname()[1]); s.sendall(b"body"); s.shutdown(socket.SHUT_WR); s.recv(1)
                    kind = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
                    s = socket.socket(kind, socket.SOCK_DGRAM); s.settimeout(10)
                    s.connect((sys.argv[1], 8014)); s.send(b"ping"); assert s.recv(100) == b"ping"
                """, address)
                expected = f"PROXY {family} {address} {address} {port} 8013\r\nbody"
                self.assertEqual(ast.literal_eval(server.stdout.readline().decode()), expected.encode())

    def test_one_port_for_each_family(self):
        """By two devices, whichever of them comes first."""
        self.serve(7015, "six")
        self.serve(7016, "four")
        six, four = self.proxy("tcp:[::]:8015", "tcp:127.0.0.1:7015"), self.proxy("tcp:0.0.0.0:8015", "tcp:127.0.0.1:7016")
        for devices, hot in (({"a": four, "b": six}, True), ({"a": six, "b": four}, True), ({"a": six, "b": four}, False)):
            with self.subTest(first=devices["a"]["listen"], hot=hot):
                self.api.update("box", devices={"a": None, "b": None})
                if not hot:  # at a start, when all are known
                    self.api.stop("box")
                    self.api.update("box", devices=devices)
                    self.api.start("box")
                    self.serve(7015, "six")
                    self.serve(7016, "four")
                else:
                    self.api.update("box", devices=devices)
                self.assertEqual(self.python("""
                    import socket
                    for address in ("127.0.0.1", "::1"):
                        print(socket.create_connection((address, 8015), 5).recv(100).decode())
                """).split(), ["four", "six"])

    def test_bad_input(self):
        good = self.proxy("tcp:127.0.0.1:8010", "tcp:127.0.0.1:7010")
        for change in ({"listen": "tcp:127.0.0.1"}, {"listen": "tcp:127.0.0.1:0"}, {"listen": "tcp:host:80"},
                       {"listen": "http:1"},
                       {"listen": "udp:127.0.0.1:80"}, {"connect": "tcp:127.0.0.1:1-2"}, {"connect": "unix:relative"},
                       {"bind": "moon"}, {"nat": "true"}, {"uid": "0"}, {"listen": "tcp:127.0.0.1:1-60000"},
                       {"proxy_protocol": "maybe"}, {"listen": "unix:/a/../b"}):
            with self.subTest(change=change):
                self.assert_api_error(400, self.api.update, "box", devices={"x": {**good, **change}})
        self.assertNotIn("x", self.api.instance("box")["devices"])

    def test_a_taken_port_leaves_nothing(self):
        self.api.update("box", devices={"one": self.proxy("tcp:127.0.0.1:8011", "tcp:127.0.0.1:7011")})
        with self.assertRaises(Exception):
            self.api.update("box", devices={"two": self.proxy("tcp:127.0.0.1:8011", "tcp:127.0.0.1:7011")})
        self.assertNotIn("two", self.api.instance("box")["devices"])
        self.assertEqual(self.forwarders("two"), [])

    def test_by_the_stock_client(self):
        client = lxc(self.daemon)
        self.serve(7012)
        client("config", "device", "add", "box", "web", "proxy", "listen=tcp:127.0.0.1:8012", "connect=tcp:127.0.0.1:7012")
        self.assertEqual(self.python(self.ECHO, "127.0.0.1", "8012", "hello", "1"), "ok")
        client("config", "device", "remove", "box", "web")


if __name__ == "__main__":
    main()
