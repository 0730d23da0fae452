"""Nodes of the host's devices that come and go while the instance runs; a loop device stands for what is plugged in."""
import contextlib
import errno
import fcntl
import glob
import os
import signal
import subprocess
import time

from harness.case import DaemonCase, main

SET_FD, CLR_FD, ADD, REMOVE = 0x4C00, 0x4C01, 0x4C80, 0x4C81  # linux/loop.h


class HotDevicesTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.control = os.open("/dev/loop-control", os.O_RDWR)
        self.number = next(number for number in range(200, 250) if not os.path.exists(f"/sys/block/loop{number}"))
        self.path = f"/dev/loop{self.number}"
        self.plugged = False

    def tearDown(self):
        super().tearDown()
        self.unplug()
        os.close(self.control)

    def plug(self):
        """With a file in it, or somebody who looks for a free one would find it."""
        fcntl.ioctl(self.control, ADD, self.number)
        self.plugged = True
        with open(self.path, "rb") as device, open("/etc/passwd", "rb") as file:
            fcntl.ioctl(device, SET_FD, file.fileno())

    def unplug(self):
        if not self.plugged:
            return
        with open(self.path, "rb") as device:
            fcntl.ioctl(device, CLR_FD)
        deadline = time.monotonic() + 60
        while self.plugged:
            try:
                fcntl.ioctl(self.control, REMOVE, self.number)
                self.plugged = False
            except OSError as error:  # somebody looks at it, as those do who are told of a change
                self.assertEqual((error.errno, time.monotonic() < deadline), (errno.EBUSY, True))
                time.sleep(0.01)

    def node(self, **keys):
        return {"type": "unix-block", "source": self.path, "path": "/dev/plugged", "required": "false", **keys}

    def inside(self):
        code, out, _ = self.api.exec("box", ["stat", "-c", "%F %t:%T %u %a", "/dev/plugged"])
        return out.decode().strip() if code == 0 else ""

    def wait_inside(self, there):
        deadline = time.monotonic() + 60
        while bool(self.inside()) != there:
            self.assertLess(time.monotonic(), deadline, self.inside())
            time.sleep(0.02)

    def wait_noted(self, there):
        """What the daemon has done about the device is whole, not only begun."""
        deadline = time.monotonic() + 60
        while ("volatile.stick.last_state.nodes" in self.api.instance("box")["config"]) != there:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def watchers(self):
        """Sockets that listen to the kernel's events, of the daemon's network namespace."""
        pid = self.daemon.pid
        with open(f"/proc/{pid}/net/netlink", encoding="utf-8") as file:
            rows = [line.split() for line in file.read().splitlines()[1:]]
        inodes = set()
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        return sum(row[1] == "15" and f"socket:[{row[-1]}]" in inodes for row in rows)

    def wait_watchers(self, count):
        deadline = time.monotonic() + 60
        while self.watchers() != count:
            self.assertLess(time.monotonic(), deadline, self.watchers())
            time.sleep(0.02)

    def test_comes_and_goes(self):
        self.api.launch("box", "tiny", devices={"stick": self.node(uid="5", mode="0640")})
        self.assertEqual((self.inside(), self.watchers()), ("", 1))
        self.plug()
        self.wait_inside(True)
        self.assertEqual(self.inside(), f"block special file 7:{self.number:x} 5 640")
        self.unplug()
        self.wait_inside(False)
        self.plug()
        self.wait_inside(True)
        self.api.stop("box")
        self.assertEqual(self.watchers(), 0)
        self.api.start("box")
        self.assertNotEqual(self.inside(), "")
        self.unplug()
        self.wait_inside(False)
        deadline = time.monotonic() + 60  # the note goes after the node
        while "volatile.stick.last_state.nodes" in self.api.instance("box")["config"]:
            self.assertLess(time.monotonic(), deadline)

    def test_added_and_removed_while_it_runs(self):
        self.api.launch("box", "tiny")
        self.assertEqual(self.watchers(), 0)
        self.plug()
        self.api.update("box", devices={"stick": self.node()})
        self.assertNotEqual(self.inside(), "")
        self.api.update("box", devices={"stick": None})
        self.assertEqual((self.inside(), self.watchers()), ("", 0))
        self.unplug()
        self.api.update("box", devices={"stick": self.node()})
        self.assertEqual(self.inside(), "")
        self.plug()
        self.wait_inside(True)

    def test_privileged(self):
        """Its root can make nodes as it likes, and open those that it was given, for as long as it has them."""
        device = {key: value for key, value in self.node().items() if key != "required"}
        self.plug()
        self.api.launch("box", "tiny", config={"security.privileged": "true"},
                        devices={"first": {**device, "path": "/dev/first"}})
        self.api.sh("box", f"mknod /root/own b 7 {self.number} && mknod /root/mem c 1 1")
        def opens(path):
            return self.api.exec("box", ["sh", "-c", f"head -c 1 {path}"])[0] == 0
        self.assertTrue(opens("/dev/first") and opens("/root/own"))
        self.api.update("box", devices={"first": None})
        self.assertFalse(opens("/root/own"))
        self.api.update("box", devices={"stick": device})
        self.assertTrue(opens("/dev/plugged") and opens("/root/own"))
        self.daemon.kill()
        self.daemon.start()
        self.api.update("box", devices={"again": {**device, "path": "/dev/again"}})
        self.api.update("box", devices={"stick": None})
        self.assertTrue(opens("/dev/again"))
        self.api.update("box", devices={"again": None})
        self.assertFalse(opens("/root/own"))
        self.assertFalse(opens("/root/mem"))
        zero = {"type": "unix-char", "source": "/dev/zero", "path": "/dev/zero2"}
        self.api.update("box", devices={"zero": zero})
        self.assertTrue(opens("/dev/zero2"))
        self.api.update("box", devices={"zero": None})
        self.assertTrue(opens("/dev/zero"))

    def test_privileged_that_unmounted_it(self):
        """What the guest did to the node does not keep the device open to it."""
        device = {key: value for key, value in self.node().items() if key != "required"}
        self.plug()
        self.api.launch("box", "tiny", config={"security.privileged": "true"},
                        devices={"first": {**device, "path": "/dev/first"}})
        self.api.sh("box", f"mknod /root/own b 7 {self.number}")
        def opens(path):
            return self.api.exec("box", ["sh", "-c", f"head -c 1 {path}"])[0] == 0
        def remove(name, script):
            self.api.sh("box", script)
            self.assertTrue(opens("/root/own"))
            self.api.update("box", devices={name: None})
            self.assertFalse(opens("/root/own"), script)
        remove("first", "umount /dev/first")
        for script in ("umount /dev/plugged", "umount /dev/plugged; rm /dev/plugged",
                       "umount /dev/plugged; mount --bind /dev/zero /dev/plugged"):
            self.api.update("box", devices={"stick": device})
            remove("stick", script)
        self.assertTrue(opens("/dev/zero"))
        self.api.update("box", devices={"stick": device, "again": {**device, "path": "/dev/again"}})
        self.daemon.kill()
        self.daemon.start()
        self.api.sh("box", "umount /dev/again")
        self.api.update("box", devices={"again": None})
        self.assertTrue(opens("/dev/plugged"))
        self.api.update("box", devices={"stick": self.node()})
        self.api.sh("box", "umount /dev/plugged")
        self.unplug()
        self.wait_noted(False)
        self.plug()
        self.wait_inside(True)
        remove("stick", "umount /dev/plugged")  # it was given twice, and taken back twice

    def test_what_came_or_went_without_a_daemon(self):
        self.api.launch("box", "tiny", devices={"stick": self.node()})
        self.daemon.kill()
        self.plug()
        self.daemon.start()
        self.wait_inside(True)
        self.daemon.kill()
        self.unplug()
        self.daemon.start()
        self.wait_inside(False)
        for point in ("instances.hot_devices.attached", "instances.hot_devices.detached"):
            self.daemon.terminate(signal.SIGTERM)
            self.daemon.start(environment={"LXMGR_FAILPOINT": point})
            self.plug()
            self.assertEqual(self.daemon.wait_dead(), -9)
            self.daemon.start()
            self.wait_inside(True)
            self.wait_noted(True)  # what the crash left is taken away before it is put there again
            mounts = subprocess.run(["grep", "-c", " /dev/plugged ", f"/proc/{self.api.state('box')['pid']}/mountinfo"],
                                    capture_output=True, text=True, check=True).stdout
            self.assertEqual(mounts.strip(), "1")
            self.unplug()
            self.wait_inside(False)

    def test_devices_by_what_they_are(self):
        """This machine has none of them: a device that must be there is refused, another one is waited for."""
        self.api.create("box", "tiny")
        usb = {"type": "usb", "vendorid": "1d6b", "productid": "0002", "serial": "x", "busnum": "1", "devnum": "2",
               "uid": "1", "gid": "2", "mode": "0600", "required": "true"}
        hotplug = {"type": "unix-hotplug", "vendorid": "1d6b", "productid": "0002", "uid": "1", "gid": "2", "mode": "0600",
                   "required": "true"}
        gpu = {"type": "gpu", "gputype": "physical", "pci": "0000:ff:00.0", "vendorid": "10de", "productid": "1eb8", "id": "77",
               "uid": "1", "gid": "2", "mode": "0600"}
        for device in (usb, hotplug, gpu):
            self.api.update("box", devices={"dev": device})
            self.assertIn("the host has no such", self.assert_api_error(400, self.api.start, "box"))
            if "required" in device:
                self.api.update("box", devices={"dev": {**device, "required": "false"}})
                self.api.start("box")
                self.wait_watchers(1)
                self.api.stop("box")
        self.api.update("box", devices={"dev": {**usb, "attached": "false"}})
        self.api.start("box")
        self.assertIn("no such", self.assert_api_error(400, self.api.update, "box", devices={"dev": {**usb, "attached": "true"}}))
        self.api.stop("box")
        for wrong in ({**usb, "vendorid": "x"}, {"type": "unix-hotplug"}, {**gpu, "gputype": "mdev"}, {**gpu, "pci": "1:2"},
                      {**gpu, "id": "first"}, {**usb, "mode": "9"}, {**usb, "colour": "red"}):
            self.assert_api_error(400, self.api.update, "box", devices={"dev": wrong})

    def test_gpu_by_the_number_of_its_card(self):
        """Where the kernel has the virtual card, as in the virtual machine: with all of its nodes, and no other card's."""
        subprocess.run(["sh", "-c", "modprobe vkms"], capture_output=True, check=False)
        self.api.launch("box", "tiny")
        cards = glob.glob("/sys/class/drm/card[0-9]")
        for card in cards:
            nodes = {name for name in os.listdir(f"{card}/device/drm") if name.startswith(("card", "render"))}
            self.api.update("box", devices={"gpu": {"type": "gpu", "id": card[-1], "mode": "0600", "gid": "7"}})
            self.assertEqual(set(self.api.sh("box", "cd /dev/dri && stat -c %n *").split()), nodes)
            self.assertEqual(self.api.sh("box", f"stat -c '%F %a %g' /dev/dri/card{card[-1]}"), "character special file 600 7")
            self.api.update("box", devices={"gpu": None})
        absent = {"type": "gpu", "id": str(len(cards) + 20)}
        self.assertIn("no such GPU", self.assert_api_error(400, self.api.update, "box", devices={"gpu": absent}))


if __name__ == "__main__":
    main()
