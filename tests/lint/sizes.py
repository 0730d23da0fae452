#!/usr/bin/env python3
"""No source file above 400 lines, unless it is defended in size-exceptions.tsv; no overlong line in scripts."""
import source

MAX_LINES = 400
MAX_COLUMNS = 130


def exceptions():
    rows = source.text("tests/lint/size-exceptions.tsv").splitlines()
    return {row.split("\t")[0]: row for row in rows if row and not row.startswith("#")}


def main():
    defended, problems = exceptions(), []
    paths = source.files("*.cc", "*.h", "*.py", "quickstart", "test", "check", "tools/*")
    for path in paths:
        lines = source.text(path).splitlines()
        if len(lines) > MAX_LINES and path not in defended:
            problems.append(f"{path}: {len(lines)} lines (more than {MAX_LINES}: split it by concern)")
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_COLUMNS and not path.endswith((".cc", ".h")):  # clang-format sees to C++
                problems.append(f"{path}:{number}: {len(line)} characters in a line")
    for path in defended:
        if path not in paths or len(source.text(path).splitlines()) <= MAX_LINES:
            problems.append(f"tests/lint/size-exceptions.tsv: {path} needs no exception any more")
    source.finish("sizes", problems, len(paths))


main()
