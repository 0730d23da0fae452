#pragma once
#include "lxd-daemon/base/result.h"
#include "storage/driver.h"

/// Private to the room: what a pool's config may say.
namespace lxmgr::instances {

/// Of a new pool: it is made of what stands at its source. Never kept.
inline constexpr const char* kRecoverKey = "source.recover";

/// Errors: `bad_request`.
Result<> validate_pool_config(const api::ConfigMap& config, const storage::DriverEntry& driver);
/// What a change of a pool's config leaves as it is must be the same in both. Errors: `bad_request`.
Result<> check_fixed_keys(const storage::DriverEntry& driver, const api::ConfigMap& before,
                          const api::ConfigMap& after);
/// What a volume's config says of them, and a pool's after volume_defaults(); 0 where it says nothing.
storage::Stripes stripes_of(const api::ConfigMap& volume_config);
/// A key of volumes that only other drivers know.
bool is_foreign_volume_key(const std::string& key, const storage::DriverEntry& driver);

}  // namespace lxmgr::instances
