"""lxmgr, our own client: the first minute of a user, every command once, outputs and errors."""
import contextlib
import csv
import io
import json
import os
import subprocess
import threading

from harness import images
from harness.case import DaemonCase, main
from harness.clients import Client
from harness.daemon import binaries
from harness.rest import PATIENCE


class CliCase(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = Client(cls.daemon, str(binaries() / "lxmgr"), {"LXMGR_DIR": cls.daemon.root})

    def fails(self, *arguments, says, code=1):
        """The command must fail with one sentence on stderr that holds `says`."""
        done = self.client.run(*arguments, check=False)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, code, message)
        self.assertIn(says, message)
        self.assertEqual(done.stdout, b"")
        return message


class Lines:
    """Collects what a program says, line by line."""

    def __init__(self, stream):
        self.stream, self.lines, self.more = stream, [], threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.stream:
            with self.more:
                self.lines.append(line)
                self.more.notify_all()

    def text(self):
        return "".join(self.lines)

    def wait(self, text):
        with self.more:
            assert self.more.wait_for(lambda: text in self.text(), 30 * PATIENCE), f"no '{text}' in {self.text()}"


class CommandsTest(CliCase):
    def test_the_first_minute(self):
        self.client("launch", "tiny", "dev")
        self.assertIn("RUNNING", self.client("list").upper())
        self.assertEqual(self.client("exec", "dev", "--", "hostname"), "dev\n")
        code, out = self.client.terminal("shell", "dev", send=b"echo in''side; exit 4\n", until=b"#")
        self.assertIn(b"inside", out)
        self.assertEqual(code, 4)
        self.client("stop", "--force", "dev")
        self.client("start", "dev")
        self.client("restart", "--force", "dev")
        self.client("freeze", "dev")
        self.assertIn("FROZEN", self.client("list").upper())
        self.client("unfreeze", "dev")
        self.client("delete", "--force", "dev")

    def test_monitor(self):
        """Requests and operations as log lines, and only those of the level that was asked for."""
        with self.monitor("--type", "logging") as told, self.monitor("--loglevel", "warning") as quiet:
            # A listener is there once it has told of something; requests are told of until it is.
            for stream in (told, quiet):
                while not stream.lines:
                    self.api.call("POST", "/1.0/profiles", {"name": "said"})
                    self.api.call("DELETE", "/1.0/profiles/said")
            self.client("init", "tiny", "said")
            told.wait("Success for operation")
            quiet.wait("instance-created")
            for text in ('url="/1.0/instances"', "New operation", 'description="Creating instance"', "debug:"):
                self.assertIn(text, told.text())
            self.assertNotIn("lifecycle", told.text())
            self.assertNotIn("debug:", quiet.text())

    @contextlib.contextmanager
    def monitor(self, *options):
        with subprocess.Popen([self.client.program, "monitor", *options], env=self.client.environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            try:
                yield Lines(process.stdout)
            finally:
                process.terminate()

    def test_list_formats(self):
        self.client("launch", "tiny", "one", "-c", "user.note=x")
        address = self.address("one")
        self.assertEqual(json.loads(self.client("list", "--format", "json"))[0]["name"], "one")
        rows = list(csv.reader(io.StringIO(self.client("list", "--format", "csv"))))
        self.assertIn("one", rows[-1])
        self.assertIn("one", self.client("list", "--format", "yaml"))
        self.assertIn(address, self.client("list"))

    def test_exec_passes_streams_and_codes(self):
        self.client("launch", "tiny", "dev")
        done = self.client.run("exec", "dev", "--", "sh", "-c", "cat; echo err >&2; exit 9", stdin=b"data", check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (9, b"data", b"err\n"))
        out = self.client("exec", "dev", "--env", "A=b", "--cwd", "/tmp", "--", "sh", "-c", "echo $A $PWD")
        self.assertEqual(out, "b /tmp\n")

    def test_config_and_profiles(self):
        self.client("launch", "tiny", "dev")
        self.client("config", "set", "dev", "limits.memory=100MiB")
        self.assertEqual(self.client("config", "get", "dev", "limits.memory").strip(), "100MiB")
        self.assertIn("limits.memory", self.client("config", "show", "dev"))
        self.client("config", "unset", "dev", "limits.memory")
        self.client("profile", "create", "mine")
        self.client("profile", "set", "mine", "user.x=1")
        self.assertIn("mine", self.client("profile", "list"))
        self.assertIn("user.x", self.client("profile", "show", "mine"))
        self.client("profile", "delete", "mine")

    def test_files(self):
        self.client("launch", "tiny", "dev")
        folder = os.path.join(self.daemon.base, "clitree")
        os.makedirs(os.path.join(folder, "sub"), exist_ok=True)
        with open(os.path.join(folder, "sub", "file"), "w", encoding="utf-8") as file:
            file.write("content")
        self.client("file", "push", "-r", folder, "dev/root/")
        self.assertEqual(self.client("file", "pull", "dev/root/clitree/sub/file", "-"), "content")
        back = os.path.join(self.daemon.base, "cliback")
        os.makedirs(back, exist_ok=True)
        self.client("file", "pull", "-r", "dev/root/clitree", back)
        with open(os.path.join(back, "clitree/sub/file"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "content")
        self.client("file", "delete", "dev/root/clitree/sub/file")
        self.fails("file", "pull", "dev/root/clitree/sub/file", "-", says="file")

    def test_images(self):
        metadata, rootfs = images.distro("bookworm")
        self.client("image", "import", metadata, rootfs, "--alias", "bw")
        self.assertIn("bw", self.client("image", "list"))
        self.assertIn("bookworm", self.client("image", "info", "bw"))
        self.assertIn("bw", self.client("image", "alias", "list"))
        self.client("image", "delete", "bw")

    def test_images_as_files(self):
        there = os.path.join(self.daemon.base, "exported")
        os.makedirs(there, exist_ok=True)
        kept = set(self.api.get("/1.0/images"))

        def back(*files):
            """Imported again, it is the same image."""
            fingerprint = self.api.get("/1.0/images/aliases/bw")["target"]
            self.client("image", "delete", "bw")
            self.client("image", "import", *files, "--alias", "bw")
            self.assertEqual(self.api.get("/1.0/images/aliases/bw")["target"], fingerprint)
        self.client("image", "import", *images.distro("bookworm"), "--alias", "bw")
        self.client("image", "export", "bw", there)
        back(*sorted(os.path.join(there, name) for name in os.listdir(there))[::-1])
        self.client("image", "export", "bw", os.path.join(there, "mine"))
        back(os.path.join(there, "mine.tar.xz"), os.path.join(there, "mine.root.squashfs"))
        self.assertEqual(len(os.listdir(there)), 4)
        self.fails("image", "export", "bw", "-", says="two files")
        self.fails("image", "export", "bw", os.path.join(there, "none/"), says="none")
        self.fails("image", "export", "nothing", there, says="nothing")
        with open(images.tiny(), "rb") as tiny:
            self.assertEqual(self.client.run("image", "export", "tiny", "-").stdout, tiny.read())
        self.client("image", "export", "tiny", os.path.join(there, "tiny"))
        self.assertIn("tiny.tar.gz", os.listdir(there))
        self.client("image", "delete", "bw")
        self.assertEqual(set(self.api.get("/1.0/images")), kept)

    def test_image_from_a_folder(self):
        folder = os.path.join(self.daemon.base, "unpacked")
        os.mkdir(folder)
        self.fails("image", "import", folder, says="metadata.yaml and rootfs")
        subprocess.run(["tar", "-xf", images.tiny(), "-C", folder], check=True)
        os.chown(os.path.join(folder, "rootfs/home"), 12, 34)
        os.setxattr(os.path.join(folder, "rootfs/home"), "user.mark", b"x")
        self.client("image", "import", folder, "--alias", "packed", "note=from a folder")
        self.assertIn("from a folder", self.client("image", "info", "packed"))
        self.client("launch", "packed", "box")
        self.assertEqual(self.api.sh("box", "stat -c %u:%g /home; cat /etc/hostname"), "12:34\nbox")
        self.client("image", "delete", "packed")

    def test_image_edit(self):
        self.client("image", "edit", "tiny", stdin=b"public: true\nproperties: {os: tiny, note: piped}\nprofiles: [default]\n")
        target = self.api.get("/1.0/images/aliases/tiny")["target"]
        self.assertEqual(self.api.get(f"/1.0/images/{target}")["properties"], {"os": "tiny", "note": "piped"})
        editor = os.path.join(self.daemon.base, "editor")
        with open(editor, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\ncp $1 {editor}.saw; sed -i 's/piped/typed/; s/public: true/public: false/' $1\n")
        os.chmod(editor, 0o755)
        self.client.environment["EDITOR"] = self.client.environment["VISUAL"] = editor
        self.assertEqual(self.client.terminal("image", "edit", "tiny")[0], 0)
        image = self.api.get(f"/1.0/images/{target}")
        self.assertEqual((image["public"], image["properties"]["note"]), (False, "typed"))
        with open(f"{editor}.saw", encoding="utf-8") as file:
            lines = [line.split(":")[0] for line in file if not line.startswith((" ", "#", "-"))]
        self.assertEqual(lines, ["auto_update", "expires_at", "profiles", "properties", "public"])
        self.fails("image", "edit", "tiny", says="map")

    def test_the_rest(self):
        self.client("launch", "tiny", "dev")
        for command in (["info"], ["info", "dev"], ["network", "list"], ["network", "show", "lxtestbr0"], ["storage", "list"],
                        ["storage", "show", "default"], ["operation", "list"], ["version"], ["query", "/1.0"],
                        ["console", "dev", "--show-log"], ["completion", "bash"], ["--help"]):
            with self.subTest(command=command):
                self.assertTrue(self.client(*command))
        self.client("network", "create", "clibr0", "ipv6.address=none")
        self.client("network", "delete", "clibr0")

    def test_errors_are_one_sentence(self):
        for command, says in ((["start", "ghost"], "ghost"), (["exec", "ghost", "--", "true"], "ghost"),
                              (["launch", "no-such-image", "x"], "no-such-image"), (["image", "info", "none"], "none"),
                              (["config", "get", "ghost", "user.x"], "ghost")):
            with self.subTest(command=command):
                message = self.fails(*command, says=says)
                self.assertLessEqual(message.strip().count("\n"), 2, message)

    def test_help_of_every_command(self):
        for command in ("launch", "init", "start", "stop", "restart", "freeze", "unfreeze", "delete", "list", "info", "exec",
                        "shell", "console", "file", "image", "config", "profile", "network", "storage", "operation",
                        "query", "version"):
            with self.subTest(command=command):
                self.assertIn(command, self.client(command, "--help"))

    def test_without_a_daemon(self):
        done = subprocess.run([self.client.program, "list"], env={**self.client.environment, "LXMGR_DIR": "/nonexistent"},
                              capture_output=True, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/nonexistent", done.stderr)


class InitTest(CliCase):
    """lxmgr init: the daemon of this class is made bare again first."""

    def setUp(self):
        self.daemon.deinitialise()
        super().setUp()

    def tearDown(self):
        if self.api.get("/1.0/storage-pools"):
            self.remove_everything()
        self.daemon.initialise()

    def remove_everything(self):
        for name in self.daemon.instance_names():
            self.remove_instance(name)
        self.api.do("PUT", "/1.0/profiles/default", {"description": "", "config": {}, "devices": {}})
        for network in self.api.get("/1.0/networks?recursion=1"):
            if network["managed"]:
                self.api.do("DELETE", f"/1.0/networks/{network['name']}")
        for pool in self.api.get("/1.0/storage-pools"):
            self.api.do("DELETE", pool)

    def test_auto_twice(self):
        for _ in range(2):
            self.client("init", "--auto")
            devices = self.api.get("/1.0/profiles/default")["devices"]
            self.assertEqual(sorted(d["type"] for d in devices.values()), ["disk", "nic"])
        self.daemon.import_image(images.tiny(), "tiny")
        self.client("launch", "tiny", "dev")
        self.address("dev")

    def test_preseed(self):
        preseed = b"""config: {}
networks: [{name: seedbr0, type: bridge, config: {ipv4.address: 10.90.0.1/24, ipv6.address: none}}]
storage_pools: [{name: main, driver: dir}]
profiles: [{name: default, devices: {root: {path: /, pool: main, type: disk}, eth0: {name: eth0, network: seedbr0, type: nic}}}]
"""
        self.client("init", "--preseed", stdin=preseed)
        self.assertEqual(self.api.get("/1.0/profiles/default")["devices"]["root"]["pool"], "main")
        self.assertEqual(self.api.get("/1.0/storage-pools/main")["driver"], "dir")


if __name__ == "__main__":
    main()
