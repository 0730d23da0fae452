"""Clients of a daemon over HTTPS, in the network namespace of its sandbox."""
import base64
import ctypes
import hashlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import threading

from .clients import Client
from .rest import Api
from .websocket import WebSocket

CLONE_NEWNET = 0x40000000
PORT = 8443


def connect(daemon, address="127.0.0.1", port=PORT, timeout=20, source=None):
    """A TCP connection that begins inside the sandbox."""
    made = []

    def work():
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = os.open(f"/proc/{daemon.sandbox.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(descriptor, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            made.append(socket.create_connection((address, port), timeout, source and (source, 0)))
        except OSError as error:
            made.append(error)
        finally:
            os.close(descriptor)

    thread = threading.Thread(target=work)  # only a thread enters
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


class Certificate:
    """A client's key and certificate. `days` may be negative: it has expired then."""

    def __init__(self, folder, name, days=30):
        self.name = name
        self.path, self.key = os.path.join(folder, f"{name}.crt"), os.path.join(folder, f"{name}.key")
        request = os.path.join(folder, f"{name}.csr")
        for command in (["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-keyout", self.key,
                         "-out", request, "-subj", f"/CN={name}"],
                        ["x509", "-req", "-in", request, "-signkey", self.key, "-days", str(days), "-out", self.path]):
            subprocess.run(["openssl", *command], check=True, capture_output=True)
        self.read()

    def read(self):
        with open(self.path, encoding="ascii") as file:
            self.pem = file.read()
        self.der = ssl.PEM_cert_to_DER_cert(self.pem)
        self.fingerprint = hashlib.sha256(self.der).hexdigest()

    @property
    def encoded(self):
        return base64.b64encode(self.der).decode()


def context(certificate=None, version=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if version:
        made.minimum_version = made.maximum_version = version
    if certificate:
        made.load_cert_chain(certificate.path, certificate.key)
    return made


class HttpsConnection(http.client.HTTPConnection):
    def __init__(self, api):
        super().__init__(api.address, api.port, timeout=api.timeout)
        self.api = api

    def connect(self):
        self.sock = self.api.connected()


class HttpsApi(Api):
    """The REST client, with a certificate or without."""

    def __init__(self, daemon, certificate=None, address="127.0.0.1", port=PORT, timeout=60, source=None):
        super().__init__("", timeout)
        self.daemon, self.certificate, self.address, self.port, self.source = daemon, certificate, address, port, source

    def connection(self):
        if getattr(self.local, "connection", None) is None:
            self.local.connection = HttpsConnection(self)
        return self.local.connection

    def connected(self):
        """A new TLS connection."""
        raw = connect(self.daemon, self.address, self.port, self.timeout, self.source)
        try:
            return context(self.certificate).wrap_socket(raw, server_hostname="lxmgr")
        except BaseException:
            raw.close()
            raise

    def attach(self, operation, secret):
        return WebSocket(self.connected(), f"{operation}/websocket?secret={secret}", max(self.timeout, 900))

    def server_certificate(self):
        """In DER."""
        with context(self.certificate).wrap_socket(connect(self.daemon, self.address, self.port)) as wrapped:
            return wrapped.getpeercert(binary_form=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RemoteClient(Client):
    """A stock client that reaches the daemon over HTTPS only: its own unix socket does not exist."""

    def __init__(self, daemon, program, environment):
        super().__init__(daemon, "nsenter", environment)
        self.prefix = ["-t", str(daemon.sandbox.pid), "-n", "--", program]

    def run(self, *arguments, **options):
        return super().run(*self.prefix, *arguments, **options)

    def background(self, *arguments):
        return super().background(*self.prefix, *arguments)

    def terminal(self, *arguments, **options):
        return super().terminal(*self.prefix, *arguments, **options)


def lxc(daemon, name="lxc"):
    folder = os.path.join(daemon.base, name)
    return RemoteClient(daemon, "lxc", {"LXD_DIR": os.path.join(daemon.base, "nowhere"), "LXD_CONF": folder})


def incus(daemon, program, name="incus"):
    folder = os.path.join(daemon.base, name)
    return RemoteClient(daemon, program, {"INCUS_DIR": os.path.join(daemon.base, "nowhere"), "INCUS_CONF": folder})


def set_config(api, **changes):
    """PATCH of the server's config; `core__https_address` stands for core.https_address."""
    api.call("PATCH", "/1.0", {"config": {key.replace("__", "."): value for key, value in changes.items()}})


def token(api, name="joiner", **more):
    """What `lxc config trust add` prints, as the client makes it."""
    made = api.call("POST", "/1.0/certificates", {"name": name, "type": "client", "token": True, **more})["metadata"]
    data = made["metadata"]
    return made["id"], base64.b64encode(json.dumps({
        "client_name": data["request"]["name"], "fingerprint": data["fingerprint"], "addresses": data["addresses"],
        "secret": data["secret"], "expires_at": data.get("expiresAt", "0001-01-01T00:00:00Z")}).encode()).decode()
