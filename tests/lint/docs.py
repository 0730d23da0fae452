#!/usr/bin/env python3
"""Links between the documents lead to files, and paths they name in `backquotes` with a slash exist."""
import os
import re

import source

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:lxd-daemon|storage|network|images|profiles|lxmgr|tests|docs|tools|cmake)/[\w./-]*)`")


def problems_of(path):
    content, folder = source.text(path), os.path.dirname(path)
    for target in LINK.findall(content):
        if re.match(r"[a-z]+:|#", target):
            continue
        if not (source.ROOT / folder / target.split("#")[0]).exists():
            yield f"{path}: link to {target} leads nowhere"
    for named in PATH.findall(content):
        if not (source.ROOT / named.rstrip(".")).exists():
            yield f"{path}: names {named}, which does not exist"


def main():
    paths = source.files("*.md")
    source.finish("docs", [problem for path in paths for problem in problems_of(path)], len(paths))


main()
