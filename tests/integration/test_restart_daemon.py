"""The daemon is stopped, killed and started again; instances never notice, and nothing that was promised is lost."""
import os
import signal
import time

from harness.case import DaemonCase, main
from harness.leaks import LeakCheck


class RestartTest(DaemonCase):
    def restart_daemon(self, how):
        if how == "kill":
            self.daemon.kill()
        else:
            self.assertEqual(self.daemon.terminate(), 0)
        return self.daemon.start()

    def test_instances_run_on(self):
        self.api.launch("on", "tiny", config={"user.note": "kept", "limits.memory": "100MiB"})
        address, pid = self.address("on"), self.api.state("on")["pid"]
        self.api.sh("on", "echo 1 > /tmp/mark; (while :; do sleep 1; done) & echo $! > /tmp/child")
        for how in ("terminate", "kill", "kill"):
            with self.subTest(how=how):
                self.restart_daemon(how)
                self.assertEqual(self.api.state("on")["pid"], pid)
                self.assertEqual(self.api.instance("on")["config"]["user.note"], "kept")
                self.assertEqual(self.api.sh("on", "cat /tmp/mark; kill -0 $(cat /tmp/child) && echo alive"), "1\nalive")
                self.assertEqual(self.address("on"), address)
        self.assertIn(b"tiny init is up", self.api.raw("GET", "/1.0/instances/on/console").body)
        self.api.update("on", config={"limits.memory": "120MiB"})
        self.api.stop("on", force=False, timeout=60)
        self.assertEqual(self.api.instance("on")["status"], "Stopped")

    def test_instances_run_while_there_is_no_daemon(self):
        self.api.launch("alone", "tiny")
        pid = self.api.state("alone")["pid"]
        self.daemon.kill()
        self.assertTrue(os.path.exists(f"/proc/{pid}/root/sbin/init"))
        self.daemon.start()
        self.assertEqual(self.api.exec("alone", ["true"])[0], 0)

    def test_an_end_without_a_daemon_is_seen_by_the_next(self):
        for name in ("dies", "leaves"):
            self.api.launch(name, "tiny")
        pids = {name: self.api.state(name)["pid"] for name in ("dies", "leaves")}
        self.daemon.kill()
        os.kill(pids["dies"], signal.SIGKILL)
        self.daemon.sandbox.run("nsenter", "-t", str(pids["leaves"]), "-a", "/bin/poweroff", "-f", check=False)
        for pid in pids.values():
            while os.path.exists(f"/proc/{pid}"):
                time.sleep(0.01)
        self.daemon.start()
        for name in pids:
            self.api.wait_status(name, "Stopped")
            self.api.start(name)
            self.assertEqual(self.api.exec(name, ["true"])[0], 0)

    def test_frozen_stays_frozen(self):
        self.api.launch("ice", "tiny")
        self.api.set_state("ice", "freeze")
        self.restart_daemon("kill")
        self.assertEqual(self.api.instance("ice")["status"], "Frozen")
        self.api.set_state("ice", "unfreeze")
        self.assertEqual(self.api.exec("ice", ["true"])[0], 0)

    def test_reboot_inside_works_after_a_daemon_restart(self):
        self.api.launch("turn", "tiny")
        first = self.api.state("turn")["pid"]
        self.restart_daemon("kill")
        with self.api.events() as events:
            self.api.exec("turn", ["reboot", "-f"])
            events.wait_action("instance-restarted", "turn")
        self.assertNotIn(self.api.state("turn")["pid"], (0, first))

    def test_descriptors_do_not_grow(self):
        def cycle():
            self.api.launch("cycle", "tiny")
            self.api.exec("cycle", ["true"])
            self.api.push("cycle", "/root/x", b"x")
            self.api.set_state("cycle", "restart", force=True)
            self.api.stop("cycle")
            self.api.delete("cycle")

        cycle()
        picture = LeakCheck(self.daemon)
        for _ in range(5):
            cycle()
        self.assertEqual(picture.descriptor_growth(), {})

    def test_sigpwr_shuts_instances_down(self):
        self.api.launch("down", "tiny")
        pid = self.api.state("down")["pid"]
        self.assertEqual(self.daemon.terminate(signal.SIGPWR, 60), 0)
        self.assertFalse(os.path.exists(f"/proc/{pid}/root/sbin/init"))
        self.daemon.start()
        self.assertIn("down", self.daemon.instance_names())
        self.api.wait_status("down", "Running")  # it ran before the shutdown, so it is started again


if __name__ == "__main__":
    main()
