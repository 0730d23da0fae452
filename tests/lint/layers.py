#!/usr/bin/env python3
"""A room includes rooms of lower rows only (rooms.tsv), and some things belong to one room alone."""
import re

import source

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]', re.M)
# Header prefix -> rooms that may include it.
OWNED = {
    "sqlite3.h": {"lxd-daemon/database"},
    "boost/": {"lxd-daemon/rest", "lxd-daemon", "lxmgr"},
    "curl/": {"images"},
    "archive": {"images"},
    "sqfs/": {"images"},
    "nftables/": {"network"},
    "netlink/": {"network"},
    "seccomp.h": {"lxd-daemon/runtime"},
    "spdlog/": {"lxd-daemon/base"},
    "CLI/": {"lxmgr", "lxd-daemon", "lxd-daemon/image_build"},
}


def read_rooms():
    rooms = {}
    for line in source.text("tests/lint/rooms.tsv").splitlines():
        if not line or line.startswith("#") or line.startswith("row\t"):
            continue
        row, room, *extra = line.split("\t")
        rooms[room] = (None if row == "-" else int(row), set(extra[0].split()) if extra else set())
    return rooms


def room_of(path, rooms):
    folders = [room for room in rooms if path.startswith(room + "/")]
    return max(folders, key=len) if folders else None


def allowed(here, there, rooms):
    if here == there or there in rooms[here][1]:
        return True
    row_here, row_there = rooms[here][0], rooms[there][0]
    if row_here is None or row_there is None:
        # The monitor's wire header is shared with the runtime, which talks to it.
        return there == "lxd-daemon/monitor" and here == "lxd-daemon/runtime"
    return row_there < row_here


def check(path, rooms):
    here = room_of(path, rooms)
    for quote, name in INCLUDE.findall(source.text(path)):
        if quote == '"':
            there = room_of(name, rooms)
            if there is None:
                yield f"{path}: includes \"{name}\", which is no path from the repository's root"
            elif not allowed(here, there, rooms):
                yield f"{path}: room {here} must not include room {there} ({name})"
            continue
        for prefix, owners in OWNED.items():
            if name.startswith(prefix) and here not in owners:
                yield f"{path}: <{name}> belongs to {', '.join(sorted(owners))}, not to {here}"


def main():
    rooms = read_rooms()
    paths = [path for path in source.files("*.cc", "*.h") if room_of(path, rooms)]
    problems = [problem for path in paths for problem in check(path, rooms)]
    source.finish("layers", problems, len(paths))


main()
