#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"

/// JSON text by appending: for what is rendered often (instances, their states, database columns). The output
/// is compact, with keys of maps in byte order.
namespace lxmgr::api {

/// A JSON string with quotes and escapes. Bytes that are not UTF-8 become U+FFFD, so that the output is
/// always JSON.
void append_string(std::string& out, std::string_view text);
void append_map(std::string& out, const ConfigMap& map);
void append_map(std::string& out, const DeviceMap& map);
void append_list(std::string& out, const std::vector<std::string>& list);

/// Writes one object: members in the order of the calls, then end().
class ObjectWriter {
public:
    explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }
    void text(std::string_view key, std::string_view value);
    void number(std::string_view key, std::int64_t value);
    void flag(std::string_view key, bool value);
    void time(std::string_view key, Time value);
    void map(std::string_view key, const ConfigMap& value);
    void map(std::string_view key, const DeviceMap& value);
    void list(std::string_view key, const std::vector<std::string>& value);
    /// Appends the key; the caller appends the value, which must be JSON.
    std::string& raw(std::string_view key);
    /// The same for a key that is data, not a literal: it is escaped.
    std::string& raw_name(std::string_view key);
    void end() { out_ += '}'; }

private:
    std::string& out_;
    bool first_ = true;
};

}  // namespace lxmgr::api
