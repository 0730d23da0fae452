#pragma once
#include <optional>

#include "lxd-daemon/database/database.h"
#include "storage/driver.h"

/// Private to the room: what a pool stands on when that is more than a directory (a file, a mount, a loop
/// device), and the intent that names it while no row does. Drivers without it cost nothing here.
namespace lxmgr::instances {

class PoolFoundation {
public:
    PoolFoundation(database::Database& database, const storage::DriverEntry& driver,
                   storage::PoolConfig config)
        : database_(database), driver_(driver), config_(std::move(config)) {}
    PoolFoundation(PoolFoundation&&) = delete;
    /// Taken away again, unless it was kept.
    ~PoolFoundation();

    /// Of a new pool.
    Result<> make();
    [[nodiscard]] const api::ConfigMap& config() const { return config_.config; }
    /// In the transaction that stores the row, and after it.
    Result<> belongs_to_a_row();
    void keep() { made_ = false; }

    /// Of a pool that goes: in the transaction that removes its row, and when it is gone.
    Result<> doom();
    Result<> forget();

private:
    Result<> add_intent();

    database::Database& database_;
    const storage::DriverEntry& driver_;
    storage::PoolConfig config_;
    std::optional<std::int64_t> intent_;
    bool made_ = false;
};

/// After a crash: takes away what belongs to no row. Before the pools are opened.
void recover_foundations(database::Database& database);

}  // namespace lxmgr::instances
