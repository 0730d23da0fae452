"""Container engines inside an unprivileged Debian instance, with security.nesting and no other setting."""
from harness.case import DaemonCase, main

# A few programs of the guest's own, and what nspawn asks of a system.
TREE = """
set -e
mkdir -p /root/tree/etc /root/tree/usr
cp --parents $(ldd /bin/sh /bin/echo /bin/cat | grep -o '/[^ ):]*' | sort -u) /root/tree
cp /etc/os-release /root/tree/etc
"""


class NestingTest(DaemonCase):
    needs_images = ("nesting",)

    def boot(self):
        self.api.create("box", "nesting", config={"security.nesting": "true"})
        self.api.start("box")
        self.wait_booted("box")

    def test_podman(self):
        self.boot()
        self.api.sh("box", TREE + "tar -C /root/tree -c . | podman import -q - tiny")
        self.assertEqual(self.api.sh("box", "podman run --rm tiny /bin/echo from inside"), "from inside")
        self.assertIn("10.88.", self.api.sh("box", "podman run --rm tiny /bin/cat /proc/net/fib_trie"))
        self.api.sh("box", "podman run -d --name kept tiny /bin/sh -c 'while :; do read x < /proc/version; done' > /dev/null")
        self.assertEqual(self.api.sh("box", "podman inspect -f '{{.State.Status}}' kept"), "running")
        self.assertEqual(self.api.sh("box", "podman exec kept /bin/echo more"), "more")
        self.api.sh("box", "podman rm -f kept")
        # A user's own setting wins over what we write where guests have no pids controller.
        self.api.sh("box", "mkdir -p /etc/containers/containers.conf.d && "
                           "printf '[containers]\\npids_limit = 77\\n' > /etc/containers/containers.conf.d/50-own.conf")
        out = self.api.sh("box", "podman create --name c tiny /bin/echo && podman inspect -f '{{.HostConfig.PidsLimit}}' c")
        self.assertEqual(out.splitlines()[-1], "77")

    def test_nspawn(self):
        self.boot()
        self.api.sh("box", TREE)
        # A tree without systemd is taken for one that wants cgroup v1, which no user namespace may mount; this says otherwise.
        run = ("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --pipe --machine=small --directory=/root/tree "
               "--private-network /bin/sh -c 'read name < /proc/1/comm; echo from $name; cat /proc/net/dev; echo kept > /left'")
        out = self.api.sh("box", run)
        self.assertTrue(out.startswith("from sh\n"), out)
        self.assertIn("lo:", out)
        self.assertNotIn("eth0:", out)
        self.assertEqual(self.api.sh("box", "cat /root/tree/left"), "kept")
        # A program of the guest's own system, whose changes are thrown away.
        volatile = "systemd-nspawn --quiet --pipe --volatile=yes --directory=/ --machine=inner "
        self.assertEqual(self.api.sh("box", volatile + "/bin/sh -c 'echo x > /root/gone; echo again'"), "again")
        self.assertNotEqual(self.api.exec("box", ["test", "-e", "/root/gone"])[0], 0)


main()
