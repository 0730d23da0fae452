"""The AppArmor profile of each instance, and raw.apparmor: it takes a host with AppArmor (tests/vm). Everywhere else
instances have none, and the key is an error that says so."""
import http.client
import os
import shutil

from harness.case import DaemonCase, main
from harness.sandbox import read

PROFILES = "/sys/kernel/security/apparmor/profiles"


def has_apparmor():
    return os.path.exists(PROFILES) and shutil.which("apparmor_parser") is not None


class RulesTest(DaemonCase):
    def test_a_rule_cannot_leave_its_profile(self):
        for rules, words in (("file,\n}\nprofile sshd {", ("line 2", "'}'")), ("profile x {", ("line 1", "'{'")),
                             ("deny /a w, # {", ("'#'",)), ('deny "/{a" w,', ("quotes",)), ("deny /\\{a w,", ("backslashes",)),
                             ("deny /a\rw,", ("control",)), ("x" * 70000, ("64 KiB",))):
            message = self.assert_api_error(400, self.api.create, "box", "tiny", config={"raw.apparmor": rules})
            for word in ("raw.apparmor", *words):
                self.assertIn(word, message)

    def test_a_host_without_apparmor(self):
        if has_apparmor():
            self.skipTest("this host has AppArmor")
        self.api.create("box", "tiny", config={"raw.apparmor": "# none\ndeny /etc/{motd,issue} w,"})
        self.assertIn("AppArmor", self.assert_api_error(400, self.api.start, "box"))
        self.api.update("box", config={"raw.apparmor": "# only a comment"})
        self.api.start("box")


class WithoutParserTest(DaemonCase):
    """Files stand for the kernel's, and nothing for the program."""

    def setUp(self):
        if has_apparmor():
            self.skipTest("this host has AppArmor")
        super().setUp()
        self.pretended = []
        self.addCleanup(self.drop)

    def sh(self, script):
        self.daemon.sandbox.run("sh", "-ec", script)

    def pretend(self):
        """A host with AppArmor, for this daemon."""
        for path, file, text in (("/sys/module", "apparmor/parameters/enabled", "Y"),
                                 ("/sys/kernel/security", "apparmor/.replace", "")):
            self.sh(f"mount -t tmpfs none {path}; mkdir -p $(dirname {path}/{file}); echo {text} > {path}/{file}")
            self.pretended.append(path)

    def drop(self):
        while self.pretended:
            self.sh(f"umount {self.pretended.pop()}")

    def warning(self):
        found = [one for one in self.api.get("/1.0/warnings?recursion=1") if "AppArmor" in one["type"]]
        return found and (found[0]["status"], found[0]["severity"], found[0]["count"], found[0]["last_message"])

    def test_a_missing_parser_is_a_warning(self):
        self.assertEqual(self.warning(), [])
        self.pretend()
        # Privileged: the kernel shows nobody else a /sys of which the host has covered a part.
        self.api.launch("box", "tiny", config={"security.privileged": "true"})
        self.assertEqual(self.warning()[:3], ("new", "moderate", 1))
        self.assertIn("apparmor_parser is not installed", self.warning()[3])
        self.assertIn("apparmor_parser is not installed", self.daemon.log_tail(200))
        self.api.stop("box")
        self.api.start("box")
        self.assertEqual(self.warning()[2], 1)
        self.daemon.terminate()
        self.daemon.start()
        self.assertEqual(self.warning()[:3], ("new", "moderate", 2))
        self.drop()
        self.daemon.terminate()
        self.daemon.start()
        self.assertEqual(self.warning()[0], "resolved")


