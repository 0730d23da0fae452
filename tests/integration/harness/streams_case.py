"""Base of the tests with a simplestreams server of their own, which the daemon trusts."""
import shutil
import tempfile

from . import streams
from .case import DaemonCase


class StreamsCase(DaemonCase):
    needs_images = ()
    environment = {}

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="lxmgr-test-")
        cls.addClassCleanup(shutil.rmtree, folder)
        certificate, key = streams.make_certificate(folder)
        cls.options = {"environment": {"SSL_CERT_FILE": certificate, **cls.environment}}
        super().setUpClass()
        cls.streams = streams.Streams(cls.daemon, certificate, key)
        cls.streams.start()
        cls.addClassCleanup(cls.streams.stop)
        cls.certificate = certificate

    @classmethod
    def tearDownClass(cls):
        cls.streams.stop()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.streams.clear()
        self.streams.forget_log()

    def tearDown(self):
        for name in self.daemon.instance_names():
            self.remove_instance(name)
        for url in self.api.get("/1.0/images"):
            self.api.do("DELETE", url)
        super().tearDown()

    def source(self, name, **more):
        return {"type": "image", "mode": "pull", "server": streams.URL, "protocol": "simplestreams", "alias": name, **more}

    def fetch(self, name, **more):
        """POST /1.0/images: the fingerprint."""
        operation = self.api.do("POST", "/1.0/images", {"source": self.source(name), **more}, timeout=60)
        return operation["metadata"]["fingerprint"]

    def downloads(self):
        return [path for path in self.streams.requests() if "/streams/v1/" not in path]
