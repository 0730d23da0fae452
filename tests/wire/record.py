#!/usr/bin/env python3
"""Records replies.json from Debian's LXD 5.0.2 (packages of group bench), in a sandbox of its own. Run by hand."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import scenario  # noqa: E402
from harness import images  # noqa: E402
from harness.daemon import Lxd  # noqa: E402


def main():
    daemon = Lxd()
    try:
        daemon.start()
        daemon.initialise()
        daemon.import_image(images.tiny(), "tiny")
        found = scenario.run(daemon)
        daemon.deinitialise()
    finally:
        daemon.close()
    path = pathlib.Path(__file__).with_name("replies.json")
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{len(found)} replies recorded in {path}")


main()
