#!/usr/bin/env python3
"""Names and calls that this code base does without."""
import re

import source

PRODUCT = ["lxd-daemon/*", "storage/*", "network/*", "images/*", "profiles/*", "lxmgr/*"]
RULES = [
    (r"\b(class|struct)\s+\w*(Manager|Helper|Util|Utils)\b", "a name that says nothing: name what it owns or does"),
    (r"(?<![\w:.>])(std::)?system\s*\(", "no shell: base/spawn.h starts programs by argv"),
    (r"(?<![\w.>])popen\s*\(", "no shell: base/spawn.h starts programs by argv"),
    (r"\"/bin/(ba)?sh\"", "no shell"),
    (r"\b(TODO|FIXME|XXX)\b", "unfinished: finish it or refuse with a clear error"),
    (r"\b(sleep_for|usleep)\s*\(", "wait for the event instead of sleeping"),
    (r"\busing\s+namespace\s+std\b", "no using namespace std"),
    (r"\b(std::)?(cout|cerr)\b", "log through base/log.h"),
]
# The CLI prints for people, and may start the user's shell or editor.
NOT_IN_CLI = {"log through base/log.h", "no shell"}
FILE_NAMES = re.compile(r"(^|/)(utils?|helpers?)\.(h|cc)$|(Manager|manager|_helper)\w*\.(h|cc)$")


def problems_of(path):
    if FILE_NAMES.search(path):
        yield f"{path}: the file's name does not say what is in it"
    for number, line in enumerate(source.text(path).splitlines(), 1):
        code = re.sub(r"//.*", "", line) if "TODO" not in line and "FIXME" not in line else line
        calls = re.sub(r'"(\\.|[^"\\])*"', '""', code)
        for pattern, reason in RULES:
            if reason in NOT_IN_CLI and path.startswith("lxmgr/"):
                continue
            if re.search(pattern, calls if reason.startswith("no shell:") else code):
                yield f"{path}:{number}: {reason}: {line.strip()}"


def main():
    paths = [path for path in source.files(*PRODUCT) if path.endswith((".cc", ".h"))]
    source.finish("words", [problem for path in paths for problem in problems_of(path)], len(paths))


main()
