"""GET /1.0/metrics: OpenMetrics with LXD's names, true to what the kernel counts."""
import re
import time

from harness.case import DaemonCase, main
from harness.rest import PATIENCE

LINE = re.compile(r'^([a-zA-Z_]+)(?:\{(.*)\})? ([0-9.e+-]+)$')


class MetricsTest(DaemonCase):
    def scrape(self):
        """(name, labels) -> value."""
        reply = self.api.raw("GET", "/1.0/metrics")
        self.assertEqual(reply.status, 200)
        self.assertTrue(reply.headers["Content-Type"].startswith("application/openmetrics-text"))
        lines = reply.body.decode().splitlines()
        self.assertEqual(lines[-1], "# EOF")
        typed = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
        found = {}
        for line in lines:
            if line.startswith("#"):
                continue
            name, labels, value = LINE.match(line).groups()
            self.assertIn(name, typed)
            found[name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels or ""))] = float(value)
        return found

    def value(self, found, name, **labels):
        wanted = set({"name": "box", "project": "default", "type": "container", **labels}.items())
        return next(value for (metric, have), value in found.items() if metric == name and wanted <= have)

    def scrape_busy(self):
        """One after which the kernel has seen work of both kinds, which short work slips past when it counts at its ticks,
        and during which no process came or went."""
        deadline = time.monotonic() + 60 * PATIENCE
        while True:
            self.api.sh("box", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; head -c 50000000 /dev/zero > /dev/null")
            before = self.api.state("box")["processes"]
            found = self.scrape()
            seconds = [self.value(found, "lxd_cpu_seconds_total", mode=mode) for mode in ("user", "system")]
            if min(seconds) > 0 and self.api.state("box")["processes"] == before:
                self.assertEqual(self.value(found, "lxd_procs_total"), before)
                return found
            self.assertLess(time.monotonic(), deadline, seconds)

    def test_values(self):
        self.api.create("box", "tiny", config={"limits.memory": "64MiB"})
        self.api.create("off", "tiny")
        self.api.start("box")
        self.address("box")
        self.api.sh("box", "head -c 9000000 /dev/zero > /dev/shm/file")
        found = self.scrape_busy()
        self.assertFalse([labels for _, labels in found if ("name", "off") in labels])
        self.assertEqual(self.value(found, "lxd_memory_MemTotal_bytes"), 64 << 20)
        self.assertGreaterEqual(self.value(found, "lxd_memory_Shmem_bytes"), 8 << 20)
        self.assertLess(self.value(found, "lxd_memory_MemFree_bytes"), 56 << 20)
        self.assertEqual(self.value(found, "lxd_memory_OOM_kills_total"), 0)
        self.assertGreater(self.value(found, "lxd_cpu_seconds_total", mode="user"), 0)
        self.assertGreater(self.value(found, "lxd_cpu_seconds_total", mode="system"), 0)
        self.assertEqual(self.value(found, "lxd_cpu_effective_total"), int(self.api.sh("box", "nproc")))
        inside = int(self.api.sh("box", "cat /sys/class/net/eth0/statistics/rx_bytes"))
        self.assertLessEqual(self.value(found, "lxd_network_receive_bytes_total", device="eth0"), inside)
        self.assertGreater(self.value(found, "lxd_network_receive_bytes_total", device="eth0"), 0)
        blocks = int(self.api.sh("box", "stat -f -c '%b' /")) * int(self.api.sh("box", "stat -f -c '%S' /"))
        self.assertEqual(self.value(found, "lxd_filesystem_size_bytes", mountpoint="/", fstype="overlay"), blocks)
        self.assertEqual(found["lxd_warnings_total", frozenset()], 0)
        self.assertGreater(found["lxd_uptime_seconds", frozenset()], 0)

    def test_a_kill_for_want_of_memory_is_counted(self):
        self.api.launch("box", "tiny", config={"limits.memory": "16MiB"})
        self.api.exec("box", ["sh", "-c", "tail /dev/zero"])
        self.assertGreater(self.value(self.scrape(), "lxd_memory_OOM_kills_total"), 0)


main()
