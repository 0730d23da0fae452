"""The trust store, tokens and passwords, and what each kind of client may do."""
import concurrent.futures
import contextlib
import os
import pathlib
import re
import ssl
import subprocess
import threading
import time

from harness import daemon as daemons
from harness import images, pair, remote
from harness.case import main
from harness.pause import Pause
from harness.trust import TrustCase

TABLE = pathlib.Path(__file__).with_name("access.tsv")


class Brief(remote.Certificate):
    """Ends a few seconds after it was made, at `ends` of the clock."""

    def __init__(self, folder, name, seconds=10):
        super().__init__(folder, name)
        self.ends = int(time.time()) + seconds
        config = os.path.join(folder, f"{name}.conf")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca=here\n[here]\ndatabase={config}.db\nserial={config}.serial\nnew_certs_dir={folder}\n"
                       "default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n")
        open(f"{config}.db", "w", encoding="ascii").close()
        subprocess.run(["openssl", "ca", "-config", config, "-selfsign", "-batch", "-notext", "-create_serial", "-in",
                        os.path.join(folder, f"{name}.csr"), "-keyfile", self.key, "-out", self.path, "-enddate",
                        time.strftime("%Y%m%d%H%M%SZ", time.gmtime(self.ends))], check=True, capture_output=True)
        self.read()


class TrustStoreTest(TrustCase):
    def test_add_show_change_remove(self):
        certificate, client = self.trusted()
        self.assertEqual(client.get("/1.0")["auth"], "trusted")
        url = f"/1.0/certificates/{certificate.fingerprint}"
        self.assertEqual(self.api.get("/1.0/certificates"), [url])
        shown = self.api.get(f"/1.0/certificates/{certificate.fingerprint[:10]}")
        self.assertEqual(shown, {"name": certificate.name, "type": "client", "restricted": False, "projects": [],
                                 "certificate": certificate.pem, "fingerprint": certificate.fingerprint})
        self.assert_api_error(409, self.api.call, "POST", "/1.0/certificates", {"certificate": certificate.encoded})
        etag = self.api.raw("GET", url).headers["ETag"]
        self.api.call("PATCH", url, {"name": "renamed"}, {"If-Match": etag})
        self.assert_api_error(412, self.api.call, "PATCH", url, {"name": "again"}, {"If-Match": etag})
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual([one["name"] for one in self.api.get("/1.0/certificates?recursion=1")], ["renamed"])
        self.assertEqual(client.get("/1.0")["auth"], "trusted")
        self.api.call("PUT", url, {"name": "held", "type": "client", "restricted": True, "projects": ["default"]})
        self.assertIsNone(client.get("/1.0")["config"])
        self.api.call("DELETE", url)
        self.assertEqual(client.get("/1.0")["auth"], "untrusted")
        self.assert_api_error(404, self.api.get, url)

    def test_bad_certificates(self):
        for body, said in (({"certificate": "junk"}, "not a certificate"), ({"certificate": "AAAA"}, "not a certificate"),
                           ({}, "No client"),
                           ({"certificate": self.certificate(-1).encoded}, "not valid now"),
                           ({"certificate": self.certificate().encoded, "type": "server"}, "type"),
                           ({"certificate": self.certificate().encoded, "projects": ["nowhere"]}, "not found"),
                           ({"certificate": self.certificate().encoded, "name": "a\nb"}, "name")):
            self.assertIn(said, self.assert_api_error(400, self.api.call, "POST", "/1.0/certificates", body))
        self.assertEqual(self.api.get("/1.0/certificates"), [])

    def test_expired_certificate_is_not_trusted(self):
        certificate, client = self.trusted()
        expired = self.certificate(-1)
        self.assertEqual(self.client(expired).get("/1.0")["auth"], "untrusted")
        self.api.call("PUT", "/1.0", {"config": {"core.trust_password": "pw", "core.https_address": "[::]:8443"}})
        self.assert_api_error(400, self.client(expired).call, "POST", "/1.0/certificates", {"password": "pw"})
        self.assertEqual(client.get("/1.0")["auth"], "trusted")

    def test_a_trusted_certificate_expires(self):
        certificate = Brief(self.daemon.base, "brief")
        self.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "name": "brief"})
        client = self.client(certificate)
        self.assertEqual(client.get("/1.0")["auth"], "trusted")
        while True:  # on one connection
            asked = time.time()
            if client.get("/1.0")["auth"] != "trusted":
                break
            self.assertLess(asked, certificate.ends + 2, "it is trusted although it has expired")
            time.sleep(0.1)
        self.assertGreaterEqual(time.time(), certificate.ends)
        self.assert_api_error(403, client.get, "/1.0/instances")
        self.assertEqual(self.client(certificate).get("/1.0")["auth"], "untrusted")
        # It stays in the list, where its owner can see what is wrong, until it is replaced.
        shown = self.api.get(f"/1.0/certificates/{certificate.fingerprint}")
        self.assertEqual(ssl.PEM_cert_to_DER_cert(shown["certificate"]), certificate.der)

    def test_expiry_ends_streams(self):
        certificate = Brief(self.daemon.base, "stream")
        self.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "name": "stream"})
        wrapped = self.events(certificate)
        self.wait_end(wrapped)
        self.assertGreaterEqual(time.time(), certificate.ends)

    def test_revocation_ends_connections(self):
        self.daemon.import_image(images.tiny(), "tiny")
        self.api.launch("box", "tiny")
        certificate, client = self.trusted()
        wrapped = self.events(certificate)
        self.api.call("DELETE", f"/1.0/certificates/{certificate.fingerprint}")
        self.wait_end(wrapped, 30)
        self.assertEqual(client.raw("GET", "/1.0/instances").status, 403)

    def test_a_client_can_remove_itself_and_hears_of_it(self):
        certificate, client = self.trusted()
        client.call("DELETE", f"/1.0/certificates/{certificate.fingerprint}")
        self.assertEqual(client.raw("GET", "/1.0/instances").status, 403)


