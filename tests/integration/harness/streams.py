"""A simplestreams server of the test's own, with TLS, in the daemon's network namespace: in the layouts of the two public
ones, and hostile where a test wants it to be. The module is the server's program, too."""
import hashlib
import http.server
import io
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import time

from . import clients, images

PORT = 8443
URL = f"https://127.0.0.1:{PORT}"


# ---- certificates
def make_certificate(folder):
    """A certificate that is its own authority: what SSL_CERT_FILE makes trusted. (certificate, key)"""
    certificate, key = os.path.join(folder, "streams.crt"), os.path.join(folder, "streams.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", "/CN=streams", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key,
                    "-out", certificate], check=True, capture_output=True)
    return certificate, key


# ---- images
def rebase(archive):
    """The root file system of the tiny image without its prefix."""
    whole, out = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as source:
        images.add_tiny_rootfs(source)
    whole.seek(0)
    with tarfile.open(fileobj=whole) as source, tarfile.open(fileobj=out, mode=archive) as target:
        for member in source:
            data = source.extractfile(member) if member.isreg() else None
            member.name = "./" + member.name.removeprefix("rootfs").lstrip("/")
            target.addfile(member, data)
    return out.getvalue()


def metadata(serial, architecture="x86_64"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz", preset=0) as archive:
        text = images.METADATA.replace("x86_64", architecture).replace('release: "1"', f'release: "1", build: "{serial}"')
        images.add(archive, "metadata.yaml", text)
        images.add(archive, "templates", mode=0o755, kind=tarfile.DIRTYPE)
        images.add(archive, "templates/hostname.tpl", "{{ container.name }}\n")
    return out.getvalue()


def squashfs():
    """Kept between runs."""
    path = pathlib.Path(images.tiny()).with_suffix(".squashfs")
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}")
        subprocess.run(["tar2sqfs", "--quiet", "--force", "--compressor", "zstd", str(new)], input=rebase("w"), check=True)
        new.rename(path)
    return path.read_bytes()


