"""An instance to copy between two servers, and what must be true of its copies."""
from . import pair


class WithPeer:
    """`peer_kind`: the server at the other end, "b"; the daemon under test is "a"."""
    peer_kind = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = pair.Peer(cls.daemon, cls.peer_kind)
        cls.addClassCleanup(cls.peer.daemon.close)
        cls.client = cls.peer.client()
        cls.there = cls.peer.api

    @classmethod
    def tearDownClass(cls):
        cls.peer.close()
        super().tearDownClass()


class PairCases(WithPeer):
    later = b"TWO"  # of the same size and second as what it replaces

    def make(self, name, **more):
        """With two snapshots."""
        self.api.create(name, "tiny", config={"user.note": "kept", **more})
        self.api.push(name, "/root/first", b"one", uid=1000, gid=1001, mode="0640")
        self.api.push(name, "/root/second", b"two", uid=0, gid=0)
        self.api.do("POST", f"/1.0/instances/{name}/snapshots", {"name": "s1"})
        self.api.push(name, "/root/second", self.later)
        self.api.do("POST", f"/1.0/instances/{name}/snapshots", {"name": "s2", "expires_at": "2035-01-02T03:04:05Z"})
        self.api.push(name, "/root/third", b"three")
        self.api.call("DELETE", self.api.file_target(name, "/root/first"))

    def check(self, api, name, snapshots=("s1", "s2"), start=True):
        """It is what make() made, and works."""
        self.assertEqual(api.instance(name)["config"]["user.note"], "kept")
        listed = api.get(f"/1.0/instances/{name}/snapshots?recursion=1")
        self.assertEqual([one["name"].split("/")[-1] for one in listed], list(snapshots))
        self.assertEqual((api.pull(name, "/root/second").body, api.pull(name, "/root/third").body), (self.later, b"three"))
        self.assert_api_error(404, api.pull, name, "/root/first")
        if start:
            api.start(name)
            self.assertEqual(api.sh(name, "stat -c %u:%g:%a /root/second; cat /root/third; hostname"),
                             f"0:0:644\nthree{name}")
            api.stop(name)
        if "s1" in snapshots:
            self.assertEqual(listed[-1]["expires_at"][:19], "2035-01-02T03:04:05")
            api.do("PUT", f"/1.0/instances/{name}", {"restore": "s1"})
            first = api.pull(name, "/root/first")
            self.assertEqual((first.body, first.headers["X-LXD-uid"], first.headers["X-LXD-gid"],
                              first.headers["X-LXD-mode"]), (b"one", "1000", "1001", "0640"))
            self.assertEqual(api.pull(name, "/root/second").body, b"two")
            self.assert_api_error(404, api.pull, name, "/root/third")
