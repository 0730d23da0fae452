#include "lxd-daemon/rsync/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cstdint>

namespace lxmgr::rsync {
namespace {

/// As makedev(3) where the minor number has eight bits.
constexpr std::uint32_t device(std::uint32_t major, std::uint32_t minor) { return major << 8 | minor; }
constexpr std::array kDevices{device(0, 0), device(1, 3), device(1, 5),    device(1, 7),
                              device(1, 8), device(1, 9), device(1, 11),   device(5, 0),
                              device(5, 1), device(5, 2), device(10, 229), device(10, 200)};
constexpr std::uint32_t kVirtualConsoles = 64;  // 4:0 to 4:63

constexpr sock_filter load(std::size_t offset) {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
constexpr sock_filter jump(std::uint16_t how, std::uint32_t value, std::size_t yes, std::size_t no) {
    return BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | how | BPF_K), value, static_cast<std::uint8_t>(yes),
                    static_cast<std::uint8_t>(no));
}
constexpr std::size_t argument(std::size_t number) {
    return offsetof(seccomp_data, args) + number * sizeof(std::uint64_t);  // little-endian: the low half
}

/// The check of one call, whose mode and device are these arguments: ends in an answer.
constexpr std::size_t kCheckSize = 5 + kDevices.size() + 4;
constexpr std::array<sock_filter, kCheckSize> check(std::size_t mode, std::size_t number) {
    std::array<sock_filter, kCheckSize> out{};
    std::size_t at = 0;
    const auto allow = [&] { return kCheckSize - 2 - at; };   // the last instruction, from the one at `at`
    const auto refuse = [&] { return kCheckSize - 3 - at; };  // the one before it
    out[at++] = load(argument(mode));
    out[at++] = BPF_STMT(BPF_ALU | BPF_AND | BPF_K, S_IFMT);
    out[at] = jump(BPF_JEQ, S_IFBLK, refuse(), 0);
    ++at;
    out[at] = jump(BPF_JEQ, S_IFCHR, 0, allow());
    ++at;
    out[at++] = load(argument(number));
    for (const std::uint32_t known : kDevices) {
        out[at] = jump(BPF_JEQ, known, allow(), 0);
        ++at;
    }
    out[at] = jump(BPF_JGE, device(4, kVirtualConsoles), refuse(), 0);
    ++at;
    out[at] = jump(BPF_JGE, device(4, 0), allow(), 0);
    ++at;
    out[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    out[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return out;
}

/// Ways out of the box for who has taken rsync over, and what only widens his choice. open_by_handle_at(2)
/// asks for no more than CAP_DAC_READ_SEARCH, and opens any file of the file system that the tree is on.
constexpr std::array<std::uint32_t, 19> kForbidden{SYS_open_by_handle_at,
                                                   SYS_ptrace,
                                                   SYS_process_vm_readv,
                                                   SYS_process_vm_writev,
                                                   SYS_pidfd_getfd,
                                                   SYS_io_uring_setup,
                                                   SYS_bpf,
                                                   SYS_perf_event_open,
                                                   SYS_userfaultfd,
                                                   SYS_add_key,
                                                   SYS_request_key,
                                                   SYS_keyctl,
                                                   SYS_unshare,
                                                   SYS_setns,
                                                   SYS_mount,
                                                   SYS_open_tree,
                                                   SYS_mount_setattr,
                                                   SYS_pivot_root,
                                                   SYS_socket};

}  // namespace

bool confine_calls() {
#if defined(__x86_64__)
    constexpr std::uint32_t kArch = AUDIT_ARCH_X86_64;
    constexpr std::uint32_t kOtherCalls = 0x40000000;  // x32
#elif defined(__aarch64__)
    constexpr std::uint32_t kArch = AUDIT_ARCH_AARCH64;
    constexpr std::uint32_t kOtherCalls = 0xffffffff;
#else
#error "the calls of this architecture are to be named here"
#endif
    static constexpr auto at = check(2, 3);
#ifdef SYS_mknod
    static constexpr auto plain = check(1, 2);
    constexpr std::uint32_t kPlain = SYS_mknod;
#else
    static constexpr auto plain = at;
    constexpr std::uint32_t kPlain = SYS_mknodat;
#endif
    std::array<sock_filter, 9 + 2 * (kForbidden.size() + kCheckSize)> program{};
    std::size_t size = 0;
    program[size++] = load(offsetof(seccomp_data, arch));
    program[size++] = jump(BPF_JEQ, kArch, 1, 0);
    program[size++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    program[size++] = load(offsetof(seccomp_data, nr));
    program[size++] = jump(BPF_JGE, kOtherCalls, 0, 1);
    program[size++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    for (const std::uint32_t call : kForbidden) {
        program[size++] = jump(BPF_JEQ, call, 0, 1);
        program[size++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    program[size++] = jump(BPF_JEQ, SYS_mknodat, 2, 0);
    program[size++] = jump(BPF_JEQ, kPlain, 1 + kCheckSize, 0);
    program[size++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    for (const auto& one : at) program[size++] = one;
    for (const auto& one : plain) program[size++] = one;
    const sock_fprog filter{static_cast<unsigned short>(size), program.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

}  // namespace lxmgr::rsync
