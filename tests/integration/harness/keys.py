"""Base of the tests of security.* and id maps."""
import json

from .case import DaemonCase


class KeysCase(DaemonCase):
    def launch(self, name="box", **config):
        self.api.launch(name, "tiny", config={key.replace("__", "."): value for key, value in config.items()})

    def maps(self, name="box", kind="uid"):
        """Ranges of the running instance as the kernel knows them."""
        with open(f"/proc/{self.api.state(name)['pid']}/{kind}_map", encoding="utf-8") as file:
            return [tuple(map(int, line.split())) for line in file]

    def host_ids(self):
        """The first of the host's ids that the daemon may use."""
        self.api.create("probe", "tiny")
        return json.loads(self.api.instance("probe")["config"]["volatile.idmap.next"])[0]["Hostid"]

    def exit_code(self, script, name="box", **more):
        return self.api.exec(name, ["sh", "-c", script], **more)[0]
