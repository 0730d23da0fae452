"""Keys of the server: what each does, seen from outside."""
import os
import signal
import subprocess
import sys

from harness import streams
from harness.case import DaemonCase, main
from harness.daemon import read
from harness.rest import ApiError
from harness.streams_case import StreamsCase

# A proxy for TLS (CONNECT) that writes down where it was asked to go.
PROXY = """
import socket, sys, threading
def pump(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
def serve(client):
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        head += client.recv(4096)
    target = head.split()[1].decode()
    print(target, file=open(sys.argv[1], "a"), flush=True)
    host, port = target.split(":")
    server = socket.create_connection((host, int(port)))
    client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)
listener = socket.create_server(("127.0.0.1", 3128))
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


class ImageKeysTest(StreamsCase):
    def tearDown(self):
        self.api.call("PUT", "/1.0", {"config": {}})
        super().tearDown()

    def fetch_and_drop(self):
        self.api.do("DELETE", f"/1.0/images/{self.fetch('24.04')}")

    def test_proxy(self):
        log = os.path.join(self.daemon.base, "proxy.log")
        proxy = subprocess.Popen(self.daemon.sandbox.command([sys.executable, "-c", PROXY, log]), stdout=subprocess.PIPE)
        try:
            self.assertEqual(proxy.stdout.readline(), b"ready\n")
            self.streams.ubuntu_layout()
            self.fetch_and_drop()
            self.assertFalse(os.path.exists(log))
            self.api.call("PATCH", "/1.0", {"config": {"core.proxy_http": "http://127.0.0.1:3128"}})
            self.fetch_and_drop()  # which is over https
            self.assertFalse(os.path.exists(log))
            self.api.call("PATCH", "/1.0", {"config": {"core.proxy_https": "http://127.0.0.1:3128"}})
            self.fetch_and_drop()
            asked = read(log)
            self.assertEqual(set(asked.splitlines()), {f"127.0.0.1:{streams.PORT}"})
            self.api.call("PATCH", "/1.0", {"config": {"core.proxy_ignore_hosts": "example.org,127.0.0.1"}})
            self.fetch_and_drop()
            self.assertEqual(read(log), asked)
        finally:
            proxy.kill()
            proxy.wait()
            proxy.stdout.close()
        self.api.call("PATCH", "/1.0", {"config": {"core.proxy_ignore_hosts": ""}})
        with self.assertRaises(ApiError):  # and not past the proxy
            self.fetch_and_drop()

    def shut_down_while_fetching(self, **variables):
        """Whether the daemon would not wait for the operation's end by itself. `variables` are of its environment."""
        self.daemon.terminate()
        self.daemon.start(environment=variables)
        before = len(read(self.daemon.log_path))
        self.streams.ubuntu_layout()
        self.streams.behave({".squashfs": "stall"})
        operation = self.api.call("POST", "/1.0/images", {"source": self.source("24.04")})["operation"].split("?")[0]
        while ".squashfs" not in str(self.streams.requests()):
            self.assertEqual(self.api.get(operation)["status"], "Running")
        self.assertEqual(self.daemon.terminate(signal.SIGPWR, 60), 0)
        self.streams.behave({})
        self.streams.forget_log()
        said = read(self.daemon.log_path)[before:]
        self.daemon.start()
        self.assertEqual(self.api.get("/1.0/images"), [])
        self.assertNotIn("operations were still running", said)  # but ended when it was asked to
        return "they are asked to end" in said

    def test_shutdown_timeout(self):
        # It gives a server up after some seconds without a byte.
        self.assertFalse(self.shut_down_while_fetching(LXMGR_FAILPOINT="image-web-impatient:error"))
        self.api.call("PATCH", "/1.0", {"config": {"core.shutdown_timeout": "0"}})
        self.assertTrue(self.shut_down_while_fetching())


class NameKeysTest(DaemonCase):
    def tearDown(self):
        self.api.call("PUT", "/1.0", {"config": {}})
        super().tearDown()

    def test_host_names_after_mac(self):
        self.api.call("PATCH", "/1.0", {"config": {"instances.nic.host_name": "mac"}})
        self.api.launch("box", "tiny")
        config = self.api.instance("box")["config"]
        wanted = "lxm" + config["volatile.eth0.hwaddr"].replace(":", "")[2:]
        self.assertEqual(config["volatile.eth0.host_name"], wanted)
        self.assertIn(wanted, self.api.state("box")["network"]["eth0"]["host_name"])
        for _ in range(5):  # the same name at once again, while the kernel still takes the one before away
            self.api.do("PUT", "/1.0/instances/box/state", {"action": "restart", "force": True, "timeout": 10})
            links = subprocess.run(self.daemon.sandbox.command(["ip", "-o", "link", "show", wanted]), text=True,
                                   capture_output=True, check=True)
            self.assertIn("UP", links.stdout)
        self.api.call("PUT", "/1.0", {"config": {"instances.nic.host_name": "random"}})
        self.api.stop("box")
        self.api.start("box")
        self.assertTrue(self.api.instance("box")["config"]["volatile.eth0.host_name"].startswith("veth"))
        self.assert_api_error(400, self.api.call, "PATCH", "/1.0", {"config": {"instances.nic.host_name": "dns"}})

    def compression(self, project):
        backup = "/1.0/instances/box/backups"
        self.api.do("POST", f"{backup}?project={project}", {"name": "b"})
        data = self.api.raw("GET", f"{backup}/b/export?project={project}").body
        self.api.do("DELETE", f"{backup}/b?project={project}")
        return {b"\x1f\x8b": "gzip", b"\xfd7": "xz", b"\x28\xb5": "zstd"}.get(data[:2], "none")

    def image_compression(self, project):
        source = {"type": "instance", "name": "box"}
        operation = self.api.do("POST", f"/1.0/images?project={project}", {"source": source})
        image = f"/1.0/images/{operation['metadata']['fingerprint']}"
        data = self.api.raw("GET", f"{image}/export?project={project}").body
        self.api.do("DELETE", f"{image}?project={project}")
        return {b"\x1f\x8b": "gzip", b"\xfd7": "xz", b"\x28\xb5": "zstd"}.get(data[:2], "none")

    def test_compression(self):
        self.api.call("POST", "/1.0/projects", {"name": "web", "config": {"features.images": "true", "features.profiles": "false",
                                                                         "images.compression_algorithm": "xz"}})
        self.api.create("box", "tiny")
        try:
            self.api.do("POST", "/1.0/instances?project=web", {"name": "box", "source": {"type": "none"}})
            self.assertEqual([self.compression(project) for project in ("default", "web")], ["gzip", "gzip"])
            self.assertEqual([self.image_compression(project) for project in ("default", "web")], ["gzip", "xz"])
            self.api.call("PATCH", "/1.0", {"config": {"backups.compression_algorithm": "zstd"}})
            self.assertEqual([self.compression(project) for project in ("default", "web")], ["zstd", "zstd"])
            self.api.call("PATCH", "/1.0/projects/web", {"config": {"backups.compression_algorithm": "none"}})
            self.assertEqual([self.compression(project) for project in ("default", "web")], ["zstd", "none"])
            self.assert_api_error(400, self.api.call, "PATCH", "/1.0/projects/web",
                                  {"config": {"backups.compression_algorithm": "squashfs"}})
        finally:
            self.api.do("DELETE", "/1.0/instances/box?project=web")
            self.api.call("DELETE", "/1.0/projects/web")


main()
