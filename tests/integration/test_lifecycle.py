"""Create, start, stop, restart, freeze, rename, delete; poweroff, reboot and a crash of PID 1 from inside."""
import concurrent.futures
import contextlib
import os
import signal
import threading
import time

from harness.case import DaemonCase, main
from harness.rest import PATIENCE, ApiError


class LifecycleTest(DaemonCase):
    def test_create_start_stop_delete(self):
        self.api.create("one", "tiny", config={"user.note": "kept"})
        made = self.api.instance("one")
        self.assertEqual((made["status"], made["type"]), ("Stopped", "container"))
        self.assertEqual(made["config"]["user.note"], "kept")
        self.assertEqual(made["expanded_devices"]["root"]["pool"], "default")
        self.assertEqual(made["profiles"], ["default"])
        self.api.start("one")
        state = self.api.state("one")
        self.assertEqual((state["status"], state["status_code"]), ("Running", 103))
        self.assertGreater(state["pid"], 0)
        self.assertTrue(os.path.exists(f"/proc/{state['pid']}"))
        self.api.stop("one")
        stopped = self.api.state("one")
        self.assertEqual((stopped["status"], stopped["pid"]), ("Stopped", 0))
        self.api.delete("one")
        self.assertIn("not found", self.assert_api_error(404, self.api.instance, "one"))

    def test_an_idle_daemon_rests(self):
        self.api.create("resting", "tiny")
        self.api.start("resting")
        deadline = time.monotonic() + 60 * PATIENCE
        while (count := self.wakeups_within(1)) >= 10:  # a start leaves some things to do
            self.assertLess(time.monotonic(), deadline, count)

    def wakeups_within(self, seconds):
        """How often the daemon's threads, as far as they are there at the end, went to sleep meanwhile."""
        before = self.wakeups()
        time.sleep(seconds)
        return sum(count - before.get(task, 0) for task, count in self.wakeups().items())

    def wakeups(self):
        """How often each of the daemon's threads went to sleep since it began."""
        counts = {}
        for task in os.listdir(f"/proc/{self.daemon.pid}/task"):
            with contextlib.suppress(OSError), \
                    open(f"/proc/{self.daemon.pid}/task/{task}/status", encoding="ascii") as file:  # if it is still there
                counts[task] = next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
        return counts

    def test_stop_of_a_stopped_instance_fails(self):
        self.api.create("idle", "tiny")
        self.assert_api_error(400, self.api.stop, "idle")

    def test_start_of_a_running_instance_fails(self):
        self.api.launch("busy", "tiny")
        self.assert_api_error(400, self.api.start, "busy")

    def test_lists_while_instances_end(self):
        """An init that waits for its processes has lost its namespaces, and is still there."""
        self.api.create("ending", "tiny")
        over, wrong = threading.Event(), []

        def look():
            while not over.is_set():
                try:
                    self.api.get("/1.0/instances?recursion=2")
                except ApiError as error:
                    wrong.append(str(error))
            self.api.close()

        watchers = [threading.Thread(target=look) for _ in range(3)]
        for watcher in watchers:
            watcher.start()
        for _ in range(15):
            self.api.start("ending")
            self.api.exec("ending", ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done"])
            self.api.stop("ending")
        over.set()
        for watcher in watchers:
            watcher.join()
        self.assertEqual(wrong, [])

    def test_a_running_instance_cannot_be_deleted(self):
        self.api.launch("alive", "tiny")
        self.assert_api_error(400, self.api.delete, "alive")
        self.assertEqual(self.api.instance("alive")["status"], "Running")

    def test_graceful_stop(self):
        self.api.launch("polite", "tiny")
        self.wait_init("polite")
        self.api.stop("polite", force=False, timeout=60)
        self.assertEqual(self.api.instance("polite")["status"], "Stopped")

    def test_graceful_stop_times_out_when_init_does_not_listen(self):
        self.api.create("deaf", "tiny")
        self.api.push("deaf", "/sbin/init", b"#!/bin/sh\ntrap '' PWR\nwhile :; do sleep 3600; done\n", mode="0755")
        self.api.start("deaf")
        pid = self.api.state("deaf")["pid"]
        self.assert_api_error(400, self.api.stop, "deaf", force=False, timeout=1)
        self.assertEqual(self.api.instance("deaf")["status"], "Running")
        self.assertEqual(self.api.state("deaf")["pid"], pid)

    def test_restart_gives_a_new_init(self):
        self.api.launch("again", "tiny")
        first = self.api.state("again")["pid"]
        self.api.set_state("again", "restart", force=True)
        self.assertNotIn(self.api.state("again")["pid"], (0, first))
        self.assertEqual(self.api.instance("again")["status"], "Running")

    def test_freeze(self):
        self.api.launch("cold", "tiny")
        self.api.set_state("cold", "freeze")
        self.assertEqual(self.api.instance("cold")["status"], "Frozen")
        self.api.set_state("cold", "unfreeze")
        self.assertEqual(self.api.instance("cold")["status"], "Running")
        self.assertEqual(self.api.exec("cold", ["true"])[0], 0)

    def test_a_frozen_instance_can_be_stopped_by_force(self):
        self.api.launch("ice", "tiny")
        self.api.set_state("ice", "freeze")
        self.api.stop("ice")
        self.assertEqual(self.api.instance("ice")["status"], "Stopped")

    def test_rename(self):
        self.api.create("before", "tiny", config={"user.note": "kept"})
        self.api.push("before", "/root/mark", b"data")
        self.api.do("POST", "/1.0/instances/before", {"name": "after", "migration": False})
        self.assert_api_error(404, self.api.instance, "before")
        self.assertEqual(self.api.instance("after")["config"]["user.note"], "kept")
        self.assertEqual(self.api.pull("after", "/root/mark").body, b"data")
        self.api.start("after")
        self.assertEqual(self.api.sh("after", "cat /etc/hostname"), "after")

    def test_a_running_instance_cannot_be_renamed(self):
        self.api.launch("fixed", "tiny")
        self.assert_api_error(400, self.api.do, "POST", "/1.0/instances/fixed", {"name": "moved", "migration": False})
        self.assertEqual(self.api.instance("fixed")["name"], "fixed")

    def test_a_name_is_taken_once(self):
        self.api.create("twin", "tiny")
        with self.assertRaises(ApiError) as caught:
            self.api.create("twin", "tiny")
        self.assertIn(caught.exception.code, (400, 409))
        self.assertEqual(self.daemon.instance_names().count("twin"), 1)

    def test_changes_at_once(self):
        """None is lost: each is merged into what the one before it left."""
        self.api.launch("box", "tiny")
        self.api.call("POST", "/1.0/profiles", {"name": "shared"})
        self.addCleanup(self.api.call, "DELETE", "/1.0/profiles/shared")
        self.api.update("box", profiles=["default", "shared"])
        for url in ("/1.0/instances/box", "/1.0/profiles/shared"):
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                list(pool.map(lambda n, url=url: self.api.call("PATCH", url, {"config": {f"user.n{n}": "x"}}), range(24)))
            config = self.api.get(url)["config"]
            self.assertEqual(sorted(key for key in config if key.startswith("user.n")), sorted(f"user.n{n}" for n in range(24)))
        etag = self.api.raw("GET", "/1.0/profiles/shared").headers["ETag"]
        self.api.call("PATCH", "/1.0/profiles/shared", {"config": {"user.late": "y"}}, {"If-Match": etag})
        self.assert_api_error(412, self.api.call, "PATCH", "/1.0/profiles/shared", {"config": {"user.late": "z"}},
                              {"If-Match": etag})

    def test_architectures(self):
        with self.assertRaisesRegex(ApiError, "Architecture 'pdp11' is not known"):
            self.api.create("old", architecture="pdp11")
        self.api.do("POST", "/1.0/instances", {"name": "arm", "architecture": "arm64", "source": {"type": "none"}})
        self.assertEqual(self.api.instance("arm")["architecture"], "aarch64")

    def test_bad_names_are_refused_at_once(self):
        for name in ("-x", "x-", "a/b", "a b", "x" * 64, "1one", "ü"):
            with self.subTest(name=name):
                self.assert_api_error(400, self.api.create, name, "tiny")

    def test_what_was_written_is_there_after_a_restart(self):
        self.api.launch("keeper", "tiny")
        self.api.sh("keeper", "echo data > /root/file && sync")
        self.api.set_state("keeper", "restart", force=True)
        self.assertEqual(self.api.sh("keeper", "cat /root/file"), "data")

    def test_ephemeral_instance_is_deleted_when_it_stops(self):
        self.api.launch("mayfly", "tiny", ephemeral=True)
        with self.api.events() as events:
            self.api.stop("mayfly")
            events.wait_action("instance-deleted", "mayfly")
        self.assertNotIn("mayfly", self.daemon.instance_names())


class FromInsideTest(DaemonCase):
    def start_and_watch(self, name):
        self.api.launch(name, "tiny")
        return self.api.state(name)["pid"]

    def test_poweroff(self):
        self.start_and_watch("off")
        with self.api.events() as events:
            self.api.exec("off", ["poweroff", "-f"])
            events.wait_action("instance-shutdown", "off")
        self.assertEqual(self.api.instance("off")["status"], "Stopped")

    def test_reboot(self):
        first = self.start_and_watch("turn")
        with self.api.events() as events:
            self.api.exec("turn", ["reboot", "-f"])
            events.wait_action("instance-restarted", "turn")
        self.api.wait_status("turn", "Running")
        self.assertNotIn(self.api.state("turn")["pid"], (0, first))
        self.assertEqual(self.api.exec("turn", ["true"])[0], 0)

    def test_crash_of_pid_1(self):
        pid = self.start_and_watch("crash")
        with self.api.events() as events:
            os.kill(pid, signal.SIGKILL)
            events.wait_for(lambda e: e["type"] == "lifecycle" and "/crash" in e["metadata"]["source"] and
                            e["metadata"]["action"] in ("instance-shutdown", "instance-stopped"))
        self.assertEqual(self.api.instance("crash")["status"], "Stopped")
        self.api.start("crash")
        self.assertEqual(self.api.exec("crash", ["true"])[0], 0)

    def test_an_init_that_fails_is_shown(self):
        self.api.create("broken", "tiny")
        self.api.push("broken", "/sbin/init", b"#!/bin/sh\nexit 7\n", mode="0755")
        try:
            self.api.start("broken")
        except ApiError:
            pass  # LXD says either that it started or that it failed, whichever came first
        self.api.wait_status("broken", "Stopped")

    def test_a_missing_init_fails_the_start(self):
        self.api.create("empty", "tiny")
        self.api.raw("DELETE", self.api.file_target("empty", "/sbin/init"))
        with self.assertRaises(ApiError):
            self.api.start("empty")
        self.assertEqual(self.api.instance("empty")["status"], "Stopped")


if __name__ == "__main__":
    main()
