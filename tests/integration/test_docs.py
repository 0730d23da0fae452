"""Every command that README.md and docs/ show is run, in the order of its page, on a daemon of its own; a page may say what
there is before it begins, and which of its commands another test runs."""
import contextlib
import os
import shlex
import subprocess
import unittest

from harness import clients, daemon as daemons, images, pages
from harness.case import main
from harness.daemon import REPOSITORY

DEV = "lxmgr launch debian/12 dev"
WEB = "lxmgr launch debian/12 web"
FAST = "lxmgr storage create fast dir"


class Page:
    """`given`: commands that come before the page's; `before`: {command: others that come right before it};
    `elsewhere`: {how a command begins: the test that runs it}; `distro`: its images have systemd."""

    def __init__(self, *given, before=None, elsewhere=None, distro=False):
        self.given, self.before, self.elsewhere, self.distro = given, before or {}, elsewhere or {}, distro


PAGES = {
    "README.md": Page(elsewhere={"./quickstart": "test_quickstart.py", "./test": "this is one of them"}),
    "docs/how-to/ask-from-inside.md": Page(
        DEV + " -c user.role=web --wait ready", elsewhere={"lxmgr exec dev -- sh -c 'curl": "test_guest_api.py"}, distro=True),
    "docs/how-to/back-up-instances.md": Page(
        DEV, FAST, "lxmgr storage volume create default data",
        before={"lxmgr import dev.tar.gz": ["lxmgr delete --force dev"]},
        elsewhere={"lxmgr admin recover --pool": "test_recover.py"}),
    "docs/how-to/build-images.md": Page(
        "lxmgr image delete debian/12", 'cp "$TINY" image.tar.xz', 'cp "$METADATA" metadata.tar.xz',
        'cp "$ROOTFS" rootfs.squashfs', 'mkdir folder; tar -xf "$TINY" -C folder',
        before={"lxmgr image import metadata.tar.xz rootfs.squashfs --alias mine": ["lxmgr image delete mine"]},
        elsewhere={"lxmgr image build": "fixture_images.py", "lxmgr launch cloud": "test_cloud_init.py"}),
    "docs/how-to/install-the-package.md": Page(elsewhere={"cmake": "test_package.py", "cpack": "", "apt": ""}),
    "docs/how-to/keep-and-copy-instances.md": Page(
        DEV, FAST, before={"lxmgr copy dev/before-upgrade old-dev": ["lxmgr snapshot dev before-upgrade"],
                           "lxmgr copy dev backup --refresh": ["lxmgr copy dev backup"],
                           "lxmgr move dev --storage fast": ["lxmgr stop --force dev"]},
        elsewhere={"lxmgr copy dev lab:": "test_migration.py", "lxmgr move dev lab:": "", "lxmgr copy lab:": "",
                   "lxmgr storage volume copy default/data lab:": ""}),
    "docs/how-to/limit-resources.md": Page(
        DEV, before={"lxmgr config set dev limits.memory.enforce soft": ["lxmgr config unset dev limits.memory.swap"]}),
    "docs/how-to/remote.md": Page(elsewhere={"lxmgr exec server": "test_remote_cli.py", "lxmgr exec client": ""}),
    "docs/how-to/secure-an-instance.md": Page(
        WEB, elsewhere={"echo root:1000:1": "test_idmaps.py", "lxc config set web raw.idmap": "test_idmaps.py",
                        "lxc config set web security.idmap.base": "test_idmaps.py",
                        "lxc config set web raw.apparmor": "test_apparmor.py, in the VM"}),
    "docs/how-to/start-with-the-host.md": Page(WEB),
    "docs/how-to/use-devices.md": Page(
        "lxmgr launch debian/12 box", "lxmgr wait box ip", "lxc config device override box eth0",
        elsewhere={"lxc config device add box card gpu": "test_hot_devices.py",
                   "lxc config device add box wan nic nictype=ipvlan": "test_ipvlan.py, in the VM",
                   "lxc config device set box eth0 vlan": "test_vlans.py, in the VM",
                   "lxc config device add box lan nic nictype=macvlan": "test_vlans.py, in the VM"}),
    "docs/how-to/use-image-servers.md": Page(
        WEB, "lxmgr snapshot web before-upgrade", "lxmgr stop --force web",
        before={"lxmgr publish web --alias golden": ["lxmgr image delete web-golden"]},
        elsewhere={"lxmgr launch": "test_simplestreams.py", "lxmgr image list images:": "test_simplestreams.py",
                   "lxmgr image copy images:": "test_simplestreams.py", "lxc image copy other:": "test_images.py",
                   "lxmgr image copy other:": "test_exchange.py", "lxmgr image copy debian other:": "test_exchange.py",
                   "lxmgr image import https": "test_simplestreams.py"}),
    "docs/how-to/use-lxc-and-incus-clients.md": Page(),
    "docs/how-to/use-networks.md": Page(
        before={"lxmgr network create lab ipv4.address=10.90.0.1/24 ipv6.address=none": ["lxmgr network delete lab"]}),
    "docs/how-to/use-projects.md": Page(
        DEV, before={"lxmgr --project web launch debian/12 dev": ['lxmgr --project web image import "$TINY" --alias debian/12'],
                     "lxmgr copy dev dev --target-project web": ["lxmgr --project web delete --force dev"],
                     "lxmgr move dev --target-project lab": ["lxmgr stop --force dev"],
                     "lxmgr config trust add --name tenant --restricted --projects web":
                         ["lxmgr config set core.https_address=:8443"],
                     "lxmgr project delete web":
                         ["lxmgr --project web delete --force dev", "lxmgr --project web image delete debian/12"]},
        elsewhere={"lxmgr project set web restricted.networks.access": "test_project_rules.py"}),
    "docs/how-to/use-volumes.md": Page(
        DEV, WEB, FAST,
        before={"lxmgr storage volume restore default data before-upgrade": ["lxmgr stop --force dev"],
                "lxmgr storage volume copy default/data/before-upgrade default/old":
                    ["lxmgr storage volume snapshot default data before-upgrade"],
                "lxmgr storage volume move default/data fast/data": ["lxmgr storage volume delete fast data"],
                "lxmgr storage volume rename default data files": ["lxmgr storage volume create default data"]},
        elsewhere={"lxmgr storage create thin": "tests/vm/lvm_pools.py", "lxmgr storage volume create thin": ""}),
    "docs/how-to/work-on-lxmgr.md": Page(elsewhere={"python3 tests/": "it is one of them"}),
    "docs/how-to/watch-a-server.md": Page(WEB, elsewhere={"lxmgr monitor": "test_cli.py"}),
    "docs/performance.md": Page(elsewhere={"tests/bench/": "by hand: benchmarks run apart from tests"}),
    "docs/tutorial/dev-server.md": Page(distro=True),
    "docs/tutorial/first-container.md": Page(
        "lxmgr launch debian/12 quickstart", elsewhere={"./quickstart": "test_quickstart.py", "export PATH": "its binaries"}),
}


