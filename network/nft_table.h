#pragma once
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "lxd-daemon/base/result.h"

/// Private to the room: the nft tables `inet lxmgr`, in which every owner (a bridge, a proxy device) has
/// chains of its own, and `netdev lxmgr`, which has a chain for each NIC with rules.
namespace lxmgr::network {

inline constexpr const char* kTable = "lxmgr";

/// The commands of one transaction.
class Transaction {
public:
    void add(const char* verb, nlohmann::json object);
    /// A chain that a later add in the same transaction may make anew. Adding what exists is no change: so it
    /// is there for what follows, and gone after it.
    void remove_chain(const std::string& name);
    void add_table();
    [[nodiscard]] Result<> run(const std::string& doing) const;

private:
    nlohmann::json commands_ = nlohmann::json::array();
};

nlohmann::json chain_identity(const std::string& name);
/// What the kernel holds in our table, entry by entry; empty when there is no table.
nlohmann::json held_entries(const char* family = "inet");
/// The table goes with the last of its chains. Hold table_mutex().
Result<> remove_table_if_empty(const char* family = "inet");
/// Chains of one owner and the removal of the empty table must not interleave.
std::mutex& table_mutex();

}  // namespace lxmgr::network