def sha256(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


class Streams:
    """The server's directory and process."""

    def __init__(self, daemon, certificate, key):
        self.daemon = daemon
        self.certificate, self.key = certificate, key
        self.root = os.path.join(daemon.base, "streams")
        os.makedirs(os.path.join(self.root, "streams/v1"))
        self.log_path = os.path.join(daemon.base, "streams.log")
        self.process = None
        self.files = {}
        self.squashfs, self.tarball = squashfs(), rebase("w:xz")

    # ---- content
    def put(self, path, data):
        target = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)
        return {"path": path, "sha256": sha256(data), "size": len(data)}

    def put_json(self, path, value):
        self.put(path, json.dumps(value).encode())

    def items(self, folder, meta, names):
        """Of one version; `names`: of the metadata, squashfs and tarball items."""
        def combined(rootfs):
            return sha256(meta, rootfs)
        meta_name, squashfs_name, tarball_name = names
        items = {meta_name: {"ftype": "lxd.tar.xz", "combined_sha256": combined(self.tarball),
                             "combined_rootxz_sha256": combined(self.tarball),
                             "combined_squashfs_sha256": combined(self.squashfs),
                             **self.put(f"{folder}/{meta_name}", meta)},
                 squashfs_name: {"ftype": "squashfs", **self.put(f"{folder}/{squashfs_name}", self.squashfs)},
                 tarball_name: {"ftype": "root.tar.xz", **self.put(f"{folder}/{tarball_name}", self.tarball)}}
        return items, combined(self.squashfs), combined(self.tarball)

    def ubuntu_layout(self, serials=("20240423", "20240821")):
        """As cloud-images.ubuntu.com/releases has it. Fingerprints of the newest: (squashfs, tarball)"""
        products, newest = {}, None
        for arch, name in (("amd64", "x86_64"), ("arm64", "aarch64")):
            versions = {}
            for serial in serials:
                folder = f"server/releases/noble/release-{serial}"
                base = f"ubuntu-24.04-server-cloudimg-{arch}"
                items, *prints = self.items(folder, metadata(serial, name),
                                            (f"{base}-lxd.tar.xz", f"{base}.squashfs", f"{base}-root.tar.xz"))
                items["manifest"] = {"ftype": "manifest", "path": f"{folder}/x.manifest", "sha256": "0" * 64, "size": 3}
                items["disk1.img"] = {"ftype": "disk1.img", "path": f"{folder}/x.img", "sha256": "0" * 64, "size": 3}
                named = {item["ftype"]: item for item in items.values()}
                versions[serial] = {"label": "release", "pubname": f"ubuntu-noble-24.04-{arch}-server-{serial}", "items": named}
                if arch == "amd64":
                    newest = prints
            products[f"com.ubuntu.cloud:server:24.04:{arch}"] = {
                "aliases": "24.04,default,lts,n,noble", "arch": arch, "os": "ubuntu", "release": "noble",
                "release_codename": "Noble Numbat", "release_title": "24.04 LTS", "subarches": "generic",
                "support_eol": "2029-05-31", "supported": True, "version": "24.04", "versions": versions}
        path = "streams/v1/com.ubuntu.cloud:released:download.json"
        self.put_json(path, {"content_id": "com.ubuntu.cloud:released:download", "creator": "sstream-mirror",
                             "datatype": "image-downloads", "format": "products:1.0", "products": products,
                             "updated": "Thu, 22 Aug 2024 00:00:00 +0000"})
        self.put_json("streams/v1/index.json", {"format": "index:1.0", "updated": "Thu, 22 Aug 2024 00:00:00 +0000", "index": {
            "com.ubuntu.cloud:released:aws": {"datatype": "image-ids", "path": "streams/v1/none.json", "products": [],
                                              "clouds": [{"endpoint": "https://ec2", "region": "x"}], "format": "products:1.0"},
            "com.ubuntu.cloud:released:download": {"datatype": "image-downloads", "path": path, "format": "products:1.0",
                                                   "products": sorted(products)}}})
        return newest

    def images_layout(self, serials=("20250701_05:24", "20250702_05:24")):
        """As images.linuxcontainers.org has it: {variant: fingerprint of the newest squashfs}, and "unified"."""
        products, newest = {}, {}
        for variant in ("default", "cloud"):
            versions = {}
            for serial in serials:
                folder = f"images/debian/trixie/amd64/{variant}/{serial}"
                items, newest[variant], _ = self.items(folder, metadata(f"{serial}-{variant}"),
                                                       ("lxd.tar.xz", "rootfs.squashfs", "rootfs.tar.xz"))
                items = {"lxd.tar.xz": items["lxd.tar.xz"], "root.squashfs": items["rootfs.squashfs"],
                         "root.tar.xz": items["rootfs.tar.xz"],
                         "disk.qcow2": {"ftype": "disk-kvm.img", "path": f"{folder}/disk.qcow2", "sha256": "0" * 64, "size": 9}}
                versions[serial] = {"items": items}
            names = [f"debian/{release}/{variant}" for release in ("13", "trixie")]
            if variant == "default":
                names += ["debian/13", "debian/trixie"]
            products[f"debian:trixie:amd64:{variant}"] = {
                "aliases": ",".join(names), "arch": "amd64", "os": "Debian", "release": "trixie", "release_title": "trixie",
                "requirements": {"secureboot": "false"}, "variant": variant, "versions": versions}
        with open(images.tiny(), "rb") as file:
            whole = file.read()
        newest["unified"] = sha256(whole)
        item = {"ftype": "lxd_combined.tar.gz", **self.put("images/busybox/one.tar.gz", whole)}
        products["busybox:1:amd64:default"] = {
            "aliases": "busybox/1", "arch": "amd64", "os": "Busybox", "release": "1", "release_title": "1",
            "variant": "default", "versions": {"20250701_00:00": {"items": {"lxd_combined.tar.gz": item}}}}
        self.put_json("streams/v1/images.json", {"content_id": "images", "datatype": "image-downloads",
                                                 "format": "products:1.0", "products": products})
        self.put_json("streams/v1/index.json", {"format": "index:1.0", "index": {"images": {
            "datatype": "image-downloads", "path": "streams/v1/images.json", "format": "products:1.0",
            "products": sorted(products)}}})
        return newest

    def lxd_layout(self, split):
        """As the REST API of an LXD server with one image, "mine", has it: the fingerprint."""
        meta = metadata("lxd")
        with open(images.tiny(), "rb") as file:
            whole = file.read()
        parts = (meta, self.squashfs) if split else (whole,)
        fingerprint = sha256(*parts)
        target = f"1.0/images/{fingerprint}"
        image = {"fingerprint": fingerprint, "architecture": "x86_64", "type": "container", "filename": "mine.tar",
                 "size": sum(map(len, parts)), "properties": {"os": "tiny", "from": "lxd"}, "public": True,
                 "created_at": "2024-01-01T00:00:00Z", "expires_at": "0001-01-01T00:00:00Z"}
        self.put(f"{target}/export", b"".join(self.form(parts)) if split else whole)
        kind = "multipart/form-data; boundary=bound" if split else "application/octet-stream"
        self.put_json(f"{target}/export.headers", {"Content-Type": kind})
        self.put_json(f"{target}/index", {"type": "sync", "status_code": 200, "metadata": image})
        self.put_json("1.0/images/aliases/mine", {"type": "sync", "metadata": {"name": "mine", "target": fingerprint}})
        return fingerprint

    @staticmethod
    def form(parts):
        for name, data in zip(("metadata", "rootfs"), parts):
            yield f'--bound\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'.encode()
            yield data + b"\r\n"
        yield b"--bound--\r\n"

    def url_image(self, **headers):
        """A URL that names the tiny image by LXD's headers: the fingerprint."""
        with open(images.tiny(), "rb") as file:
            whole = file.read()
        self.put("files/tiny.tar.gz", whole)
        self.put_json("get.headers", {"LXD-Image-Hash": sha256(whole), "LXD-Image-URL": f"{URL}/files/tiny.tar.gz", **headers})
        return sha256(whole)

    def clear(self):
        shutil.rmtree(self.root)
        os.makedirs(os.path.join(self.root, "streams/v1"))
        self.behave({})

    # ---- the process
    def behave(self, behaviour):
        """{end of a path: how it is answered}; see Handler."""
        with open(os.path.join(self.daemon.base, "behaviour.json.new"), "w", encoding="utf-8") as file:
            json.dump(behaviour, file)
        os.rename(file.name, file.name.removesuffix(".new"))

    def start(self):
        self.behave({})
        program = [sys.executable, "-B", "-m", "harness.streams", self.root, self.certificate, self.key, self.daemon.base]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.daemon.sandbox.command(program), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True, env={
                                                **os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])})
        deadline = time.monotonic() + 60
        while "serving" not in self.log():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the image server does not serve: {self.log()}")
            time.sleep(0.02)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log(self):
        with open(self.log_path, encoding="utf-8") as file:
            return file.read()

    def forget_log(self):
        with open(self.log_path, "w", encoding="utf-8"):
            pass

    def requests(self):
        """Paths that were asked for since forget_log(), with their ranges."""
        return [line.split(" ", 1)[1] for line in self.log().splitlines() if line.startswith("GET ")]


