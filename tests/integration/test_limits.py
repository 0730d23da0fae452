"""limits.*: enforced from outside, changed while the instance runs."""
import time

from harness.case import DaemonCase, main


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
