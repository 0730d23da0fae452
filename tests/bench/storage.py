"""Images, backups, and many of everything: against LXD on a plain file system and on btrfs, with the tools alone as the floor."""
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import measure
import table
from harness import images
from harness.rest import pieces
from harness.sandbox import read

SNAPSHOTS, INSTANCES, STEP = 1000, 500, 100
GZIPPED = {"compression_algorithm": "gzip"}
LXD_DIR, LXD_BTRFS = "LXD dir", "LXD btrfs"

# As in table.py; a yardstick is a metric of the first peer.
AGAINST_BOTH = [
    ("import_squashfs", "image import, split, squashfs of 77 MB", "ms", None, [(LXD_DIR, 3)]),
    ("import_tar", "image import, unified, tar of 250 MB", "ms", None, [(LXD_DIR, 3)]),
    ("unpack_squashfs", "unpack: the first instance of the squashfs", "ms", None, [("unsquashfs", 1)]),
    ("unpack_tar", "unpack: the first instance of the tar", "ms", None, [("bsdtar", 1)]),
    ("floor_squashfs", "`unsquashfs` alone, and syncfs", "ms", None, []),
    ("floor_tar", "`bsdtar -x` alone, and syncfs", "ms", None, []),
    ("publish", "publish, gzip", "ms", None, [(LXD_DIR, 2), (LXD_BTRFS, 2)]),
    ("export", "backup made and downloaded, gzip", "ms", None, [(LXD_DIR, 2), (LXD_BTRFS, 2)]),
    ("import", "instance from that backup", "ms", None, [(LXD_DIR, 2), (LXD_BTRFS, 2)]),
    ("memory_most", "most memory of the daemon in all that, more than idle", "MiB", 96, []),
    ("extra_most", "most room on disk for import, unpack or publish, besides what stays", "MiB", 16, []),
]
FLAT = [
    ("snapshot_first", f"snapshot, of the first {STEP}", "ms", None, []),
    ("snapshot_last", f"snapshot, the last {STEP} of {SNAPSHOTS}", "ms", None, [("snapshot_first", 0.67)]),
    ("snapshot_list_first", f"list of {STEP} snapshots, each", "µs", None, []),
    ("snapshot_list_last", f"list of {SNAPSHOTS} snapshots, each", "µs", None, [("snapshot_list_first", 0.67)]),
    ("snapshot_delete_first", f"delete, the first {STEP} of {SNAPSHOTS}", "ms", None, []),
    ("snapshot_delete_last", f"delete, the last {STEP}", "ms", None, [("snapshot_delete_first", 0.67)]),
    ("snapshot_kib", "disk for each snapshot", "KiB", 64, []),
    ("instance_first", f"create, of the first {STEP}", "ms", None, []),
    ("instance_last", f"create, the last {STEP} of {INSTANCES}", "ms", None, [("instance_first", 0.67)]),
    ("instance_list_first", f"list of {STEP} instances, each", "µs", None, []),
    ("instance_list_last", f"list of {INSTANCES} instances, each", "µs", None, [("instance_list_first", 0.67)]),
    ("instance_delete_first", f"delete, the first {STEP} of {INSTANCES}", "ms", None, []),
    ("instance_delete_last", f"delete, the last {STEP}", "ms", None, [("instance_delete_first", 0.67)]),
    ("instance_kib", "disk for each instance", "KiB", 64, []),
]
ON_BTRFS = [(metric, title, "ms", None, [(LXD_BTRFS, 1)]) for metric, title in (
    ("create", "create"), ("snapshot", "snapshot"), ("restore", "restore"), ("copy", "copy"), ("delete", "delete"),
    ("unpack_squashfs", "unpack: the first instance of the squashfs"), ("publish", "publish, gzip"),
    ("export", "backup made and downloaded, gzip"), ("import", "instance from that backup"),
    ("export_fast", "backup with optimized_storage, not compressed"), ("import_fast", "instance from that backup"))]
YARDSTICKS = {"unsquashfs": "floor_squashfs", "bsdtar": "floor_tar",
              **{row[4][0][0]: row[4][0][0] for row in FLAT if row[4]}}


class Watch:
    """The most memory of a daemon and the most room on the disk while something is done, in MiB over before and after."""

    def __init__(self, peer, disk=True):
        self.peer, self.disk, self.over = peer, disk, threading.Event()
        self.lowest = self.before = self.free()
        pathlib.Path(f"/proc/{peer.daemon.pid}/clear_refs").write_text("5", encoding="ascii")
        self.idle = self.resident("VmRSS")

    def free(self):
        space = os.statvfs(self.peer.daemon.root)
        return space.f_bfree * space.f_frsize

    def resident(self, field):
        lines = read(f"/proc/{self.peer.daemon.pid}/status").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field))

    def look(self):
        while not self.over.wait(0.005):
            self.lowest = min(self.lowest, self.free())

    def __enter__(self):
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.peer.add("memory", (self.resident("VmHWM") - self.idle) / 1024)
        if self.disk:
            self.peer.add("extra", max(0, min(self.before, self.free()) - self.lowest) / (1 << 20))