def runnable(path, text):
    """The page's script."""
    page, lines, used = PAGES[path], list(PAGES[path].given), set()
    for command in pages.commands(text):
        other = next((start for start in page.elsewhere if command.startswith(start)), None)
        if other:
            used.add(other)
            continue
        used.add(command)
        lines += [*page.before.get(command, []), command]
    unused = [*({*page.elsewhere, *page.before} - used)]
    if unused:
        raise AssertionError(f"{path} has no such command: {unused}")
    return lines


class PagesTest(unittest.TestCase):
    def test_every_page_is_here(self):
        self.assertEqual(set(pages.paths()), set(PAGES))

    def test_every_block_says_what_it_is(self):
        for path in (REPOSITORY / "docs").glob("[!r]*/*.md"):  # not of reference/, which is generated
            self.assertEqual(pages.unnamed_fences(path.read_text()), [], path)


class CommandsTest(unittest.TestCase):
    @staticmethod
    def prepare(daemon):
        """The host that the pages are about: directories in /srv, an address, a network card."""
        run = daemon.sandbox.run
        run("mount", "-t", "tmpfs", "tmpfs", "/srv")
        for folder in ("src", "web", "shared"):
            run("mkdir", f"/srv/{folder}")
        run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "outside")
        for end in ("eth0", "outside"):
            run("ip", "link", "set", end, "up")
        run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
        run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=1", "net.ipv6.conf.all.forwarding=1",
            "net.ipv6.conf.all.proxy_ndp=1", "net.ipv6.conf.eth0.proxy_ndp=1")

    @staticmethod
    def environment(daemon):
        programs = os.path.join(daemon.base, "programs")
        os.mkdir(programs)
        os.symlink(clients.incus(daemon).program, os.path.join(programs, "incus"))
        path = f"{daemons.binaries()}:{programs}:{os.environ['PATH']}"
        metadata, rootfs = images.distro("bookworm")
        return {**os.environ, "PATH": path, "HOME": daemon.base, "LXMGR_DIR": daemon.root, "LXD_DIR": daemon.root,
                "TINY": str(images.tiny()), "METADATA": str(metadata), "ROOTFS": str(rootfs)}

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("booting instances needs root")

    def run_page(self, path):
        script = runnable(path, (REPOSITORY / path).read_text())
        daemon = daemons.make()
        self.addCleanup(daemon.close)
        daemon.start()
        daemon.initialise()
        image = images.distro("bookworm") if PAGES[path].distro else images.tiny()
        target = daemon.import_image(image, "debian/12")
        daemon.api.call("POST", "/1.0/images/aliases", {"name": "debian/13", "target": target, "description": ""})
        self.prepare(daemon)
        # nsenter(1) leaves its caller's directory.
        text = f"set -e\ncd {daemon.base}\n" + "\n".join(f"echo + {shlex.quote(line)} >&2\n{line}" for line in script)
        done = subprocess.run(
            daemon.sandbox.command(["bash", "-c", text.replace("/var/lib/lxmgr", daemon.root)]), capture_output=True, text=True,
            stdin=subprocess.DEVNULL, env=self.environment(daemon), timeout=300, check=False)
        self.assertEqual(done.returncode, 0, f"{path}:\n{done.stderr[-3000:]}\n{daemon.log_tail(10)}")
        with contextlib.suppress(ConnectionError, FileNotFoundError):  # the page may have shut the daemon down
            self.stop_all(daemon)

    @staticmethod
    def stop_all(daemon):
        for one in daemon.api.get("/1.0/instances?recursion=1&all-projects=true"):
            if one["status"] != "Stopped":
                place = f"/1.0/instances/{one['name']}/state?project={one['project']}"
                daemon.api.do("PUT", place, {"action": "stop", "force": True})


def test_of(path):
    return lambda self: self.run_page(path)


for page_path in PAGES:
    setattr(CommandsTest, "test_" + page_path.removesuffix(".md").replace("/", "_").replace("-", "_"), test_of(page_path))

if __name__ == "__main__":
    main()
