#!/usr/bin/env python3
"""Every config key of instances and devices in docs/reference/config-keys.md is set by a test that looks at its effect.

A test that only shows that a key is refused, or that looks into no guest, at no kernel and at no host, does not count."""
import functools
import re

import effects
import source

PAGE = "docs/reference/config-keys.md"
# What these do is the daemon's own: refusing what is protected, and which snapshots there are at what time.
ANSWERS = re.compile(r"security\.protection\.|snapshots\.")
# A device's key counts where its test has a device of the type: what must stand in the same test.
MARKS = {
    "device-disk": r'"disk"', "device-nic-bridged": r'"network"|bridged', "device-nic-p2p": r"p2p",
    "device-nic-ipvlan": r"ipvlan|HERE", "device-nic-macvlan": r"macvlan", "device-nic-physical": r"physical",
    "device-nic-routed": r"routed",
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


@functools.cache
def pattern(key, is_rest=False):
    """How a test may write it, or the rest of it: "limits.memory", limits.memory=..., or as a Python keyword limits__memory=."""
    if key.endswith(".*"):
        return re.compile(r"""["' ]""" + re.escape(key[:-1]) + r"[\w{]")
    # A word such as mtu may be an argument of ip's; one with dots is a key wherever it stands.
    after = "" if is_rest or "." in key else " *(:|] *=)"
    quoted = rf"""["']{re.escape(key)}(=|["']{after})"""
    words = [re.escape(key) + "=", re.escape(key.replace(".", "__")) + "="]
    if "." in key:
        words.append(re.escape(key.replace(".", "_").replace("-", "_")) + "=")
    return re.compile(quoted + "|" + "|".join(rf"(?<![\w.-]){word}" for word in words))


class Test:
    """What a test sets, as text."""

    def __init__(self, text):
        self.text = text
        found = set(re.findall(r"""["']([a-z.-]+\.)["'] \+|f["']([a-z.-]+\.)\{""", text)) - {("", "")}
        self.prefixes = ["".join(pair) for pair in found]  # put before names: "limits." + key, or f"limits.{key}"

    def sets(self, key):
        last = key.removesuffix(".*").rsplit(".", 1)[-1]
        if last not in self.text and last.replace("-", "_") not in self.text:
            return False
        return bool(pattern(key).search(self.text)) or \
            any(key.startswith(one) and key != one and pattern(key[len(one):], True).search(self.text) for one in self.prefixes)


def main():
    paths = source.files("tests/integration/*.py", "tests/integration/harness/*.py", "tests/vm/*.py")
    files = [Test(source.text(path)) for path in paths]
    tests = [Test(text) for path in paths for _, text in effects.tests(source.text(path))]
    marked = {entity: [one for one in tests if re.search(mark, one.text)] for entity, mark in {**MARKS, "instance": ""}.items()}
    rows = list(keys())
    problems = []
    for entity, key in rows:
        told = entity == "instance" and ANSWERS.match(key)
        if not any(one.sets(key) for one in (files if told else marked.get(entity, ()))):
            problems.append(f"{PAGE}: no test sets {key} of {entity} and looks at its effect")
    if len(rows) < 100:
        problems.append(f"{PAGE}: only {len(rows)} keys were found")
    source.finish("keys", problems, len(rows))


main()
