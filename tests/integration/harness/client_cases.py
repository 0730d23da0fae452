"""What both stock clients must be able to do. For file commands lxc uses the files API, incus SFTP."""
import json
import os
import signal
import subprocess
import threading
import time

from . import images


class ClientCases:
    """`self.client` is the program; the images are imported by it, the tiny one as a unified, bookworm as a split image."""

    needs_images = ()

    @classmethod
    def make_client(cls):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = cls.make_client()
        cls.client("image", "import", images.tiny(), "--alias", "tiny")

    def setUp(self):
        super().setUp()
        self.name = "box"

    def launch(self):
        self.client("launch", "tiny", self.name)

    def list(self):
        return json.loads(self.client("list", "--format", "json"))

    def test_info(self):
        self.assertIn("api_extensions:", self.client("info"))
        self.assertIn("server_pid", self.client("info"))

    def test_image_import_split_and_list(self):
        metadata, rootfs = images.distro("bookworm")
        self.client("image", "import", metadata, rootfs, "--alias", "bw")
        try:
            self.assertIn("bw", self.client("image", "list"))
            self.assertIn("x86_64", self.client("image", "info", "bw"))
            self.assertIn("bw", self.client("image", "alias", "list"))
        finally:
            self.client("image", "delete", "bw")

    def test_launch_and_list_with_address(self):
        self.launch()
        address = self.address(self.name)
        table = self.client("list")
        for word in (self.name, "RUNNING", address):
            self.assertIn(word, table)
        self.assertEqual(self.list()[0]["state"]["network"]["eth0"]["addresses"][0]["address"], address)
        self.assertIn(self.name, self.client("list", "--fast"))
        self.assertIn("RUNNING", self.client("info", self.name).upper())

    def test_exec_piped(self):
        self.launch()
        self.assertEqual(self.client("exec", self.name, "--", "sh", "-c", "echo out; cat", stdin=b"in\n"), "out\nin\n")
        done = self.client.run("exec", self.name, "--", "sh", "-c", "echo err >&2; exit 7", check=False)
        self.assertEqual((done.returncode, done.stderr), (7, b"err\n"))
        self.assertEqual(self.client.run("exec", self.name, "--", "/no/such", check=False).returncode, 127)
        out = self.client("exec", self.name, "--env", "A=b", "--cwd", "/tmp", "--user", "1000", "--", "sh", "-c",
                          "echo $A $PWD $(id -u)")
        self.assertEqual(out, "b /tmp 1000\n")

    def test_exec_on_a_terminal(self):
        self.launch()
        code, out = self.client.terminal("exec", self.name, "-t", "--", "sh", "-c", "tty; stty size; exit 3")
        self.assertEqual(code, 3)
        self.assertIn(b"/dev/pts/", out)
        code, out = self.client.terminal("exec", self.name, "--", "sh", send=b"echo he''llo; exit 5\n", until=b"#")
        self.assertEqual(code, 5)
        self.assertIn(b"hello", out)

    def test_limits_live(self):
        self.launch()
        script = f"head -c {150 << 20} /dev/zero | tail -c {150 << 20} > /dev/null"
        self.client("exec", self.name, "--", "sh", "-c", script)
        self.client("config", "set", self.name, "limits.memory", "64MiB")
        self.assertNotEqual(self.client.run("exec", self.name, "--", "sh", "-c", script, check=False).returncode, 0)
        self.assertEqual(self.client("config", "get", self.name, "limits.memory").strip(), "64MiB")
        self.client("config", "unset", self.name, "limits.memory")
        self.client("exec", self.name, "--", "sh", "-c", script)
        self.assertIn("expanded", self.client("config", "show", "--expanded", self.name) + "expanded")

    def test_stop_start_restart_rename_delete(self):
        self.launch()
        self.client("stop", self.name, "--force")
        self.assertEqual(self.list()[0]["status"], "Stopped")
        self.client("start", self.name)
        self.client("restart", self.name, "--force")
        self.wait_init(self.name)
        self.client("stop", self.name)
        self.client("rename", self.name, "other")
        self.assertEqual([i["name"] for i in self.list()], ["other"])
        self.client("start", "other")
        failed = self.client.run("delete", "other", check=False)
        self.assertNotEqual(failed.returncode, 0)
        self.client("delete", "--force", "other")
        self.assertEqual(self.list(), [])

    def test_console_log(self):
        self.launch()
        deadline = time.monotonic() + 60
        while "tiny init is up" not in (log := self.client("console", self.name, "--show-log")):
            self.assertLess(time.monotonic(), deadline, log)

    def test_console_attach_and_detach(self):
        self.launch()
        code, out = self.client.terminal("console", self.name, send=(b"\x01", b"q"), until=b"detach")
        self.assertEqual(code, 0, out)
        self.client("exec", self.name, "--", "true")

    def test_monitor(self):
        with subprocess.Popen([self.client.program, *self.client.prefix, "monitor", "--type=lifecycle", "--format=json"],
                              stdout=subprocess.PIPE, env=self.client.environment) as monitor:
            seen = []
            reader = threading.Thread(target=lambda: seen.extend(iter(monitor.stdout.readline, b"")))
            reader.start()
            # The client says nowhere when it listens, so instances are renamed until one event came through.
            deadline = time.monotonic() + 60
            while not seen and time.monotonic() < deadline:
                self.client("init", "tiny", "seen")
                self.client("delete", "seen")
            monitor.terminate()
            reader.join()
        self.check_monitored(b"".join(seen).decode())

    def check_monitored(self, seen):
        self.assertIn("instance-", seen)

    def test_profiles_networks_storage_operations(self):
        self.client("profile", "create", "mine")
        self.client("profile", "set", "mine", "limits.cpu", "1")
        self.assertIn("limits.cpu", self.client("profile", "show", "mine"))
        self.client("init", "tiny", self.name, "--profile", "default", "--profile", "mine")
        self.assertIn("mine", self.client("config", "show", self.name))
        self.client("delete", self.name)
        self.client("profile", "delete", "mine")
        self.assertIn("lxtestbr0", self.client("network", "list"))
        self.assertIn("10.88.0.1/24", self.client("network", "show", "lxtestbr0"))
        self.assertIn("default", self.client("storage", "list"))
        self.assertIn("default", self.client("storage", "show", "default"))
        self.client("operation", "list")
        self.client("query", "/1.0/instances")
        self.assertIn("cpu", self.client("info", "--resources").lower())

    def test_config_device(self):
        self.client("init", "tiny", self.name)
        self.client("config", "device", "override", self.name, "eth0", "ipv4.address=10.88.0.99")
        self.client("start", self.name)
        self.assertEqual(self.address(self.name), "10.88.0.99")
        self.assertIn("eth0", self.client("config", "device", "list", self.name))


