#pragma once
#include <cstdint>
#include <stop_token>
#include <string_view>

#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

/// Bytes that come one after the other, perhaps from far away. One thread at a time.
class ByteSource {
public:
    virtual ~ByteSource() = default;
    /// The next bytes, valid until the next call; none at the end. May wait for them. Errors: those of where
    /// they come from, an end before the whole was there among them; `unavailable` when stopped.
    virtual Result<std::string_view> next(const std::stop_token& stop) = 0;
    /// False: next() would wait now, and there is time for something else.
    [[nodiscard]] virtual bool is_ready() { return true; }
    /// How many there are in all; 0: nobody knows.
    [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;
};

}  // namespace lxmgr::images
