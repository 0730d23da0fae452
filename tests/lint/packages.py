#!/usr/bin/env python3
"""Every library that is built against is explained in docs/dependencies.md, and nothing else is listed there."""
import re

import source


def main():
    rows = [line.split() for line in source.text("tools/packages.txt").splitlines() if line and line[0] != "#"]
    wanted = {package for _, package in rows}
    explained = set(re.findall(r"^\| `([^`]+)` \|", source.text("docs/dependencies.md"), re.M))
    problems = [f"docs/dependencies.md: does not say why {name} is needed" for name in sorted(wanted - explained)]
    problems += [f"docs/dependencies.md: {name} is not in tools/packages.txt" for name in sorted(explained - wanted)]
    source.finish("packages", problems, 2)


main()
