"""Images from servers on this machine and beside it: only a full administrator leads the daemon there."""
from harness import images, remote, streams
from harness.case import main
from harness.rest import ApiError
from harness.streams_case import StreamsCase


class LocalServersTest(StreamsCase):
    def test_restricted_clients_reach_nothing_local(self):
        fingerprint = self.streams.lxd_layout(True)
        self.daemon.import_image(images.tiny(), "own")
        self.streams.forget_log()
        remote.set_config(self.api, core__https_address="[::]:8444")
        self.addCleanup(remote.set_config, self.api, core__https_address="")
        for restricted in (True, False):
            certificate = remote.Certificate(self.daemon.base, f"client{restricted}")
            self.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "restricted": restricted,
                                                        "projects": ["default"] if restricted else []})
            self.addCleanup(self.api.call, "DELETE", f"/1.0/certificates/{certificate.fingerprint}")
            client = remote.HttpsApi(self.daemon, certificate, port=8444)
            self.addCleanup(client.close)
            asked = [("/1.0/images/" + client.get("/1.0/images/aliases/own")["target"] + "/export",
                      {"target": streams.URL, "secret": "x"})]
            for host in (streams.URL, streams.URL.replace("127.0.0.1", "localhost"), "https://169.254.169.254"):
                for protocol in ("lxd", "simplestreams"):
                    source = {**self.source("mine", protocol=protocol), "server": host}
                    asked.append(("/1.0/images", {"source": source}))
                    asked.append(("/1.0/instances", {"name": "box", "source": source}))
            if not restricted:
                asked = asked[:1]
            for path, body in asked:
                with self.subTest(restricted=restricted, path=path, body=body), self.assertRaises(ApiError) as caught:
                    client.do("POST", path, body, timeout=30)
                local = "loopback or link-local" in caught.exception.message
                self.assertEqual(local, restricted, caught.exception.message)
            self.assertEqual(self.streams.requests(), [])
        done = client.do("POST", "/1.0/images", {"source": self.source("mine", protocol="lxd")}, timeout=30)
        self.assertEqual(done["metadata"]["fingerprint"], fingerprint)


if __name__ == "__main__":
    main()
