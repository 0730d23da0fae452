#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "images/image.h"

namespace lxmgr::instances {

/// Image metadata as it was read last, by the id of its set: sets never change. Thread-safe.
class MetadataCache {
public:
    [[nodiscard]] std::shared_ptr<const images::Metadata> find(std::int64_t id) const;
    void keep(std::int64_t id, std::shared_ptr<const images::Metadata> metadata);

private:
    static constexpr std::size_t kMost = 32;
    mutable std::mutex mutex_;
    std::map<std::int64_t, std::shared_ptr<const images::Metadata>> sets_;
};

}  // namespace lxmgr::instances
