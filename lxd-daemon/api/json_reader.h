#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

/// JSON from outside into structs, without exceptions.
namespace lxmgr::api {

/// Parses text. Errors: `bad_request` when it is not JSON, not UTF-8, or nested deeper than 64.
Result<nlohmann::json> parse_json(std::string_view text);

/// Reads typed members of one object. Absent and null members leave the variable as it is; unknown members
/// are ignored. The first wrong type sticks: check with done() after the last read.
class Reader {
public:
    /// @param prefix  put before key names in errors: "source." for a nested object
    explicit Reader(const nlohmann::json& object, std::string prefix = {});

    Reader& text(const char* key, std::string& out);
    Reader& flag(const char* key, bool& out);
    /// An integer, within the bounds.
    Reader& number(const char* key, std::int64_t& out, std::int64_t min, std::int64_t max);
    template <typename Int>
    Reader& number(const char* key, Int& out, std::int64_t min = std::numeric_limits<Int>::min(),
                   std::int64_t max = std::numeric_limits<Int>::max()) {
        std::int64_t wide = static_cast<std::int64_t>(out);
        number(key, wide, min, max);
        out = static_cast<Int>(wide);
        return *this;
    }
    Reader& time(const char* key, Time& out);
    Reader& list(const char* key, std::vector<std::string>& out);
    Reader& map(const char* key, ConfigMap& out);
    Reader& map(const char* key, DeviceMap& out);
    /// ^ a null value of a config key reads as "", which means "not set" everywhere in LXD.
    /// The same for what may be absent.
    Reader& text(const char* key, std::optional<std::string>& out);
    Reader& flag(const char* key, std::optional<bool>& out);
    Reader& list(const char* key, std::optional<std::vector<std::string>>& out);
    Reader& time(const char* key, std::optional<Time>& out);
    /// The member object; null when it is absent.
    const nlohmann::json* object(const char* key);
    /// The member array; null when it is absent.
    const nlohmann::json* array(const char* key);

    [[nodiscard]] Result<> done() const;

private:
    const nlohmann::json* member(const char* key) const;
    void wrong(const std::string& key, std::string_view wanted);
    bool read_strings(const std::string& key, const nlohmann::json& object, ConfigMap& out);

    const nlohmann::json& object_;
    std::string prefix_;
    std::optional<Error> error_;
};

/// LXD stores no empty config values: to set one is to unset the key.
void drop_empty(ConfigMap& config);
void drop_empty(DeviceMap& devices);

}  // namespace lxmgr::api
