"""An SFTP client (version 3) over the daemon's upgrade: as much as the tests need."""
import socket
import struct

INIT, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, OPENDIR, READDIR = 1, 3, 4, 5, 6, 7, 8, 9, 11, 12
REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK, EXTENDED = 13, 14, 15, 16, 17, 18, 19, 20, 200
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
O_READ, O_WRITE, O_APPEND, O_CREATE, O_TRUNCATE, O_EXCLUSIVE = 1, 2, 4, 8, 16, 32


class SftpError(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data


class Sftp:
    def __init__(self, socket_path, instance):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        self.socket.connect(socket_path)
        self.socket.sendall(f"GET /1.0/instances/{instance}/sftp HTTP/1.1\r\nHost: lxd\r\nConnection: Upgrade\r\n"
                            "Upgrade: sftp\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = self.socket.recv(1)
            if not data:
                raise ConnectionError(head)
            head += data
        if b" 101 " not in head:
            raise ConnectionError(head)
        self.number = 0
        self.send(INIT, struct.pack(">I", 3))
        self.version = self.receive()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, kind, body):
        self.socket.sendall(struct.pack(">IB", len(body) + 1, kind) + body)

    def receive(self):
        size = struct.unpack(">I", self.exactly(4))[0]
        return self.exactly(size)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the server has closed the connection")
            data += part
        return data

    def request(self, kind, body):
        """(type, body) of the reply; SftpError for a status other than OK."""
        self.number += 1
        self.send(kind, struct.pack(">I", self.number) + body)
        reply = self.receive()
        assert struct.unpack(">I", reply[1:5])[0] == self.number
        kind, body = reply[0], reply[5:]
        if kind == STATUS:
            code, length = struct.unpack(">II", body[:8])
            if code:
                raise SftpError(code, body[8:8 + length].decode())
        return kind, body

    # ---- what a user does
    def open(self, path, flags, mode=None):
        attributes = struct.pack(">II", 4, mode) if mode is not None else struct.pack(">I", 0)
        return self.request(OPEN, text(path) + struct.pack(">I", flags) + attributes)[1][4:]

    def shut(self, handle):
        self.request(CLOSE, text(handle))

    def write(self, path, data, flags=O_WRITE | O_CREATE | O_TRUNCATE, mode=0o644):
        handle = self.open(path, flags, mode)
        for at in range(0, len(data), 32768):
            self.request(WRITE, text(handle) + struct.pack(">Q", at) + text(data[at:at + 32768]))
        self.shut(handle)

    def read(self, path):
        handle, data = self.open(path, O_READ), b""
        while True:
            try:
                data += self.request(READ, text(handle) + struct.pack(">QI", len(data), 32768))[1][4:]
            except SftpError as error:
                if error.code != 1:
                    raise
                self.shut(handle)
                return data

    def stat(self, path, kind=LSTAT):
        """size, uid, gid, mode, atime, mtime"""
        return struct.unpack(">QIIIII", self.request(kind, text(path))[1][4:])

    def names(self, path):
        return sorted(name for name, _ in self.entries(path))

    def entries(self, path):
        """(name, the line that `ls -l` of a client shows)"""
        handle, entries = self.request(OPENDIR, text(path))[1][4:], []
        while True:
            try:
                body = self.request(READDIR, text(handle))[1]
            except SftpError as error:
                if error.code != 1:
                    raise
                self.shut(handle)
                return sorted(entries)
            count, at = struct.unpack(">I", body[:4])[0], 4
            for _ in range(count):
                fields = []
                while len(fields) < 2:
                    size = struct.unpack(">I", body[at:at + 4])[0]
                    fields.append(body[at + 4:at + 4 + size].decode())
                    at += 4 + size
                entries.append(tuple(fields))
                at += 32

    def link_target(self, path):
        body = self.request(READLINK, text(path))[1]
        return body[8:8 + struct.unpack(">I", body[4:8])[0]].decode()
