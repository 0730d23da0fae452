"""Trees as lxmgrd sends them to another lxmgrd (lxd-daemon/rsync/whole.h)."""
import struct

MAGIC = b"lxtree1\n"


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<I", len(data)) + data


def meta(mode, attributes=0):
    return struct.pack("<IIIqII", mode, 7, 7, 981173106, 5, attributes)


def entry(kind, name, *rest):
    return kind.encode() + text(name) + b"".join(rest)


def directory(name, mode=0o40755):
    return entry("d", name, meta(mode))


def symlink(name, target):
    return entry("s", name, meta(0o120777), text(target))


def file(name, content, size=None, at=0, number=0, attributes=0):
    part = struct.pack("<QQ", at, len(content)) + content if content else b""
    return entry("f", name, meta(0o100644, attributes), struct.pack("<QQ", number, len(content) if size is None else size), part,
                 struct.pack("<QQ", 0, 0))
