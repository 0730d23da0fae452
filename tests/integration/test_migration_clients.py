"""Copies between two lxmgrd by the commands of lxmgr and incus; those of lxc are in test_migration.py."""
import os

from harness import clients, pair, remote
from harness import daemon as daemons
from harness.case import DaemonCase, main
from harness.migration import PairCases

VOLUMES = "/1.0/storage-pools/default/volumes/custom"


class ClientsTest(PairCases, DaemonCase):
    peer_kind = daemons.Daemon

    def test_our_client(self):
        """The commands of docs/how-to/keep-and-copy-instances.md; by push, too, from a server that nobody reaches."""
        mine = self.own("own")
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
        self.without_https(self.api)
        mine("move", "dev", "lab:dev")
        self.assertEqual(self.peer.daemon.instance_names(), ["dev"])
        self.assertNotIn("dev", self.daemon.instance_names())
        self.there.delete("dev")

    def test_our_client_relays(self):
        """All passes through the client: neither server knows of the other one."""
        mine = self.own("relaying")
        mine("remote", "add", "lab", pair.url(pair.FAR), "--accept-certificate", "--password", "pw")
        self.make("dev")
        self.api.call("POST", VOLUMES, {"name": "data", "config": {"user.note": "kept"}})
        self.without_https(self.api)
        dialled = self.daemon.sandbox.run("ss", "-Htn", "state", "established")
        mine("copy", "dev", "lab:dev", "--mode", "relay")
        self.check(self.there, "dev")
        self.api.push("dev", "/root/fourth", os.urandom(5 << 20))
        mine("copy", "dev", "lab:dev", "--mode", "relay", "--refresh")
        self.assertEqual(self.there.pull("dev", "/root/fourth").body, self.api.pull("dev", "/root/fourth").body)
        mine("storage", "volume", "copy", "default/data", "lab:default/data", "--mode", "relay")
        self.assertEqual(self.there.get(f"{VOLUMES}/data")["config"]["user.note"], "kept")
        self.assertEqual(self.daemon.sandbox.run("ss", "-Htn", "state", "established"), dialled)
        mine("move", "lab:dev", "home", "--mode", "relay")
        self.assertEqual(self.peer.daemon.instance_names(), [])
        self.assertEqual(self.api.pull("home", "/root/fourth").body, self.api.pull("dev", "/root/fourth").body)
        # What goes wrong at either server is told, and nothing is left.
        self.make("again")
        self.there.create("again")
        self.assertIn("already exists", mine.run("copy", "again", "lab:again", "--mode", "relay", check=False).stderr.decode())
        self.there.delete("again")
        said = mine.run("copy", "again", "lab:again", "--mode", "pull", check=False).stderr.decode()
        self.assertIn("core.https_address", said)
        for api in (self.api, self.there):
            self.assertEqual(api.get("/1.0/operations").get("running", []), [])
        for api in (self.api, self.there):
            api.call("DELETE", f"{VOLUMES}/data")

    def own(self, name):
        return remote.RemoteClient(self.daemon, str(daemons.binaries() / "lxmgr"), {
            "LXMGR_DIR": self.daemon.root, "LXMGR_CONF": os.path.join(self.daemon.base, name)})

    def without_https(self, api):
        address = api.get("/1.0")["config"]["core.https_address"]
        api.call("PATCH", "/1.0", {"config": {"core.https_address": ""}})
        self.addCleanup(api.call, "PATCH", "/1.0", {"config": {"core.https_address": address}})

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
        url = VOLUMES
        self.api.call("POST", url, {"name": "data"})
        client("storage", "volume", "copy", "a:default/data", "b:default/data")
        client("storage", "volume", "move", "b:default/data", "a:default/home")
        self.assertEqual(self.there.get(url), [])
        for name in ("data", "home"):
            self.api.call("DELETE", f"{url}/{name}")

    def test_our_client_with_volumes(self):
        mine = self.own("own")
        if "yard" not in mine("remote", "list", "-f", "csv"):
            mine("remote", "add", "yard", pair.url(pair.FAR), "--accept-certificate", "--password", "pw")
        url = VOLUMES
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


class NoWayBetweenTest(PairCases, DaemonCase):
    """Two servers on cables of their own to where the client is: neither reaches the other, and both can be reached."""
    peer_kind = daemons.Daemon

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.third = pair.Peer(cls.daemon, daemons.Daemon, 1)
        cls.addClassCleanup(cls.third.daemon.close)

    @classmethod
    def tearDownClass(cls):
        cls.third.close()
        super().tearDownClass()

    def test_our_client_falls_back_to_relay(self):
        mine = remote.RemoteClient(self.daemon, str(daemons.binaries() / "lxmgr"), {
            "LXMGR_DIR": self.daemon.root, "LXMGR_CONF": os.path.join(self.daemon.base, "between")})
        for name, peer in (("b", self.peer), ("c", self.third)):
            mine("remote", "add", name, pair.url(peer.far), "--accept-certificate", "--password", "pw")
        self.make("dev")
        mine("copy", "dev", "b:dev")
        for mode in ("pull", "push"):
            said = mine.run("copy", "b:dev", "c:dev", "--mode", mode, check=False)
            self.assertNotEqual(said.returncode, 0)
            self.assertIn("cannot be reached", said.stderr.decode())
        for api in (self.there, self.third.api):
            self.assertEqual(api.get("/1.0/operations").get("running", []), [])
        mine("copy", "b:dev", "c:dev")
        self.check(self.third.api, "dev")
        self.there.push("dev", "/root/fourth", b"four")
        mine("copy", "b:dev", "c:dev", "--refresh")
        self.assertEqual(self.third.api.pull("dev", "/root/fourth").body, b"four")
        mine("move", "b:dev", "c:moved")
        self.assertEqual(self.peer.daemon.instance_names(), [])
        for name in ("dev", "moved"):
            self.third.api.delete(name)
        self.there.call("POST", VOLUMES, {"name": "data", "config": {"user.note": "kept"}})
        mine("storage", "volume", "move", "b:default/data", "c:default/data")
        self.assertEqual(self.third.api.get(f"{VOLUMES}/data")["config"]["user.note"], "kept")
        self.assertEqual(self.there.get(VOLUMES), [])
        self.third.api.call("DELETE", f"{VOLUMES}/data")
        # What is wrong at the target is no reason to try another way.
        self.make("dev2")
        self.third.api.create("taken", "", config={})
        said = mine.run("copy", "dev2", "c:taken", check=False).stderr.decode()
        self.assertIn("already exists", said)
        self.third.api.delete("taken")


if __name__ == "__main__":
    main()
