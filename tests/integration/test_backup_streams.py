"""Backups that are imported while they come: nothing of them is kept beside what is made of them, whatever breaks."""
import json
import os
import socket
import tarfile
import time

from harness.case import DaemonCase, main
from harness.rest import PATIENCE

MIB = 1 << 20
NOISE = 8 * MIB
POOL = "/1.0/storage-pools/default/volumes/custom"
INDEX = b"""name: disk
pool: default
backend: dir
optimized: false
type: custom
config:
  volume:
    name: disk
    content_type: block
    config:
      size: 256MiB
"""


class Upload:
    """A request whose body a test sends bit by bit."""

    def __init__(self, api, path, length=None, **headers):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60 * PATIENCE)
        self.socket.connect(api.socket_path)
        self.chunked = length is None
        size = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {length}"
        more = "".join(f"X-LXD-{key}: {value}\r\n" for key, value in headers.items())
        self.socket.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
                            f"{more}{size}\r\n\r\n".encode())

    def send(self, data):
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def reply(self):
        """(status, envelope); also when the body has not been sent to its end."""
        head, _, body = self.read_until(b"\r\n\r\n").partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields[b"content-length"]):
            body += self.socket.recv(1 << 16)
        return int(head.split()[1]), json.loads(body)

    def read_until(self, mark):
        data = b""
        while mark not in data:
            more = self.socket.recv(1 << 16)
            if not more:
                raise ConnectionError("closed without an answer")
            data += more
        return data

    def end(self):
        if self.chunked:
            self.socket.sendall(b"0\r\n\r\n")
        return self.reply()

    def close(self):
        self.socket.close()


