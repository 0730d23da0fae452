"""Pages of docs/: which commands they show. A fence ```sh holds commands of root on the host; in ```console, NAME$ stands
before one that is run inside the instance NAME."""
import re
import shlex

from .daemon import REPOSITORY

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^\n    \S", re.MULTILINE)
COMMENT = re.compile(r"\s+# .*$|^# .*$")


def paths():
    """Every page with commands, relative to the repository."""
    found = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    return {str(path.relative_to(REPOSITORY)): path.read_text() for path in found if commands(path.read_text())}


def commands(text):
    """What a reader would type, in order."""
    found = []
    for language, body in FENCE.findall(text):
        if language not in ("sh", "console"):
            continue
        for line in body.replace("\\\n", " ").splitlines():
            line = COMMENT.sub("", line).strip()
            inside = re.match(r"(\w+)\$ (.*)", line) if language == "console" else None
            if inside:
                line = f"lxmgr exec {inside[1]} -- sh -c {shlex.quote(inside[2])}"
            if line:
                found.append(line)
    return found


def unnamed_fences(text):
    """Blocks that do not say what they are."""
    fenced = [body.splitlines()[0] for language, body in FENCE.findall(text) if not language]
    return fenced + INDENTED.findall(FENCE.sub("", text))