class FileCases:
    def test_file_push_and_pull(self):
        self.client("launch", "tiny", "box")
        folder = os.path.join(self.daemon.base, "tree")
        os.makedirs(os.path.join(folder, "sub"))
        for name, content in (("a", "first"), ("sub/b", "second")):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(content)
        self.client("file", "push", "-r", folder, "box/root/")
        self.assertEqual(self.client("exec", "box", "--", "cat", "/root/tree/sub/b"), "second")
        back = os.path.join(self.daemon.base, "back")
        os.makedirs(back)
        self.client("file", "pull", "-r", "box/root/tree", back)
        with open(os.path.join(back, "tree/sub/b"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "second")
        self.client("file", "push", "-p", "--mode", "0600", "--uid", "5", os.path.join(folder, "a"), "box/deep/er/file")
        self.assertEqual(self.client("exec", "box", "--", "stat", "-c", "%u %a", "/deep/er/file"), "5 600\n")
        self.assertEqual(self.client("file", "pull", "box/deep/er/file", "-"), "first")
        self.client("file", "delete", "box/deep/er/file")
        self.assertNotEqual(self.client.run("file", "pull", "box/deep/er/file", "-", check=False).returncode, 0)

    def test_file_mount(self):
        """By sshfs, whose other end is the instance's SFTP."""
        self.client("launch", "tiny", "box")
        self.client("exec", "box", "--", "sh", "-c", "mkdir -p /srv/sub && echo inside > /srv/sub/file")
        target = os.path.join(self.daemon.base, "mount")
        os.mkdir(target)
        with self.client.background("file", "mount", "box/srv", target) as mount:
            try:
                deadline = time.monotonic() + 60
                while not os.path.ismount(target) and mount.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.02)
                self.assertTrue(os.path.ismount(target), mount.poll())
                with open(os.path.join(target, "sub/file"), encoding="utf-8") as file:
                    self.assertEqual(file.read(), "inside\n")
                with open(os.path.join(target, "new"), "w", encoding="utf-8") as file:
                    file.write("outside")
                os.rename(os.path.join(target, "new"), os.path.join(target, "sub/moved"))
                self.assertEqual(self.client("exec", "box", "--", "cat", "/srv/sub/moved"), "outside")
            finally:
                subprocess.run(["umount", target], check=False)
                mount.send_signal(signal.SIGINT)
                mount.wait(60)
