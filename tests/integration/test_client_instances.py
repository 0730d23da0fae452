"""Config, devices, profiles, snapshots and copies by both stock clients, with the effect read inside the running machine."""
import json
import os

from harness import clients
from harness.case import DaemonCase, main


class Cases:
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = cls.make_client()

    def setUp(self):
        super().setUp()
        self.client("launch", "tiny", "box")

    def inside(self, *command):
        return self.client("exec", "box", "--", *command)

    def memory(self):
        return self.api.state("box")["memory"].get("total")

    def refused(self, *arguments):
        done = self.client.run(*arguments, check=False)
        self.assertNotEqual(done.returncode, 0, arguments)
        return done.stderr.decode()

    def test_config(self):
        self.client("config", "set", "box", "limits.memory=64MiB", "user.one=1")
        self.assertEqual(self.memory(), 64 << 20)
        self.assertEqual(self.client("config", "get", "box", "user.one"), "1\n")
        edited = self.client("config", "show", "box").replace("limits.memory: 64MiB", "limits.memory: 96MiB")
        self.client("config", "edit", "box", stdin=edited.encode())
        self.assertEqual(self.memory(), 96 << 20)
        self.client("config", "unset", "box", "limits.memory")
        self.assertNotEqual(self.memory(), 96 << 20)
        self.assertIn("limits.memory", self.refused("config", "set", "box", "limits.memory=much"))
        self.assertIn("no.such.key", self.refused("config", "set", "box", "no.such.key=1"))
        self.assertIn("user.one", self.client("config", "show", "box"))

    def test_devices(self):
        folder = os.path.join(self.daemon.base, "shared-folder")
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o777)
        with open(os.path.join(folder, "file"), "w", encoding="utf-8") as file:
            file.write("from the host\n")
        self.client("config", "device", "add", "box", "share", "disk", f"source={folder}", "path=/mnt/share")
        self.assertEqual(self.inside("cat", "/mnt/share/file"), "from the host\n")
        self.client("config", "device", "set", "box", "share", "readonly=true")
        self.refused("exec", "box", "--", "touch", "/mnt/share/new")
        self.assertEqual(self.client("config", "device", "get", "box", "share", "readonly"), "true\n")
        self.client("config", "device", "unset", "box", "share", "readonly")
        self.inside("touch", "/mnt/share/new")
        self.client("config", "device", "add", "box", "null2", "unix-char", "source=/dev/null", "path=/dev/null2")
        self.inside("sh", "-c", "echo gone > /dev/null2")
        self.client("config", "device", "add", "box", "door", "proxy", f"listen=unix:{self.daemon.base}/door",
                    "connect=unix:/run/door")
        self.client("config", "device", "override", "box", "eth0", "ipv4.address=10.88.0.77")
        for name in ("share", "null2", "door"):
            self.client("config", "device", "remove", "box", name)
        self.assertEqual(self.inside("sh", "-c", "ls /mnt/share; test -e /dev/null2 && echo node; true"), "")
        self.assertEqual(self.client("config", "device", "list", "box").split(), ["eth0"])
        self.assertIn("source", self.refused("config", "device", "add", "box", "bad", "disk", "path=/mnt"))

    def test_profiles(self):
        self.client("profile", "create", "small")
        self.client("profile", "set", "small", "limits.memory", "64MiB")
        self.client("profile", "add", "box", "small")
        self.assertEqual(self.memory(), 64 << 20)
        edited = self.client("profile", "show", "small").replace("64MiB", "80MiB")
        self.client("profile", "edit", "small", stdin=edited.encode())
        self.assertEqual(self.memory(), 80 << 20)
        self.client("profile", "copy", "small", "other")
        self.client("profile", "rename", "other", "second")
        self.client("profile", "set", "second", "limits.memory", "72MiB")
        self.client("profile", "assign", "box", "default,small,second")
        self.assertEqual(self.memory(), 72 << 20)
        self.assertIn("in use", self.refused("profile", "delete", "small"))
        self.client("config", "set", "box", "limits.memory=90MiB")
        self.assertEqual(self.memory(), 90 << 20)
        self.client("config", "unset", "box", "limits.memory")
        self.client("profile", "remove", "box", "second")
        self.assertEqual(self.memory(), 80 << 20)
        self.client("profile", "device", "add", "small", "scratch", "disk", "source=tmpfs:", "path=/mnt/scratch")
        self.assertIn("/mnt/scratch tmpfs", self.inside("cat", "/proc/mounts"))
        self.client("profile", "device", "remove", "small", "scratch")
        self.client("profile", "remove", "box", "small")
        for name in ("small", "second"):
            self.client("profile", "delete", name)

    def test_snapshots_and_copies(self):
        self.inside("sh", "-c", "echo then > /root/mark")
        self.client(*self.take_snapshot, "box", "first")
        self.inside("sh", "-c", "echo now > /root/mark")
        self.client("copy", "box", "twin")
        self.client("copy", "box/first", "elder")
        names = {one["name"]: len(one["snapshots"] or []) for one in json.loads(self.client("list", "--format", "json"))}
        self.assertEqual(names, {"box": 1, "twin": 1, "elder": 0})
        self.client(*self.restore_snapshot, "box", "first")
        self.assertEqual(self.inside("cat", "/root/mark"), "then\n")
        self.client("move", "twin", "moved")
        self.client("start", "moved")
        self.assertEqual(self.client("exec", "moved", "--", "cat", "/root/mark", "/etc/hostname"), "now\nmoved\n")
        for name in ("moved", "elder"):
            self.client("delete", "-f", name)
        self.client(*self.delete_snapshot("box", "first"))

    def test_resize_of_a_terminal(self):
        script = "stty size; until [ \"$(stty size)\" = '33 111' ]; do read x; done; echo resized"
        code, seen = self.client.terminal("exec", "box", "-t", "--", "sh", "-c", script, send=b"\n", until=b"80",
                                          resize=(33, 111))
        self.assertEqual(code, 0, seen)
        self.assertIn(b"resized", seen)


class LxcTest(Cases, DaemonCase):
    take_snapshot, restore_snapshot = ("snapshot",), ("restore",)

    @classmethod
    def make_client(cls):
        return clients.lxc(cls.daemon)

    @staticmethod
    def delete_snapshot(name, snapshot):
        return "delete", f"{name}/{snapshot}"


class IncusTest(Cases, DaemonCase):
    take_snapshot, restore_snapshot = ("snapshot", "create"), ("snapshot", "restore")

    @classmethod
    def make_client(cls):
        return clients.incus(cls.daemon)

    @staticmethod
    def delete_snapshot(name, snapshot):
        return "snapshot", "delete", name, snapshot

    def test_rebuild(self):
        self.inside("touch", "/root/mark")
        self.client("stop", "-f", "box")
        self.client("rebuild", "tiny", "box")
        self.client("start", "box")
        self.assertEqual(self.inside("ls", "/root"), "")


if __name__ == "__main__":
    main()
