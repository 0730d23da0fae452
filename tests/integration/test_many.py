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
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: self.api.launch(name, "bookworm"), names))
            launched = time.monotonic() - began
            states = list(pool.map(lambda name: self.wait_booted(name, 300), names))
            addresses = list(pool.map(lambda name: self.address(name, 120), names))
        booted = time.monotonic() - began
        self.assertEqual([n for n, state in zip(names, states) if state != "running"], [])
        self.assertEqual(len(set(addresses)), COUNT)
        memory = pss_kib(self.daemon.pid)
        print(f"{COUNT} instances: launched in {launched:.1f} s, all booted after {booted:.1f} s; the daemon has {memory} KiB")
        self.assertLess(memory, 30 << 10)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self.remove_instance, names))


if __name__ == "__main__":
    main()