class JoinTest(TrustCase):
    def join(self, certificate, secret, key="password", **more):
        """The status of a client's request to be trusted."""
        with remote.HttpsApi(self.daemon, certificate, **more) as client:
            return client.raw("POST", "/1.0/certificates", {key: secret}).status

    def test_token_of_both_clients(self):
        for key in ("password", "trust_token"):
            _, token = remote.token(self.api, "mine", restricted=True, projects=["default"])
            certificate = self.certificate()
            self.assertEqual(self.join(certificate, token, key), 201)
            shown = self.api.get(f"/1.0/certificates/{certificate.fingerprint}")
            self.assertEqual((shown["name"], shown["restricted"], shown["projects"]), ("mine", True, ["default"]))
            self.assertEqual(self.join(self.certificate(), token, key), 403)

    def test_token_raced_by_many(self):
        _, token = remote.token(self.api)
        certificates = [self.certificate() for _ in range(12)]
        statuses = []
        threads = [threading.Thread(target=lambda one=one: statuses.append(self.join(one, token))) for one in certificates]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.assertEqual(sorted(statuses), [201] + [403] * 11)
        self.assertEqual(len(self.api.get("/1.0/certificates")), 1)

    def test_expired_and_revoked_tokens(self):
        remote.set_config(self.api, core__remote_token_expiry="1S")
        self.assertEqual(self.api.get("/1.0")["config"]["core.remote_token_expiry"], "1S")
        identifier, token = remote.token(self.api)
        self.assertIn("expiresAt", self.api.get(f"/1.0/operations/{identifier}")["metadata"])
        self.assertEqual(self.api.get(f"/1.0/operations/{identifier}/wait?timeout=10")["status"], "Cancelled")
        self.assertEqual(self.join(self.certificate(), token), 403)
        remote.set_config(self.api, core__remote_token_expiry="")
        identifier, token = remote.token(self.api)
        self.api.call("DELETE", f"/1.0/operations/{identifier}")
        self.assertEqual(self.join(self.certificate(), token), 403)

    def test_tokens_follow_their_projects(self):
        for name in ("web", "shop"):
            self.api.call("POST", "/1.0/projects", {"name": name})
        gone, gone_token = remote.token(self.api, restricted=True, projects=["web"])
        kept, kept_token = remote.token(self.api, restricted=True, projects=["shop"])
        self.api.call("DELETE", "/1.0/projects/web")
        self.assertEqual(self.api.get(f"/1.0/operations/{gone}/wait?timeout=10")["status"], "Cancelled")
        # Another project of the name is not what it was for.
        self.api.call("POST", "/1.0/projects", {"name": "web"})
        self.addCleanup(self.api.call, "DELETE", "/1.0/projects/web")
        self.assertEqual(self.join(self.certificate(), gone_token), 403)
        self.api.do("POST", "/1.0/projects/shop", {"name": "store"})
        self.addCleanup(self.api.call, "DELETE", "/1.0/projects/store")
        self.assertEqual(self.api.get(f"/1.0/operations/{kept}")["metadata"]["request"]["projects"], ["store"])
        certificate = self.certificate()
        self.assertEqual(self.join(certificate, kept_token), 201)
        self.assertEqual(self.api.get(f"/1.0/certificates/{certificate.fingerprint}")["projects"], ["store"])

    def test_strangers_learn_of_no_project(self):
        self.api.call("POST", "/1.0/projects", {"name": "web"})
        self.addCleanup(self.api.call, "DELETE", "/1.0/projects/web")
        remote.set_config(self.api, core__trust_password="right")
        client = self.client(self.certificate())

        def answers(project):
            body = {"password": "wrong", "projects": [project], "restricted": True}
            asked = [("POST", "/1.0/certificates", body), ("POST", f"/1.0/images?project={project}", {})]
            asked += [("GET", f"/1.0/images{path}?project={project}") for path in
                      ("", "/aliases", "/aliases/x", "/0123456789ab", "/0123456789ab/export")]
            return [(answer.status, answer.body.replace(project.encode(), b"")) for answer in
                    (client.raw(*one) for one in asked)]

        self.assertEqual(answers("web"), answers("nowhere"))
        self.assertEqual(client.raw("POST", "/1.0/certificates", {"password": "right", "projects": ["nowhere"],
                                                                  "restricted": True}).status, 400)

    def test_token_needs_a_listener(self):
        remote.set_config(self.api, core__https_address="")
        self.assertIn("core.https_address", self.assert_api_error(400, remote.token, self.api))

    def test_password(self):
        self.assertEqual(self.join(self.certificate(), "secret"), 403)
        remote.set_config(self.api, core__trust_password="secret")
        self.assertEqual(self.api.get("/1.0")["config"]["core.trust_password"], "true")
        began = time.monotonic()
        self.assertEqual(self.join(self.certificate(), "wrong"), 403)
        self.assertGreater(time.monotonic() - began, 0.9)
        remote.set_config(self.api, user__x="y")  # sends the password back as it is shown
        self.api.call("PUT", "/1.0", {"config": self.api.get("/1.0")["config"]})
        certificate = self.certificate()
        self.assertEqual(self.join(certificate, "secret"), 201)
        self.assertEqual(self.api.get(f"/1.0/certificates/{certificate.fingerprint}")["name"], "127.0.0.1")
        with open(os.path.join(self.daemon.root, "database/lxmgr.db"), "rb") as file:
            self.assertNotIn(b"secret", file.read())
        remote.set_config(self.api, core__trust_password="")
        self.assertEqual(self.join(self.certificate(), "secret"), 403)
        remote.set_config(self.api, user__x="")

    def test_one_address_guesses_once_at_a_time(self):
        """Others do not wait behind its many guesses."""
        remote.set_config(self.api, core__trust_password="right")
        certificates = [self.certificate() for _ in range(4)]
        with Pause(self.daemon, "rest.password") as pause, concurrent.futures.ThreadPoolExecutor() as pool:
            guesses = [pool.submit(self.join, certificates[0], "wrong", source="127.0.0.2")]
            pause.wait()
            guesses += [pool.submit(self.join, one, "wrong", source="127.0.0.2") for one in certificates[1:3]]
            self.assertEqual(self.join(certificates[3], "right", source="127.0.0.3"), 201)
            self.assertEqual(pause.reached("rest.password"), 2)
            pause.go_on()
            self.assertEqual([one.result() for one in guesses], [403] * 3)

    def test_without_certificate(self):
        remote.set_config(self.api, core__trust_password="secret")
        self.assertEqual(self.join(None, "secret"), 400)


