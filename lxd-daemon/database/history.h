#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

/// Who asked for what, and what came of it.
namespace lxmgr::database {

class Connection;

/// A request that changed something, or was refused. No body of a request is ever part of it.
struct HistoryRecord {
    std::int64_t id = 0;
    Time created_at{}, ended_at{};  ///< ended_at: zero while it runs
    bool known = true;              ///< false: a stranger's that was refused; these have their own bound
    std::string username, protocol, address;
    std::string certificate;  ///< its name in the trust store, then
    std::string project, method, path;
    int http_status = 0;
    std::string result;     ///< "success", "failure", "cancelled", "refused", "running", "interrupted"
    std::string error;      ///< empty when it succeeded
    std::string operation;  ///< UUID; empty: none was made
    std::string description;
};

/// How an operation ended whose record was "running".
struct HistoryEnd {
    std::string operation, result, error;
    Time ended_at{};
};

/// Stays on disk. Bounded: the newest 50 000 records, of strangers the newest 2000, none older than 90 days.
class History {
public:
    explicit History(Connection& connection);
    ~History();
    /// What the last process left running was interrupted.
    Result<> load();
    /// In this order. Not synced by itself: survives kill -9, the last moments may go with the power.
    Result<> add(const std::vector<HistoryRecord>& records, const std::vector<HistoryEnd>& ends);
    /// At most `count` with ids below `before`, the newest first.
    Result<std::vector<HistoryRecord>> read(std::int64_t before, std::size_t count) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace lxmgr::database