class StreamsClient(clients.Client):
    """A stock client beside the daemon, which finds the server and believes it."""

    def __init__(self, daemon, program, environment, certificate):
        super().__init__(daemon, program, {**environment, "SSL_CERT_FILE": certificate})
        self.sandbox = daemon.sandbox

    def run(self, *arguments, stdin=b"", check=True, timeout=120):
        done = subprocess.run(self.sandbox.command([self.program, *arguments]), input=stdin, capture_output=True,
                              env=self.environment, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise clients.ClientFailed(f"{' '.join(arguments)}: {done.stderr.decode()}{done.stdout.decode()}")
        return done


# ---- the server's program
class Handler(http.server.BaseHTTPRequestHandler):
    """Behaviours: stall (after the half), truncate (the connection ends after the half), break (the same, once; a request
    for the rest is served), no-resume (as break, and ranges are ignored), flip (another byte in the middle), longer,
    redirect URL, status N, endless, secret S (status 404 to whoever does not name it)."""
    protocol_version = "HTTP/1.1"
    root = base = ""

    def behaviour(self):
        with open(os.path.join(self.base, "behaviour.json"), encoding="utf-8") as file:
            for end, what in json.load(file).items():
                if self.path.split("?")[0].endswith(end):
                    return what
        return ""

    def do_GET(self):
        sys.stderr.write(f"GET {self.path} {self.headers.get('Range', '')}\n")
        sys.stderr.flush()
        what = self.behaviour()
        self.path, _, query = self.path.partition("?")
        if what.startswith("secret "):
            what = "" if query == "secret=" + what.split(" ", 1)[1] else "status 404"
        if what.startswith("redirect "):
            self.reply(302, b"", {"Location": what.split(" ", 1)[1]})
        elif what.startswith("status "):
            self.reply(int(what.split()[1]), b"no")
        else:
            self.serve(what)

    def do_HEAD(self):
        self.reply(200, b"", self.own_headers())

    def own_headers(self):
        try:
            return json.loads(pathlib.Path(self.root + self.path + ".headers").read_bytes())
        except OSError:
            return {}

    def serve(self, what):
        try:
            path = pathlib.Path(self.root + self.path)
            data = (path / "index" if path.is_dir() else path).read_bytes()
        except OSError:
            return self.reply(404, b"not found")
        if what == "flip":
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:]
        if what == "longer":
            data += b"more"
        begin, wanted = 0, self.headers.get("Range", "")
        if wanted.startswith("bytes=") and what != "no-resume":
            begin = int(wanted.removeprefix("bytes=").split("-")[0])
        if what == "endless":
            return self.endless()
        if what in ("stall", "truncate") or (what in ("break", "no-resume") and not wanted):
            return self.half(data, what)
        headers = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else self.own_headers()
        self.reply(206 if begin else 200, data[begin:], headers)

    def reply(self, status, data, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def half(self, data, what):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:len(data) // 2])
        self.wfile.flush()
        if what == "stall":
            self.connection.settimeout(60)
            try:
                self.connection.recv(1)  # until the client has had enough
            except OSError:
                pass
        self.close_connection = True
        self.connection.close()

    def endless(self):
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(b" " * 65536)
        except OSError:
            pass

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context = None

    def finish_request(self, request, client_address):
        request.settimeout(20)
        with self.context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request, client_address):
        pass  # what clients do to it is theirs


def serve():
    Handler.root, certificate, key, Handler.base = sys.argv[1:]
    Server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    Server.context.load_cert_chain(certificate, key)
    socket.setdefaulttimeout(20)
    server = Server(("127.0.0.1", PORT), Handler)
    sys.stderr.write("serving\n")
    sys.stderr.flush()
    server.serve_forever()


if __name__ == "__main__":
    serve()
