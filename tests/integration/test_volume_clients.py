"""`storage volume ...` by the stock clients and by our own."""
import json

from harness import clients
from harness.case import DaemonCase, main
from harness.daemon import binaries


class StockCases:
    """What lxc and incus have under the same words."""

    SNAPSHOT, RESTORE, DROP = ("snapshot",), ("restore",), ("delete", "default", "data/t")

    def volume(self, *words):
        return self.client("storage", "volume", *words)

    def read(self, path="/srv/mark"):
        return self.client("exec", "c", "--", "cat", path)

    def names(self, pool="default"):
        return sorted(v["name"] for v in json.loads(self.volume("list", pool, "--format", "json"))
                      if v["type"] == "custom")

    def test_everything(self):
        self.client("storage", "create", "plain", "dir")
        self.client("launch", "tiny", "c")
        try:
            self.everything()
        finally:
            self.client("delete", "--force", "c")
            for pool in ("default", "plain"):
                for name in self.names(pool):
                    if "/" not in name:
                        self.volume("delete", pool, name)
            self.client("storage", "delete", "plain")

    def everything(self):
        self.volume("create", "default", "data", "user.a=b")
        self.assertIn("user.a", self.volume("show", "default", "data"))
        self.volume("set", "default", "data", "snapshots.expiry", "1d")
        self.assertEqual(self.volume("get", "default", "data", "snapshots.expiry"), "1d\n")
        self.volume("unset", "default", "data", "snapshots.expiry")
        self.volume("attach", "default", "data", "c", "/srv")
        self.client("exec", "c", "--", "sh", "-c", "echo then > /srv/mark")
        self.volume(*self.SNAPSHOT, "default", "data", "s")
        self.client("exec", "c", "--", "sh", "-c", "echo now > /srv/mark")
        self.assertIn("/1.0/instances/c", self.volume("show", "default", "data"))
        for word in ("s", "data"):
            self.assertIn(word, self.volume("info", "default", "data"))
        self.volume("detach", "default", "data", "c")
        self.volume(*self.RESTORE, "default", "data", "s")
        self.volume("attach", "default", "data", "c", "dev", "/srv")
        self.assertEqual(self.read(), "then\n")
        self.volume("detach", "default", "data", "c", "dev")
        self.copies()
        self.client("profile", "create", "p")
        self.volume("attach-profile", "default", "moved", "p", "/p")
        self.client("profile", "add", "c", "p")
        self.assertEqual(self.read("/p/mark"), "then\n")
        self.client("profile", "remove", "c", "p")
        self.volume("detach-profile", "default", "moved", "p")
        self.client("profile", "delete", "p")

    def copies(self):
        self.volume("copy", "default/data", "default/copy")
        self.volume("copy", "default/data", "plain/far")
        self.volume("copy", "default/data", "plain/bare", "--volume-only")
        self.volume("copy", "default/data/s", "plain/old")
        self.assertEqual(self.names(), ["copy", "copy/s", "data", "data/s"])
        self.assertEqual(self.names("plain"), ["bare", "far", "far/s", "old"])
        self.volume("copy", "default/data", "plain/far", "--refresh")
        self.volume("rename", "default", "data/s", "data/t")
        self.volume(*self.DROP)
        self.volume("move", "default/data", "plain/data2")
        self.volume("move", "plain/data2", "default/data3")
        self.volume("rename", "default", "data3", "moved")
        self.assertEqual(self.names(), ["copy", "copy/s", "moved"])


class LxcVolumeTest(StockCases, DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = clients.lxc(cls.daemon)


class IncusVolumeTest(StockCases, DaemonCase):
    SNAPSHOT, RESTORE = ("snapshot", "create"), ("snapshot", "restore")
    DROP = ("snapshot", "delete", "default", "data", "t")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = clients.incus(cls.daemon)

    def volume(self, *words):
        if words[0] == "rename" and "/" in words[2]:
            words = ("snapshot", "rename", words[1], "data", "s", "t")
        return super().volume(*words)


class LxmgrVolumeTest(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = clients.Client(cls.daemon, str(binaries() / "lxmgr"), {"LXMGR_DIR": cls.daemon.root})

    def volume(self, *words, **options):
        return self.client("storage", "volume", *words, **options)

    def names(self, pool="default"):
        return [v["name"] for v in json.loads(self.volume("list", pool, "-f", "json"))]

    def test_everything(self):
        self.client("storage", "create", "plain", "dir")
        self.client("launch", "tiny", "c")
        self.volume("create", "default", "data", "--description", "what for", "user.a=b")
        self.assertIn("what for", self.volume("show", "default", "data"))
        self.volume("set", "default", "data", "snapshots.expiry=1d")
        self.assertEqual(self.volume("get", "default", "data", "snapshots.expiry"), "1d\n")
        self.volume("unset", "default", "data", "snapshots.expiry")
        self.volume("edit", "default", "data", stdin=b"config: {user.a: c}\ndescription: edited\n")
        self.assertIn("edited", self.volume("list", "default"))
        self.volume("attach", "default", "data", "c", "/srv")
        self.client("exec", "c", "--", "sh", "-c", "echo then > /srv/mark")
        self.volume("snapshot", "default", "data", "s")
        self.client("exec", "c", "--", "sh", "-c", "echo now > /srv/mark")
        info = self.volume("info", "default", "data")
        for word in ("Used by: /1.0/instances/c", "Snapshot: s", "Space used"):
            self.assertIn(word, info)
        for words, word in ((("delete", "default", "data"), "in use"), (("restore", "default", "data", "s"), "in use"),
                            (("show", "default", "absent"), "does not exist"), (("create", "absent", "x"), "does not exist")):
            done = self.client.run("storage", "volume", *words, check=False)
            self.assertEqual((done.returncode, word in done.stderr.decode()), (1, True), done.stderr)
        self.assertEqual(self.client.run("storage", "volume", "copy", "data", "x", check=False).returncode, 2)
        self.volume("detach", "default", "data", "c")
        self.volume("restore", "default", "data", "s")
        self.volume("attach", "default", "data", "c", "/srv", "--device", "dev", "--readonly")
        self.assertEqual(self.client("exec", "c", "--", "cat", "/srv/mark"), "then\n")
        self.volume("detach", "default", "data", "c")
        self.volume("copy", "default/data", "plain/far")
        self.volume("copy", "default/data", "plain/far", "--refresh", "--volume-only")
        self.volume("rename", "default", "data/s", "t")
        self.volume("move", "default/data", "plain/data2")
        self.assertEqual((self.names(), self.names("plain")), ([], ["data2", "data2/t", "far", "far/s"]))
        self.client("profile", "create", "p")
        self.volume("attach", "plain", "far", "p", "/far", "--profile")
        self.volume("detach", "plain", "far", "p", "--profile")
        self.client("profile", "delete", "p")
        self.volume("rename", "plain", "data2", "data3")
        self.volume("delete", "plain", "data3/t")
        self.volume("delete", "plain", "data3", "far")
        self.client("storage", "delete", "plain")


if __name__ == "__main__":
    main()
