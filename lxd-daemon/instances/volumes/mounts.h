#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::instances {

/// Which running instances have which custom volumes (by row id) mounted. In memory only: a new daemon notes
/// them again when it finds the instances running. Thread-safe.
class VolumeMounts {
public:
    /// Keeps a volume from being mounted as long as it lives.
    class Hold {
    public:
        Hold(VolumeMounts& mounts, std::int64_t volume) : mounts_(&mounts), volume_(volume) {}
        Hold(Hold&& other) noexcept
            : mounts_(std::exchange(other.mounts_, nullptr)), volume_(other.volume_) {}
        Hold& operator=(Hold&&) = delete;
        ~Hold();

    private:
        VolumeMounts* mounts_;
        std::int64_t volume_;
    };

    /// Errors: `bad_request` while somebody holds it.
    Result<> use(std::int64_t volume, const std::string& instance, const std::string& device);
    void release(const std::string& instance, const std::string& device);
    void release_all(const std::string& instance);
    [[nodiscard]] std::vector<std::string> instances(std::int64_t volume) const;
    /// Errors: `bad_request` naming the instances that have it mounted.
    Result<Hold> hold(std::int64_t volume);

    /// From now on it is the daemon's own, as `key` of the server's config says: nobody else mounts, copies
    /// or changes it. Errors: `bad_request` while somebody has or holds it.
    Result<> reserve(std::int64_t volume, const std::string& key);
    void end_reservation(std::int64_t volume, const std::string& key);
    [[nodiscard]] bool is_reserved(std::int64_t volume) const;
    /// Errors: `bad_request` naming the key when it is reserved.
    [[nodiscard]] Result<> require_free(std::int64_t volume) const;

private:
    [[nodiscard]] std::vector<std::string> instances_locked(std::int64_t volume) const;
    [[nodiscard]] Result<> require_free_locked(std::int64_t volume) const;
    [[nodiscard]] Result<> require_unused_locked(std::int64_t volume) const;
    [[nodiscard]] Result<> require_idle_locked(std::int64_t volume) const;

    mutable std::mutex mutex_;
    std::map<std::pair<std::string, std::string>, std::int64_t> uses_;  ///< by instance and device
    std::map<std::int64_t, int> held_;
    std::multimap<std::int64_t, std::string> reserved_;  ///< with the keys
};

}  // namespace lxmgr::instances