class StreamTest(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.api.create("one", "tiny")
        cls.noise = os.urandom(NOISE)
        cls.api.push("one", "/root/noise", cls.noise)
        cls.api.push("one", "/zlast", b"the end")
        cls.data = cls.backup("/1.0/instances/one")

    @classmethod
    def backup(cls, url):
        cls.api.do("POST", f"{url}/backups", {"name": "b", "compression_algorithm": "none"})
        data = cls.api.raw("GET", f"{url}/backups/b/export").body
        cls.api.do("DELETE", f"{url}/backups/b")
        return data

    def begin(self, length=None, path="/1.0/instances", name="two"):
        """An upload of which most has been sent, and been unpacked as far as that."""
        before = self.used()
        upload = Upload(self.api, path, length, name=name)
        self.addCleanup(upload.close)
        upload.send(self.data[:self.most()])
        deadline = time.monotonic() + 60 * PATIENCE
        while self.used() < before + NOISE - 2 * MIB:
            self.assertLess(time.monotonic(), deadline, "it is not unpacked as it comes")
            time.sleep(0.02)
        return upload

    def most(self):
        return self.data.index(self.noise) + NOISE - MIB // 2

    def inside(self, folder):
        return f"/proc/{self.daemon.sandbox.pid}/root{self.daemon.root}/{folder}"

    def used(self, folder="storage-pools"):
        total = 0
        for place, _, names in os.walk(self.inside(folder)):
            for name in names:
                try:
                    total += os.lstat(os.path.join(place, name)).st_blocks * 512
                except FileNotFoundError:
                    pass  # what was deleted goes in the background
        return total

    def operation(self):
        running, = self.api.get("/1.0/operations?recursion=1")["running"]
        return running

    def directories(self):
        return {(folder, name) for folder in ("containers", "snapshots", "custom", "tmp")
                for name in os.listdir(self.inside(f"storage-pools/default/{folder}")) if not name.startswith("trash-")}

    def assert_nothing_left(self, before):
        deadline = time.monotonic() + 60 * PATIENCE
        running = lambda: self.api.get("/1.0/operations").get("running")
        while (running() or self.directories() != before) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(running())
        self.assertEqual(self.directories(), before)
        self.assertEqual(self.daemon.instance_names(), ["one"])
        self.assertEqual(os.listdir(self.inside("tmp")), [])

    def test_it_is_unpacked_as_it_comes(self):
        for length in (None, len(self.data)):
            with self.subTest(length=length):
                elsewhere = self.used(".") - self.used()
                upload = self.begin(length)
                self.assertEqual(os.listdir(self.inside("tmp")), [])
                self.assertLess(self.used(".") - self.used(), elsewhere + NOISE // 2, "a copy is kept")
                operation = self.operation()
                upload.send(self.data[self.most():])
                status, reply = upload.end()
                self.assertEqual((status, reply["operation"]), (202, f"/1.0/operations/{operation['id']}"))
                self.api.wait(reply)
                self.assertEqual(self.api.pull("two", "/root/noise").body, self.noise)
                self.assertEqual(self.api.pull("two", "/zlast").body, b"the end")
                self.api.delete("two")

    def test_a_client_that_goes_leaves_nothing(self):
        before = self.directories()
        for length, more in ((None, 0), (len(self.data), 0), (None, len(self.data) - 1), (len(self.data), len(self.data) - 1)):
            with self.subTest(length=length, more=more):
                with self.api.events() as events:
                    upload = self.begin(length)
                    upload.send(self.data[self.most():more or self.most() + 1])
                    upload.close()
                    failed = events.wait_for(lambda e: e["type"] == "operation" and e["metadata"]["status"] == "Failure")
                self.assertIn("ends too early", failed["metadata"]["err"])
                self.assert_nothing_left(before)

    def test_who_may_no_longer_gets_nothing(self):
        """The project goes while the backup comes."""
        before = self.directories()
        shared = {"features.images": "false", "features.profiles": "false"}
        self.api.call("POST", "/1.0/projects", {"name": "p", "config": shared})
        upload = self.begin(path="/1.0/instances?project=p")
        self.api.call("DELETE", "/1.0/projects/p")
        upload.send(self.data[self.most():])
        status, reply = upload.end()
        self.assertEqual((status, reply["error"]), (404, "Project 'p' not found"))
        self.assert_nothing_left(before)

    def test_cancelled_on_the_way(self):
        before = self.directories()
        upload = self.begin()
        operation = self.operation()
        self.assertTrue(operation["may_cancel"])
        self.api.call("DELETE", f"/1.0/operations/{operation['id']}")
        self.assertEqual(self.api.get(f"/1.0/operations/{operation['id']}/wait?timeout=30")["status"], "Cancelled")
        status, reply = upload.reply()  # the client need not send more for it
        self.assertEqual(status, 202)
        self.assertIn(reply["metadata"]["status"], ("Cancelling", "Cancelled"))
        self.assert_nothing_left(before)

    def test_what_is_no_backup_is_refused_at_once(self):
        before = self.directories()
        for path in ("/1.0/instances", POOL):
            upload = Upload(self.api, path, 1 << 40)
            upload.send(b"nonsense" * (MIB // 8))
            self.assertEqual(upload.reply()[0], 400)
            upload.close()
        self.assert_nothing_left(before)

    def memory(self, key):
        with open(f"/proc/{self.daemon.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith(key))

    def test_memory_stays_flat(self):
        """A disk of 256 MiB, half of it holes to be."""
        size, piece = 256 * MIB, os.urandom(MIB // 2) + bytes(MIB // 2)
        with open(f"/proc/{self.daemon.process.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # the peak begins anew, proc_pid_clear_refs(5)
        before = self.memory("VmHWM")
        upload = Upload(self.api, POOL)
        self.addCleanup(upload.close)
        upload.send(self.header("backup/index.yaml", len(INDEX)) + INDEX.ljust(-len(INDEX) // 512 * -512, b"\0"))
        upload.send(self.header("backup/volume.img", size))
        for _ in range(size // MIB):
            upload.send(piece)
        upload.send(bytes(1024))
        self.assertEqual(os.listdir(self.inside("tmp")), [])
        self.api.wait(upload.end()[1])
        self.assertLess(self.memory("VmHWM") - before, 24 * MIB)
        self.assertEqual(self.api.get(f"{POOL}/disk")["content_type"], "block")
        self.api.do("DELETE", f"{POOL}/disk")

    @staticmethod
    def header(name, size):
        info = tarfile.TarInfo(name)
        info.size = size
        return info.tobuf()


if __name__ == "__main__":
    main()
