#include "lxd-daemon/runtime/seccomp.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdint>
#include <memory>

#include "lxd-daemon/base/own.h"

namespace lxmgr::runtime {
namespace {

struct Release {
    void operator()(void* context) const { seccomp_release(context); }
};

std::unexpected<Error> failed(int negative_errno, std::string_view what) {
    errno = -negative_errno;
    return fail_errno("Compiling the seccomp filter", what);
}

/// 32-bit and x32 calls have numbers of their own: a filter for one table alone would be no filter.
Result<> add_other_tables(scmp_filter_ctx context) {
#if defined(__x86_64__)
    constexpr std::uint32_t kTables[] = {SCMP_ARCH_X86, SCMP_ARCH_X32};
#elif defined(__aarch64__)
    constexpr std::uint32_t kTables[] = {SCMP_ARCH_ARM};
#else
#error "the system call tables of this machine are not known here"
#endif
    for (const std::uint32_t table : kTables) {
        if (const int rc = seccomp_arch_add(context, table); rc != 0 && rc != -EEXIST)
            return failed(rc, "(tables)");
    }
    return {};
}

}  // namespace

Result<std::string> compile_seccomp() {
    const std::unique_ptr<void, Release> context(seccomp_init(SCMP_ACT_ALLOW));
    if (!context) return fail(Status::internal, "libseccomp cannot be initialised");
    seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
    LX_TRY(add_other_tables(context.get()));
    for (const char* name :
         {"kexec_load", "open_by_handle_at", "init_module", "finit_module", "delete_module"}) {
        const int number = seccomp_syscall_resolve_name(name);
        if (const int rc = seccomp_rule_add(context.get(), SCMP_ACT_ERRNO(ENOSYS), number, 0); rc != 0)
            return failed(rc, name);
    }
    const scmp_arg_cmp forced = SCMP_A1(SCMP_CMP_MASKED_EQ, MNT_FORCE, MNT_FORCE);
    int rc = seccomp_rule_add(context.get(), SCMP_ACT_ERRNO(EACCES), SCMP_SYS(umount2), 1, forced);
    if (rc != 0) return failed(rc, "umount2");
    seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE,
                     2);  // binary tree; an older library goes without

    const UniqueFd file(::memfd_create("seccomp", MFD_CLOEXEC));
    if (!file) return fail_errno("memfd_create", "for seccomp");
    rc = seccomp_export_bpf(context.get(), file.get());
    if (rc != 0) return failed(rc, "(export)");
    std::string program(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
    if (::pread(file.get(), program.data(), program.size(), 0) != static_cast<ssize_t>(program.size())) {
        return fail_errno("Reading", "the seccomp filter");
    }
    return program;
}

}  // namespace lxmgr::runtime
