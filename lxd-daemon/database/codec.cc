#include "lxd-daemon/database/codec.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/api/json_writer.h"

namespace lxmgr::database {
namespace {

// The column holds the bare map; the reader wants a member of an object.
template <typename Map>
Result<Map> decode(std::string_view text, const char* column, std::string_view row) {
    Map out;
    auto parsed = api::parse_json(text);
    if (!parsed || !parsed->is_object()) {
        return fail(Status::internal, fmt::format("Database: the {} of {} is damaged", column, row));
    }
    nlohmann::json holder;
    holder[column] = *std::move(parsed);
    if (!api::Reader(holder).map(column, out).done()) {
        return fail(Status::internal, fmt::format("Database: the {} of {} is damaged", column, row));
    }
    return out;
}

}  // namespace

std::string encode(const api::ConfigMap& config) {
    std::string out;
    api::append_map(out, config);
    return out;
}

std::string encode(const api::DeviceMap& devices) {
    std::string out;
    api::append_map(out, devices);
    return out;
}

Result<api::ConfigMap> decode_config(std::string_view text, std::string_view row) {
    return decode<api::ConfigMap>(text, "config", row);
}

Result<api::DeviceMap> decode_devices(std::string_view text, std::string_view row) {
    return decode<api::DeviceMap>(text, "devices", row);
}

}  // namespace lxmgr::database
