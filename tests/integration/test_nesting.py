"""Container engines inside an unprivileged Debian instance, with security.nesting and no other setting."""
from harness.case import DaemonCase, main

# An image out of a few programs of the guest's own.
IMPORT = """
set -e
mkdir -p /root/tree
cp --parents $(ldd /bin/sh /bin/echo /bin/cat | grep -o '/[^ ):]*' | sort -u) /root/tree
tar -C /root/tree -c . | podman import -q - tiny
"""


class NestingTest(DaemonCase):
    needs_images = ("nesting",)

    def test_podman(self):
        self.api.create("box", "nesting", config={"security.nesting": "true"})
        self.api.start("box")
        self.wait_booted("box")
        self.api.sh("box", IMPORT)
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


main()
