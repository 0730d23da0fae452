"""REST client of a /1.0 daemon on a unix socket: plain requests, operations, exec, console, events."""
import concurrent.futures
import http.client
import json
import os
import socket
import threading
import time
import urllib.parse

from .websocket import WebSocket


# How much slower than a usual machine this one is: an emulated one says 10.
PATIENCE = float(os.environ.get("LXMGR_TEST_PATIENCE", "1"))


class ApiError(Exception):
    """An error reply, or an operation that failed. `code` is the error code of the reply or operation."""

    def __init__(self, code, message, where):
        super().__init__(f"{where}: {code} {message}")
        self.code, self.message = code, message


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def metadata(self):
        return self.json["metadata"]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("lxd", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def send_request(connection, method, target, body, headers):
    """As its request(); an iterator's pieces go out as they are, each before the next is asked for: they may be views of
    one buffer. http.client by itself copies each."""
    if not hasattr(body, "__next__") or hasattr(body, "read"):
        connection.request(method, target, body, headers)
        return
    chunked = "Content-Length" not in headers
    connection.putrequest(method, target)
    for name, value in headers.items():
        connection.putheader(name, value)
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    for piece in filter(len, body):  # an empty one would be the end
        for part in (b"%X\r\n" % len(piece), piece, b"\r\n") if chunked else (piece,):
            connection.send(part)
    if chunked:
        connection.send(b"0\r\n\r\n")


def pieces(file):
    """What is left in it, through one buffer that stays in the processor's cache: each is to be used before the next."""
    buffer = bytearray(1 << 18)
    while size := file.readinto(buffer):
        yield memoryview(buffer)[:size]


class Api:
    """One keep-alive connection for each thread."""

    def __init__(self, socket_path, timeout=120):
        self.socket_path, self.timeout = socket_path, timeout * PATIENCE
        self.local = threading.local()

    def connection(self):
        if getattr(self.local, "connection", None) is None:
            self.local.connection = UnixConnection(self.socket_path, self.timeout)
        return self.local.connection

    def close(self):
        if getattr(self.local, "connection", None) is not None:
            self.local.connection.close()
            self.local.connection = None

    def raw(self, method, target, body=None, headers=None):
        """One request, any status. `body`: bytes, an iterable of bytes, a file, or an object that becomes JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, bytearray)) and not hasattr(body, "read") \
                and not hasattr(body, "__next__"):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        for attempt in (1, 2):
            connection = self.connection()
            fresh = connection.sock is None
            try:
                send_request(connection, method, target, body, headers)
                return Reply(connection.getresponse())
            except (http.client.BadStatusLine, BrokenPipeError, ConnectionResetError):
                self.close()
                if fresh or attempt == 2 or method != "GET":
                    raise
            except BaseException:
                self.close()
                raise

    def call(self, method, target, body=None, headers=None):
        """As raw(); an error reply becomes ApiError; returns the envelope."""
        reply = self.raw(method, target, body, headers)
        envelope = reply.json
        if envelope["type"] == "error":
            raise ApiError(envelope["error_code"], envelope["error"], f"{method} {target}")
        return envelope

    def get(self, target):
        return self.call("GET", target)["metadata"]

    def wait(self, envelope, timeout=120):
        """Waits for the operation of an async reply, and returns it; ApiError when it failed."""
        if envelope["type"] != "async":
            return envelope
        url = envelope["operation"].split("?")[0]
        operation = self.get(f"{url}/wait?timeout={int(timeout * PATIENCE)}")
        if operation["status_code"] != 200:
            raise ApiError(operation["status_code"], operation["err"] or operation["status"], operation["description"])
        return operation

    def do(self, method, target, body=None, headers=None, timeout=120):
        """A request and, when it is async, the end of its operation."""
        return self.wait(self.call(method, target, body, headers), timeout)

    # ---- instances
    def create(self, name, image=None, config=None, devices=None, profiles=None, timeout=120, **more):
        source = {"type": "image", "alias": image} if image else {"type": "none"}
        body = {"name": name, "type": "container", "source": source, "config": config or {}, "devices": devices or {},
                "profiles": profiles, **more}
        return self.do("POST", "/1.0/instances", body, timeout=timeout)

    def set_state(self, name, action, force=False, timeout=30):
        body = {"action": action, "timeout": timeout, "force": force, "stateful": False}
        return self.do("PUT", f"/1.0/instances/{name}/state", body)

    def start(self, name):
        return self.set_state(name, "start")

    def stop(self, name, force=True, timeout=30):
        return self.set_state(name, "stop", force, timeout)

    def launch(self, name, image, **more):
        self.create(name, image, **more)
        self.start(name)

    def delete(self, name):
        return self.do("DELETE", f"/1.0/instances/{name}")

    def instance(self, name):
        return self.get(f"/1.0/instances/{name}")

    def state(self, name):
        return self.get(f"/1.0/instances/{name}/state")

    def update(self, name, **changes):
        """PUT of the instance with some members replaced; `config` and `devices` are merged (None removes a key)."""
        now = self.instance(name)
        body = {key: now[key] for key in ("architecture", "config", "devices", "ephemeral", "profiles", "description")}
        for key, value in changes.items():
            if isinstance(value, dict):
                merged = {**body[key], **value}
                value = {k: v for k, v in merged.items() if v is not None}
            body[key] = value
        return self.do("PUT", f"/1.0/instances/{name}", body)

    def wait_status(self, name, status, timeout=30):
        """Polls, for changes that come from inside; use operations and events where there are some."""
        deadline = time.monotonic() + timeout * PATIENCE
        while (seen := self.instance(name)["status"]) != status:
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} is {seen}, not {status}, after {timeout} s")
            time.sleep(0.05)

    # ---- exec and console
    def exec_start(self, name, command, interactive=False, **more):
        """Starts an exec with websockets; returns (operation URL, secrets by fd)."""
        body = {"command": command, "wait-for-websocket": True, "interactive": interactive, "environment": {},
                "record-output": False, **more}
        envelope = self.call("POST", f"/1.0/instances/{name}/exec", body)
        return envelope["operation"].split("?")[0], envelope["metadata"]["metadata"]["fds"]

    def attach(self, operation, secret):
        """The stream may be silent for as long as a command runs."""
        return WebSocket(self.socket_path, f"{operation}/websocket?secret={secret}", max(self.timeout, 900))

    def exec(self, name, command, stdin=b"", **more):
        """Runs a command to its end; returns (exit code, stdout, stderr)."""
        operation, fds = self.exec_start(name, command, **more)
        sockets = {}
        try:
            for fd in ("control", "0", "1", "2"):
                sockets[fd] = self.attach(operation, fds[fd])
            pool = concurrent.futures.ThreadPoolExecutor(2)
            readers = [pool.submit(sockets[fd].read_all) for fd in ("1", "2")]
            pool.shutdown(wait=False)
            try:
                for start in range(0, len(stdin), 1 << 16):
                    sockets["0"].send(stdin[start:start + (1 << 16)])
                sockets["0"].end_of_input()
            except OSError:
                pass  # a short command has ended and its input was closed already
            outputs = [reader.result() for reader in readers]
            ended = self.get(f"{operation}/wait?timeout={int(self.timeout)}")
        finally:
            for one in sockets.values():
                one.close()
        # A command that could not be started is a failed operation that has an exit code (126, 127) all the same.
        if ended["status_code"] != 200 and "return" not in ended["metadata"]:
            raise ApiError(ended["status_code"], ended["err"], f"exec {command}")
        return ended["metadata"]["return"], *outputs

    def sh(self, name, script, **more):
        """A shell script in the instance: its stdout, stripped; AssertionError when it fails."""
        code, out, err = self.exec(name, ["sh", "-c", script], **more)
        if code != 0:
            raise AssertionError(f"{script!r} in {name} ended with {code}: {out.decode()!r} {err.decode()!r}")
        return out.decode().strip()

    # ---- files
    def file_target(self, name, path):
        return f"/1.0/instances/{name}/files?path={urllib.parse.quote(path, safe='')}"

    def push(self, name, path, content=b"", **headers):
        names = {key: f"X-LXD-{key}" for key in ("uid", "gid", "mode", "type", "write", "modify-perm")}
        sent = {names[key]: str(value) for key, value in headers.items()}
        return self.call("POST", self.file_target(name, path), content, sent)

    def pull(self, name, path):
        reply = self.raw("GET", self.file_target(name, path))
        if reply.status != 200:
            raise ApiError(reply.status, reply.json["error"], f"GET file {path}")
        return reply

    def events(self, types="operation,lifecycle", query=""):
        return EventStream(self.socket_path, f"/1.0/events?type={types}{query}")


class EventStream:
    """Collects events in the background from the moment it exists."""

    def __init__(self, socket_path, target):
        self.socket = WebSocket(socket_path, target, timeout=600)
        self.seen, self.changed = [], threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while (message := self.socket.message()) is not None:
            with self.changed:
                self.seen.append(json.loads(message[1]))
                self.changed.notify_all()

    def wait_for(self, accept, timeout=30):
        """The first event, past or to come, that `accept` likes."""
        deadline, checked = time.monotonic() + timeout * PATIENCE, 0
        with self.changed:
            while True:
                for event in self.seen[checked:]:
                    if accept(event):
                        return event
                checked = len(self.seen)
                if not self.changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no such event within {timeout} s among {len(self.seen)}: {self.actions()}")

    def wait_action(self, action, name, timeout=30):
        return self.wait_for(lambda e: e["type"] == "lifecycle" and e["metadata"]["action"] == action and
                             e["metadata"]["source"].split("?")[0] == f"/1.0/instances/{name}", timeout)

    def actions(self):
        return [e["metadata"]["action"] for e in self.seen if e["type"] == "lifecycle"]

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
