"""A database that was lost: what stands in the pools comes back from the notes beside it."""
import os
import pathlib
import shutil
import time

from harness import daemon as daemons
from harness import images
from harness.case import DaemonCase, main
from harness.clients import Client
from harness.rest import PATIENCE

DATA = "/1.0/storage-pools/default/volumes/custom/data"


class RecoverCase(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = Client(cls.daemon, str(daemons.binaries() / "lxmgr"), {"LXMGR_DIR": cls.daemon.root})

    def pool_files(self, kind):
        return pathlib.Path(self.daemon.root, "storage-pools/default", kind)

    def wait_noted(self, text, kind="containers", name="*"):
        """Until some note says so: they are written after the reply."""
        deadline = time.monotonic() + 20 * PATIENCE
        while not any(text in path.read_text() for path in self.pool_files(kind).glob(f"{name}/backup.yaml")):
            self.assertLess(time.monotonic(), deadline, f"no note in {kind} says {text!r}")
            time.sleep(0.02)

    def lose_database(self):
        self.daemon.kill()
        shutil.rmtree(os.path.join(self.daemon.root, "database"))
        self.daemon.start()
        self.assertEqual((self.api.get("/1.0/instances"), self.api.get("/1.0/storage-pools")), ([], []))

    def make_network(self):
        """Its bridge is still there, and nobody's."""
        self.daemon.sandbox.run("ip", "link", "delete", daemons.BRIDGE)
        self.api.do("POST", "/1.0/networks", {
            "name": daemons.BRIDGE, "type": "bridge", "description": "",
            "config": {"ipv4.address": f"{daemons.SUBNET}.1/24", "ipv4.nat": "true", "ipv6.address": "none"}})

    @staticmethod
    def lasting(instance):
        """What must be as it was."""
        def own(config):
            return {key: value for key, value in config.items()
                    if not key.startswith("volatile.last_state.") and not key.endswith(".host_name")}
        kept = {key: instance[key] for key in ("name", "description", "architecture", "devices", "profiles", "ephemeral",
                                               "expanded_devices", "created_at")}
        return {**kept, "config": own(instance["config"]), "expanded_config": own(instance["expanded_config"])}

    def test_everything_comes_back(self):
        self.api.do("POST", "/1.0/profiles", {"name": "extra", "config": {"user.p": "q"}, "devices": {}})
        self.addCleanup(self.api.call, "DELETE", "/1.0/profiles/extra")
        self.api.do("POST", "/1.0/storage-pools/default/volumes/custom", {"name": "data", "config": {"user.v": "w"}})
        disk = {"type": "disk", "pool": "default", "source": "data", "path": "/data"}
        self.api.create("one", "tiny", config={"user.x": "y: \"'\n# z", "user.made_at": "1732248000"}, devices={"data": disk},
                        profiles=["default", "extra"])
        self.api.start("one")
        self.api.sh("one", "echo first > /root/file; echo kept > /data/file")
        self.api.do("POST", f"{DATA}/snapshots", {"name": "v1"})
        self.api.do("POST", "/1.0/instances/one/snapshots", {"name": "s1", "expires_at": "2099-01-02T03:04:05Z"})
        self.api.sh("one", "echo second > /root/file")
        self.api.do("POST", "/1.0/instances/one/snapshots", {"name": "s2"})
        self.api.stop("one")
        self.api.create("two", "tiny")
        self.api.update("one", description="changed last")
        before = {name: self.lasting(self.api.instance(name)) for name in ("one", "two")}
        snapshots = self.api.get("/1.0/instances/one/snapshots?recursion=1")
        volume = self.api.get(DATA)
        for text, kind in (("changed last", "containers"), ("name: \"two\"", "containers"), ("\"s2\"", "snapshots"),
                           ("\"v1\"", "custom"), ("\"w\"", "custom")):
            self.wait_noted(text, kind)

        self.lose_database()
        shown = self.client.run("admin", "recover")
        for text in ("one", "two", "data", "--yes"):
            self.assertIn(text, shown.stdout.decode())
        self.assertIn(f"needs network '{daemons.BRIDGE}'", shown.stderr.decode())
        self.assertEqual(self.api.get("/1.0/storage-pools"), [], "a look changes nothing")
        # Too early: the pool and the volume come back, the instances wait, and survive a restart.
        self.assertEqual(self.client.run("admin", "recover", "--yes", check=False).returncode, 1)
        self.assertEqual(self.api.get("/1.0/instances"), [])
        self.daemon.kill()
        self.daemon.start()
        self.make_network()
        self.client("admin", "recover", "--yes")
        self.assertIn("Nothing is lost", self.client("admin", "recover"))

        self.assertEqual({name: self.lasting(self.api.instance(name)) for name in ("one", "two")}, before)
        again = self.api.get("/1.0/instances/one/snapshots?recursion=1")
        for kept in ("name", "config", "devices", "profiles", "expires_at", "created_at"):
            self.assertEqual([one[kept] for one in again], [one[kept] for one in snapshots])
        self.assertEqual({**self.api.get(DATA), "used_by": []}, {**volume, "used_by": []})
        self.assertEqual([one["name"] for one in self.api.get(f"{DATA}/snapshots?recursion=1")], ["data/v1"])
        for name in ("one", "two"):
            self.api.start(name)
        self.assertEqual(self.api.sh("one", "cat /root/file /data/file"), "second\nkept")
        self.api.stop("one")
        self.api.do("PUT", "/1.0/instances/one", {"restore": "s1"})
        self.assertEqual(self.api.pull("one", "/root/file").body, b"first\n")
        for name in ("one", "two"):
            self.remove_instance(name)
        self.api.do("DELETE", DATA)
        self.daemon.import_image(images.tiny(), "tiny")

    def test_a_note_that_a_crash_left_old_is_written_again(self):
        self.api.create("one", "tiny")
        self.wait_noted('name: "one"')
        self.daemon.kill()
        # As if it had died before it wrote, and in the middle of it.
        folder = self.pool_files("containers") / "one"
        (folder / "backup.yaml").write_text("# lxmgr 0123456789abcdef\nold")
        (folder / ".backup.yaml.tmp").write_text("half")
        self.daemon.start()
        self.wait_noted('name: "one"')
        self.assertEqual([path.name for path in folder.glob("*backup*")], ["backup.yaml"])

    def test_notes_that_mean_harm(self):
        self.api.create("one", "tiny")
        self.wait_noted('name: "one"')
        note = self.pool_files("containers") / "one/backup.yaml"
        text = note.read_text()
        self.daemon.terminate()
        shutil.move(os.path.join(self.daemon.root, "database"), os.path.join(self.daemon.base, "database"))
        self.daemon.start()
        try:
            look = ("admin", "recover", "--pool", "default,driver=overlay")
            for wrong in ("", "a: [", "- 1\n", "x" * (9 << 20), text.replace("volatile.uuid:", "no.such.key:")):
                note.write_text(wrong)
                self.assertIn("'one' in pool 'default'", self.client.run(*look).stderr.decode(), wrong[:200])
            note.unlink()
            note.symlink_to("/etc/passwd")
            self.assertIn("no readable backup.yaml", self.client.run(*look).stderr.decode())
            wrong = self.client.run("admin", "recover", "--pool", "x,driver=dir", check=False)
            self.assertIn("There is no storage pool at", wrong.stderr.decode())
        finally:
            note.unlink()
            note.write_text(text)
            self.daemon.terminate()
            shutil.rmtree(os.path.join(self.daemon.root, "database"))
            shutil.move(os.path.join(self.daemon.base, "database"), os.path.join(self.daemon.root, "database"))
            self.daemon.start()


class OverlayTest(RecoverCase):
    pass


class DirTest(RecoverCase):
    driver = "dir"
    test_notes_that_mean_harm = None


class BtrfsTest(RecoverCase):
    """Pools that are mounted somewhere, in files of their own."""
    test_everything_comes_back = test_a_note_that_a_crash_left_old_is_written_again = test_notes_that_mean_harm = None
    pool_driver, pool_config = "btrfs", {"size": "256MiB"}

    def pool_files(self, kind):
        return pathlib.Path(f"/proc/{self.daemon.sandbox.pid}/root{self.daemon.root}", "storage-pools/fast", kind)

    def bring_back(self):
        self.client("admin", "recover", "--yes", "--pool", f"fast,driver={self.pool_driver}",
                    "--pool", f"default,driver={self.driver or 'overlay'}")

    def test_a_pool_is_taken_as_it_is(self):
        """source.recover=true: it is made of what stands there, and `recover` finds what it holds."""
        def create(**config):
            self.api.do("POST", "/1.0/storage-pools", {"name": "fast", "driver": self.pool_driver, "config": config})

        def take_it():
            create(**{"source.recover": "true"})
            self.assertNotIn("source.recover", self.api.get("/1.0/storage-pools/fast")["config"])
            before()
        self.assertIn("no storage pool at", self.assert_api_error(404, create, **{"source.recover": "true"}))
        self.bring_back, before = take_it, self.bring_back
        try:
            self.test_a_pool_comes_back()
        finally:
            self.bring_back = before

    def test_a_pool_comes_back(self):
        self.api.do("POST", "/1.0/storage-pools", {"name": "fast", "driver": self.pool_driver, "config": self.pool_config})
        self.api.create("one", "tiny", devices={"root": {"type": "disk", "path": "/", "pool": "fast"}})
        self.api.push("one", "/root/file", b"kept")
        self.api.do("POST", "/1.0/instances/one/snapshots", {"name": "s1"})
        self.api.push("one", "/root/file", b"changed")
        self.wait_noted('"s1"', "snapshots")
        self.wait_noted('name: "one"')
        self.daemon.kill()
        self.daemon.sandbox.run("umount", str(self.pool_files("")).replace(f"/proc/{self.daemon.sandbox.pid}/root", ""))
        self.lose_database()
        self.make_network()
        self.bring_back()
        self.assertEqual(self.api.pull("one", "/root/file").body, b"changed")
        self.api.do("PUT", "/1.0/instances/one", {"restore": "s1"})
        self.assertEqual(self.api.pull("one", "/root/file").body, b"kept")
        self.remove_instance("one")
        self.api.do("DELETE", "/1.0/storage-pools/fast")
        self.daemon.import_image(images.tiny(), "tiny")


del RecoverCase

if __name__ == "__main__":
    main()
