"""files: every type and header, append, big ones, stopped and running, and hostile links."""
import hashlib
import os
import socket

from harness import sandbox, sftp
from harness.case import DaemonCase, main
from harness.rest import UnixConnection

SECRET = "host secret"


class FilesCases:
    """The same for a running and for a stopped instance; `self.name` is the instance."""

    def headers(self, path):
        reply = self.api.pull(self.name, path)
        return {key: reply.headers[f"X-LXD-{key}"] for key in ("uid", "gid", "mode", "type")}

    def test_a_file_there_and_back(self):
        data = os.urandom(100_000)
        self.api.push(self.name, "/root/data", data, uid=1000, gid=100, mode="0640", type="file")
        reply = self.api.pull(self.name, "/root/data")
        self.assertEqual(reply.body, data)
        self.assertEqual(self.headers("/root/data"), {"uid": "1000", "gid": "100", "mode": "0640", "type": "file"})
        self.assertIn("octet-stream", reply.headers["Content-Type"])
        self.assertEqual(reply.headers["Content-Length"], str(len(data)))

    def test_overwrite_keeps_owner_and_mode(self):
        self.api.push(self.name, "/root/keep", b"a longer first", uid=5, gid=6, mode="0600")
        self.api.push(self.name, "/root/keep", b"second", type="file")
        self.assertEqual(self.api.pull(self.name, "/root/keep").body, b"second")
        self.assertEqual(self.headers("/root/keep")["uid"], "5")
        self.assertEqual(self.headers("/root/keep")["mode"], "0600")

    def test_owner_and_mode_are_for_what_is_made(self):
        """As LXD: else `lxc file push -r tmp NAME/` would give the instance's /tmp the mode of the caller's."""
        self.api.push(self.name, "/root/kept", b"1", uid=5, gid=6, mode="0600")
        for how in ("overwrite", "append"):
            self.api.push(self.name, "/root/kept", b"2", uid=7, gid=8, mode="0666", write=how)
            self.assertEqual(self.headers("/root/kept"), {"uid": "5", "gid": "6", "mode": "0600", "type": "file"})
        self.api.push(self.name, "/root/to-tmp", b"/tmp", type="symlink")
        for path in ("/tmp", "/", "/root/to-tmp"):
            self.api.push(self.name, path, type="directory", uid=7, gid=8, mode="0700")
        self.assertEqual(self.headers("/tmp"), {"uid": "0", "gid": "0", "mode": "1777", "type": "directory"})
        self.assertEqual(self.headers("/")["uid"], "0")
        self.api.push(self.name, "/root/kept", b"3", uid=7, gid=8, mode="0640", **{"modify-perm": "uid,mode"})
        self.assertEqual(self.headers("/root/kept"), {"uid": "7", "gid": "6", "mode": "0640", "type": "file"})

    def test_events(self):
        with self.api.events() as events:
            self.api.push(self.name, "/root/told", b"x")
            self.api.pull(self.name, "/root/told")
            self.api.call("DELETE", self.api.file_target(self.name, "/root/told"))
            for action in ("pushed", "retrieved", "deleted"):
                event = events.wait_action(f"instance-file-{action}", self.name)
                self.assertEqual(event["metadata"]["context"], {"path": "/root/told"})

    def test_append(self):
        self.api.push(self.name, "/root/log", b"one\n")
        self.api.push(self.name, "/root/log", b"two\n", write="append")
        self.assertEqual(self.api.pull(self.name, "/root/log").body, b"one\ntwo\n")

    def test_directories(self):
        self.api.push(self.name, "/root/dir", type="directory", mode="0750", uid=7, gid=8)
        self.api.push(self.name, "/root/dir/b", b"")
        self.api.push(self.name, "/root/dir/a", b"")
        reply = self.api.raw("GET", self.api.file_target(self.name, "/root/dir"))
        self.assertEqual(reply.headers["X-LXD-type"], "directory")
        self.assertEqual(reply.headers["X-LXD-mode"], "0750")
        self.assertEqual(sorted(reply.metadata), ["a", "b"])

    def test_a_directory_that_is_not_empty_stays(self):
        self.api.push(self.name, "/root/full", type="directory")
        self.api.push(self.name, "/root/full/file", b"x")
        self.assertGreaterEqual(self.api.raw("DELETE", self.api.file_target(self.name, "/root/full")).status, 400)
        self.assertEqual(self.api.pull(self.name, "/root/full/file").body, b"x")

    def test_symlinks(self):
        self.api.push(self.name, "/root/target", b"content")
        self.api.push(self.name, "/root/link", b"/root/target", type="symlink")
        reply = self.api.raw("GET", self.api.file_target(self.name, "/root/link"))
        self.assertEqual((reply.headers["X-LXD-type"], reply.body), ("symlink", b"/root/target"))

    def test_head(self):
        self.api.push(self.name, "/root/head", b"12345")
        reply = self.api.raw("HEAD", self.api.file_target(self.name, "/root/head"))
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertEqual(reply.headers["X-LXD-type"], "file")

    def test_delete(self):
        self.api.push(self.name, "/root/gone", b"x")
        self.assertEqual(self.api.raw("DELETE", self.api.file_target(self.name, "/root/gone")).status, 200)
        self.assertEqual(self.api.raw("GET", self.api.file_target(self.name, "/root/gone")).status, 404)
        self.assertEqual(self.api.raw("DELETE", self.api.file_target(self.name, "/root/gone")).status, 404)

    def test_a_missing_parent_is_an_error(self):
        self.assertEqual(self.api.raw("POST", self.api.file_target(self.name, "/none/such/file"), b"x").status, 404)

    def test_odd_names(self):
        for name in ("with space", "per%cent", "üñï", "a&b=c", "new\nline"):
            with self.subTest(name=name):
                self.api.push(self.name, f"/root/{name}", name.encode())
                self.assertEqual(self.api.pull(self.name, f"/root/{name}").body, name.encode())

    def test_hostile_links_stay_inside(self):
        """A link that points out of the root resolves inside the instance's own root, never on the host."""
        host = os.path.join(self.daemon.base, "host-file")
        with open(host, "w", encoding="utf-8") as file:
            file.write(SECRET)
        for number, target in enumerate((host, "/../../../.." + host, "../../../../../../../.." + host,
                                         "/proc/1/root" + host, "/proc/self/root" + host, "/proc/self/cwd/x")):
            with self.subTest(target=target):
                link = f"/root/evil{number}"
                self.api.push(self.name, link, target.encode(), type="symlink")
                self.api.push(self.name, f"/root/evildir{number}", os.path.dirname(target).encode(), type="symlink")
                for path in (link, f"/root/evildir{number}/host-file"):
                    reply = self.api.raw("GET", self.api.file_target(self.name, path))
                    self.assertNotIn(SECRET.encode(), reply.body)
                    self.api.raw("POST", self.api.file_target(self.name, path), b"overwritten", {"X-LXD-type": "file"})
                    self.api.raw("DELETE", self.api.file_target(self.name, path))
        with open(host, encoding="utf-8") as file:
            self.assertEqual(file.read(), SECRET)

    def send(self, path, size, body):
        """A push of `size` bytes of which `body` is sent, with a request behind it in the same breath."""
        connection = UnixConnection(self.daemon.socket_path, 30)
        self.addCleanup(connection.close)
        connection.connect()
        head = f"POST {self.api.file_target(self.name, path)} HTTP/1.1\r\nHost: lxd\r\nX-LXD-type: file\r\n" \
               f"Content-Length: {size}\r\n\r\n"
        connection.sock.sendall(head.encode() + body)
        return connection.sock

    def test_a_request_behind_a_big_body(self):
        body = os.urandom(3 << 20)
        sock = self.send("/root/big", len(body), body + b"GET /1.0/instances HTTP/1.1\r\nHost: lxd\r\n\r\n")
        seen = b""
        while seen.count(b"HTTP/1.1 200 OK") < 2 or not seen.rstrip().endswith(b"}"):
            got = sock.recv(1 << 16)
            self.assertTrue(got, seen)
            seen += got
        self.assertIn(b'/1.0/instances/', seen)
        self.assertEqual(self.api.pull(self.name, "/root/big").body, body)

    def test_a_body_that_is_cut_off_leaves_all_as_it_was(self):
        self.api.push(self.name, "/root/old", b"old")
        for path in ("/root/new", "/root/old"):
            sock = self.send(path, 3 << 20, os.urandom(2 << 20))
            sock.shutdown(socket.SHUT_WR)
            answer = b""
            while got := sock.recv(1 << 16):
                answer += got
            self.assertIn(b"HTTP/1.1 400", answer)
            self.assertIn(b"ends too early", answer)
        self.assertEqual(self.api.raw("GET", self.api.file_target(self.name, "/root/new")).status, 404)
        self.assertEqual(self.api.pull(self.name, "/root/old").body, b"old")


