"""What the daemon starts with, and stops in which order when the host goes down; changes of state of all instances."""
import glob
import json
import os
import shutil
import signal
import time

from harness import clients
from harness.case import DaemonCase, main
from harness.daemon import BRIDGE, binaries
from harness.rest import ApiError

# Says in a folder of the host when it is up, when it is asked to stop, and when it has.
INIT = """#!/bin/sh
trap 'echo asked {name} >> /mnt/log/all; sleep {seconds}; echo over {name} >> /mnt/log/all; poweroff -f' PWR
echo > /mnt/log/{name}
while :; do sleep 3600 & wait $!; done
"""
# Two that are asked side by side wait for each other.
TWINS = INIT.replace("sleep {seconds}", "until [ $(grep -c asked /mnt/log/all) -ge {seconds} ]; do sleep 0.1; done")
DEAF = "#!/bin/sh\ntrap '' PWR\necho > /mnt/log/{name}\nwhile :; do sleep 3600; done\n"


class BootTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.daemon.base, "log")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o777)

    def create(self, name, init=None, seconds=0, **config):
        keys = {key.replace("_", "."): str(value) for key, value in config.items()}
        keys = {key.replace("host.shutdown.timeout", "host_shutdown_timeout"): value for key, value in keys.items()}
        disk = {"type": "disk", "source": self.folder, "path": "/mnt/log"}
        self.api.create(name, "tiny", config=keys, devices={"log": disk})
        if init:
            self.api.push(name, "/sbin/init", init.format(name=name, seconds=seconds).encode(), mode="0755")

    def wait_up(self, *names):
        deadline = time.monotonic() + 30
        while not all(os.path.exists(os.path.join(self.folder, name)) for name in names):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def said(self):
        with open(os.path.join(self.folder, "all"), encoding="utf-8") as file:
            return file.read().splitlines()

    def began(self, name):
        """When its init began, in seconds since the boot of the machine: from the kernel."""
        with open(f"/proc/{self.api.state(name)['pid']}/stat", encoding="utf-8") as file:
            return int(file.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")

    def test_order_of_the_start(self):
        self.create("alast", boot_autostart="true", boot_autostart_priority=-1)
        self.create("bfirst", boot_autostart="true", boot_autostart_priority=10, boot_autostart_delay=1)
        self.create("csecond", boot_autostart="true", boot_autostart_priority=5)
        self.create("never")
        self.create("unwanted", boot_autostart="false")
        self.api.start("unwanted")
        self.wait_init("unwanted")
        self.assertEqual(self.daemon.terminate(signal.SIGPWR, 60), 0)
        self.daemon.start()
        for name in ("bfirst", "csecond", "alast"):
            self.api.wait_status(name, "Running")
        first, second, last = (self.began(name) for name in ("bfirst", "csecond", "alast"))
        self.assertLess(first + 0.9, second)
        self.assertLessEqual(second, last)
        for name in ("never", "unwanted"):
            self.assertEqual(self.api.instance(name)["status"], "Stopped")

    def test_a_start_that_fails_is_a_warning_and_tried_again(self):
        self.create("broken", boot_autostart="true", boot_autostart_priority=1)
        self.create("fine", boot_autostart="true", boot_autostart_priority=1)
        os.rename(self.folder, self.folder + ".away")
        self.api.update("fine", devices={"log": None})
        self.daemon.terminate()
        self.daemon.start()
        self.api.wait_status("fine", "Running")

        def failures():
            return [one["entity_url"] for one in self.api.get("/1.0/warnings?recursion=1")
                    if one["type"] == "Instance autostart failure" and one["status"] != "resolved"]
        deadline = time.monotonic() + 60
        while not failures():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertEqual(failures(), ["/1.0/instances/broken"])
        os.rename(self.folder + ".away", self.folder)
        self.api.wait_status("broken", "Running")
        deadline = time.monotonic() + 60
        while failures():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_order_of_the_stop(self):
        self.create("early1", TWINS, 2, boot_stop_priority=5)
        self.create("early2", TWINS, 2, boot_stop_priority=5)
        self.create("late", INIT)
        self.create("deaf", DEAF, boot_host_shutdown_timeout=1)
        names = ("early1", "early2", "late", "deaf")
        for name in names:
            self.api.start(name)
        self.wait_up(*names)
        pids = [self.api.state(name)["pid"] for name in names]
        began = time.monotonic()
        self.assertEqual(self.daemon.terminate(signal.SIGPWR, 60), 0)
        self.assertLess(time.monotonic() - began, 28)  # and not the 30 s that an instance has by default
        said = self.said()
        self.assertEqual(sorted(said[:2]), ["asked early1", "asked early2"])
        self.assertEqual(sorted(said[2:4]), ["over early1", "over early2"])
        self.assertEqual(said[4:], ["asked late", "over late"])
        for pid in pids:
            self.assertFalse(os.path.exists(f"/proc/{pid}/root/sbin/init"))
        self.daemon.start()
        for name in names:  # all ran at the shutdown
            self.api.wait_status(name, "Running")

    def test_forced_at_the_shutdown(self):
        self.create("deaf", DEAF)
        self.api.update("deaf", config={"boot.host_shutdown_action": "force-stop"})
        self.assert_api_error(400, self.api.update, "deaf", config={"boot.host_shutdown_action": "stateful-stop"})
        self.api.start("deaf")
        self.wait_up("deaf")
        began = time.monotonic()
        self.assertEqual(self.daemon.terminate(signal.SIGPWR, 60), 0)
        self.assertLess(time.monotonic() - began, 28)
        self.daemon.start()
        self.api.wait_status("deaf", "Running")

    def test_runs_again_when_it_ends_by_itself(self):
        self.api.create("box", "tiny", config={"boot.autorestart": "true"})
        self.api.start("box")
        for end in (lambda pid: os.kill(pid, signal.SIGKILL), lambda _: self.api.exec("box", ["poweroff", "-f"])):
            pid = self.api.state("box")["pid"]
            with self.api.events() as events:
                end(pid)
                events.wait_action("instance-restarted", "box")
            self.assertNotIn(self.api.state("box")["pid"], (0, pid))
        self.api.stop("box")
        self.assertEqual(self.api.instance("box")["status"], "Stopped")
        # One that cannot run is not started for ever.
        self.api.push("box", "/sbin/init", b"#!/bin/sh\nexit 3\n", mode="0755")
        with self.api.events() as events:
            try:
                self.api.start("box")
            except ApiError:
                pass  # it ended before the start did
            deadline = time.monotonic() + 60
            while "not restarted any more" not in self.daemon.log_tail():
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
            self.assertLessEqual(events.actions().count("instance-restarted"), 10)
        self.api.wait_status("box", "Stopped")

    def test_ephemeral_at_the_shutdown(self):
        self.api.create("mayfly", "tiny", ephemeral=True)
        self.api.start("mayfly")
        self.wait_init("mayfly")
        self.assertEqual(self.daemon.terminate(signal.SIGPWR, 60), 0)
        self.daemon.start()
        self.assertNotIn("mayfly", self.daemon.instance_names())
        # One that ended together with the daemon; and one that was never started stays.
        self.api.create("mayfly", "tiny", ephemeral=True)
        self.api.start("mayfly")
        pid = self.api.state("mayfly")["pid"]
        self.api.create("unborn", "tiny", ephemeral=True)
        self.daemon.kill()
        os.kill(pid, signal.SIGKILL)
        self.daemon.start()
        deadline = time.monotonic() + 60
        while "mayfly" in self.daemon.instance_names():
            self.assertLess(time.monotonic(), deadline)
        self.assertIn("unborn", self.daemon.instance_names())

    def test_shutdown_command(self):
        self.create("box", INIT)
        self.api.start("box")
        self.wait_up("box")
        program = str(binaries() / "lxmgr")
        clients.Client(self.daemon, program, {"LXMGR_DIR": self.daemon.root})("admin", "shutdown", "--timeout", "60")
        self.assertEqual(self.daemon.wait_dead(), 0)
        self.assertEqual(self.said(), ["asked box", "over box"])
        self.daemon.start()
        self.api.wait_status("box", "Running")

    def kernel_has(self):
        """The bridge, its server and its rules."""
        run = self.daemon.sandbox.run
        server = f"{self.daemon.root}/networks/{BRIDGE}/".encode()
        return ([one["ifname"] for one in json.loads(run("ip", "-json", "link", "show", "type", "bridge"))],
                sum(b"dnsmasq" in argv and server in argv for argv in self.arguments()), BRIDGE in run("nft", "list", "ruleset"))

    @staticmethod
    def arguments():
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    yield file.read()
            except OSError:  # it has ended
                pass

    def test_networks_go_down_with_the_instances(self):
        before = self.kernel_has()
        self.assertEqual(before, ([BRIDGE], 1, True))
        self.api.launch("box", "tiny")
        address = self.address("box")
        self.assertEqual(self.daemon.terminate(), 0)  # alone
        self.assertEqual(self.kernel_has(), before)
        self.daemon.start()
        self.assertEqual(self.daemon.terminate(signal.SIGPWR, 60), 0)
        self.assertEqual(self.kernel_has(), ([], 0, False))
        self.daemon.start()
        self.api.wait_status("box", "Running")
        self.assertEqual(self.kernel_has(), before)
        self.assertEqual(self.address("box"), address)


class AllTest(DaemonCase):
    def statuses(self):
        return {one["name"]: one["status"] for one in self.api.get("/1.0/instances?recursion=1")}

    def change_all(self, action, **more):
        return self.api.do("PUT", "/1.0/instances", {"state": {"action": action, "timeout": 30, **more}})

    def test_all_by_the_stock_client(self):
        client = clients.lxc(self.daemon)
        for name in ("one", "two", "three"):
            self.api.create(name, "tiny")
        client("start", "--all")
        self.assertEqual(set(self.statuses().values()), {"Running"})
        client("pause", "--all")
        self.assertEqual(set(self.statuses().values()), {"Frozen"})
        client("start", "--all")
        self.assertEqual(set(self.statuses().values()), {"Running"})
        pids = {self.api.state(name)["pid"] for name in self.statuses()}
        client("restart", "--all", "--force")
        self.assertEqual(set(self.statuses().values()), {"Running"})
        self.assertFalse(pids & {self.api.state(name)["pid"] for name in self.statuses()})
        for name in self.statuses():
            self.wait_init(name)
        client("stop", "--all")
        self.assertEqual(set(self.statuses().values()), {"Stopped"})

    def test_only_those_that_it_concerns(self):
        for name in ("off", "cold", "warm"):
            self.api.create(name, "tiny")
        self.change_all("stop")  # nothing to do
        for name in ("cold", "warm"):
            self.api.start(name)
        self.api.set_state("cold", "freeze")
        self.change_all("freeze")
        self.assertEqual(self.statuses(), {"off": "Stopped", "cold": "Frozen", "warm": "Frozen"})
        self.change_all("unfreeze")
        self.assertEqual(self.statuses(), {"off": "Stopped", "cold": "Running", "warm": "Running"})
        self.assert_api_error(400, self.change_all, "explode")
        self.assert_api_error(400, self.change_all, "stop", stateful=True)

    def test_side_by_side_and_each_failure_is_told(self):
        folder = os.path.join(self.daemon.base, "log")
        os.mkdir(folder)
        os.chmod(folder, 0o777)
        for name in ("slow1", "slow2", "slow3", "deaf"):
            self.api.create(name, "tiny", devices={"log": {"type": "disk", "source": folder, "path": "/mnt/log"}})
            init = DEAF if name == "deaf" else TWINS
            self.api.push(name, "/sbin/init", init.format(name=name, seconds=3).encode(), mode="0755")
            self.api.start(name)
        deadline = time.monotonic() + 60
        while len(os.listdir(folder)) < 4:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        with self.assertRaises(ApiError) as caught:
            self.change_all("stop", timeout=15)
        self.assertIn(" - Instance: deaf: ", caught.exception.message)
        self.assertNotIn("slow", caught.exception.message)
        self.assertEqual(self.statuses(), {"slow1": "Stopped", "slow2": "Stopped", "slow3": "Stopped", "deaf": "Running"})


class LogsTest(DaemonCase):
    def test_logs_are_deleted(self):
        self.api.launch("box", "tiny")
        log = "/1.0/instances/box/logs/console.log"
        self.assertIn(log, self.api.get("/1.0/instances/box/logs"))
        self.assert_api_error(400, self.api.call, "DELETE", log)
        self.api.stop("box")
        self.assertEqual(self.api.raw("GET", log).status, 200)
        with self.api.events() as events:
            self.api.call("DELETE", log)
            events.wait_action("instance-log-deleted", "box")
        self.assert_api_error(404, self.api.call, "DELETE", log)
        self.assertEqual(self.api.get("/1.0/instances/box/logs"), ["/1.0/instances/box/logs/lxc.log"])
        for wrong in ("..", "%2e%2e%2flogs", ".hidden"):
            self.assertIn(self.api.raw("DELETE", f"/1.0/instances/box/logs/{wrong}").status, (400, 404))
        self.api.start("box")
        self.assertIn(log, self.api.get("/1.0/instances/box/logs"))

    def test_recorded_output(self):
        self.api.launch("box", "tiny")
        body = {"command": ["sh", "-c", "echo out; echo err >&2"], "wait-for-websocket": False, "interactive": False,
                "record-output": True}
        output = self.api.do("POST", "/1.0/instances/box/exec", body)["metadata"]["output"]
        listed = self.api.get("/1.0/instances/box/logs/exec-output")
        self.assertEqual(len(listed), 2)
        self.assertEqual(self.api.raw("GET", output["1"]).body, b"out\n")
        for url in listed:
            self.api.call("DELETE", url)
            self.assert_api_error(404, self.api.call, "DELETE", url)
        self.assertEqual(self.api.get("/1.0/instances/box/logs/exec-output"), [])


if __name__ == "__main__":
    main()
