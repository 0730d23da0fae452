"""Devices of the host that are found by what they are, in a /sys of the daemon's own that has a bus, two cards and two sticks."""
import os
import pathlib
import shutil
import time

from harness.case import DaemonCase, main

BUS, STICK, OTHER_STICK = "pci0000:00/0000:00:14.0/usb1", "1-2", "1-3"
CARD, OTHER_CARD = "pci0000:00/0000:01:00.0", "pci0000:00/0000:02:00.0"


class HostDevicesTest(DaemonCase):
    def setUp(self):
        self.sys = pathlib.Path(self.daemon.base, "sys")
        self.chars = self.sys / "dev/char"
        self.chars.mkdir(parents=True)
        # One without anything over it: the kernel lets a guest mount its own only where the host has such a one.
        (self.sys / "whole").mkdir()
        self.host("mount", "-t", "sysfs", "none", str(self.sys / "whole"))
        self.host("mount", "--bind", str(self.chars), "/sys/dev/char")
        super().setUp()

    def tearDown(self):
        super().tearDown()
        self.host("umount", "/sys/dev/char")
        self.host("umount", str(self.sys / "whole"))
        shutil.rmtree(self.sys)

    def host(self, *argv):
        return self.daemon.sandbox.run(*argv)

    # ---- the machine
    def add(self, path, subsystem, node="", number="", **attributes):
        folder = self.sys / "devices" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "subsystem").symlink_to(self.sys / subsystem)
        (folder / "uevent").write_text(f"DEVNAME={node}\n" if node else "")
        for name, value in attributes.items():
            (folder / name).write_text(value + "\n")
        if number:
            (self.chars / number).symlink_to(folder)

    def add_card(self, pci, card, render, vendor, device):
        """Its render node is what /dev/zero is, so that it can be read."""
        self.add(pci, "bus/pci", vendor=vendor, device=device)
        self.add(f"{pci}/drm/card{card}", "class/drm", f"dri/card{card}", f"226:{card}")
        self.add(f"{pci}/drm/renderD{render}", "class/drm", f"dri/renderD{render}", "1:5" if card == 0 else f"226:{render}")

    def add_stick(self, port, number, product, serial):
        """A USB device with a serial line."""
        self.add(f"{BUS}/{port}", "bus/usb", f"bus/usb/001/{number:03}", f"189:{number - 1}", idVendor="0403", idProduct=product,
                 serial=serial, busnum="1", devnum=str(number))
        self.add(f"{BUS}/{port}/{port}:1.0", "bus/usb")
        self.add(f"{BUS}/{port}/{port}:1.0/tty/ttyUSB{number}", "class/tty", f"ttyUSB{number}", f"188:{number}")

    def unplug(self, port):
        for link in list(self.chars.iterdir()):
            if f"/{port}/" in f"{os.readlink(link)}/":
                link.unlink()
        shutil.rmtree(self.sys / "devices" / BUS / port)
        self.tell()

    @staticmethod
    def tell():
        """The kernel tells of a device as if it had just come: what anyone who listens looks again for."""
        pathlib.Path("/sys/devices/virtual/mem/null/uevent").write_text("add")

    # ---- the guest
    def set(self, **keys):
        self.api.update("box", devices={"dev": keys})

    def inside(self, *folders):
        """Path below /dev -> owner, group, permissions and number. A node may go between its two looks."""
        look = "[ ! -c $one ] || stat -c '%n %u %g %a %t:%T' $one || [ ! -e $one ]"
        script = f"cd /dev; for one in {' '.join(folders)}; do {look}; done"
        return dict(line.split(" ", 1) for line in self.api.sh("box", script).splitlines())

    def nodes(self):
        return self.inside("dri/*", "bus/usb/*/*", "ttyUSB*")

    def wait_nodes(self, *names):
        deadline = time.monotonic() + 60
        while set(self.nodes()) != set(names):
            self.assertLess(time.monotonic(), deadline, self.nodes())
            time.sleep(0.02)

    # ---- the tests
    def test_gpu(self):
        self.add_card(CARD, 0, 128, "0x10de", "0x1eb8")
        self.add_card(OTHER_CARD, 1, 129, "0x8086", "0x5917")
        first, second = {"dri/card0", "dri/renderD128"}, {"dri/card1", "dri/renderD129"}
        self.api.launch("box", "tiny", devices={"dev": {"type": "gpu"}})
        self.assertEqual(set(self.nodes()), first | second)
        for keys, wanted in (({"id": "0"}, first), ({"id": "1"}, second), ({"pci": "0000:02:00.0"}, second),
                             ({"vendorid": "10DE"}, first), ({"productid": "5917"}, second),
                             ({"gputype": "physical", "id": "1", "vendorid": "8086", "pci": "0000:02:00.0"}, second)):
            with self.subTest(keys=keys):
                self.set(type="gpu", **keys)
                self.assertEqual(set(self.nodes()), wanted)
        self.set(type="gpu", id="0", uid="5", gid="6", mode="0604")
        self.assertEqual(self.nodes(), {"dri/card0": "5 6 604 e2:0", "dri/renderD128": "5 6 604 1:5"})
        self.assertEqual(self.api.sh("box", "head -c 2 /dev/dri/renderD128 | od -An -tx1"), "00 00")
        for keys in ({"id": "2"}, {"vendorid": "10de", "productid": "5917"}, {"pci": "0000:03:00.0"}):
            message = self.assert_api_error(400, self.set, type="gpu", **keys)
            self.assertIn("no such GPU", message)
        self.assertEqual(set(self.nodes()), first)
        self.api.update("box", devices={"dev": None})
        self.assertEqual(self.nodes(), {})

    def test_usb(self):
        self.add_stick(STICK, 2, "6001", "A1")
        self.add_stick(OTHER_STICK, 3, "6015", "B2")
        first, second = "bus/usb/001/002", "bus/usb/001/003"
        self.api.launch("box", "tiny", devices={"dev": {"type": "usb"}})
        self.assertEqual(set(self.nodes()), {first, second})
        for keys, wanted in (({"vendorid": "0403", "productid": "6001"}, first), ({"productid": "6015"}, second),
                             ({"serial": "B2"}, second), ({"busnum": "1", "devnum": "2"}, first), ({"devnum": "003"}, second)):
            with self.subTest(keys=keys):
                self.set(type="usb", **keys)
                self.assertEqual(set(self.nodes()), {wanted})
        for keys in ({"busnum": "2"}, {"vendorid": "1d6b"}):
            self.set(type="usb", **keys)
            self.assertEqual(self.nodes(), {})
        self.set(type="usb", serial="A1", uid="5", gid="6", mode="0604")
        self.assertEqual(self.nodes(), {first: "5 6 604 bd:1"})
        self.set(type="usb", serial="A1", attached="false")
        self.assertEqual(self.nodes(), {})
        self.assertIn("no such USB device", self.assert_api_error(400, self.set, type="usb", serial="C3", required="true"))
        self.set(type="usb", serial="A1", required="true")
        self.assertEqual(set(self.nodes()), {first})

    def test_usb_comes_and_goes(self):
        self.api.launch("box", "tiny", devices={"dev": {"type": "usb", "vendorid": "0403", "required": "false"}})
        self.assertEqual(self.nodes(), {})
        self.add_stick(STICK, 2, "6001", "A1")
        self.tell()
        self.wait_nodes("bus/usb/001/002")
        self.add_stick(OTHER_STICK, 3, "6015", "B2")
        self.tell()
        self.wait_nodes("bus/usb/001/002", "bus/usb/001/003")
        self.unplug(STICK)
        self.wait_nodes("bus/usb/001/003")

    def test_unix_hotplug(self):
        self.add_stick(STICK, 2, "6001", "A1")
        self.api.launch("box", "tiny", devices={"dev": {"type": "unix-hotplug", "vendorid": "0403", "productid": "6001",
                                                        "uid": "5", "gid": "6", "mode": "0604", "required": "true"}})
        self.assertEqual(self.nodes(), {"ttyUSB2": "5 6 604 bc:2"})
        self.set(type="unix-hotplug", vendorid="0403", productid="6015")
        self.assertEqual(self.nodes(), {})
        self.add_stick(OTHER_STICK, 3, "6015", "B2")
        self.tell()
        self.wait_nodes("ttyUSB3")
        self.set(type="unix-hotplug", vendorid="0403")
        self.assertEqual(set(self.nodes()), {"ttyUSB2", "ttyUSB3"})
        self.unplug(OTHER_STICK)
        self.wait_nodes("ttyUSB2")
        absent = {"type": "unix-hotplug", "vendorid": "1d6b", "required": "true"}
        self.assertIn("no such device", self.assert_api_error(400, self.set, **absent))


if __name__ == "__main__":
    main()
