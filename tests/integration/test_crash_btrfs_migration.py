"""kill -9 of one of two servers at every named point of copies between them by btrfs' streams; see harness/sweep.py."""
import os

import test_crash_migration
from harness.case import main
from test_btrfs_migration import BtrfsDaemon


class BtrfsSweep:
    """kill -9 at every named point of copies by streams."""
    driver = "btrfs"
    peer_kind = BtrfsDaemon

    @staticmethod
    def on_disk(daemon):
        pool = f"/proc/{daemon.sandbox.pid}/root{daemon.root}/storage-pools/default"
        return {kind: len(os.listdir(os.path.join(pool, kind))) for kind in ("containers", "snapshots", "custom")}


class TargetSweep(BtrfsSweep, test_crash_migration.TargetSweep):
    pass


class RefreshSweep(BtrfsSweep, test_crash_migration.RefreshSweep):
    pass


class SourceSweep(BtrfsSweep, test_crash_migration.SourceSweep):
    pass


class VolumeSweep(BtrfsSweep, test_crash_migration.VolumeSweep):
    pass


if __name__ == "__main__":
    main()
