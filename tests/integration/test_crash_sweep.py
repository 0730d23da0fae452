"""kill -9 of the daemon at every named point of every operation; after a restart nothing is lost, half-made or left over.

The points are listed by doing the operation once with LXMGR_FAILPOINT_LOG; then the daemon is killed at each of them in
turn. Needs binaries built with LXMGR_FAILPOINTS (preset failpoints)."""
import os
import tarfile

from harness import images
from harness.case import DaemonCase, main
from harness.rest import ApiError
from harness.sweep import CONFIG, SweepCases


class CreateSweep(SweepCases, DaemonCase):
    def operate(self):
        self.create()

    def audit(self, point):
        if "subject" not in self.names():
            self.create()
        self.assert_whole("subject")


class StartSweep(SweepCases, DaemonCase):
    prepare = SweepCases.create

    def operate(self):
        self.api.start("subject")

    def audit(self, point):
        self.assertEqual(self.names(), {"subject"})
        self.assertIn(self.api.instance("subject")["status"], ("Running", "Stopped"))
        self.assert_whole("subject")


class StopSweep(SweepCases, DaemonCase):
    def prepare(self):
        self.create()
        self.api.start("subject")

    def operate(self):
        self.api.stop("subject")

    def audit(self, point):
        self.assertEqual(self.names(), {"subject"})
        if point == "instances.exit.told" and type(self) is StopSweep:
            self.assertEqual(self.api.instance("subject")["status"], "Stopped", "its end was forgotten")
        if self.api.instance("subject")["status"] == "Running":
            try:
                self.assertEqual(self.api.exec("subject", ["true"])[0], 0)
                self.api.stop("subject")
            except ApiError:  # the kill was sent: it was dying when the daemon found it
                self.api.wait_status("subject", "Stopped")
        self.assert_whole("subject")


class RestartSweep(StopSweep):
    def operate(self):
        self.api.set_state("subject", "restart", force=True)


class DeleteSweep(SweepCases, DaemonCase):
    prepare = SweepCases.create

    def operate(self):
        self.api.delete("subject")

    def audit(self, point):
        if "subject" in self.names():
            self.assert_whole("subject")
            self.api.delete("subject")
        self.create()
        self.assert_whole("subject")


class RenameSweep(SweepCases, DaemonCase):
    prepare = SweepCases.create

    def operate(self):
        self.api.do("POST", "/1.0/instances/subject", {"name": "renamed", "migration": False})

    def audit(self, point):
        self.assertIn(self.names(), ({"subject"}, {"renamed"}))
        if "subject" in self.names():
            self.operate()
        self.assert_whole("renamed")


class UpdateSweep(SweepCases, DaemonCase):
    def prepare(self):
        self.create()
        self.api.start("subject")

    def operate(self):
        self.api.update("subject", config={"limits.memory": "150MiB", "user.new": "1"})

    def audit(self, point):
        config = self.api.instance("subject")["config"]
        self.assertIn((config["limits.memory"], config.get("user.new")), (("200MiB", None), ("150MiB", "1")))
        self.operate()
        self.assertEqual(self.api.instance("subject")["config"]["limits.memory"], "150MiB")
        self.assertEqual(self.api.exec("subject", ["true"])[0], 0)


class ExecSweep(SweepCases, DaemonCase):
    def prepare(self):
        self.create()
        self.api.start("subject")

    def operate(self):
        self.api.exec("subject", ["sh", "-c", "echo x; exit 3"])

    def audit(self, point):
        self.assertEqual(self.api.exec("subject", ["sh", "-c", "exit 3"])[0], 3)
        self.api.stop("subject")
        self.assert_whole("subject")


class ImportSweep(SweepCases, DaemonCase):
    """The image is another one than the bystander's: the same with a byte more at its end."""

    def prepare(self):
        self.path = os.path.join(self.daemon.base, "other.tar.gz")
        if not os.path.exists(self.path):
            with tarfile.open(self.path, "w:gz", compresslevel=1) as archive:
                images.add(archive, "metadata.yaml", images.METADATA.replace("tiny", "other"))
                images.add(archive, "templates", mode=0o755, kind=tarfile.DIRTYPE)
                images.add(archive, "templates/hostname.tpl", "{{ container.name }}\n")
                images.add_tiny_rootfs(archive)

    def operate(self):
        self.daemon.import_image(self.path, "other")
        self.api.create("subject", "other", config=CONFIG)

    def audit(self, point):
        aliases = [alias.rsplit("/", 1)[1] for alias in self.api.get("/1.0/images/aliases")]
        fingerprints = [image for image in self.api.get("/1.0/images?recursion=1") if image["properties"]["os"] == "other"]
        if not fingerprints:
            self.assertNotIn("other", aliases)
            self.daemon.import_image(self.path, "other")
        elif "other" not in aliases:
            self.api.call("POST", "/1.0/images/aliases", {"name": "other", "target": fingerprints[0]["fingerprint"]})
        if "subject" not in self.names():
            self.api.create("subject", "other", config=CONFIG)
        self.assert_whole("subject")

    def cleanup(self):
        super().cleanup()
        for image in self.api.get("/1.0/images?recursion=1"):
            if image["properties"]["os"] == "other":
                self.api.do("DELETE", f"/1.0/images/{image['fingerprint']}")


class ImageDeleteSweep(ImportSweep):
    def prepare(self):
        super().prepare()
        self.fingerprint = self.daemon.import_image(self.path, "other")
        self.api.create("subject", "other", config=CONFIG)

    def operate(self):
        self.api.do("DELETE", f"/1.0/images/{self.fingerprint}")

    def audit(self, point):
        self.assert_whole("subject")  # it stands on the image, deleted or not
        super().audit(point)


class NetworkSweep(SweepCases, DaemonCase):
    def operate(self):
        self.api.call("POST", "/1.0/networks", {"name": "second0", "type": "bridge", "config": {
            "ipv4.address": "10.89.0.1/24", "ipv6.address": "none"}})
        self.api.call("DELETE", "/1.0/networks/second0")

    def audit(self, point):
        if "/1.0/networks/second0" in self.api.get("/1.0/networks"):
            self.assertTrue(self.api.get("/1.0/networks/second0")["managed"])
            self.api.call("DELETE", "/1.0/networks/second0")
        self.operate()

    def cleanup(self):
        if "/1.0/networks/second0" in self.api.get("/1.0/networks"):
            self.api.call("DELETE", "/1.0/networks/second0")


if __name__ == "__main__":
    main()
