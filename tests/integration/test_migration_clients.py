"""Copies between two lxmgrd by the commands of lxmgr and incus; those of lxc are in test_migration.py."""
import os

from harness import clients, pair, remote
from harness import daemon as daemons
from harness.case import DaemonCase, main
from harness.migration import PairCases


class ClientsTest(PairCases, DaemonCase):
    peer_kind = daemons.Daemon

    def test_our_client(self):
        """The commands of docs/how-to/keep-and-copy-instances.md; by push, too, from a server that nobody reaches."""
        mine = remote.RemoteClient(self.daemon, str(daemons.binaries() / "lxmgr"), {
            "LXMGR_DIR": self.daemon.root, "LXMGR_CONF": os.path.join(self.daemon.base, "own")})
        mine("remote", "add", "lab", pair.url(pair.FAR), "--accept-certificate", "--password", "pw")
        self.make("dev")
        mine("copy", "dev", "lab:dev")
        self.check(self.there, "dev")
        self.api.push("dev", "/root/fourth", b"four")
        mine("copy", "dev", "lab:dev", "--refresh")
        self.assertEqual(self.there.pull("dev", "/root/fourth").body, b"four")
        mine("copy", "lab:dev", "back", "-c", "user.more=yes", "--instance-only")
        self.assertEqual(self.api.instance("back")["config"]["user.more"], "yes")
        self.there.delete("dev")
        address = self.api.get("/1.0")["config"]["core.https_address"]
        self.api.call("PATCH", "/1.0", {"config": {"core.https_address": ""}})
        self.addCleanup(self.api.call, "PATCH", "/1.0", {"config": {"core.https_address": address}})
        mine("move", "dev", "lab:dev")
        self.assertEqual(self.peer.daemon.instance_names(), ["dev"])
        self.assertNotIn("dev", self.daemon.instance_names())
        self.there.delete("dev")

    def test_incus_client(self):
        """Of Debian trixie: both servers are Incus's to it."""
        program = clients.incus(self.daemon).program
        client = remote.incus(self.daemon, program, "incus-pair")
        for name, address in (("a", pair.NEAR), ("b", pair.FAR)):
            client("remote", "add", name, pair.url(address), "--accept-certificate",
                   "--token", remote.token(self.api if name == "a" else self.there, f"incus-{name}")[1])
        self.make("free")
        for mode in ("pull", "push", "relay"):
            client("copy", "a:free", f"b:{mode}", "--mode", mode)
            self.check(self.there, mode)
        self.api.push("free", "/root/fourth", b"four")
        client("copy", "a:free", "b:pull", "--refresh")
        self.assertEqual(self.there.pull("pull", "/root/fourth").body, b"four")
        client("move", "b:pull", "a:home")
        self.assertEqual(self.api.pull("home", "/root/fourth").body, b"four")
        for name in ("push", "relay"):
            self.there.delete(name)
        url = "/1.0/storage-pools/default/volumes/custom"
        self.api.call("POST", url, {"name": "data"})
        client("storage", "volume", "copy", "a:default/data", "b:default/data")
        client("storage", "volume", "move", "b:default/data", "a:default/home")
        self.assertEqual(self.there.get(url), [])
        for name in ("data", "home"):
            self.api.call("DELETE", f"{url}/{name}")

    def test_our_client_with_volumes(self):
        mine = remote.RemoteClient(self.daemon, str(daemons.binaries() / "lxmgr"), {
            "LXMGR_DIR": self.daemon.root, "LXMGR_CONF": os.path.join(self.daemon.base, "own")})
        if "yard" not in mine("remote", "list", "-f", "csv"):
            mine("remote", "add", "yard", pair.url(pair.FAR), "--accept-certificate", "--password", "pw")
        url = "/1.0/storage-pools/default/volumes/custom"
        self.there.call("POST", "/1.0/projects", {"name": "shop"})
        mine("storage", "volume", "create", "default", "data", "user.note=kept")
        mine("storage", "volume", "snapshot", "default", "data", "v1")
        mine("storage", "volume", "copy", "default/data", "yard:default/data")
        mine("storage", "volume", "copy", "default/data", "yard:default", "--target-project", "shop", "--volume-only")
        self.assertEqual(self.there.get(f"{url}/data")["config"]["user.note"], "kept")
        self.assertEqual(self.there.get(f"{url}/data/snapshots"), [f"{url}/data/snapshots/v1"])
        self.assertEqual(self.there.get(f"{url}/data/snapshots?project=shop"), [])
        mine("storage", "volume", "snapshot", "default", "data", "v2")
        mine("storage", "volume", "copy", "default/data", "yard:default/data", "--refresh")
        self.assertEqual(len(self.there.get(f"{url}/data/snapshots")), 2)
        self.assertNotEqual(mine.run("storage", "volume", "copy", "default/data/v1", "yard:default/x", check=False).returncode, 0)
        mine("storage", "volume", "delete", "default", "data")
        mine("storage", "volume", "move", "yard:default/data", "default/home")
        self.assertEqual(self.there.get(url), [])
        self.assertEqual(len(self.api.get(f"{url}/home/snapshots")), 2)
        mine("storage", "volume", "move", "yard:default/data", "default/more", "--project", "shop", "--target-project", "default")
        for name in ("home", "more"):
            self.api.call("DELETE", f"{url}/{name}")
        self.there.call("DELETE", "/1.0/projects/shop")


if __name__ == "__main__":
    main()
