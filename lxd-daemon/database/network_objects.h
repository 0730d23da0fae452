#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::database {

class Connection;

/// What beside a network's row says how networks work: an ACL, a forward of a network, a zone, a record of a
/// zone. The content is the JSON of its writable fields, which those who wrote it read.
struct NetworkObjectRecord {
    std::int64_t id = 0;
    std::string kind;             ///< "acl", "forward", "zone", "record"
    std::int64_t network_id = 0;  ///< of a forward: it goes with it
    std::int64_t parent_id = 0;   ///< of a record, the object that it goes with
    std::string name;
    std::string content;
};
using NetworkObjectPtr = std::shared_ptr<const NetworkObjectRecord>;

/// Kept in memory as all repositories do (database.h).
class NetworkObjects {
public:
    explicit NetworkObjects(Connection& connection);
    ~NetworkObjects();
    Result<> load();
    /// Errors: `conflict` when there is one of that kind, owner and name.
    Result<NetworkObjectPtr> create(NetworkObjectRecord record);
    /// @param owner id of the network or of the parent; 0: none
    [[nodiscard]] NetworkObjectPtr find(const std::string& kind, std::int64_t owner,
                                        const std::string& name) const;
    [[nodiscard]] std::vector<NetworkObjectPtr> list(const std::string& kind, std::int64_t owner) const;
    [[nodiscard]] std::vector<NetworkObjectPtr> list_all(const std::string& kind) const;
    /// Replaces the content. `not_found` when it is gone.
    Result<NetworkObjectPtr> update(const NetworkObjectRecord& record);
    Result<NetworkObjectPtr> rename(const NetworkObjectRecord& record, const std::string& new_name);
    /// Those that go with it too.
    Result<> remove(const NetworkObjectRecord& record);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace lxmgr::database
