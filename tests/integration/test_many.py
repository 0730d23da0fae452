"""A hundred Debian instances at once, with the machine's stock sysctls: each boots to `running` and has a lease."""
import concurrent.futures
import time

from harness.case import DaemonCase, main

COUNT = 100


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


class ManyTest(DaemonCase):
    needs_images = ("bookworm",)

    def test_a_hundred_running(self):
        names = [f"many{number}" for number in range(COUNT)]
        began = time.monotonic()

        def boot(name):
            """No more boot at once than there are of the pool's threads."""
            self.api.launch(name, "bookworm")
            return self.wait_booted(name, 300), self.address(name, 120)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            states, addresses = zip(*pool.map(boot, names))
        booted = time.monotonic() - began
        self.assertEqual(len(self.daemon.running_instances()), COUNT)
        self.assertEqual([n for n, state in zip(names, states) if state != "running"], [])
        self.assertEqual(len(set(addresses)), COUNT)
        memory = pss_kib(self.daemon.pid)
        print(f"{COUNT} instances: all booted after {booted:.1f} s; the daemon has {memory} KiB")
        self.assertLess(memory, 30 << 10)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self.remove_instance, names))


if __name__ == "__main__":
    main()
