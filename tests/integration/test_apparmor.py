"""raw.apparmor. What it does takes a host with AppArmor (tests/vm); everywhere else it is an error that says so."""
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
            self.skipTest("LXMGR_SKIP: this host has AppArmor")
        self.api.create("box", "tiny", config={"raw.apparmor": "# none\ndeny /etc/{motd,issue} w,"})
        self.assertIn("AppArmor", self.assert_api_error(400, self.api.start, "box"))
        self.api.update("box", config={"raw.apparmor": "# only a comment"})
        self.api.start("box")


class ProfileTest(DaemonCase):
    def setUp(self):
        super().setUp()
        if not has_apparmor():
            self.skipTest("LXMGR_SKIP: this host has no AppArmor; tests/vm runs it on one that has")

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
        self.assertNotIn("lxmgr-box-", self.profile())
        self.assertTrue(self.can_write("/root/free"))

    def test_rules_that_the_parser_refuses(self):
        self.api.create("box", "tiny", config={"raw.apparmor": "pray for /etc w,"})
        self.assertIn("raw.apparmor", self.assert_api_error(400, self.api.start, "box"))
        self.assertNotIn("lxmgr-box-", read(PROFILES))


if __name__ == "__main__":
    main()
