"""Base of the kill -9 sweeps of custom volumes: their pools, and what each audit looks at."""
import os

from .sweep import PlainPool, SweepCases

POOL = "/1.0/storage-pools/default/volumes/custom"


class VolumeSweep(PlainPool, SweepCases):
    test_moments = None  # every step is a transaction, and those are points

    def volumes(self):
        return {(v["name"].split("/")[0], pool) for pool in ("default", "plain")
                for v in self.api.get(f"/1.0/storage-pools/{pool}/volumes/custom?recursion=1")}

    def rows(self):
        return sum(len(self.api.get(f"/1.0/storage-pools/{pool}/volumes/custom")) for pool in ("default", "plain"))

    def directories(self):
        return sum(len(os.listdir(f"{self.daemon.root}/storage-pools/{pool}/custom")) for pool in ("default", "plain"))

    def put_disk(self, name):
        disk = {"data": {"type": "disk", "pool": "default", "source": name, "path": "/srv"}} if name else {"data": None}
        self.api.update("bystander", devices=disk)

    def read(self, name, pool="default"):
        """Its content, seen by an instance that has it for the moment."""
        disk = {"type": "disk", "pool": pool, "source": name, "path": "/probe"}
        self.api.update("bystander", devices={"probe": disk})
        text = self.api.sh("bystander", "cat /probe/mark")
        self.api.update("bystander", devices={"probe": None})
        return text

    def write(self, text):
        self.put_disk("v")
        self.api.sh("bystander", f"echo {text} > /srv/mark")

    def cleanup(self):
        self.api.update("bystander", devices={"data": None, "probe": None})
        super().cleanup()
        for name, pool in self.volumes():
            self.api.do("DELETE", f"/1.0/storage-pools/{pool}/volumes/custom/{name}")

    def prepare(self):
        self.api.do("POST", POOL, {"name": "v", "config": {}})
        self.write("then")

    def audit(self, point):
        """Every directory has a row, and every row one."""
        self.assertEqual(self.directories(), self.rows())
