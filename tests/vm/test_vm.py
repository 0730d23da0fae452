#!/usr/bin/env python3
"""The distro tests in a stock Debian machine: its own kernel, systemd as PID 1, pure cgroup v2, AppArmor on.

Runs with ./test --vm, on machines that have ../shared/vmhost/vmhost and qemu; the machine is emulated, so it takes
about a quarter of an hour. The binaries and images are the ones built here, carried in read-only."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "integration"))

from harness import images  # noqa: E402
from harness.case import main  # noqa: E402
from harness.daemon import REPOSITORY, binaries  # noqa: E402
from harness.package import pack, with_version  # noqa: E402

VMHOST = pathlib.Path(os.environ.get("VMHOST", REPOSITORY.parent / "shared/vmhost/vmhost"))
PROGRAMS = ["python3", "lxd-client", "busybox-static", "dnsmasq-base", "nftables", "iproute2", "dpkg", "apparmor"]
# Of test_limits.py what the kernel enforces or keeps; the rest takes as long and shows no more of cgroup2.
LIMITS = ("memory", "soft_memory", "swap", "processes", "processes_change_live", "cpu_pinning", "cpu_count", "cpu_nodes",
          "cpu_priority", "cpu_allowance", "disk_priority", "disk_rates", "rates_of_a_block_device", "hugepages",
          "cpus_are_rebalanced", "root_inside_cannot_lift_them")
SCRIPT = f"""set -e
cp -r /lxmgr/bin /root/bin
export LXMGR_TEST_BIN=/root/bin LXMGR_TEST_IMAGES=/lxmgr/images LXMGR_TEST_CACHE=/root/cache LXMGR_TEST_PATIENCE=10
stat -f -c 'cgroups: %T' /sys/fs/cgroup; uname -r
python3 -B /lxmgr/tests/integration/test_limits.py {' '.join(f'LimitsTest.test_{name}' for name in LIMITS)}
python3 -B /lxmgr/tests/integration/test_vlans.py
python3 -B /lxmgr/tests/integration/test_ipvlan.py
# Those for a host without it are skipped.
python3 -B /lxmgr/tests/integration/test_apparmor.py || test $? = 77
python3 -B /lxmgr/tests/integration/test_raw_lxc.py
python3 -B /lxmgr/tests/integration/test_hot_devices.py HotDevicesTest.test_privileged
python3 -B /lxmgr/tests/integration/test_distros.py
# At last: the module of GRE puts links of its own into all namespaces from then on.
exec python3 -B /lxmgr/tests/integration/test_tunnels.py TunnelTest.test_gre
"""
STORAGE_SCRIPT = """
cp -r /lxmgr/bin /root/bin
export LXMGR_TEST_BIN=/root/bin LXMGR_TEST_CACHE=/root/cache LXMGR_TEST_PATIENCE=10 TMPDIR=/root
cd /lxmgr
half() {
    /lxmgr/conformance/conformance_storage --gtest_filter="$1" && shift && python3 -B /lxmgr/tests/vm/lvm_pools.py "$@"
}
# Side by side: LVM's programs take most of the time, one after the other, and there are two processors.
half '*CrashTest*lvm*:*AFullPool*lvm*:*prjquota*' LvmRecoverTest QuotaTest GrowthSweep > /root/half.log 2>&1 &
half '*lvm*-*CrashTest*:*AFullPool*:*prjquota*' LvmTest || failed=1
wait $! || failed=1
cat /root/half.log
exit ${failed:-0}
"""
PACKAGE_SCRIPT = "LXMGR_TEST_CACHE=/root/cache exec python3 -B /lxmgr/tests/vm/package.py"


def library_packages():
    """Debian packages of the shared libraries that our programs are linked against."""
    linked = "".join(subprocess.run(["ldd", binaries() / program], capture_output=True, text=True, check=True).stdout
                     for program in ("lxmgrd", "lxmgr"))
    paths = {os.path.realpath(path) for path in re.findall(r"=> (/\S+)", linked)}
    owners = subprocess.run(["dpkg", "-S", *paths, *("/lib" + p.removeprefix("/usr/lib") for p in paths)],
                            capture_output=True, text=True, check=False).stdout
    return sorted({line.split(":")[0] for line in owners.splitlines()})


class VmTest(unittest.TestCase):
    def setUp(self):
        if os.environ.get("LXMGR_TEST_VM") != "1":
            self.skipTest("the virtual machine is started with ./test --vm only")
        if not VMHOST.exists() or not shutil.which("qemu-system-x86_64"):
            self.skipTest(f"needs {VMHOST} and qemu")

    def run_in_machine(self, script, shares, *options):
        """Runs the script with these directories of ours at /lxmgr/NAME."""
        environment = {**os.environ, "VMHOST_PACKAGES": " ".join(PROGRAMS + library_packages())}
        command = [VMHOST, "run", "--cpus", "2", *options]
        for name, folder in shares.items():
            command += ["--share", f"{folder}:/lxmgr/{name}"]
        self.assertEqual(subprocess.run([*command, "--", script], env=environment, check=False).returncode, 0)

    def test_distros_in_a_pure_v2_machine(self):
        shares = {"bin": binaries(), "tests": REPOSITORY / "tests", "images": images.distro_files("bookworm")[0].parent}
        self.run_in_machine(SCRIPT, shares, "--mem", "6G", "--timeout", "2400")

    def test_storage_of_device_mapper_and_quotas(self):
        conformance = binaries().parent / "tests/conformance"
        if not (conformance / "conformance_storage").exists():
            self.skipTest("conformance_storage was not built with the preset failpoints")
        shares = {"bin": binaries(), "conformance": conformance, "tests": REPOSITORY / "tests", "docs": REPOSITORY / "docs"}
        self.run_in_machine(STORAGE_SCRIPT, shares, "--mem", "6G", "--timeout", "2400")

    def test_life_of_the_package(self):
        with tempfile.TemporaryDirectory(prefix="lxmgr-test-", dir="/var/tmp") as folder:
            packages = os.path.join(folder, "both")
            os.mkdir(packages)
            first = shutil.copy(pack(os.path.join(folder, "pack")), packages)
            with_version(first, "0.1.1")
            self.run_in_machine(PACKAGE_SCRIPT, {"packages": packages, "tests": REPOSITORY / "tests"}, "--mem", "2G",
                                "--timeout", "900")


if __name__ == "__main__":
    main()
