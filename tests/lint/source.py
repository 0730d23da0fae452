"""What every lint needs: the repository's own source files and one way to report."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files(*patterns):
    """Tracked and new files that match the git pathspecs, as paths relative to the repository."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [path for path in sorted(set(out.split("\n"))) if path and (ROOT / path).is_file()]


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def finish(name, problems, checked):
    for problem in problems:
        print(problem)
    print(f"{name}: {checked} files, {len(problems)} problems")
    sys.exit(1 if problems else 0)
