"""Snapshots, copies and moves by the stock `lxc` 5.0.2 and by our own client."""
import json

from harness import clients
from harness.case import DaemonCase, main
from harness.daemon import binaries


class LxcSnapshotTest(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = clients.lxc(cls.daemon)

    def list(self):
        return {one["name"]: one for one in json.loads(self.client("list", "--format", "json"))}

    def mark(self, text):
        self.client("exec", "c", "--", "sh", "-c", f"echo {text} > /root/mark")

    def test_snapshot_info_restore_delete(self):
        self.client("launch", "tiny", "c")
        self.mark("then")
        self.client("snapshot", "c", "s")
        self.client("snapshot", "c")
        self.assertIn("snap0", self.client("info", "c"))
        self.assertEqual(len(self.list()["c"]["snapshots"]), 2)
        self.mark("now")
        self.client("restore", "c", "s")
        self.assertEqual(self.client("exec", "c", "--", "cat", "/root/mark"), "then\n")
        self.assertIn("expires_at", self.client("config", "show", "c/s"))
        self.client("rename", "c/s", "c/t")
        self.client("delete", "c/snap0")
        self.assertEqual([s["name"] for s in self.list()["c"]["snapshots"]], ["t"])

    def test_copy_and_move(self):
        self.client("launch", "tiny", "c")
        self.mark("then")
        self.client("snapshot", "c", "s")
        self.mark("now")
        self.client("copy", "c", "d")
        self.client("copy", "c/s", "e")
        self.client("copy", "c", "f", "--instance-only")
        self.assertEqual({name: len(one["snapshots"] or []) for name, one in self.list().items()},
                         {"c": 1, "d": 1, "e": 0, "f": 0})
        self.client("move", "d", "g")
        for name, text in (("g", "now"), ("e", "then"), ("f", "now")):
            self.client("start", name)
            self.assertEqual(self.client("exec", name, "--", "cat", "/root/mark", "/etc/hostname"), f"{text}\n{name}\n")

    def test_move_to_another_pool(self):
        self.client("storage", "create", "plain", "dir")
        try:
            self.client("init", "tiny", "c")
            self.client("snapshot", "c", "s")
            self.client("copy", "c", "d", "-s", "plain")
            self.client("move", "c", "-s", "plain")
            self.client("restore", "c", "s")
            self.client("delete", "c", "d")
        finally:
            self.client("storage", "delete", "plain")


class LxmgrSnapshotTest(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = clients.Client(cls.daemon, str(binaries() / "lxmgr"), {"LXMGR_DIR": cls.daemon.root})

    def mark(self, text):
        self.client("exec", "c", "--", "sh", "-c", f"echo {text} > /root/mark")

    def names(self, name):
        return [s["name"] for s in json.loads(self.client("info", name, "-f", "json"))["snapshots"]]

    def test_snapshot_restore_copy_move_delete(self):
        self.client("launch", "tiny", "c")
        self.mark("then")
        self.client("snapshot", "c", "s")
        self.client("snapshot", "c", "--no-expiry")
        self.assertIn("snap0", self.client("info", "c"))
        self.mark("now")
        self.client("restore", "c", "s")
        self.assertEqual(self.client("exec", "c", "--", "cat", "/root/mark"), "then\n")
        self.assertIn("expires_at", self.client("config", "show", "c/s"))
        self.client("rename", "c/s", "t")
        self.client("delete", "c/snap0")
        self.assertEqual(self.names("c"), ["t"])
        self.client("copy", "c", "d", "-c", "user.a=b")
        self.client("copy", "c/t", "e")
        self.assertEqual((self.names("d"), self.names("e")), (["t"], []))
        self.client("copy", "c", "d", "--refresh", "--instance-only")
        self.client("storage", "create", "plain", "dir")
        try:
            self.client("move", "d", "f", "-s", "plain")
            self.client("copy", "c", "g", "-s", "plain")
            self.assertEqual((self.names("f"), self.names("g")), (["t"], ["t"]))
            self.assertEqual(self.client("config", "get", "f", "user.a"), "b\n")
            self.client("delete", "f", "g")
        finally:
            self.client("storage", "delete", "plain")

    def test_rebuild(self):
        self.client("launch", "tiny", "c")
        self.mark("then")
        self.client("stop", "c", "--force")
        self.client("rebuild", "c", "tiny")
        self.client("start", "c")
        self.assertNotEqual(self.client.run("exec", "c", "--", "cat", "/root/mark", check=False).returncode, 0)


if __name__ == "__main__":
    main()
