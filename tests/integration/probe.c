// Tries what root in an unprivileged instance must not be able to do. Prints a line for each that worked; exits 0.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/reboot.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void worked(const char* what, long result) {
    if (result >= 0) printf("%s\n", what);
}

static void kernel_code(void) {
    static char image[4096] = "\177ELF";
    worked("init_module", syscall(SYS_init_module, image, sizeof image, ""));
    worked("finit_module", syscall(SYS_finit_module, 0, "", 0));
    worked("delete_module", syscall(SYS_delete_module, "ext4", O_NONBLOCK));
    worked("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
    worked("kexec_file_load", syscall(SYS_kexec_file_load, 0, 0, 0, "", 0));
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.map_type = BPF_MAP_TYPE_PERCPU_HASH;
    attr.key_size = 4;
    attr.value_size = 4;
    attr.max_entries = 1;
    worked("bpf map of root's kind", syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr));
    memset(&attr, 0, sizeof attr);
    worked("bpf walk over programs", syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attr, sizeof attr));
    worked("iopl", syscall(SYS_iopl, 3));
    worked("ioperm", syscall(SYS_ioperm, 0x80, 1, 1));
}

static void host_state(void) {
    worked("read the kernel log", klogctl(3, (char[64]){0}, 64) > 0 ? 0 : -1);
    worked("clear the kernel log", klogctl(5, NULL, 0));
    worked("swapon", swapon("/dev/vda", 0));
    worked("swapoff", swapoff("/dev/vda"));
    struct timeval when = {1000000000, 0};
    worked("set the clock", settimeofday(&when, NULL));
    struct timespec spec = {1000000000, 0};
    worked("clock_settime", clock_settime(CLOCK_REALTIME, &spec));
    worked("acct", acct("/tmp"));
    worked("quotactl", syscall(SYS_quotactl, 0x800002, "/dev/vda", 0, NULL));
    worked("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, (char[128]){8}, O_RDONLY));
    struct rlimit limit = {1 << 30, 1 << 30};
    worked("raise the number of open files without bounds", setrlimit(RLIMIT_NOFILE, &limit));
    worked("real-time priority", sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){50}));
    worked("negative niceness", setpriority(PRIO_PROCESS, 0, -10));
    worked("mlock without bounds", syscall(SYS_mlockall, 0) - 1);
}

static void devices(void) {
    worked("mknod of a block device", mknod("/tmp/probe-b", S_IFBLK | 0600, makedev(254, 0)));
    worked("mknod of /dev/mem", mknod("/tmp/probe-c", S_IFCHR | 0600, makedev(1, 1)));
    worked("open the disk", open("/dev/vda", O_RDONLY));
    worked("open /dev/mem", open("/dev/mem", O_RDONLY));
    worked("open /dev/kmsg", open("/dev/kmsg", O_WRONLY));
    worked("packet socket of the host's family", socket(AF_VSOCK, SOCK_STREAM, 0) - 1000);
}

static void processes(void) {
    worked("keyring of the host's session", syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -5 /* USER_SESSION */, 0) > 0 &&
                                                    syscall(SYS_keyctl, 11 /* READ */, -5, NULL, 0) > 4
                                                ? 0
                                                : -1);
    for (pid_t pid = 2; pid < 40000; ++pid) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/status", pid);
        if (access(path, F_OK) != 0 && kill(pid, 0) == 0 && access(path, F_OK) != 0)
            printf("signal to %d, which is not in /proc\n", pid);
    }
    worked("setns to a user namespace above", syscall(SYS_setns, open("/proc/1/ns/user", O_RDONLY), CLONE_NEWUSER));
}

static void mounts(void) {
    worked("mount of the disk", mount("/dev/vda", "/mnt", "ext4", 0, NULL));
    worked("umount -f", umount2("/proc", MNT_FORCE));
    worked("remount of the root with dev", mount(NULL, "/dev/null", NULL, MS_REMOUNT | MS_BIND, NULL) - 1);
    worked("fsopen of a block filesystem", syscall(SYS_fsopen, "ext4", 0) >= 0 &&
                                                   syscall(SYS_fsconfig, syscall(SYS_fsopen, "ext4", 0), 6, NULL, NULL, 0) == 0
                                               ? 0
                                               : -1);
    worked("pivot to the host's root", chroot("/proc/1/root/../../..") == 0 && access("/work", F_OK) == 0 ? 0 : -1);
}

int main(void) {
    kernel_code();
    host_state();
    devices();
    processes();
    mounts();
    return 0;
}
