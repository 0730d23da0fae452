"""testssl.sh, Debian's, finds nothing of medium severity or above in the HTTPS listener.

The certificate that the daemon makes for itself is self-signed and long-lived, since clients pin it; here it is one that an
authority issued, which is what the findings about chains and revocation ask for. It takes a minute: only with ./test --vm."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from harness import daemon as daemons
from harness import remote
from harness.case import main

EXTENSIONS = """subjectAltName = IP:127.0.0.1
crlDistributionPoints = URI:http://127.0.0.1/none.crl
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
"""


class TestsslTest(unittest.TestCase):
    def setUp(self):
        if os.environ.get("LXMGR_TEST_VM") != "1":
            self.skipTest("testssl.sh takes a minute and is run with ./test --vm only")
        if os.geteuid() != 0 or not shutil.which("testssl"):
            self.skipTest("needs root and testssl.sh")
        self.folder = tempfile.mkdtemp(prefix="lxmgr-testssl-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.folder)
        self.daemon = daemons.Daemon()
        self.addCleanup(self.daemon.close)

    def issue(self):
        """An authority, and the certificate of the daemon by it."""
        here = lambda name: os.path.join(self.folder, name)  # noqa: E731
        with open(here("extensions"), "w", encoding="ascii") as file:
            file.write(EXTENSIONS)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        for command in (["req", "-x509", *key, "-keyout", here("ca.key"), "-out", here("ca.crt"), "-days", "300",
                         "-subj", "/CN=Authority"],
                        ["req", *key, "-keyout", here("server.key"), "-out", here("server.csr"), "-subj", "/CN=127.0.0.1"],
                        ["x509", "-req", "-in", here("server.csr"), "-CA", here("ca.crt"), "-CAkey", here("ca.key"),
                         "-CAcreateserial", "-days", "200", "-extfile", here("extensions"), "-out", here("server.crt")]):
            subprocess.run(["openssl", *command], check=True, capture_output=True)
        return here("ca.crt"), here("server.crt"), here("server.key")

    def test_nothing_of_medium_severity_or_above(self):
        authority, certificate, key = self.issue()
        os.makedirs(self.daemon.root, exist_ok=True)
        shutil.copy(certificate, os.path.join(self.daemon.root, "server.crt"))
        shutil.copy(key, os.path.join(self.daemon.root, "server.key"))
        os.chmod(os.path.join(self.daemon.root, "server.key"), 0o600)
        self.daemon.start()
        remote.set_config(self.daemon.api, core__https_address="127.0.0.1:8443")
        report = os.path.join(self.folder, "report.json")
        command = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns=none", "--add-ca", authority,
                   "--jsonfile", report, "127.0.0.1:8443"]
        done = subprocess.run(self.daemon.sandbox.command(command), capture_output=True, text=True, timeout=900, check=False)
        with open(report, encoding="utf-8") as file:
            findings = json.load(file)
        self.assertGreater(len(findings), 100, done.stdout)
        self.assertEqual([one for one in findings if one["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")], [])


if __name__ == "__main__":
    main()
