"""GET /1.0/resources: true to the machine, of LXD's shape, and read by the real clients."""
import os
import pathlib

from harness import clients
from harness.case import DaemonCase, main
from harness.daemon import Lxd

#: What a machine may lack, or what LXD says of hardware that only it looks for; it brings the lists of PCI names along.
OPTIONAL = {"frequency", "frequency_minimum", "frequency_turbo", "vdpa", "infiniband", "mdev", "nvidia", "vendor", "product"}


def shape(value, place=""):
    """Paths of keys with the kinds of their values; lists are one."""
    if isinstance(value, dict):
        return set().union(*(shape(one, f"{place}.{key}") for key, one in value.items())) if value else set()
    if isinstance(value, list):
        return set().union(*(shape(one, f"{place}[]") for one in value)) if value else set()
    return {(place, "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__)}


class ResourcesTest(DaemonCase):
    needs_images = ()

    def test_true_to_the_machine(self):
        shown = self.api.get("/1.0/resources")
        self.assertEqual(set(shown), {"cpu", "memory", "gpu", "network", "storage", "usb", "pci", "system", "load"})
        threads = [thread for socket in shown["cpu"]["sockets"] for core in socket["cores"] for thread in core["threads"]]
        self.assertEqual(len(threads), os.sysconf("SC_NPROCESSORS_ONLN"))
        self.assertEqual(shown["cpu"]["total"], len(threads))
        self.assertEqual(shown["memory"]["total"], os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        self.assertLess(shown["memory"]["used"], shown["memory"]["total"])
        nodes = len(list(pathlib.Path("/sys/devices/system/node").glob("node[0-9]*")))
        self.assertEqual(len(shown["memory"]["nodes"]), nodes)
        disks = {path.parent.name for path in pathlib.Path("/sys/block").glob("*/device")}
        self.assertEqual({disk["id"] for disk in shown["storage"]["disks"]}, disks)
        self.assertEqual(shown["pci"]["total"], len(list(pathlib.Path("/sys/bus/pci/devices").glob("*"))))
        self.assertGreater(shown["load"]["Processes"], 1)
        self.assertIn(shown["system"]["type"], ("physical", "virtual-machine", "container"))

    def test_of_the_shape_of_lxd(self):
        lxd = Lxd()
        self.addCleanup(lxd.close)
        lxd.start()
        ours, theirs = self.api.get("/1.0/resources"), lxd.api.get("/1.0/resources")
        missing = {(path, kind) for path, kind in shape(theirs) - shape(ours) if path.split(".")[-1] not in OPTIONAL}
        self.assertEqual(missing, set())
        for part in ("cpu", "storage", "network", "pci", "usb", "gpu"):
            self.assertEqual(ours[part]["total"], theirs[part]["total"], part)
        for key in ("id", "size", "type"):
            self.assertEqual([disk[key] for disk in ours["storage"]["disks"]],
                             [disk[key] for disk in theirs["storage"]["disks"]], key)

    def test_clients(self):
        total = self.api.get("/1.0/resources")["cpu"]["total"]
        for client in (clients.lxc(self.daemon), clients.incus(self.daemon)):
            text = client("info", "--resources")
            self.assertIn("CPU", text)
            self.assertIn(f"Thread{'s' if total > 1 else ''}" if total > 1 else "CPU", text)
            self.assertIn("Memory:", text)
            self.assertIn("Disk", text)


main()
