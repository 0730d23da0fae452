"""The table: a row for each promise, with medians, ratios to the peers and whether the target is met."""
import statistics

# metric, what it is, unit, most allowed (or least, when negative), [(peer, factor)]: at least this many times better
TARGETS = [
    ("launch_to_pid1", "launch: create + start until PID 1 runs", "ms", 25, [("LXD btrfs", 20), ("LXD dir", 40)]),
    ("launch", "launch: until the API has answered both", "ms", None, []),
    ("create", "create", "ms", None, []),
    ("start", "start alone", "ms", 15, []),
    ("boot", "boot: PID 1's start to `running`", "ms", None, [("nspawn", 1)]),
    ("stop_force", "stop by force", "ms", 80, []),
    ("stop_graceful", "stop, graceful", "ms", 200, []),
    ("delete", "delete", "ms", 8, []),
    ("exec_true", "exec `true`", "ms", 3, []),
    ("get_1_rps", "GET /1.0, 1 connection", "req/s", None, [("LXD btrfs", 5)]),
    ("get_16_rps", "GET /1.0, 16 connections", "req/s", None, [("LXD btrfs", 5)]),
    ("list1_ms", "100 instances, recursion=1", "ms", None, [("LXD btrfs", 8)]),
    ("list2_ms", "100 instances, recursion=2", "ms", None, [("LXD btrfs", 15)]),
    ("ready_0", "daemon ready", "ms", 50, []),
    ("ready_100", "daemon ready, 100 instances known", "ms", 100, []),
    ("idle_mib", "daemon idle, PSS", "MiB", 15, []),
    ("own_kib", "own processes for each running instance, PSS", "KiB", 600, []),
    ("many_running", "100 launched: `running`", "", -100, []),
    ("many_leases", "100 launched: with a lease", "", -100, []),
    ("many_daemon_mib", "100 running: daemon, PSS", "MiB", 30, []),
    ("many_own_kib", "100 running: own processes each, PSS", "KiB", 600, []),
    ("many_launch_s", "100 launched, API", "s", None, []),
    ("many_boot_s", "100 launched, all booted", "s", None, []),
    ("snapshot", "snapshot, Debian", "ms", None, [("LXD dir", 20)]),
    ("snapshot_tiny", "snapshot, an image of 2 MB", "ms", None, []),
    ("restore", "restore, Debian", "ms", None, [("LXD dir", 20)]),
    ("restore_tiny", "restore, an image of 2 MB", "ms", None, []),
    ("copy", "copy, Debian", "ms", None, [("LXD dir", 20)]),
    ("copy_tiny", "copy, an image of 2 MB", "ms", None, []),
    ("execs_rps", "100 execs at once", "exec/s", None, [("LXD btrfs", 5)]),
    ("cp_rps", "1 GB file, `cp` alone", "MB/s", None, []),
    ("push_rps", "1 GB file, push", "MB/s", None, [("cp", 0.8)]),
    ("pull_rps", "1 GB file, pull", "MB/s", None, [("cp", 0.8)]),
    ("proxy_rps", "proxy device, one connection", "MB/s", None, [("LXD btrfs", 1)]),
    ("proxy_cpu", "proxy device, CPU of own processes", "s/GB", None, [("LXD btrfs", 1)]),
    ("config_2", "config change, 2 instances", "ms", None, []),
    ("config_200", "config change, 200 instances", "ms", None, [("itself with 2", 0.8)]),
]
# The yardsticks that are no daemon: label -> metric of the first peer.
YARDSTICKS = {"nspawn": "boot_nspawn", "cp": "cp_rps", "itself with 2": "config_2"}


def median(peer, metric):
    values = peer.samples.get(metric)
    return statistics.median(values) if values else None


def number(value):
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def theirs(peers, label, metric, yardsticks):
    if label in yardsticks:
        return median(peers[0], yardsticks[label])
    peer = next((peer for peer in peers if peer.label == label), None)
    return median(peer, metric) if peer else None


def better_by(metric, ours, other):
    return ours / other if metric.endswith("_rps") else other / ours


def row(peers, yardsticks, metric, title, unit, bound, factors):
    ours = median(peers[0], metric)
    if ours is None:
        return None, True
    wanted, met, ratios = [], True, []
    if bound is not None:
        wanted.append(f"≤ {bound}" if bound >= 0 else f"= {-bound}")
        met = ours <= bound if bound >= 0 else ours >= -bound
    for peer in peers[1:]:
        other = median(peer, metric)
        ratios.append(f"{better_by(metric, ours, other):.1f}×" if other else "")
    for label, factor in factors:
        other = theirs(peers, label, metric, yardsticks)
        wanted.append(f"{factor}× {label}")
        if other:
            met = met and better_by(metric, ours, other) >= factor
    values = [number(median(peer, metric)) for peer in peers]
    nspawn = number(median(peers[0], "boot_nspawn")) if metric == "boot" else ""
    verdict = "" if not wanted else "yes" if met else "**no**"
    cells = [title, unit, *values, nspawn, *ratios, ", ".join(wanted), verdict]
    return "| " + " | ".join(cells) + " |", met


def render(peers, targets=None, yardsticks=None):
    """Markdown lines, and whether every target is met."""
    ratios = [f"ratio to {peer.label}" for peer in peers[1:]]
    heads = ["", "unit", *(peer.label for peer in peers), "nspawn", *ratios, "target", "met"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    all_met = True
    for target in targets or TARGETS:
        line, met = row(peers, yardsticks or YARDSTICKS, *target)
        if line:
            lines.append(line)
        all_met = all_met and met
    return lines, all_met
