"""Images for tests: a busybox one made here in no time, and the distro images that fixture_images.py has built."""
import io
import os
import pathlib
import tarfile
import zlib

CACHE = pathlib.Path(os.environ.get("LXMGR_TEST_CACHE") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "lxmgr-tests")

# Answers the halt signals that a runtime sends to an init which does not block SIGRTMIN+3. Its address comes last, so
# that who waits for it finds the rest done; the link-local IPv6 address, which routers are asked from, stays.
INIT = """#!/bin/sh
exec </dev/console >/dev/console 2>&1
trap 'poweroff -f' PWR
trap 'reboot -f' INT
echo "tiny init is up"
ip link set lo up
udhcpc -i eth0 -b -S -s /etc/udhcpc.script >/dev/null 2>&1 &
while :; do sleep 3600 & wait $!; done
"""
UDHCPC = """#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
: > /etc/resolv.conf
for server in $dns; do echo "nameserver $server" >> /etc/resolv.conf; done
[ -z "$domain" ] || echo "search $domain" >> /etc/resolv.conf
ip link set "$interface" up
ip -4 addr flush dev "$interface"
if [ -n "$router" ]; then
    ip route replace "$router" dev "$interface"
    ip route replace default via "$router" dev "$interface"
fi
ip addr add "$ip/$mask" dev "$interface"
"""
METADATA = """architecture: x86_64
creation_date: 1700000000
properties: {os: tiny, release: "1", description: busybox for tests, architecture: amd64}
templates:
  /etc/hostname: {when: [create, copy, rename], template: hostname.tpl}
"""
APPLETS = ("sh sleep true false cat echo ls ps kill ip udhcpc mount umount mkdir rm rmdir touch id env grep sed "
           "head tail wc dd stat chmod chown ln readlink ping nslookup hostname poweroff reboot halt test tr seq tee "
           "nproc free df du find vi stty tty seq yes printf mknod insmod sync pwd date uname sha256sum od").split()


def add(archive, name, content=b"", mode=0o644, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.linkname, info.mtime = mode, kind, link, 1700000000
    data = content.encode() if isinstance(content, str) else content
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    archive.addfile(info, io.BytesIO(data) if info.size else None)


def add_tiny_rootfs(archive):
    for folder in ("", "bin", "sbin", "etc", "proc", "sys", "dev", "run", "root", "var", "var/log", "usr", "home", "mnt"):
        add(archive, f"rootfs/{folder}".rstrip("/"), mode=0o755, kind=tarfile.DIRTYPE)
    add(archive, "rootfs/tmp", mode=0o1777, kind=tarfile.DIRTYPE)
    add(archive, "rootfs/bin/busybox", pathlib.Path("/usr/bin/busybox").read_bytes(), 0o755)
    for applet in sorted(set(APPLETS)):
        add(archive, f"rootfs/bin/{applet}", kind=tarfile.SYMTYPE, link="busybox", mode=0o777)
    add(archive, "rootfs/sbin/init", INIT, 0o755)
    add(archive, "rootfs/etc/udhcpc.script", UDHCPC, 0o755)
    add(archive, "rootfs/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n")
    add(archive, "rootfs/etc/group", "root:x:0:\nuser:x:1000:\n")
    add(archive, "rootfs/etc/hosts", "127.0.0.1 localhost\n")
    add(archive, "rootfs/etc/resolv.conf", "")


def tiny():
    """Path of a unified busybox image: boots in milliseconds, takes an address by DHCP."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"tiny-{zlib.crc32(''.join((INIT, UDHCPC, METADATA, *APPLETS)).encode())}.tar.gz"
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}")
        with tarfile.open(new, "w:gz", compresslevel=3) as archive:
            add(archive, "metadata.yaml", METADATA)
            add(archive, "templates", mode=0o755, kind=tarfile.DIRTYPE)
            add(archive, "templates/hostname.tpl", "{{ container.name }}\n")
            add_tiny_rootfs(archive)
        new.rename(path)
    return str(path)


def distro_files(suite):
    """Where the metadata and the rootfs of a Debian suite are kept."""
    folder = pathlib.Path(os.environ.get("LXMGR_TEST_IMAGES", CACHE / "images"))
    return folder / f"{suite}-meta.tar.xz", folder / f"{suite}.squashfs"


def distro(suite):
    """(metadata, rootfs) of a Debian suite: "bookworm", "trixie" or "sid"."""
    files = distro_files(suite)
    if not all(file.exists() for file in files):
        raise FileNotFoundError(f"there is no image of {suite} at {files[1]}: run tests/integration/fixture_images.py")
    return tuple(str(file) for file in files)