class StoppedFilesTest(FilesCases, DaemonCase):
    name = "box"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.api.create("box", "tiny")


class RunningOnDirTest(FilesCases, DaemonCase):
    """The root is an idmapped mount of a plain directory: the kernel takes only ids that its map has."""
    name = "box"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.api.do("POST", "/1.0/storage-pools", {"name": "plain", "driver": "dir"})
        cls.api.launch("box", "tiny", devices={"root": {"type": "disk", "path": "/", "pool": "plain"}})

    @classmethod
    def tearDownClass(cls):
        cls.api.stop("box")
        cls.api.delete("box")
        cls.api.do("DELETE", "/1.0/storage-pools/plain")
        super().tearDownClass()


class RunningFilesTest(FilesCases, DaemonCase):
    name = "box"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.api.launch("box", "tiny")

    def test_on_an_attached_volume(self):
        self.api.do("POST", "/1.0/storage-pools/default/volumes/custom", {"name": "data"})
        self.api.update("box", devices={"data": {"type": "disk", "pool": "default", "source": "data", "path": "/data"}})
        self.addCleanup(self.api.do, "DELETE", "/1.0/storage-pools/default/volumes/custom/data")
        self.addCleanup(self.api.update, "box", devices={"data": None})
        self.api.push("box", "/data/new", b"x" * 70000, uid=1000)
        self.assertEqual(self.api.sh("box", "stat -c '%u %s' /data/new"), "1000 70000")
        reply = self.api.raw("DELETE", self.api.file_target("box", "/data"))
        self.assertEqual(reply.status, 400, reply.json)
        self.assertEqual(self.api.sh("box", "cat /data/new | wc -c").strip(), "70000")

    def test_links_to_what_the_host_owns(self):
        """A user inside makes links on a disk whose ids are the host's; nobody's files there follow the daemon's rights."""
        shared = os.path.join(self.daemon.base, "shared")
        os.makedirs(os.path.join(shared, "open"))
        os.chmod(os.path.join(shared, "open"), 0o777)
        for name, mode in (("secret", 0o600), ("told", 0o644)):
            with open(os.path.join(shared, name), "w", encoding="utf-8") as file:
                file.write(name)
            os.chmod(file.name, mode)
        self.api.update("box", devices={"host": {"type": "disk", "source": shared, "path": "/host"}})
        self.addCleanup(self.api.update, "box", devices={"host": None})
        self.api.sh("box", "mkdir -p /srv/links; cd /srv/links; for n in secret told new; do ln -sf /host/$n $n; done; "
                           "ln -sfn /host dir")
        self.assertEqual(self.api.pull("box", "/srv/links/dir/told").body, b"told")
        self.assert_api_error(403, self.api.pull, "box", "/srv/links/dir/secret")
        for path in ("/srv/links/secret", "/srv/links/told", "/srv/links/new", "/srv/links/dir/made"):
            message = self.assert_api_error(403, self.api.push, "box", path, b"mine", uid=0)
            self.assertIn("a user of the host", message)
        self.assert_api_error(403, self.api.call, "DELETE", self.api.file_target("box", "/srv/links/dir/told"))
        with sftp.Sftp(self.daemon.socket_path, "box") as client:
            for call in (lambda: client.read("/srv/links/secret"), lambda: client.write("/srv/links/dir/told", b"mine"),
                         lambda: client.write("/srv/links/new", b"mine")):
                with self.assertRaises(sftp.SftpError):
                    call()
        self.assertEqual(sorted(os.listdir(shared)), ["open", "secret", "told"])
        self.assertEqual((os.stat(shared + "/told").st_uid, sandbox.read(shared + "/told")), (0, "told"))
        self.api.push("box", "/host/open/mine", b"x", uid=0)
        self.assertEqual(sandbox.read(shared + "/open/mine"), "x")

    def test_what_is_mounted_stays(self):
        """The kernel lets another mount namespace remove the place of a mount, and the mount goes with it."""
        for path, headers in (("/proc", {}), ("/dev/pts", {}), ("/proc", {"X-LXD-recursive": "true"})):
            reply = self.api.raw("DELETE", self.api.file_target("box", path), headers=headers)
            self.assertEqual(reply.status, 400, (path, reply.json))
        self.assertIn("Name:", self.api.sh("box", "cat /proc/1/status"))

    def test_owner_inside_is_what_was_asked(self):
        self.api.push("box", "/root/owned", b"x", uid=1000, gid=1000, mode="0600")
        self.assertEqual(self.api.sh("box", "stat -c '%u %g %a' /root/owned"), "1000 1000 600")

    def test_files_of_a_tmpfs_inside_are_seen(self):
        self.api.sh("box", "mkdir -p /mnt/t && mount -t tmpfs none /mnt/t && echo in > /mnt/t/file")
        self.assertEqual(self.api.pull("box", "/mnt/t/file").body, b"in\n")

    def test_a_gigabyte_at_constant_memory(self):
        size, block = 1 << 30, bytes(1 << 20)
        digest = hashlib.sha256()

        def blocks():
            for _ in range(size >> 20):
                digest.update(block)
                yield block

        before = self.daemon_memory()
        self.api.raw("POST", self.api.file_target(self.name, "/root/big"), blocks(),
                     {"X-LXD-type": "file", "Content-Length": str(size)})
        self.assertEqual(self.api.sh(self.name, "stat -c %s /root/big"), str(size))
        self.assertEqual(self.api.sh(self.name, "sha256sum < /root/big").split()[0], digest.hexdigest())
        connection = self.api.connection()
        connection.request("GET", self.api.file_target(self.name, "/root/big"))
        response, seen = connection.getresponse(), hashlib.sha256()
        while chunk := response.read(1 << 20):
            seen.update(chunk)
        self.assertEqual(seen.hexdigest(), digest.hexdigest())
        self.assertLess(self.daemon_memory() - before, 64 << 10, "KiB more at the peak")

    def daemon_memory(self):
        with open(f"/proc/{self.daemon.pid}/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