class AccessTest(TrustCase):
    KINDS = {"nothing": {"restricted": True}, "default": {"restricted": True, "projects": ["default"]},
             "web": {"restricted": True, "projects": ["web"]}, "metrics": {"type": "metrics"}, "full": {}}
    # Who may call what needs this: of project default, and of project "web".
    OPEN = {"anyone": ("none", "unknown", *KINDS), "authenticated": ("nothing", "default", "web", "full"), "admin": ("full",),
            "project": ("default", "full"), "project web": ("web", "full"), "default": ("default", "full"),
            "metrics": ("default", "metrics", "full")}

    def rows(self):
        for line in TABLE.read_text().splitlines():
            if line and not line.startswith("#"):
                yield line.split("\t")

    @staticmethod
    def call(client, method, path, query=""):
        """The reply, with names in place of the {parts} that no object has; a change is stopped by its ETag at the latest."""
        for part in ("{type}", "{poolName}", "{name}"):
            path = path.replace(part, {"{type}": "custom"}.get(part, "nosuch"))
        while "{" in path:
            path = path[:path.index("{")] + "nosuch" + path[path.index("}") + 1:]
        headers = {"If-Match": "nothing"} if method in ("PUT", "PATCH") else {}
        return client.raw(method, path + query, {} if method in ("PUT", "PATCH", "POST") else None, headers)

    def wrong_answers(self, clients):
        """What is open that must not be, and the other way round; and how many endpoints there are."""
        wrong, served = [], 0
        for method, path, need in self.rows():
            full = self.call(clients["full"], "GET" if method == "HEAD" else method, path)
            there = not (full.status == 501 or (full.status == 404 and b'"not found"' in full.body))
            served += there
            for query in ("", "?project=web") if need == "project" and there else ("",):
                for name, client in clients.items():
                    if need == "secret" or (not there and name in ("nothing", "default", "web")):
                        continue
                    known = name == "full" and not query and method != "HEAD"
                    status = full.status if known else self.call(client, method, path, query).status
                    allowed = name == "full" or (there and name in self.OPEN[need + query.replace("?project=", " ")])
                    if (status != 403) != allowed:
                        wrong.append(f"{method} {path}{query} as {name}: {status}")
        return wrong, served

    def test_every_endpoint_as_everybody(self):
        """On three servers, of which each knows the same certificates as something else."""
        certificates, unknown = [self.certificate() for _ in self.KINDS], self.certificate()
        with contextlib.ExitStack() as stack:
            servers, walks = [(self.daemon, "127.0.0.1")], []
            for number in (0, 1):
                peer = pair.Peer(self.daemon, daemons.Daemon, number)
                stack.callback(peer.close)
                servers.append((peer.daemon, peer.far))
            remote.set_config(self.api, core__https_address="[::]:8443")
            for shift, (daemon, address) in enumerate(servers):
                daemon.api.call("POST", "/1.0/projects", {"name": "web"})
                stack.callback(daemon.api.call, "DELETE", "/1.0/projects/web")
                clients = {"none": None, "unknown": unknown} if shift == 0 else {"none": None}
                for number, certificate in enumerate(certificates):
                    kind = list(self.KINDS)[(number + shift) % len(certificates)]
                    daemon.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "name": certificate.name,
                                                                  **self.KINDS[kind]})
                    clients[kind] = certificate
                walks.append({kind: stack.enter_context(remote.HttpsApi(self.daemon, one, address))
                              for kind, one in clients.items()})
            with concurrent.futures.ThreadPoolExecutor() as pool:
                for wrong, served in pool.map(self.wrong_answers, walks):
                    self.assertEqual(wrong, [])
                    self.assertGreater(served, 150)
            for daemon, _ in servers:
                self.assertTrue(daemon.api.get("/1.0")["config"]["core.https_address"].endswith(":8443"))
            for url in self.api.get("/1.0/certificates"):  # of whom the project is
                self.api.call("DELETE", url)

    def test_the_table_is_whole(self):
        """Every route of the source has a row, and of the contract all but what is served elsewhere."""
        def plain(path):
            return re.sub(r"\{[^}]*\}", "{}", path)

        source = pathlib.Path(__file__).parents[2] / "lxd-daemon/rest"
        table = {(method, plain(path)): need for method, path, need in self.rows()}
        allowed = {"can_view": "project", "can_edit": "project", "can_push": "project"}
        odd = {("PATCH", "/1.0"): "anyone", ("GET", "/1.0/events"): "authenticated",
               ("GET", "/1.0/network-acls/{}/log"): "can_view"}  # they decide by themselves
        missing = []
        for file in source.rglob("*.cc"):
            for verb, path, need in re.findall(r'\{Verb::(\w+),\s*"([^"]+)",\s*Access::(\w+)', file.read_text()):
                row = ({"del": "DELETE"}.get(verb, verb.upper()), plain(path))
                if need == "local" or file.name == "guest_routes.cc":
                    continue
                said = table.get(row)
                if said != allowed.get(need, need) and odd.get(row) != need and said != "secret":
                    missing.append((file.name, *row, need, said))
        contract = pathlib.Path(__file__).parents[3] / "shared/api/endpoints.tsv"
        if contract.exists():
            for line in contract.read_text().splitlines()[1:]:
                row = tuple(line.split("\t")[:2])
                if row[0] != "ANY" and not row[1].startswith("guest:") and (row[0], plain(row[1])) not in table:
                    missing.append(("endpoints.tsv", *row))
        self.assertEqual(missing, [])

    def test_what_the_untrusted_see_of_the_server(self):
        shown = self.client().get("/1.0")
        self.assertEqual((shown["auth"], shown["config"], shown["auth_methods"]), ("untrusted", None, ["tls"]))
        self.assertIn("certificate_token", shown["api_extensions"])
        self.assertFalse([value for value in shown["environment"].values() if value])
        self.assertEqual(self.client().raw("GET", "/1.0", headers={"X-Incus-authenticated": "true"}).status, 403)
        self.assertEqual(self.client().raw("GET", "/no/such").status, 403)
        self.assertEqual(self.client().raw("PUT", "/internal/shutdown").status, 403)
        _, client = self.trusted()
        self.assertEqual(client.raw("PUT", "/internal/shutdown").status, 403)

    def test_operations_and_events_of_the_server_are_the_administrators(self):
        identifier, _ = remote.token(self.api)
        _, held = self.trusted(restricted=True, projects=["default"])
        self.assertEqual(held.get("/1.0/operations"), {})
        self.assertEqual(held.raw("GET", f"/1.0/operations/{identifier}").status, 404)
        self.assertEqual(held.raw("DELETE", f"/1.0/operations/{identifier}").status, 404)
        self.assertEqual(held.raw("GET", f"/1.0/operations/{identifier}/wait").status, 403)
        self.assertEqual(held.raw("GET", "/1.0/operations/nosuch/wait").status, 404)
        self.assertEqual(self.client().raw("GET", "/1.0/operations/nosuch/wait").status, 403)
        secret = self.api.get(f"/1.0/operations/{identifier}")["metadata"]["secret"]
        self.assertEqual(held.raw("GET", f"/1.0/operations/{identifier}/wait?secret={secret}").status, 403)
        _, full = self.trusted()
        self.assertEqual(len(full.get("/1.0/operations")["running"]), 1)

    def test_config_of_networks_is_the_administrators(self):
        """As with LXD: it may hold passwords."""
        url = "/1.0/networks/lxtestbr0"
        _, held = self.trusted(restricted=True, projects=["default"])
        self.assertEqual(held.get(url)["config"], {})
        self.assertEqual({str(one["config"]) for one in held.get("/1.0/networks?recursion=1")}, {"{}"})
        _, full = self.trusted()
        self.assertIn("ipv4.address", full.get(url)["config"])

    def test_public_images(self):
        fingerprint = self.daemon.import_image(images.tiny(), "tiny")
        anyone = self.client()
        url = f"/1.0/images/{fingerprint}"
        try:
            self.assertEqual(anyone.get("/1.0/images"), [])
            for path in (url, f"/1.0/images/{fingerprint[:6]}", f"{url}/export", "/1.0/images/aliases/tiny"):
                self.assertEqual(anyone.raw("GET", path).status, 404, path)
            self.api.call("PATCH", url, {"public": True})
            self.assertEqual(anyone.get("/1.0/images"), [url])
            self.assertEqual(anyone.get("/1.0/images/aliases/tiny")["target"], fingerprint)
            self.assertGreater(len(anyone.raw("GET", f"{url}/export").body), 10000)
            self.assertEqual(anyone.raw("DELETE", url).status, 403)
        finally:
            self.api.do("DELETE", url)

    def test_requestor_is_the_certificate(self):
        certificate, client = self.trusted()
        with self.api.events() as events:
            client.call("POST", "/1.0/profiles", {"name": "mine", "config": {}, "devices": {}, "description": ""})
            event = events.wait_for(lambda e: e["type"] == "lifecycle" and e["metadata"]["action"] == "profile-created")
        client.call("DELETE", "/1.0/profiles/mine")
        requestor = event["metadata"]["requestor"]
        self.assertEqual((requestor["username"], requestor["protocol"]), (certificate.fingerprint, "tls"))
        self.assertTrue(requestor["address"].startswith("127.0.0.1:"))


if __name__ == "__main__":
    main()
