"""kill -9 of the daemon while certificates, tokens, passwords and the server's certificate change, and while projects do."""
import hashlib
import os
import ssl

from harness import remote
from harness.case import DaemonCase, main
from harness.projects import ProjectCase
from harness.rest import ApiError
from harness.sweep import SweepCases

CERTIFICATES, PROJECTS = "/1.0/certificates", "/1.0/projects"


class TrustSweep(SweepCases, DaemonCase):
    moments = 4
    occurrences = 5  # each of its requests writes once

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        remote.set_config(cls.api, core__https_address="[::]:8443")
        names = ("given", "joiner", "servers")
        cls.given, cls.joiner, cls.servers = (remote.Certificate(cls.daemon.base, name) for name in names)

    @classmethod
    def tearDownClass(cls):
        cls.api.call("PUT", "/1.0", {"config": {}})
        super().tearDownClass()

    def operate(self):
        self.api.call("POST", CERTIFICATES, {"certificate": self.given.encoded, "name": "given"})
        url = f"{CERTIFICATES}/{self.given.fingerprint}"
        self.api.call("PATCH", url, {"restricted": True, "projects": ["default"]})
        _, token = remote.token(self.api)
        with remote.HttpsApi(self.daemon, self.joiner) as client:
            client.call("POST", CERTIFICATES, {"trust_token": token})
        remote.set_config(self.api, core__trust_password="crashed")
        with open(self.servers.key, encoding="ascii") as file:
            self.api.call("PUT", "/1.0/cluster/certificate",
                          {"cluster_certificate": self.servers.pem, "cluster_certificate_key": file.read()})
        self.api.call("DELETE", url)

    def cleanup(self):
        super().cleanup()
        for url in self.api.get(CERTIFICATES):
            self.api.call("DELETE", url)
        remote.set_config(self.api, core__trust_password="")

    def audit(self, point):
        stored = {one["fingerprint"]: one for one in self.api.get(f"{CERTIFICATES}?recursion=1")}
        self.assertLessEqual(set(stored), {self.given.fingerprint, self.joiner.fingerprint})
        for certificate in (self.given, self.joiner):
            with remote.HttpsApi(self.daemon, certificate) as client:
                shown = client.get("/1.0")
                told = stored.get(certificate.fingerprint)
                self.assertEqual(shown["auth"], "trusted" if told else "untrusted")
                self.assertEqual(client.raw("GET", CERTIFICATES).status, 200 if told and not told["restricted"] else 403)
        self.assertIn(self.api.get("/1.0")["config"].get("core.trust_password"), (None, "true"))
        # No token is left that nobody can see, and the server has the key of the certificate that it shows.
        groups = self.api.get("/1.0/operations?recursion=1").values()
        self.assertEqual([one for group in groups for one in group if one["class"] == "token"], [])
        with remote.HttpsApi(self.daemon) as client:
            shown = hashlib.sha256(client.server_certificate()).hexdigest()
        self.assertEqual(self.api.get("/1.0")["environment"]["certificate_fingerprint"], shown)
        with open(os.path.join(self.daemon.root, "server.crt"), encoding="ascii") as file:
            self.assertEqual(hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).hexdigest(), shown)
        self.cleanup()
        self.operate()


class ProjectSweep(SweepCases, ProjectCase):
    moments = 4
    occurrences = 12  # of some twenty writes

    def operate(self):
        self.project("crash", features__images="false")
        self.api.call("POST", "/1.0/profiles?project=crash", {"name": "extra", "config": {"user.x": "y"}})
        self.api.call("PATCH", f"{PROJECTS}/crash", {"config": {"limits.instances": "2", "restricted": "true"}})
        self.make("crash")
        self.api.call("PATCH", f"{PROJECTS}/crash", {"config": {"restricted": "false"}})
        self.api.do("POST", "/1.0/instances/box?project=crash", {"name": "box", "migration": True, "project": "default"})
        self.api.do("POST", "/1.0/instances/box", {"name": "box", "migration": True, "project": "crash"})
        self.api.do("DELETE", "/1.0/instances/box?project=crash")
        self.api.call("DELETE", "/1.0/profiles/extra?project=crash")
        self.api.do("POST", f"{PROJECTS}/crash", {"name": "crashed"})
        self.api.call("DELETE", f"{PROJECTS}/crashed")

    def cleanup(self):
        super().cleanup()
        for name in ("crash", "crashed"):
            self.clear(name)
        self.made = []

    def audit(self, point):
        there = [url.rsplit("/", 1)[1] for url in self.api.get(PROJECTS)]
        self.assertIn(there, (["default"], ["crash", "default"], ["crashed", "default"]))
        for kind in ("instances", "profiles", "images"):
            for one in self.api.get(f"/1.0/{kind}?all-projects=true&recursion=1"):
                self.assertIn(one["project"], there, f"{kind} of a project that is not there")
        boxes = [one for one in self.api.get("/1.0/instances?all-projects=true&recursion=1") if one["name"] == "box"]
        self.assertLessEqual(len(boxes), 1, boxes)
        for name in there:
            self.assertIn(f"/1.0/profiles/default{'' if name == 'default' else '?project=' + name}",
                          self.api.get(f"/1.0/profiles?project={name}"))
            self.api.get(f"{PROJECTS}/{name}/state")
        for one in boxes:
            query = f"?project={one['project']}"
            self.api.do("PUT", f"/1.0/instances/box/state{query}", {"action": "start"})
            self.api.do("PUT", f"/1.0/instances/box/state{query}", {"action": "stop", "force": True})
        self.cleanup()
        try:
            self.operate()
        except ApiError as error:
            self.fail(f"not after a crash at {point}: {error}")


if __name__ == "__main__":
    main()
