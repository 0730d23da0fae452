"""docs/reference/config-keys.md is what the daemon serves of its tables of keys. `LXMGR_WRITE=1` writes it anew."""
import os

from harness.case import DaemonCase, main
from harness.daemon import REPOSITORY

PAGE = REPOSITORY / "docs" / "reference" / "config-keys.md"
HEAD = """# Config keys

<!-- Made by tests/integration/test_reference.py of what the daemon serves. Edit the key's row in profiles/ instead. -->

Every key that the server takes, by what has it. A change of a key that is not live is in force from the instance's
next start, or, of a device, plugs it out and in. `lxmgr query /1.0/metadata/configuration` gives the same as JSON.
`volatile.*` is the server's own.
"""


def page_of(configs):
    lines = [HEAD]
    for entity in sorted(configs, key=lambda name: (name.startswith("device-"), name != "instance", name)):
        lines += [f"## {entity}", "", "| key | type | default | live | |", "|---|---|---|---|---|"]
        rows = [row for group in configs[entity].values() for row in group["keys"]]
        for row in sorted(rows, key=lambda row: next(iter(row))):
            (name, key), = row.items()
            doc = key["shortdesc"].replace("|", "\\|")
            lines.append(f"| `{name}` | {key['type']} | {key.get('default', '')} | {key['liveupdate']} | {doc} |")
        lines.append("")
    return "\n".join(lines)


class ReferenceTest(DaemonCase):
    needs_images = ()

    def test_page_is_current(self):
        page = page_of(self.api.get("/1.0/metadata/configuration")["configs"])
        if os.environ.get("LXMGR_WRITE"):
            PAGE.write_text(page, encoding="utf-8")
        self.assertEqual(PAGE.read_text(encoding="utf-8"), page, "run: LXMGR_WRITE=1 tests/integration/test_reference.py")

    def test_each_key_is_of_a_kind(self):
        configs = self.api.get("/1.0/metadata/configuration")["configs"]
        for entity, groups in configs.items():
            for group in groups.values():
                for row in group["keys"]:
                    (name, key), = row.items()
                    self.assertTrue(entity and name and key["type"] and key["shortdesc"], (entity, name))
        boot = {name: key for row in configs["instance"]["boot"]["keys"] for name, key in row.items()}
        self.assertEqual(boot["boot.autostart"]["type"], "bool")


if __name__ == "__main__":
    main()