class ProfileTest(DaemonCase):
    def setUp(self):
        super().setUp()
        if not has_apparmor():
            self.skipTest("this host has no AppArmor; tests/vm runs it on one that has")

    def profile(self, where="1"):
        return self.api.sh("box", f"cat /proc/{where}/attr/current").rstrip("\0\n")

    def can_write(self, path):
        return self.api.exec("box", ["sh", "-c", f"echo x > {path}"])[0] == 0

    def test_rules_hold(self):
        self.api.launch("box", "tiny", config={"raw.apparmor": "deny /root/{secret,other} w,\ndeny mount fstype=tmpfs,"})
        for where in ("1", "self"):
            self.assertRegex(self.profile(where), r"lxmgr-box-[0-9a-f-]+ \(enforce\)")
        self.assertFalse(self.can_write("/root/secret"))
        self.assertFalse(self.can_write("/root/other"))
        self.assertTrue(self.can_write("/root/free"))
        self.assertNotEqual(self.api.exec("box", ["mount", "-t", "tmpfs", "none", "/mnt"])[0], 0)
        self.api.update("box", config={"raw.apparmor": "deny /root/free w,"})  # while it runs
        self.assertFalse(self.can_write("/root/free"))
        self.assertTrue(self.can_write("/root/secret"))
        self.assert_api_error(400, self.api.update, "box", config={"raw.apparmor": "no such rule"})
        self.assertFalse(self.can_write("/root/free"))
        self.daemon.kill()
        self.daemon.start()
        self.api.stop("box")
        self.assertNotIn("lxmgr-box-", read(PROFILES))
        self.api.update("box", config={"raw.apparmor": ""})
        self.api.start("box")
        self.assertIn("lxmgr-box-", self.profile())
        self.assertTrue(self.can_write("/root/free"))

    def test_a_crash_in_a_change_of_a_profile(self):
        """Who was not reached has the new rules after it, too."""
        self.api.call("POST", "/1.0/profiles", {"name": "web", "config": {"raw.apparmor": "deny /root/free w,"}})
        self.api.launch("box", "tiny", profiles=["default", "web"])
        self.assertFalse(self.can_write("/root/free"))
        self.daemon.terminate()
        self.daemon.start(environment={"LXMGR_FAILPOINT": "instances.profile.stored"})
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.api.do("PUT", "/1.0/profiles/web", {"config": {"raw.apparmor": "deny /root/secret w,"}})
        self.assertEqual(self.daemon.wait_dead(), -9)
        self.daemon.start()
        self.assertTrue(self.can_write("/root/free"))
        self.assertFalse(self.can_write("/root/secret"))

    def test_rules_that_the_parser_refuses(self):
        self.api.create("box", "tiny", config={"raw.apparmor": "pray for /etc w,"})
        self.assertIn("raw.apparmor", self.assert_api_error(400, self.api.start, "box"))
        self.assertNotIn("lxmgr-box-", read(PROFILES))

    def test_each_instance_has_one(self):
        """The host's controls are out of reach. What the parser made of the first is taken for the next."""
        policies = os.path.join(self.daemon.root, "apparmor")
        self.api.launch("box", "tiny")
        before = sorted(os.listdir(policies))
        self.api.launch("cat", "tiny")
        self.assertEqual(sorted(os.listdir(policies)), before)
        self.assertRegex(self.profile(), r"^lxmgr-box-[0-9a-f-]+ \(enforce\)$")
        self.assertRegex(self.api.sh("cat", "cat /proc/1/attr/current"), r"^lxmgr-cat-[0-9a-f-]+ \(enforce\)")
        for path in ("/proc/kcore", "/proc/sysrq-trigger", "/sys/firmware/dmi/tables/DMI", "/sys/kernel/security/lsm"):
            self.assertNotEqual(self.api.exec("box", ["cat", path])[0], 0, path)
        self.api.sh("box", "mount -t tmpfs none /mnt && mount -t proc proc /mnt && mount --bind /root /mnt && "
                           "touch /mnt/x && umount /mnt && umount /mnt && umount /mnt")
        self.assertNotEqual(self.api.exec("box", ["sh", "-c", "echo unconfined > /proc/self/attr/current"])[0], 0)
        self.api.stop("box")
        self.assertNotIn("lxmgr-box-", read(PROFILES))
        self.assertIn("lxmgr-cat-", read(PROFILES))

    def test_privileged(self):
        """What is read-only to stop accidents stays so when root inside makes it writable."""
        self.api.launch("box", "tiny", config={"security.privileged": "true"})
        self.api.sh("box", "mount -o remount,rw,bind /proc/sys && mount -o remount,rw,bind /sys")
        for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/sysrq",
                     "/proc/sys/kernel/panic", "/proc/sys/kernel/ngroups_max",
                     "/proc/sys/kernel/sched_rt_period_us", "/proc/sys/vm/swappiness",
                     "/proc/sys/fs/file-max", "/proc/sys/fs/mount-max", "/sys/kernel/uevent_helper", "/sys/power/state",
                     "/sys/module/apparmor/parameters/mode", "/sys/devices/system/cpu/cpu1/online"):
            code, _, said = self.api.exec("box", ["sh", "-c", f"cat {path} > /tmp/value; cat /tmp/value > {path}"])
            self.assertNotEqual(code, 0, path)
            self.assertIn(b"ermission denied", said, path)
        for path in ("/proc/sys/kernel/hostname", "/proc/sys/kernel/sem", "/proc/sys/kernel/shmmax",
                     "/proc/sys/fs/mqueue/msg_max", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/user/max_user_namespaces"):
            self.api.sh("box", f"cat {path} > /tmp/value; cat /tmp/value > {path}")
        for kind in ("securityfs", "debugfs", "tracefs", "bpf", "proc"):
            self.assertNotEqual(self.api.exec("box", ["mount", "-t", kind, "none", "/mnt"])[0], 0, kind)
        self.api.sh("box", "mkdir -p /mnt/a/proc /mnt/proc && mount -t proc proc /mnt/a/proc && mount -t proc proc /mnt/proc && "
                           "umount /mnt/proc /mnt/a/proc")
        self.api.update("box", config={"security.nesting": "true"})
        self.api.sh("box", "mount -t proc proc /mnt && umount /mnt")

    def test_unconfined(self):
        self.api.launch("box", "tiny", config={"raw.lxc": "lxc.apparmor.profile=unconfined"})
        self.assertEqual(self.profile(), "unconfined")

    def test_a_policy_that_was_spoilt(self):
        self.api.create("box", "tiny")
        self.api.start("box")
        self.api.stop("box")
        folder = os.path.join(self.daemon.root, "apparmor")
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "r+b") as file:
                file.seek(200)
                file.write(bytes(100))
        self.api.start("box")
        self.assertIn("lxmgr-box-", self.profile())


class SystemdTest(DaemonCase):
    """Unprivileged ones are test_distros.py. The oldest systemd and the newest."""
    needs_images = ("bookworm", "sid")

    def test_privileged_guests_boot(self):
        if not has_apparmor():
            self.skipTest("this host has no AppArmor; tests/vm runs it on one that has")
        for suite in self.needs_images:
            self.api.launch(suite, suite, config={"security.privileged": "true"})
            state = self.wait_booted(suite)
            failed = self.api.exec(suite, ["systemctl", "--failed", "--no-pager"])[1].decode()
            self.assertEqual(state, "running", failed)
            self.api.stop(suite)
            self.api.delete(suite)


if __name__ == "__main__":
    main()
