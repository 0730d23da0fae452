"""Clients whose certificates an authority has signed: core.trust_ca_certificates."""
import hashlib
import os
import pathlib
import shutil
import ssl
import subprocess

from harness import remote
from harness.case import main
from harness.trust import TrustCase


class Signed(remote.Certificate):
    """A client's certificate that an authority has signed."""

    def __init__(self, folder, name, authority):  # pylint: disable=super-init-not-called
        self.name = name
        self.path, self.key = os.path.join(folder, f"{name}.crt"), os.path.join(folder, f"{name}.key")
        request, serial = os.path.join(folder, f"{name}.csr"), os.path.join(folder, f"{name}.serial")
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-keyout", self.key,
                        "-out", request, "-subj", f"/CN={name}"], check=True, capture_output=True)
        subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", authority + ".crt", "-CAkey", authority + ".key",
                        "-CAserial", serial, "-CAcreateserial", "-days", "30", "-out", self.path], check=True,
                       capture_output=True)
        self.pem = pathlib.Path(self.path).read_text(encoding="ascii")
        self.der = ssl.PEM_cert_to_DER_cert(self.pem)
        self.fingerprint = hashlib.sha256(self.der).hexdigest()


class AuthorityTest(TrustCase):
    """core.trust_ca_certificates."""

    def authority(self, name):
        base = os.path.join(self.daemon.base, name)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes",
                        "-keyout", base + ".key", "-out", base + ".crt", "-days", "30", "-subj", f"/CN={name}"],
                       check=True, capture_output=True)
        return base

    def revoke(self, base, certificate):
        """The authority's list of what it took back, in the daemon's directory."""
        index, config = base + ".index", base + ".conf"
        pathlib.Path(index).write_text("", encoding="ascii")
        said = f"[ca]\ndefault_ca=d\n[d]\ndatabase={index}\ndefault_md=sha256\ndefault_crl_days=9\n"
        pathlib.Path(config).write_text(said, encoding="ascii")
        common = ["openssl", "ca", "-config", config, "-cert", base + ".crt", "-keyfile", base + ".key"]
        subprocess.run([*common, "-revoke", certificate.path], check=True, capture_output=True)
        subprocess.run([*common, "-gencrl", "-out", os.path.join(self.daemon.root, "ca.crl")], check=True,
                       capture_output=True)

    def auth(self, certificate):
        with remote.HttpsApi(self.daemon, certificate) as client:
            return client.get("/1.0")["auth"]

    def test_clients_of_an_authority(self):
        base, other = self.authority("ours"), self.authority("others")
        good, held, bad = (Signed(self.daemon.base, name, base) for name in ("good", "held", "bad"))
        alien, alone = Signed(self.daemon.base, "alien", other), self.certificate()
        self.assertIn("server.ca", self.assert_api_error(400, self.api.call, "PATCH", "/1.0",
                                                         {"config": {"core.trust_ca_certificates": "true"}}))
        shutil.copy(base + ".crt", os.path.join(self.daemon.root, "server.ca"))
        self.assertEqual(self.auth(good), "untrusted")
        before = remote.HttpsApi(self.daemon, good)
        self.addCleanup(before.close)
        try:
            remote.set_config(self.api, core__trust_ca_certificates="true")
            for certificate, auth in ((good, "trusted"), (bad, "trusted"), (alien, "untrusted"), (alone, "untrusted"),
                                      (None, "untrusted")):
                self.assertEqual(self.auth(certificate), auth)
            self.assertEqual(before.raw("GET", "/1.0/certificates").status, 200)
            # What the trust store says of a certificate counts.
            self.api.call("POST", "/1.0/certificates", {"certificate": held.encoded, "name": "held", "restricted": True})
            with remote.HttpsApi(self.daemon, held) as client:
                self.assertEqual(client.raw("GET", "/1.0/certificates").status, 403)
            streams = {one: self.events(one) for one in (good, bad)}
            asked = remote.HttpsApi(self.daemon, bad)
            self.addCleanup(asked.close)
            self.assertEqual(asked.raw("GET", "/1.0/certificates").status, 200)
            self.revoke(base, bad)
            self.wait_end(streams[bad])
            self.assertEqual(asked.raw("GET", "/1.0/certificates").status, 403)
            self.api.call("POST", "/1.0/projects", {"name": "seen"})
            self.api.call("DELETE", "/1.0/projects/seen")
            self.assertTrue(streams[good].recv(4096))  # goes on
            self.assertEqual((self.auth(good), self.auth(bad)), ("trusted", "untrusted"))
            pathlib.Path(self.daemon.root, "ca.crl").write_text("junk", encoding="ascii")
            self.assertEqual(self.auth(good), "untrusted")  # whom it took back cannot be known
            os.unlink(os.path.join(self.daemon.root, "ca.crl"))
            self.daemon.kill()
            self.daemon.start()
            self.assertEqual(self.auth(good), "trusted")
            before.close()
            self.assertEqual(before.raw("GET", "/1.0/certificates").status, 200)
            remote.set_config(self.api, core__trust_ca_certificates="")
            self.assertEqual(before.raw("GET", "/1.0/certificates").status, 403)
            self.assertEqual(self.auth(good), "untrusted")
        finally:
            remote.set_config(self.api, core__trust_ca_certificates="")
            for name in ("server.ca", "ca.crl"):
                pathlib.Path(self.daemon.root, name).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
