#!/usr/bin/env python3
"""Replies of lxmgr beside those recorded from LXD 5.0.2 (replies.json): the same, or more, never less.

differences.tsv lists where we differ on purpose: step (a prefix), part, reason."""
import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "integration"))

import scenario  # noqa: E402
from harness.case import DaemonCase, main  # noqa: E402


def missing(theirs, ours, path):
    """Members of their shape that ours lacks or has with another type."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name, member in theirs.items():
            if name not in ours and name != "*":
                yield f"{path}.{name} is missing"
            elif name in ours:
                yield from missing(member, ours[name], f"{path}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        if theirs and ours:
            yield from missing(theirs[0], ours[0], f"{path}[]")
    elif theirs not in (None, "NoneType") and ours not in (None, "NoneType") and theirs != ours:
        yield f"{path} is {ours}, not {theirs}"


def compare(theirs, ours):
    for part, value in theirs.items():
        if part == "metadata":
            yield from missing(value, ours.get(part), "metadata")
        elif part == "operation":
            yield from (f"operation {problem}" for problem in compare(value, ours.get("operation", {})))
        elif ours.get(part) != value:
            yield f"{part} is {ours.get(part)!r}, not {value!r}"


class WireTest(DaemonCase):
    def test_replies_are_those_of_lxd(self):
        recorded = json.loads((FOLDER / "replies.json").read_text(encoding="utf-8"))
        rows = [line.split("\t") for line in (FOLDER / "differences.tsv").read_text(encoding="utf-8").splitlines()
                if line and not line.startswith("#")]
        replies = scenario.run(self.daemon)
        self.assertEqual(list(recorded), list(replies), "record replies.json again: tests/wire/record.py")
        problems, used = [], set()
        for step, theirs in recorded.items():
            for problem in compare(theirs, replies[step]):
                row = next((n for n, (prefix, part, *_) in enumerate(rows)
                            if step[4:].startswith(prefix) and problem.startswith(part)), None)
                used.add(row)
                if row is None:
                    problems.append(f"{step}: {problem}")
        for number in set(range(len(rows))) - used:
            print(f"differences.tsv: no longer needed: {rows[number]}")
        self.assertEqual(problems, [], "\n" + "\n".join(problems))


if __name__ == "__main__":
    main()
