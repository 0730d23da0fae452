"""`image ...` and `storage ...` by the stock clients: every word of theirs that changes something."""
import os

from harness import clients
from harness.case import DaemonCase, main


class StockCases:
    def image(self, *words, **more):
        return self.client("image", *words, **more)

    def storage(self, *words, **more):
        return self.client("storage", *words, **more)

    def test_aliases(self):
        self.image("alias", "create", "one", self.image("info", "tiny").split("Fingerprint: ")[1].split()[0])
        self.image("alias", "rename", "one", "two")
        self.assertIn("two", self.image("alias", "list"))
        self.image("alias", "delete", "two")
        self.assertNotIn("two", self.image("alias", "list"))

    def test_properties(self):
        self.image("set-property", "tiny", "flavour", "vanilla")
        self.assertEqual(self.image("get-property", "tiny", "flavour"), "vanilla\n")
        self.image("unset-property", "tiny", "flavour")
        shown = self.image("show", "tiny")
        self.assertNotIn("flavour", shown)
        self.image("edit", "tiny", stdin=shown.replace("public: false", "public: true").encode())
        self.assertIn("public: true", self.image("show", "tiny"))
        self.image("edit", "tiny", stdin=shown.encode())
        self.assertEqual(self.image("show", "tiny"), shown)

    def test_export_and_import(self):
        folder = os.path.join(self.daemon.base, "exported")
        self.image("export", "tiny", folder)
        path, = (found for end in ("", ".tar.gz") if os.path.isfile(found := folder + end))
        self.image("delete", "tiny")
        self.image("import", path, "--alias", "tiny", "flavour=late")
        os.unlink(path)
        self.assertEqual(self.image("get-property", "tiny", "flavour"), "late\n")
        self.image("unset-property", "tiny", "flavour")
        self.client("launch", "tiny", "c")
        self.client("delete", "--force", "c")

    def test_pools(self):
        self.storage("create", "plain", "dir", "volume.snapshots.expiry=1d", "rsync.bwlimit=50MiB")
        self.assertEqual(self.storage("get", "plain", "rsync.bwlimit"), "50MiB\n")
        self.storage("set", "plain", "user.note", "kept")
        self.storage("unset", "plain", "rsync.bwlimit")
        shown = self.storage("show", "plain")
        self.assertIn("user.note: kept", shown)
        self.assertNotIn("bwlimit", shown)
        self.storage("edit", "plain", stdin=shown.replace('description: ""', "description: what for").encode())
        self.assertIn("what for", self.storage("list"))
        for word in ("space used", "total space"):
            self.assertIn(word, self.storage("info", "plain"))
        self.storage("volume", "create", "plain", "v")
        self.assertEqual(self.storage("volume", "get", "plain", "v", "snapshots.expiry"), "1d\n")
        shown = self.storage("volume", "show", "plain", "v")
        self.storage("volume", "edit", "plain", "v", stdin=shown.replace("1d", "2d").encode())
        self.assertEqual(self.storage("volume", "get", "plain", "v", "snapshots.expiry"), "2d\n")
        self.assertNotEqual(self.client.run("storage", "delete", "plain", check=False).returncode, 0)
        self.storage("volume", "delete", "plain", "v")
        self.storage("delete", "plain")


class LxcTest(StockCases, DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = clients.lxc(cls.daemon)


class IncusTest(StockCases, DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = clients.incus(cls.daemon)


if __name__ == "__main__":
    main()
