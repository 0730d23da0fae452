#pragma once
#include <cstdint>

#include "lxd-daemon/base/result.h"

namespace lxmgr::sys {

/// While it lives, this thread (and no other) makes and opens files as the given host ids; capabilities stay.
/// For creating files in an idmapped mount, where host uid 0 has no id and gets EOVERFLOW. Must die on the
/// thread that made it. setfsuid(2), SECBIT_NO_SETUID_FIXUP of capabilities(7).
class ScopedFsIds {
public:
    /// Errors: `internal` with errno (EPERM: no CAP_SETPCAP, CAP_SETUID or CAP_SETGID).
    static Result<ScopedFsIds> become(std::uint32_t host_uid, std::uint32_t host_gid);
    ScopedFsIds(ScopedFsIds&& other) noexcept;
    ScopedFsIds& operator=(ScopedFsIds&&) = delete;
    ~ScopedFsIds();

private:
    ScopedFsIds(std::uint32_t old_uid, std::uint32_t old_gid, int old_securebits)
        : old_uid_(old_uid), old_gid_(old_gid), old_securebits_(old_securebits) {}
    std::uint32_t old_uid_;
    std::uint32_t old_gid_;
    int old_securebits_;
    bool active_ = true;
};

}  // namespace lxmgr::sys
