#!/usr/bin/env python3
"""Rooms with BATCH compile several sources at once (cmake/Rooms.cmake): names in unnamed namespaces are the room's."""
import collections
import os
import re

import source

BATCHED = re.compile(r"\bBATCH \d|\blx_batches\(")
# How clang-format lays out a definition at column 0 of an unnamed namespace.
DEFINITIONS = [
    re.compile(r"^(?:struct|class|enum class|enum|union)\s+(\w+)"),
    re.compile(r"^(?:\[\[\w+\]\]\s*)?[\w:<>,*& ]+?[\s&*](\w+)\s*\("),
    re.compile(r"^(?:inline |static |thread_local )*(?:constexpr|const|constinit|std|[A-Z]\w*|int|bool)[\w:<>,*& ()]*?"
               r"[\s&*](\w+)(?:\[[^\]]*\])?\s*(?:=|\{|;)"),
]
SKIPPED = ("template", "return", "LX_", "public", "private", "case", "using", "namespace")  # an alias may be said twice


def local_names(text):
    """Names defined at the top of unnamed namespaces."""
    inside = False
    for line in text.splitlines():
        if line.startswith("namespace {"):
            inside = True
        elif line.startswith("}  // namespace"):
            inside = False
        elif inside and re.match(r"[A-Za-z\[]", line) and not line.startswith(SKIPPED):
            found = next((match for match in (rule.match(line) for rule in DEFINITIONS) if match), None)
            if found:
                yield found.group(1)


def room_of(path):
    folder = os.path.dirname(path)
    while folder and not (source.ROOT / folder / "CMakeLists.txt").exists():
        folder = os.path.dirname(folder)
    return folder


def main():
    rooms = collections.defaultdict(list)
    for path in source.files("*.cc"):
        room = room_of(path)
        if room and not room.startswith(("tests", "cmake")):
            rooms[room].append(path)
    problems, checked = [], 0
    for room, paths in sorted(rooms.items()):
        if not BATCHED.search(source.text(room + "/CMakeLists.txt")):
            continue
        checked += len(paths)
        users = collections.defaultdict(set)
        for path in paths:
            for name in local_names(source.text(path)):
                users[name].add(path)
        problems += [f"{name}: means something in each of {', '.join(sorted(where))}: name it after what it is of, or share it"
                     for name, where in sorted(users.items()) if len(where) > 1]
    source.finish("names", problems, checked)


main()
