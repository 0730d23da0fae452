#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <initializer_list>

#include "lxd-daemon/monitor/intercepted_job.h"

namespace lxmgr::monitor {
namespace {

constexpr std::size_t kMaxInstructions = 1024;
constexpr unsigned char kLoad64 = BPF_LD | BPF_IMM | BPF_DW;
bool is_call(unsigned char code) { return BPF_CLASS(code) == BPF_JMP && BPF_OP(code) == BPF_CALL; }

long bpf(int command, bpf_attr& attributes) {
    return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

/// What programs of this type need, and no more: without CAP_PERFMON and CAP_SYS_ADMIN the verifier lets no
/// program look at, or compute with, addresses of the kernel's.
bool hold_little() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
    for (const unsigned one : {unsigned{CAP_BPF}, unsigned{CAP_NET_ADMIN}}) {
        sets[CAP_TO_INDEX(one)].effective |= CAP_TO_MASK(one);
        sets[CAP_TO_INDEX(one)].permitted |= CAP_TO_MASK(one);
    }
    return ::syscall(SYS_capset, &header, sets) == 0;
}

/// No maps, which would be named by descriptors of this process, and no calls of kernel functions.
bool is_plain(const bpf_insn* program, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        if (is_call(program[i].code)) return false;
        if (program[i].code != kLoad64) continue;
        if (program[i].src_reg != 0) return false;
        ++i;  // its second half
    }
    return true;
}

bool read_bytes(int memory, std::uint64_t address, void* out, std::size_t size) {
    return ::pread(memory, out, size, static_cast<off_t>(address)) == static_cast<ssize_t>(size);
}

/// A worker's pid with this bit: it is about to load a program.
constexpr std::uint32_t kReserved = 1U << 31;

bool is_free(std::uint32_t holder) {
    if (holder == 0) return true;
    if ((holder & kReserved) != 0) return ::kill(static_cast<pid_t>(holder & ~kReserved), 0) != 0;
    bpf_attr attributes{};
    attributes.prog_id = holder;
    const long program = bpf(BPF_PROG_GET_FD_BY_ID, attributes);
    if (program < 0) return errno == ENOENT;
    ::close(static_cast<int>(program));
    return false;
}

/// The memory of programs is the host's, and that of their machine code is bounded for all of it: so one
/// container has this many at once. @return nullptr: it has them
std::atomic<std::uint32_t>* reserve(LoadedPrograms& loaded) {
    const auto mine = static_cast<std::uint32_t>(::getpid()) | kReserved;
    for (auto& slot : loaded.ids) {
        std::uint32_t holder = slot.load();
        if (is_free(holder) && slot.compare_exchange_strong(holder, mine)) return &slot;
    }
    return nullptr;
}

std::uint32_t id_of(int program) {
    bpf_prog_info info{};
    bpf_attr attributes{};
    attributes.info.bpf_fd = static_cast<__u32>(program);
    attributes.info.info_len = sizeof info;
    attributes.info.info = reinterpret_cast<std::uint64_t>(&info);
    return bpf(BPF_OBJ_GET_INFO_BY_FD, attributes) == 0 ? info.id : 0;
}

void load_for(Job& job, const bpf_attr& asked) {
    static bpf_insn program[kMaxInstructions];  // in a process of its own
    char license[64];
    if (asked.insn_cnt == 0 || asked.insn_cnt > kMaxInstructions) return job.answer(-E2BIG);
    if (!read_bytes(job.handles.memory, asked.insns, program, asked.insn_cnt * sizeof(bpf_insn)) ||
        !read_text(job.handles.memory, asked.license, license, sizeof license))
        return job.answer(-EFAULT);
    if (!is_plain(program, asked.insn_cnt)) return job.answer(-EPERM);
    bpf_attr attributes{};
    attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attributes.insns = reinterpret_cast<std::uint64_t>(program);
    attributes.insn_cnt = asked.insn_cnt;
    attributes.license = reinterpret_cast<std::uint64_t>(license);
    std::memcpy(attributes.prog_name, asked.prog_name, sizeof attributes.prog_name);
    auto* const slot = reserve(loaded_programs());
    if (slot == nullptr) return job.answer(-ENOSPC);
    const long loaded = hold_little() ? bpf(BPF_PROG_LOAD, attributes) : -1;
    const int error = errno;
    const std::uint32_t id = loaded < 0 ? 0 : id_of(static_cast<int>(loaded));
    slot->store(id);
    if (id == 0) return job.answer(loaded < 0 ? -error : -EPERM);
    seccomp_notif_addfd added{};
    added.id = job.call.id;
    added.flags = SECCOMP_ADDFD_FLAG_SEND;  // its number is the call's result
    added.srcfd = static_cast<__u32>(loaded);
    added.newfd_flags = O_CLOEXEC;
    if (::ioctl(job.listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added) < 0) job.answer(-errno);
}

/// Of the process that the calling thread is of.
int open_process(const Job& job) {
    char text[512];
    unsigned long long process = 0;
    const int status = open_of(job.pid(), "status", O_RDONLY);
    const ssize_t size = status < 0 ? -1 : ::read(status, text, sizeof text - 1);
    ::close(status);
    if (size <= 0) return -1;
    text[size] = 0;
    if (!number_at(line_of(text, "\nTgid:"), 0, 10, process)) return -1;
    return static_cast<int>(::syscall(SYS_pidfd_open, process, 0));
}

/// A group that the container made or was given: what it sees of the host's tree is no more than that, and
/// the owner says it again.
bool is_own_group(const Job& job, int group) {
    struct statfs system{};
    struct stat info{};
    return ::fstatfs(group, &system) == 0 && system.f_type == CGROUP2_SUPER_MAGIC &&
           ::fstat(group, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == job.caller.uid;
}

void place_for(Job& job, int command, const bpf_attr& asked) {
    constexpr unsigned kFlags = BPF_F_ALLOW_OVERRIDE | BPF_F_ALLOW_MULTI;
    if ((asked.attach_flags & ~kFlags) != 0) return job.answer(-EINVAL);
    const int process = open_process(job);
    const auto take = [process](__u32 number) {
        return static_cast<int>(::syscall(SYS_pidfd_getfd, process, static_cast<int>(number), 0));
    };
    const int group = process < 0 ? -1 : take(asked.target_fd);
    const int program = process < 0 ? -1 : take(asked.attach_bpf_fd);
    const bool needed = command == BPF_PROG_ATTACH;
    if (!job.is_valid() || group < 0 || (needed && program < 0)) return job.answer(-EBADF);
    if (!is_own_group(job, group)) return job.answer(-EPERM);
    bpf_attr attributes{};
    attributes.target_fd = static_cast<__u32>(group);
    attributes.attach_bpf_fd = program < 0 ? 0 : static_cast<__u32>(program);
    attributes.attach_type = BPF_CGROUP_DEVICE;
    attributes.attach_flags = needed ? asked.attach_flags : 0;
    const long rc = hold_little() ? bpf(command, attributes) : -1;
    job.answer(rc == 0 ? 0 : -errno);
}

}  // namespace

LoadedPrograms& loaded_programs() {
    static LoadedPrograms own;  // when there is no memory to share: then each worker counts for itself
    static LoadedPrograms* const shared = [] {
        void* const made = ::mmap(nullptr, sizeof(LoadedPrograms), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        return made == MAP_FAILED ? &own : static_cast<LoadedPrograms*>(made);
    }();
    return *shared;
}

void bpf_for(Job& job) {
    bpf_attr asked{};
    const auto* arguments = job.call.data.args;
    const auto command = static_cast<int>(arguments[0]);
    const bool known = arguments[2] <= sizeof asked && may_call(job, CAP_SYS_ADMIN) &&
                       open_handles(job.pid(), AT_FDCWD, job.handles) && job.is_valid() &&
                       read_bytes(job.handles.memory, arguments[1], &asked, arguments[2]);
    if (!known) return job.pass_on();
    if (command == BPF_PROG_LOAD && asked.prog_type == BPF_PROG_TYPE_CGROUP_DEVICE)
        return load_for(job, asked);
    const bool placed = command == BPF_PROG_ATTACH || command == BPF_PROG_DETACH;
    if (placed && asked.attach_type == BPF_CGROUP_DEVICE) return place_for(job, command, asked);
    job.pass_on();
}

}  // namespace lxmgr::monitor
