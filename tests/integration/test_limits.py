"""limits.*: enforced from outside, changed while the instance runs."""
import glob
import http.client
import os
import stat
import time

from harness.case import DaemonCase, main
from harness.rest import ApiError


class LimitsTest(DaemonCase):
    def launch(self, **config):
        keys = {"limits." + key.replace("_", "."): value for key, value in config.items()}
        self.api.launch("box", "tiny", config=keys)

    def set(self, key, value):
        self.api.update("box", config={f"limits.{key}": value})

    def eat(self, mebibytes):
        """Exit code of a command that holds this much memory."""
        return self.api.exec("box", ["sh", "-c", f"head -c {mebibytes << 20} /dev/zero | tail -c {mebibytes << 20} >/dev/null; "
                                                 f"exit $?"])[0]

    def test_memory(self):
        self.launch(memory="64MiB")
        self.assertEqual(self.eat(20), 0)
        self.assertNotEqual(self.eat(200), 0)
        self.assertEqual(self.api.instance("box")["status"], "Running")

    def test_memory_changes_live(self):
        self.launch()
        self.assertEqual(self.eat(150), 0)
        self.set("memory", "64MiB")
        self.assertNotEqual(self.eat(150), 0)
        self.set("memory", None)
        self.assertEqual(self.eat(150), 0)

    def test_a_change_that_a_crash_cut_off(self):
        """It is not in force after the restart, or it is in the record."""
        self.launch(memory="64MiB")
        for point in ("instances.update.live", "instances.update.row"):
            self.daemon.terminate()
            self.daemon.start(environment={"LXMGR_FAILPOINT": point})
            try:
                self.api.update("box", config={"limits.memory": "96MiB", "limits.processes": "77", "limits.cpu.allowance": "50%"})
            except (OSError, http.client.HTTPException):
                pass
            self.assertEqual(self.daemon.wait_dead(), -9)
            self.daemon.start()
            config = self.api.instance("box")["config"]
            memory = {"64MiB": 64 << 20, "96MiB": 96 << 20}[config["limits.memory"]]
            self.assertEqual(self.cgroup_file("memory", "memory.limit_in_bytes", "memory.max"), str(memory))
            wanted = str(int(config["limits.processes"]) + 1) if "limits.processes" in config else "max"
            self.assertEqual(self.cgroup_file("pids", "pids.max", "pids.max"), wanted)
            self.assertEqual("limits.processes" in config, point == "instances.update.row")

    def test_processes(self):
        self.launch(processes="30")
        out = self.api.exec("box", ["sh", "-c", "for i in $(seq 60); do sleep 100 & done; wait"], stdin=b"")
        self.assertIn(b"fork", out[2])
        self.api.exec("box", ["true"])

    def test_processes_change_live(self):
        self.launch()
        script = "n=0; while [ $n -lt 40 ]; do sleep 5 & n=$((n+1)); done; kill $(jobs -p)"
        self.assertEqual(self.api.exec("box", ["sh", "-c", script])[0], 0)
        self.set("processes", "20")
        self.assertNotEqual(self.api.exec("box", ["sh", "-c", script])[0], 0)

    def test_cpu_pinning(self):
        self.launch(cpu="1-1")
        self.assertEqual(self.api.sh("box", "nproc"), "1")
        self.assertIn("Cpus_allowed_list:\t1", self.api.sh("box", "cat /proc/self/status"))
        self.set("cpu", "0-1")
        self.assertEqual(self.api.sh("box", "nproc"), "2")

    def test_cpu_count(self):
        self.launch(cpu="1")
        self.assertEqual(self.api.sh("box", "nproc"), "1")
        self.set("cpu", None)
        self.assertEqual(self.api.sh("box", "nproc"), "2")

    def used_share(self):
        """Share of one CPU that a busy loop gets in half a second."""
        before = self.api.state("box")["cpu"]["usage"]
        began = time.monotonic()
        self.api.exec("box", ["sh", "-c", "(while :; do :; done) & sleep 1; kill $!"])
        return (self.api.state("box")["cpu"]["usage"] - before) / 1e9 / (time.monotonic() - began)

    def test_cpu_allowance(self):
        self.launch(cpu_allowance="20ms/100ms")
        limited = self.used_share()
        self.assertLess(limited, 0.5)
        self.set("cpu.allowance", None)
        self.assertGreater(self.used_share(), 1.3 * limited)  # whatever else the machine is doing

    def cgroup_file(self, controller, v1, v2):
        """A limit file of the running instance, from outside, on either kind of host."""
        with open(f"/proc/{self.api.state('box')['pid']}/cgroup", encoding="utf-8") as file:
            groups = {line.split(":")[1]: line.strip().split(":", 2)[2] for line in file}
        for names, path in groups.items():
            if controller in names.split(","):
                with open(f"/sys/fs/cgroup/{names}{path}/{v1}", encoding="utf-8") as file:
                    return file.read().strip()
        root = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
        with open(f"{root}{groups['']}/{v2}", encoding="utf-8") as file:
            return file.read().strip()

    def on_v1(self, controller):
        return os.path.isdir(f"/sys/fs/cgroup/{controller}")

    def test_swap(self):
        self.launch(memory="64MiB", memory_swap="false")
        if self.on_v1("memory"):
            self.assertEqual(self.cgroup_file("memory", "memory.memsw.limit_in_bytes", ""), str(64 << 20))
            self.assertEqual(self.cgroup_file("memory", "memory.swappiness", ""), "0")
            for memory in (128, 32, 96):  # both limits move, up and down
                self.set("memory", f"{memory}MiB")
                self.assertEqual(self.cgroup_file("memory", "memory.memsw.limit_in_bytes", ""), str(memory << 20))
            self.set("memory.swap", "16MiB")
            self.assertEqual(self.cgroup_file("memory", "memory.memsw.limit_in_bytes", ""), str(112 << 20))
            self.set("memory.swap", None)
            self.assertEqual(self.cgroup_file("memory", "memory.limit_in_bytes", ""), str(96 << 20))
            self.assertGreater(int(self.cgroup_file("memory", "memory.memsw.limit_in_bytes", "")), 1 << 50)
        else:
            self.assertEqual(self.cgroup_file("memory", "", "memory.swap.max"), "0")
            self.set("memory.swap", "16MiB")
            self.assertEqual(self.cgroup_file("memory", "", "memory.swap.max"), str(16 << 20))
            self.set("memory.swap", None)
            self.assertEqual(self.cgroup_file("memory", "", "memory.swap.max"), "max")

    def test_swap_priority(self):
        self.launch()
        if not self.on_v1("memory"):
            self.assertIn("limits.memory.swap.priority", self.assert_api_error(400, self.set, "memory.swap.priority", "2"))
            return
        self.set("memory.swap.priority", "2")
        self.assertEqual(self.cgroup_file("memory", "memory.swappiness", ""), "68")
        self.set("memory.swap.priority", None)
        self.assertEqual(self.cgroup_file("memory", "memory.swappiness", ""), "60")

    def test_soft_memory(self):
        self.launch(memory="64MiB", memory_enforce="soft")
        self.assertEqual(self.cgroup_file("memory", "memory.soft_limit_in_bytes", "memory.low"), str(64 << 20))
        self.assertEqual(self.eat(100), 0)
        if not self.on_v1("memory"):
            self.assertEqual(self.cgroup_file("memory", "", "memory.high"), "max")
            self.assertEqual(self.cgroup_file("memory", "", "../memory.low"), str(64 << 20))  # or it would not count
        self.set("memory.enforce", "hard")
        if not self.on_v1("memory"):
            self.assertEqual(self.cgroup_file("memory", "", "../memory.low"), "0")
        self.assertEqual(self.cgroup_file("memory", "memory.limit_in_bytes", "memory.max"), str(64 << 20))
        self.assertNotEqual(self.eat(100), 0)

    def test_oom_priority(self):
        def scores():
            """Of init, of a command, and of two in the background: one has chosen its own."""
            return self.api.sh("box", "cat /proc/1/oom_score_adj /proc/self/oom_score_adj; "
                                      "for pid in $(pidof tail); do cat /proc/$pid/oom_score_adj; done | sort -n").split()
        self.api.launch("box", "tiny", config={"limits.memory.oom_priority": "300"})
        self.api.sh("box", "(echo 900 > /proc/self/oom_score_adj; exec tail -f /dev/null) >/dev/null 2>&1 & "
                           "tail -f /dev/null >/dev/null 2>&1 &")
        deadline = time.monotonic() + 60  # the shell in the background has yet to choose, and both to become what they are
        while (seen := scores()) != ["300", "300", "300", "900"]:
            self.assertLess(time.monotonic(), deadline, seen)
        with open(f"/proc/{self.api.state('box')['pid']}/oom_score_adj", encoding="utf-8") as file:
            self.assertEqual(file.read(), "300\n")
        for value, seen in (("450", "450"), (None, "0"), ("20", "20")):
            self.set("memory.oom_priority", value)
            self.assertEqual(scores(), [seen, seen, seen, "900"])
        with open("/proc/self/status", encoding="utf-8") as file:
            effective = int(next(line for line in file if line.startswith("CapEff")).split()[1], 16)
        if effective >> 24 & 1:  # CAP_SYS_RESOURCE
            self.set("memory.oom_priority", "-500")
            self.assertEqual(scores(), ["-500", "-500", "-500", "900"])
        else:
            self.assertIn("limits.memory.oom_priority", self.assert_api_error(400, self.set, "memory.oom_priority", "-500"))
            self.assertEqual(scores(), ["20", "20", "20", "900"])
        for bad in ("1001", "-1001", "much"):
            self.assertIn("-1000 and 1000", self.assert_api_error(400, self.set, "memory.oom_priority", bad))

    def test_an_oom_priority_that_a_crash_cut_off(self):
        """Processes have what the record says, or what they chose themselves."""
        def scores():
            return self.api.sh("box", "for pid in 1 self $(cat /root/own); do cat /proc/$pid/oom_score_adj; done").split()
        self.api.launch("box", "tiny", config={"limits.memory.oom_priority": "300"})
        self.api.sh("box", "sh -c 'echo 350 > /proc/self/oom_score_adj; echo $$ > /root/own; exec sleep 10000' "
                           ">/dev/null 2>&1 & while [ ! -s /root/own ]; do sleep 0.01; done")
        for point, wanted in (("runtime.oom_score.changed", "300"), ("instances.update.live", "300"),
                              ("instances.update.row", "400")):
            self.daemon.terminate()
            self.daemon.start(environment={"LXMGR_FAILPOINT": point})
            with self.assertRaises((OSError, http.client.HTTPException)):
                self.api.update("box", config={"limits.memory.oom_priority": "400"})
            self.assertEqual(self.daemon.wait_dead(), -9)
            self.daemon.start()
            self.assertEqual(self.api.instance("box")["config"]["limits.memory.oom_priority"], wanted)
            self.assertEqual(scores(), [wanted, wanted, "350"], point)
        self.set("memory.oom_priority", "350")
        self.set("memory.oom_priority", "360")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(scores(), ["360", "360", "360"])

    def test_cpu_priority(self):
        self.launch(cpu_priority="3")
        self.assertEqual(self.cgroup_file("cpu", "cpu.shares", "cpu.weight"), "1017" if self.on_v1("cpu") else "93")
        self.set("cpu.allowance", "50%")
        self.assertEqual(self.cgroup_file("cpu", "cpu.shares", "cpu.weight"), "505" if self.on_v1("cpu") else "43")
        self.set("cpu.priority", None)
        self.assertEqual(self.cgroup_file("cpu", "cpu.shares", "cpu.weight"), "512" if self.on_v1("cpu") else "50")

    def test_cpu_nodes(self):
        self.launch(cpu_nodes="0")
        self.assertEqual(self.cgroup_file("cpuset", "cpuset.mems", "cpuset.mems"), "0")
        self.assertIn("Mems_allowed_list:\t0", self.api.sh("box", "cat /proc/self/status"))
        self.set("cpu.nodes", None)
        self.assertIn("limits.cpu.nodes", self.assert_api_error(400, self.set, "cpu.nodes", "77"))
        self.assert_api_error(400, self.set, "cpu.nodes", "x")

    def test_disk_priority(self):
        self.launch()
        names = ("blkio.bfq.weight", "blkio.weight") if self.on_v1("blkio") else ("io.bfq.weight", "io.weight")
        for name in names:
            try:
                self.set("disk.priority", "8")
                seen = self.cgroup_file("blkio" if self.on_v1("blkio") else "io", name, name)
                self.assertIn(seen.replace("default ", ""), ("160", "800"))
                return
            except (FileNotFoundError, ApiError) as error:
                self.assertIn("limits.disk.priority" if isinstance(error, ApiError) else name, str(error))
        self.assertNotIn("limits.disk.priority", self.api.instance("box")["config"])

    def disk_rates(self):
        """What the kernel keeps for our disk: of v1 by file, of cgroup2 by word; without what is unlimited."""
        if self.on_v1("blkio"):
            names = {"rbps": "read_bps", "riops": "read_iops", "wbps": "write_bps", "wiops": "write_iops"}
            lines = {word: self.cgroup_file("blkio", f"blkio.throttle.{name}_device", "") for word, name in names.items()}
            return {word: line.split()[1] for word, line in lines.items() if line}
        words = [word.split("=") for line in self.cgroup_file("io", "", "io.max").splitlines() for word in line.split()[1:]]
        return {word: rate for word, rate in words if rate != "max"}

    def test_disk_rates(self):
        share = os.path.join(self.daemon.base, "share")
        os.makedirs(share)
        disk = {"type": "disk", "source": share, "path": "/mnt/share", "limits.read": "20MiB"}
        self.api.launch("box", "tiny", devices={"share": disk})
        self.assertEqual(self.disk_rates(), {"rbps": str(20 << 20)})
        pid = self.api.state("box")["pid"]
        mount = next(line for line in self.api.sh("box", "cat /proc/self/mountinfo").splitlines() if "/mnt/share" in line)
        # The lowest of all disks on one block device; the device stays in place.
        root = self.api.instance("box")["expanded_devices"]["root"]
        self.api.update("box", devices={"share": {**disk, "limits.write": "300iops"}, "root": {**root, "limits.max": "10MiB"}})
        self.assertEqual(self.disk_rates(), {"rbps": str(10 << 20), "wbps": str(10 << 20), "wiops": "300"})
        self.assertIn(mount, self.api.sh("box", "cat /proc/self/mountinfo"))
        self.api.update("box", devices={"share": {key: value for key, value in disk.items() if key != "limits.read"},
                                        "root": root})
        self.assertEqual(self.disk_rates(), {})
        self.assertEqual(self.api.state("box")["pid"], pid)
        for bad in ("0", "0iops", "fast", "-1iops", "5000000000iops"):
            self.assertIn("limits.read", self.assert_api_error(400, self.api.update, "box",
                                                               devices={"share": {**disk, "limits.read": bad}}))
        absent = {"type": "disk", "source": share + "/absent", "path": "/mnt/absent", "limits.read": "1MiB"}
        self.api.update("box", devices={"absent": {**absent, "required": "false"}})
        self.assertEqual(self.disk_rates(), {})
        self.assert_api_error(400, self.api.update, "box", devices={"other": {**absent, "path": "/mnt/other"}})
        memory = {"type": "disk", "source": "tmpfs:", "path": "/ram", "limits.max": "1MiB"}
        self.assertIn("'ram'", self.assert_api_error(400, self.api.update, "box", devices={"ram": memory}))
        self.assertNotIn("ram", self.api.instance("box")["devices"])

    def test_rates_of_a_block_device(self):
        disks = sorted(glob.glob("/sys/block/*/dev"), key=lambda path: ("/vd" not in path, path))
        with open(disks[0], encoding="utf-8") as file:
            major, minor = file.read().strip().split(":")
        source = os.path.join(self.daemon.base, "disk")
        os.mknod(source, 0o600 | stat.S_IFBLK, os.makedev(int(major), int(minor)))
        node = {"type": "unix-block", "source": source, "path": "/dev/disk"}
        self.api.launch("box", "tiny", devices={"disk": {**node, "limits.read": "20MiB"}})
        self.assertEqual(self.disk_rates(), {"rbps": str(20 << 20)})
        mount = next(line for line in self.api.sh("box", "cat /proc/self/mountinfo").splitlines() if "/dev/disk" in line)
        self.api.update("box", devices={"disk": {**node, "limits.write": "300iops"}})
        self.assertEqual(self.disk_rates(), {"wiops": "300"})
        self.assertIn(mount, self.api.sh("box", "cat /proc/self/mountinfo"))
        self.api.update("box", devices={"disk": node})
        self.assertEqual(self.disk_rates(), {})
        numbers = {"type": "unix-block", "path": "/dev/disk", "major": major, "minor": minor, "limits.read": "7iops"}
        self.api.update("box", devices={"disk": numbers})
        self.assertEqual(self.disk_rates(), {"riops": "7"})
        self.api.update("box", devices={"disk": None})
        self.assertEqual(self.disk_rates(), {})
        for wrong in ({**node, "limits.read": "fast"}, {**node, "limits.read": "1MiB", "required": "false"},
                      {**node, "limits.read": "1MiB", "type": "unix-char", "source": "/dev/zero"}):
            self.assertIn("limits.read", self.assert_api_error(400, self.api.update, "box", devices={"disk": wrong}))

    def test_hugepages(self):
        self.launch()
        for key, bytes_each in (("hugepages.64KB", 1 << 16), ("hugepages.1MB", 1 << 20), ("hugepages.2MB", 1 << 21),
                                ("hugepages.1GB", 1 << 30)):
            size = key.split(".")[1]
            try:
                self.set(key, str(2 * bytes_each))
            except ApiError as error:  # the machine has no such pages, or its cgroups do not count them
                self.assertIn(f"limits.{key}", error.message)
                self.assertNotIn(f"limits.{key}", self.api.instance("box")["config"])
            else:
                held = self.cgroup_file("hugetlb", f"hugetlb.{size}.limit_in_bytes", f"hugetlb.{size}.max")
                self.assertEqual(held, str(2 * bytes_each))

    def allowed_cpus(self, name):
        return self.api.sh(name, "grep Cpus_allowed_list /proc/self/status").split()[1]

    def test_cpus_are_rebalanced(self):
        for name in ("one", "two", "three"):
            self.api.launch(name, "tiny", config={"limits.cpu": "1"})
        held = {name: self.allowed_cpus(name) for name in ("one", "two", "three")}
        self.assertNotEqual(held["one"], held["two"])
        self.assertEqual(held["one"], held["three"])
        self.api.stop("two")
        deadline = time.monotonic() + 10
        while (now := {self.allowed_cpus(name) for name in ("one", "three")}) != set(held.values()):
            self.assertLess(time.monotonic(), deadline, now)

    def test_cpus_are_rebalanced_by_a_profile(self):
        self.api.call("POST", "/1.0/profiles", {"name": "small", "config": {"limits.cpu": "1"}})
        self.api.launch("one", "tiny", config={"limits.cpu": "1"})
        self.api.launch("two", "tiny", profiles=["default", "small"])
        self.api.launch("three", "tiny", config={"limits.cpu": "1"})
        held = {name: self.allowed_cpus(name) for name in ("one", "two", "three")}
        self.assertEqual(held["one"], held["three"])
        self.assertNotEqual(held["one"], held["two"])
        self.api.call("PUT", "/1.0/profiles/small", {"config": {}})
        deadline = time.monotonic() + 10
        while (now := {self.allowed_cpus(name) for name in ("one", "three")}) != set(held.values()):
            self.assertLess(time.monotonic(), deadline, now)

    def test_a_monitor_that_does_not_hear_of_a_new_group(self):
        """The change fails, and nothing of it is in force: the group's limit neither."""
        if not self.on_v1("cpu"):
            self.skipTest("cgroup2 has no groups to join while an instance runs")
        self.launch()
        door = os.path.join(self.daemon.root, "run/box/monitor.sock")
        os.rename(door, door + ".away")
        self.assert_api_error(400, self.set, "cpu.allowance", "10ms/100ms")
        os.rename(door + ".away", door)
        self.assertEqual(self.cgroup_file("cpu", "cpu.cfs_quota_us", ""), "-1")
        self.assertNotIn("limits.cpu.allowance", self.api.instance("box")["config"])
        self.set("cpu.allowance", "20ms/100ms")
        self.assertEqual(self.cgroup_file("cpu", "cpu.cfs_quota_us", ""), "20000")

    def test_bad_values_change_nothing(self):
        self.launch(memory="64MiB")
        for key, value in (("memory", "lots"), ("memory", "-1"), ("cpu", "x"), ("processes", "1.5"),
                           ("cpu.allowance", "200ms")):
            with self.subTest(key=key, value=value):
                self.assert_api_error(400, self.set, key, value)
        self.assertNotEqual(self.eat(200), 0)
        self.assertEqual(self.api.instance("box")["config"]["limits.memory"], "64MiB")

    def test_state_shows_usage(self):
        self.launch()
        state = self.api.state("box")
        self.assertGreater(state["memory"]["usage"], 0)
        self.assertGreater(state["cpu"]["usage"], 0)
        self.assertGreaterEqual(state["processes"], 1)

    def test_limits_hold_after_a_restart(self):
        self.launch()
        self.set("memory", "64MiB")
        self.api.set_state("box", "restart", force=True)
        self.assertNotEqual(self.eat(200), 0)

    def test_root_inside_cannot_lift_them(self):
        self.launch(memory="64MiB", processes="50")
        self.api.exec("box", ["sh", "-c", "for f in /sys/fs/cgroup/*.max /sys/fs/cgroup/*/*.max; do echo max > $f; done; "
                                          "mkdir -p /mnt/m; mount -t cgroup -o memory m /mnt/m && "
                                          "echo -1 > /mnt/m/memory.limit_in_bytes; mount -t cgroup2 c /mnt/m; "
                                          "for f in /mnt/m/*.max; do echo max > $f; done"])
        self.assertNotEqual(self.eat(200), 0)


if __name__ == "__main__":
    main()
