#pragma once
#include "storage/driver.h"

namespace lxmgr::storage {

/// Copies a volume into another pool, as a plain tree. Nothing may write to the source meanwhile, and an
/// overlay of it may be mounted by nobody else. `idmap` is the one that instances of this host use: where the
/// kernel has no idmapped mounts, the source's tree carries its host ids. Errors: `not_found`, `conflict`.
/// @param bytes_per_second  0: as fast as it can
Result<> transfer_volume(Driver& from, const Volume& source, Driver& to, const Volume& volume,
                         std::uint64_t bytes_per_second);

}  // namespace lxmgr::storage
