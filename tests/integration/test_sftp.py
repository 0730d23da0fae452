"""SFTP to an instance, running and stopped: every request, hostile paths, and the end of the instance."""
import os
import struct

from harness import sftp
from harness.case import DaemonCase, main
from harness.sftp import Sftp, SftpError, text


class SftpCases:
    def setUp(self):
        super().setUp()
        self.prepare()
        self.client = Sftp(self.daemon.socket_path, "box")
        self.addCleanup(self.client.close)

    def assert_code(self, code, call, *arguments):
        with self.assertRaises(SftpError) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.code, code, caught.exception)

    def test_version_and_extensions(self):
        self.assertEqual(self.client.version[:5], b"\x02\x00\x00\x00\x03")
        for name in (b"posix-rename@openssh.com", b"hardlink@openssh.com", b"statvfs@openssh.com", b"fsync@openssh.com"):
            self.assertIn(name, self.client.version)

    def test_write_read_and_attributes(self):
        data = os.urandom(1_000_000)
        self.client.write("/root/data", data, mode=0o640)
        self.assertEqual(self.client.read("/root/data"), data)
        self.assertEqual(self.api.pull("box", "/root/data").body, data)
        size, uid, gid, mode, *_ = self.client.stat("/root/data")
        self.assertEqual((size, uid, gid, mode), (len(data), 0, 0, 0o100640))
        flags = struct.pack(">IQIIIII", 15, 3, 1000, 100, 0o4755, 1_500_000_000, 1_600_000_000)
        self.client.request(sftp.SETSTAT, text("/root/data") + flags)
        self.assertEqual(self.client.stat("/root/data"), (3, 1000, 100, 0o104755, 1_500_000_000, 1_600_000_000))
        self.client.write("/root/data", b"tail", flags=sftp.O_WRITE | sftp.O_APPEND)
        self.assertEqual(self.client.read("/root/data"), data[:3] + b"tail")
        self.assert_code(4, self.client.open, "/root/data", sftp.O_WRITE | sftp.O_CREATE | sftp.O_EXCLUSIVE)

    def test_directories(self):
        self.client.request(sftp.MKDIR, text("/root/dir") + struct.pack(">I", 0))
        for number in range(250):
            self.client.write(f"/root/dir/{number:03}", b"")
        self.assertEqual(self.client.names("/root/dir"), [f"{number:03}" for number in range(250)])
        self.assert_code(4, self.client.request, sftp.RMDIR, text("/root/dir"))
        for number in range(250):
            self.client.request(sftp.REMOVE, text(f"/root/dir/{number:03}"))
        self.client.request(sftp.RMDIR, text("/root/dir"))
        self.assert_code(2, self.client.stat, "/root/dir")

    def test_lines_of_a_listing(self):
        """Clients print them, and take owner and group from them."""
        when = 1_000_030_000
        def change(name, uid, gid, mode):
            self.client.request(sftp.SETSTAT, text(f"/root/l/{name}") + struct.pack(">IIIIII", 14, uid, gid, mode, when, when))
        for name in ("l", "l/d"):
            self.client.request(sftp.MKDIR, text(f"/root/{name}") + struct.pack(">I", 0))
        for name in ("f", "g"):
            self.client.write(f"/root/l/{name}", b"xy")
        self.client.request(sftp.SYMLINK, text("x") + text("/root/l/s"))
        change("d", 0, 0, 0o1777)
        change("f", 1000, 100, 0o4751)
        change("g", 0, 0, 0o2640)
        for name, line in self.client.entries("/root/l"):
            wanted = {"d": r"drwxrwxrwt +[0-9]+ 0        0         +[0-9]+ Sep  9  2001 d",
                      "s": r"lrwxrwxrwx    1 0        0               1 [A-Z][a-z]{2} [ 123][0-9] [0-9]{2}:[0-9]{2} s",
                      "f": r"-rwsr-x--x    1 1000     100             2 Sep  9  2001 f",
                      "g": r"-rw-r-S---    1 0        0               2 Sep  9  2001 g"}[name]
            self.assertRegex(line, f"^{wanted}$")

    def test_names(self):
        self.client.write("/root/a", b"a")
        self.client.write("/root/b", b"b")
        self.assert_code(4, self.client.request, sftp.RENAME, text("/root/a") + text("/root/b"))
        self.client.request(sftp.EXTENDED, text("posix-rename@openssh.com") + text("/root/a") + text("/root/b"))
        self.assertEqual(self.client.read("/root/b"), b"a")
        self.client.request(sftp.RENAME, text("/root/b") + text("/root/c"))
        self.client.request(sftp.EXTENDED, text("hardlink@openssh.com") + text("/root/c") + text("/root/d"))
        self.client.request(sftp.SYMLINK, text("c") + text("/root/link"))
        self.assertEqual(self.client.link_target("/root/link"), "c")
        self.assertEqual(self.client.stat("/root/link")[3] >> 12, 0o12)
        self.assertEqual(self.client.stat("/root/link", sftp.STAT)[3], 0o100644)
        self.assertEqual(self.client.request(sftp.REALPATH, text("root/../etc/./x/"))[1][8:14], b"/etc/x")
        self.client.request(sftp.EXTENDED, text("statvfs@openssh.com") + text("/"))

    def test_no_way_out(self):
        secret = os.path.join(self.daemon.base, "secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("host secret")
        self.client.request(sftp.SYMLINK, text(secret) + text("/root/absolute"))
        self.client.request(sftp.SYMLINK, text("../../../../../.." + secret) + text("/root/relative"))
        self.client.request(sftp.SYMLINK, text("/proc/self/root") + text("/root/magic"))
        for path in ("/root/absolute", "/root/relative", "../../../.." + secret, "/root/magic" + secret):
            self.assert_code(2, self.client.read, path) if "magic" not in path else self.assertRaises(
                SftpError, self.client.read, path)
        self.client.request(sftp.SYMLINK, text("/etc") + text("/root/folder"))
        self.client.write("/root/folder/planted", b"x")
        self.assertEqual(self.client.read("/etc/planted"), b"x")

    def test_bad_packets(self):
        self.assert_code(5, self.client.request, sftp.OPEN, b"\x00\x00\x00\xff")
        self.assert_code(8, self.client.request, 99, b"")
        self.assert_code(4, self.client.request, sftp.CLOSE, text("none"))
        with self.assertRaises(OSError):
            self.client.send(sftp.STAT, b"\x00" * 400_000)  # longer than any packet may be
            self.client.receive()

    def test_many_handles_and_clients(self):
        for _ in range(256):
            self.client.open("/etc/hosts", sftp.O_READ)
        self.assert_code(4, self.client.open, "/etc/hosts", sftp.O_READ)
        others = [Sftp(self.daemon.socket_path, "box") for _ in range(20)]
        for other in others:
            self.assertIn("hosts", other.names("/etc"))
            other.close()


class StoppedSftpTest(SftpCases, DaemonCase):
    def prepare(self):
        self.api.create("box", "tiny")

    def test_it_can_be_started_meanwhile(self):
        self.client.write("/root/before", b"1")
        self.api.start("box")
        self.assertEqual(self.api.sh("box", "cat /root/before"), "1")
        self.client.write("/root/after", b"2")
        self.assertEqual(self.api.sh("box", "cat /root/after"), "2")

    def test_it_ends_with_the_instance(self):
        self.api.delete("box")
        self.assertRaises(OSError, self.client.names, "/")


class RunningOnDirSftpTest(SftpCases, DaemonCase):
    """An idmapped mount of a plain directory."""
    def prepare(self):
        self.api.do("POST", "/1.0/storage-pools", {"name": "plain", "driver": "dir"})
        self.addCleanup(self.api.do, "DELETE", "/1.0/storage-pools/plain")
        self.api.launch("box", "tiny", devices={"root": {"type": "disk", "path": "/", "pool": "plain"}})


class RunningSftpTest(SftpCases, DaemonCase):
    def prepare(self):
        self.api.launch("box", "tiny")

    def test_what_is_mounted_stays(self):
        for request in (sftp.RMDIR, sftp.REMOVE):
            self.assert_code(4, self.client.request, request, text("/proc"))
        self.assert_code(4, self.client.request, sftp.RENAME, text("/proc") + text("/elsewhere"))
        self.client.request(sftp.MKDIR, text("/root/dir") + struct.pack(">I", 0))
        self.assert_code(4, self.client.request, sftp.EXTENDED,
                         text("posix-rename@openssh.com") + text("/root/dir") + text("/proc"))
        self.assertIn("Name:", self.api.sh("box", "cat /proc/1/status"))

    def test_devices_are_not_opened(self):
        self.assertEqual(self.client.stat("/dev/null")[3] >> 12, 0o2)
        self.assert_code(4, self.client.open, "/dev/null", sftp.O_READ)

    def test_it_ends_when_the_instance_stops(self):
        self.api.stop("box")
        self.assertRaises(OSError, self.client.names, "/")


if __name__ == "__main__":
    main()
