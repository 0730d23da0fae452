"""A websocket client (RFC 6455) over a unix socket or TLS: as much as exec, console and events need."""
import base64
import hashlib
import os
import socket
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketRefused(Exception):
    """The server answered the handshake with something else than 101."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:200]!r}")
        self.status, self.body = status, body


class WebSocket:
    def __init__(self, where, target, timeout=60):
        """`where`: the path of a unix socket, or a socket that is connected, which becomes ours."""
        connected = not isinstance(where, str)
        self.socket = where if connected else socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.buffer = b""
        self.closed = False
        try:
            if not connected:
                self.socket.connect(where)
            self._handshake(target)
        except BaseException:
            self.socket.close()
            raise

    def _handshake(self, target):
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET {target} HTTP/1.1\r\nHost: lxd\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        while b"\r\n\r\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("closed in the websocket handshake")
            self.buffer += data
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            raise WebSocketRefused(status, self.buffer)
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest())
        if accept not in head:
            raise WebSocketRefused(status, b"wrong Sec-WebSocket-Accept")

    def send(self, data, opcode=BINARY):
        if isinstance(data, str):
            data, opcode = data.encode(), TEXT
        length = len(data)
        if length < 126:
            head = bytes([0x80 | opcode, 0x80 | length])
        elif length < 65536:
            head = bytes([0x80 | opcode, 0xFE]) + struct.pack(">H", length)
        else:
            head = bytes([0x80 | opcode, 0xFF]) + struct.pack(">Q", length)
        mask = os.urandom(4)
        key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
        masked = (int.from_bytes(data, "big") ^ key).to_bytes(length, "big") if length else b""
        self.socket.sendall(head + mask + masked)

    def end_of_input(self):
        """The protocol's end of a stream: one empty text frame."""
        self.send(b"", TEXT)

    def _need(self, count):
        while len(self.buffer) < count:
            data = self.socket.recv(1 << 18)
            if not data:
                raise ConnectionError("closed")
            self.buffer += data

    def frame(self):
        """Next frame as (opcode, data)."""
        self._need(2)
        opcode, length, offset = self.buffer[0] & 15, self.buffer[1] & 127, 2
        if length == 126:
            self._need(4)
            length, offset = struct.unpack(">H", self.buffer[2:4])[0], 4
        elif length == 127:
            self._need(10)
            length, offset = struct.unpack(">Q", self.buffer[2:10])[0], 10
        self._need(offset + length)
        data, self.buffer = self.buffer[offset:offset + length], self.buffer[offset + length:]
        return opcode, data

    def message(self):
        """Next data message as (opcode, data), pings answered; None at the end of the stream."""
        while True:
            try:
                opcode, data = self.frame()
            except (ConnectionError, OSError) as error:
                if isinstance(error, TimeoutError):
                    raise
                return None
            if opcode == CLOSE or (opcode == TEXT and not data):
                return None
            if opcode == PING:
                try:
                    self.send(data, PONG)
                except OSError:
                    pass  # the peer has closed already; its data is still to be read
            elif opcode != PONG:
                return opcode, data

    def read_all(self):
        parts = []
        while (message := self.message()) is not None:
            parts.append(message[1])
        return b"".join(parts)

    def read_until(self, text):
        """Reads until the bytes `text` were seen; returns all that was read."""
        seen = b""
        while text not in seen:
            message = self.message()
            if message is None:
                raise AssertionError(f"the stream ended before {text!r}; it said {seen!r}")
            seen += message[1]
        return seen

    def close(self):
        if self.closed:
            return
        self.closed = True
        try:
            self.send(struct.pack(">H", 1000), CLOSE)
        except OSError:
            pass
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