class Storage:
    def __init__(self, peers):
        self.peers = peers
        self.folder = tempfile.mkdtemp(prefix="lxmgr-bench-", dir="/var/tmp")
        # As our pools: the tools' own speed, not that of ext4 where much was just deleted (storage/block_groups.h).
        subprocess.run(["chattr", "+T", self.folder], check=False, stderr=subprocess.DEVNULL)
        given, self.squashfs = images.distro(measure.IMAGE)
        self.meta, self.tar = (os.path.join(self.folder, name) for name in ("meta.tar", "unified.tar"))
        tree = os.path.join(self.folder, "tree")
        os.mkdir(tree)
        subprocess.run(["tar", "-xf", given, "-C", tree], check=True)
        with open(f"{tree}/metadata.yaml", "a", encoding="ascii") as file:
            file.write("# another fingerprint than that of the image that is there\n")
        subprocess.run(["tar", "-cf", self.meta, "-C", tree, *os.listdir(tree)], check=True)
        subprocess.run(["unsquashfs", "-q", "-n", "-d", f"{tree}/rootfs", self.squashfs], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["tar", "-cf", self.tar, "--numeric-owner", "--xattrs", "-C", tree, *sorted(os.listdir(tree))],
                       check=True)
        shutil.rmtree(tree)

    def close(self):
        shutil.rmtree(self.folder)

    # ---- the floor
    def floor(self):
        for metric, argv in (("floor_squashfs", ["unsquashfs", "-q", "-n", "-f", "-d", "", self.squashfs]),
                             ("floor_tar", ["bsdtar", "-xpf", self.tar, "-C", ""])):
            target = tempfile.mkdtemp(dir=self.folder)  # its name decides where ext4 puts it
            os.sync()
            self.peers[0].timed(metric, alone, [word or target for word in argv], target)
            shutil.rmtree(target)

    # ---- one of each
    def sample(self, peer):
        if peer.pool == "default":  # the image's own way into the store is the same for all pools
            self.image(peer, "tar", self.tar)
        self.image(peer, "squashfs", (self.meta, self.squashfs))
        name = peer.name()
        peer.create(name, "again")
        self.publish(peer, name)
        self.backup(peer, name, "", GZIPPED)
        if "bt" in peer.pool:
            self.backup(peer, name, "_fast", {"compression_algorithm": "none", "optimized_storage": True})
        peer.api.delete(name)
        self.drop_image(peer)

    def image(self, peer, kind, files):
        self.drop_image(peer)
        os.sync()
        with Watch(peer):
            peer.timed(f"import_{kind}", peer.daemon.import_image, files, "again")
        os.sync()
        name = peer.name()
        with Watch(peer):
            peer.timed(f"unpack_{kind}", peer.create, name, "again")
        peer.api.delete(name)

    @staticmethod
    def drop_image(peer):
        for alias in peer.api.get("/1.0/images/aliases?recursion=1"):
            if alias["name"] == "again":
                peer.api.do("DELETE", f"/1.0/images/{alias['target']}")
                time.sleep(2)  # ours is removed in the background

    @staticmethod
    def publish(peer, name):
        os.sync()
        body = {"source": {"type": "instance", "name": name}, **GZIPPED}
        with Watch(peer), measure.Timer() as timer:
            made = peer.api.do("POST", "/1.0/images", body, timeout=300)["metadata"]["fingerprint"]
        peer.add("publish", timer.ms)
        peer.api.do("DELETE", f"/1.0/images/{made}")

    def backup(self, peer, name, suffix, options):
        os.sync()
        file, url = os.path.join(self.folder, "backup"), f"/1.0/instances/{name}/backups"
        with Watch(peer, disk=False), measure.Timer() as timer:
            try:
                peer.api.do("POST", url, {"name": "b", **options}, timeout=300)
            except measure.ApiError as error:
                print(f"# {peer.label}: {error}")
                return
            download(peer.daemon.socket_path, f"{url}/b/export", file)
        peer.add("export" + suffix, timer.ms)
        peer.api.do("DELETE", f"{url}/b")
        copy = peer.name()
        os.sync()
        headers = {"Content-Type": "application/octet-stream", "X-LXD-name": copy, "X-LXD-pool": peer.pool}
        with open(file, "rb", buffering=0) as body, Watch(peer, disk=False):
            peer.timed("import" + suffix, peer.api.do, "POST", "/1.0/instances", pieces(body), headers, 300)
        peer.api.delete(copy)


