#!/usr/bin/env python3
"""Every config key of instances and devices in docs/reference/config-keys.md is set by an integration test."""
import re

import source

PAGE = "docs/reference/config-keys.md"
# A device's key counts where its test has a device of the type: what must stand in the same file.
MARKS = {
    "device-disk": r'"disk"', "device-nic-bridged": r'"network"|bridged', "device-nic-p2p": r"p2p",
    "device-nic-macvlan": r"macvlan", "device-nic-physical": r"physical", "device-nic-routed": r"routed",
    "device-proxy": r'"proxy"', "device-unix-block": r"unix-block", "device-unix-char": r"unix-char",
    "device-unix-hotplug": r"unix-hotplug", "device-usb": r'"usb"', "device-gpu": r'"gpu"',
}


def keys():
    """(entity, key) of each row."""
    entity = ""
    for line in source.text(PAGE).splitlines():
        if line.startswith("## "):
            entity = line[3:]
        elif row := re.match(r"\| `([^`]+)` \|", line):
            if entity == "instance" or entity in MARKS or entity.startswith("device-"):
                yield entity, row[1]


def pattern(key):
    """How a test may write it: "limits.memory", limits.memory=..., or as a Python keyword limits__memory=."""
    if key.endswith(".*"):
        return re.compile(r"""["' ]""" + re.escape(key[:-1]) + r"[\w{]")
    quoted = rf"""["'](?:{re.escape(key)})["'=]"""
    words = [re.escape(key) + "=", re.escape(key.replace(".", "__")) + "="]
    if "." in key:
        words.append(re.escape(key.replace(".", "_").replace("-", "_")) + "=")
    return re.compile(quoted + "|" + "|".join(rf"(?<![\w.-]){word}" for word in words))


def prefixes(text):
    """What a test puts before names: "limits." + key, or f"limits.{key}"."""
    return set(re.findall(r"""["']([a-z.-]+\.)["'] \+|f["']([a-z.-]+\.)\{""", text)) - {("", "")}


def sets(text, key):
    if pattern(key).search(text):
        return True
    found = ("".join(pair) for pair in prefixes(text))
    return any(key.startswith(prefix) and pattern(key[len(prefix):]).search(text) for prefix in found if key != prefix)


def main():
    tests = {path: source.text(path) for path in source.files("tests/integration/*.py", "tests/integration/harness/*.py")}
    rows = list(keys())
    problems = []
    for entity, key in rows:
        mark = re.compile(MARKS.get(entity, "" if entity == "instance" else "no such type"))
        if not any(mark.search(text) and sets(text, key) for text in tests.values()):
            problems.append(f"{PAGE}: no integration test sets {key} of {entity}")
    if len(rows) < 100:
        problems.append(f"{PAGE}: only {len(rows)} keys were found")
    source.finish("keys", problems, len(rows))


main()
