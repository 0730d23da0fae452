"""Debian's prometheus scrapes the metrics endpoint over TLS, with a certificate of type metrics."""
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.parse

from harness import daemon as daemons
from harness import images, remote
from harness.case import main

CONFIG = """global: {{scrape_interval: 5s, scrape_timeout: 5s}}
scrape_configs:
  - job_name: lxmgr
    metrics_path: /1.0/metrics
    scheme: https
    static_configs: [{{targets: ["127.0.0.1:8443"]}}]
    tls_config: {{ca_file: {server}, cert_file: {certificate}, key_file: {key}, server_name: {name}}}
"""


class PrometheusTest(unittest.TestCase):
    def setUp(self):
        if os.geteuid() != 0 or not shutil.which("prometheus"):
            self.skipTest("needs root and prometheus")
        self.folder = tempfile.mkdtemp(prefix="lxmgr-prometheus-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.folder)
        self.daemon = daemons.Daemon()
        self.addCleanup(self.daemon.close)
        self.daemon.start()
        self.daemon.initialise()
        self.daemon.import_image(images.tiny(), "tiny")
        self.daemon.api.launch("box", "tiny")

    def prometheus(self):
        certificate = remote.Certificate(self.folder, "metrics")
        self.daemon.api.call("POST", "/1.0/certificates", {"certificate": certificate.encoded, "name": "p", "type": "metrics"})
        remote.set_config(self.daemon.api, core__https_address="127.0.0.1:8443")
        server = os.path.join(self.daemon.root, "server.crt")
        subject = subprocess.run(["openssl", "x509", "-in", server, "-noout", "-ext", "subjectAltName"], capture_output=True,
                                 text=True, check=True).stdout
        name = next(part.strip().removeprefix("DNS:") for part in subject.replace("\n", ",").split(",") if "DNS:" in part)
        config = os.path.join(self.folder, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(server=server, certificate=certificate.path, key=certificate.key, name=name))
        with open(os.path.join(self.folder, "log"), "ab") as log:
            process = subprocess.Popen(self.daemon.sandbox.command(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data",
                 "--web.listen-address=127.0.0.1:9090", "--log.level=warn"]), stdout=log, stderr=log, cwd=self.folder)
        self.addCleanup(process.wait, 120)
        self.addCleanup(process.send_signal, signal.SIGTERM)

    def ask(self, query):
        """The first value of an instant query; None while there is none."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1")
            connection.sock = remote.connect(self.daemon, "127.0.0.1", 9090)
            connection.request("GET", f"/api/v1/query?query={urllib.parse.quote(query)}")
            result = json.loads(connection.getresponse().read())["data"]["result"]
            connection.close()
        except (OSError, ValueError, KeyError, http.client.HTTPException):  # it is starting
            return None
        return float(result[0]["value"][1]) if result else None

    def wait_for(self, query, accept):
        """Until it has a value that is accepted: a scrape may have come too late, and the next one is then in time."""
        deadline = time.monotonic() + 120
        while (found := self.ask(query)) is None or not accept(found):
            with open(os.path.join(self.folder, "log"), encoding="utf-8") as log:
                self.assertLess(time.monotonic(), deadline, f"{query}: {found}; {log.read()}")
            time.sleep(0.2)

    def test_scraped(self):
        self.prometheus()
        self.wait_for('lxd_memory_MemTotal_bytes{name="box"}', lambda value: value > 1 << 20)
        self.wait_for('up{job="lxmgr"}', lambda value: value == 1)
        self.wait_for('scrape_samples_scraped{job="lxmgr"}', lambda value: value > 30)
        self.wait_for('lxd_uptime_seconds', lambda value: value > 0)
        self.wait_for('lxd_procs_total{name="box",project="default",type="container"}', lambda value: value >= 1)


if __name__ == "__main__":
    main()