def snapshots(peer):
    name = peer.name()
    peer.create(name)
    url, before = f"/1.0/instances/{name}/snapshots", used(peer)
    many(peer, "snapshot", SNAPSHOTS, url + "?recursion=1",
         lambda number: peer.api.do("POST", url, {"name": f"s{number}"}),
         lambda number: peer.api.do("DELETE", f"{url}/s{number}"), before)
    peer.api.delete(name)


def instances(peer):
    stem = peer.name()
    many(peer, "instance", INSTANCES, "/1.0/instances?recursion=1",
         lambda number: peer.create(f"{stem}-{number}"), lambda number: peer.api.delete(f"{stem}-{number}"), used(peer))


def many(peer, what, count, listing, make, remove, before):
    def each(action):
        times = []
        for number in range(count):
            with measure.Timer() as timer:
                action(number)
            times.append(timer.ms)
            if action is make and number + 1 in (STEP, count):
                lists.append(list_each(peer, listing, number + 1))
        return statistics.median(times[:STEP]), statistics.median(times[-STEP:])

    lists = []
    ends = {"": each(make), "_list": lists}
    peer.add(f"{what}_kib", (used(peer) - before) / count / 1024)
    ends["_delete"] = each(remove)
    for metric, (first, last) in ends.items():
        peer.add(f"{what}{metric}_first", first)
        peer.add(f"{what}{metric}_last", last)


def alone(argv, target):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["sync", "-f", target], check=True)


def list_each(peer, url, count):
    times = []
    for _ in range(7):
        with measure.Timer() as timer:
            found = peer.api.get(url)
        times.append(timer.ms)
    if len(found) < count:
        raise AssertionError(f"{peer.label}: {len(found)} listed of {count}")
    return statistics.median(times) * 1e3 / count


def used(peer):
    """Bytes: of a pool with a file system of its own what that says, else what its files take."""
    os.sync()
    if "bt" in peer.pool:
        peer.daemon.sandbox.run("btrfs", "subvolume", "sync", f"{peer.daemon.root}/storage-pools/{peer.pool}")
        return peer.api.get(f"/1.0/storage-pools/{peer.pool}/resources")["space"]["used"]
    out = subprocess.run(["du", "-skx", f"{peer.daemon.root}/storage-pools/{peer.pool}"], capture_output=True, text=True,
                         check=True).stdout
    return int(out.split()[0]) * 1024


def download(socket_path, target, path):
    connection = measure.UnixConnection(socket_path, 300)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        if answer.status != 200:
            raise AssertionError(f"GET {target}: {answer.status}")
        buffer = bytearray(1 << 18)
        with open(path, "wb", buffering=0) as file:
            while got := answer.readinto(buffer):
                file.write(memoryview(buffer)[:got])
    finally:
        connection.close()


def with_btrfs(peers, daemons):
    """Adds a pool of driver btrfs to ours."""
    ours = next(daemon for daemon in daemons if daemon.kind == "lxmgr")
    ours.api.do("POST", "/1.0/storage-pools", {"name": "bt", "driver": "btrfs", "config": {"size": "15GiB"}})
    return peers[0], measure.Peer("lxmgr btrfs", ours, "bt")


def run(peers, daemons, count, snapshots_and_copies):
    """The lines of two tables, and whether every target is met."""
    plain, btrfs = with_btrfs(peers, daemons)
    others = peers[1:]
    load = Storage(peers)
    try:
        for number in range(count):
            load.floor()
            for peer in (plain, btrfs, *others):
                load.sample(peer)
            print(f"# storage {number + 1} of {count} done, load {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        load.close()
    on_btrfs = [btrfs, *(peer for peer in others if peer.label == LXD_BTRFS)]
    for _ in range(count * 3):
        for peer in on_btrfs:
            lifeless(peer)
    snapshots_and_copies(on_btrfs)
    for metric in ("memory", "extra"):
        plain.samples[metric + "_most"] = [max(plain.samples[metric])]
    return tables(([plain, *others], AGAINST_BOTH), (on_btrfs, ON_BTRFS))


def run_many(peers, daemons):
    """The same of many snapshots and instances, on either pool of ours."""
    ours = with_btrfs(peers, daemons)
    for peer in ours:
        snapshots(peer)
        instances(peer)
        print(f"# many of {peer.label} done, load {os.getloadavg()[0]:.1f}", flush=True)
    return tables(*(([peer], FLAT) for peer in ours))


def tables(*parts):
    lines, met = [], True
    for peers, targets in parts:
        more, good = table.render(peers, targets, YARDSTICKS)
        lines += [*more, ""]
        met = met and good
    return lines, met


def lifeless(peer):
    name = peer.name()
    peer.timed("create", peer.create, name)
    peer.timed("delete", peer.api.delete, name)
