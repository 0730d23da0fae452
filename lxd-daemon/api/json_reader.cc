#include "lxd-daemon/api/json_reader.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace lxmgr::api {
namespace {

constexpr int kMaxDepth =
    64;  // dumping and comparing recurse; the deepest body of the API has about six levels

bool too_deep(std::string_view text) {
    int depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') ++i;
            if (c == '"') in_string = false;
            continue;
        }
        if (c == '"') in_string = true;
        if (c == '{' || c == '[') ++depth;
        if (c == '}' || c == ']') --depth;
        if (depth > kMaxDepth) return true;
    }
    return false;
}

}  // namespace

Result<nlohmann::json> parse_json(std::string_view text) {
    if (too_deep(text)) return fail(Status::bad_request, "The JSON text is nested too deeply");
    auto parsed = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
    if (parsed.is_discarded()) return fail(Status::bad_request, "The body is not valid JSON");
    return parsed;
}

Reader::Reader(const nlohmann::json& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {
    if (object.is_object() || object.is_null()) return;
    const std::string what =
        prefix_.empty() ? "The body" : fmt::format("'{}'", prefix_.substr(0, prefix_.size() - 1));
    error_ = Error{Status::bad_request, fmt::format("{} must be a JSON object", what), 0};
}

const nlohmann::json* Reader::member(const char* key) const {
    if (error_ || !object_.is_object()) return nullptr;
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
}

void Reader::wrong(const std::string& key, std::string_view wanted) {
    if (error_) return;
    error_ =
        Error{Status::bad_request, fmt::format("The value of '{}{}' must be {}", prefix_, key, wanted), 0};
}

Reader& Reader::text(const char* key, std::string& out) {
    const auto* value = member(key);
    if (value == nullptr) return *this;
    if (!value->is_string()) {
        wrong(key, "a string");
        return *this;
    }
    out = value->get_ref<const std::string&>();
    return *this;
}

Reader& Reader::flag(const char* key, bool& out) {
    const auto* value = member(key);
    if (value == nullptr) return *this;
    if (!value->is_boolean()) {
        wrong(key, "true or false");
        return *this;
    }
    out = value->get<bool>();
    return *this;
}

Reader& Reader::number(const char* key, std::int64_t& out, std::int64_t min, std::int64_t max) {
    const auto* value = member(key);
    if (value == nullptr) return *this;
    if (!value->is_number_integer()) {
        wrong(key, "an integer");
        return *this;
    }
    // An unsigned value above int64's range would wrap in get().
    const bool huge = value->is_number_unsigned() &&
                      value->get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()};
    const std::int64_t number = huge ? 0 : value->get<std::int64_t>();
    if (huge || number < min || number > max) {
        wrong(key, fmt::format("between {} and {}", min, max));
        return *this;
    }
    out = number;
    return *this;
}

Reader& Reader::time(const char* key, Time& out) {
    std::string text_value;
    text(key, text_value);
    if (text_value.empty()) return *this;
    if (auto parsed = parse_rfc3339(text_value)) {
        out = *parsed;
    } else {
        wrong(key, "a time like 2026-11-21T05:53:00Z");
    }
    return *this;
}

Reader& Reader::list(const char* key, std::vector<std::string>& out) {
    const auto* value = member(key);
    if (value == nullptr) return *this;
    if (!value->is_array()) {
        wrong(key, "an array of strings");
        return *this;
    }
    std::vector<std::string> items;
    items.reserve(value->size());
    for (const auto& item : *value) {
        if (!item.is_string()) {
            wrong(key, "an array of strings");
            return *this;
        }
        items.push_back(item.get_ref<const std::string&>());
    }
    out = std::move(items);
    return *this;
}

bool Reader::read_strings(const std::string& key, const nlohmann::json& object, ConfigMap& out) {
    if (!object.is_object()) {
        wrong(key, "an object of strings");
        return false;
    }
    for (const auto& [name, value] : object.items()) {
        if (!value.is_string() && !value.is_null()) {
            wrong(fmt::format("{}.{}", key, name), "a string");
            return false;
        }
        out[name] = value.is_null() ? std::string() : value.get_ref<const std::string&>();
    }
    return true;
}

Reader& Reader::map(const char* key, ConfigMap& out) {
    const auto* value = member(key);
    if (value == nullptr) return *this;
    ConfigMap read;
    if (read_strings(key, *value, read)) out = std::move(read);
    return *this;
}

Reader& Reader::map(const char* key, DeviceMap& out) {
    const auto* value = member(key);
    if (value == nullptr) return *this;
    if (!value->is_object()) {
        wrong(key, "an object of devices");
        return *this;
    }
    DeviceMap read;
    for (const auto& [name, device] : value->items()) {
        if (device.is_null()) continue;
        if (!read_strings(fmt::format("{}.{}", key, name), device, read[name])) return *this;
    }
    out = std::move(read);
    return *this;
}

Reader& Reader::text(const char* key, std::optional<std::string>& out) {
    return member(key) == nullptr ? *this : text(key, out.emplace());
}
Reader& Reader::flag(const char* key, std::optional<bool>& out) {
    return member(key) == nullptr ? *this : flag(key, out.emplace());
}
Reader& Reader::list(const char* key, std::optional<std::vector<std::string>>& out) {
    return member(key) == nullptr ? *this : list(key, out.emplace());
}
Reader& Reader::time(const char* key, std::optional<Time>& out) {
    return member(key) == nullptr ? *this : time(key, out.emplace());
}

const nlohmann::json* Reader::object(const char* key) {
    const auto* value = member(key);
    if (value == nullptr || value->is_object()) return value;
    wrong(key, "an object");
    return nullptr;
}

const nlohmann::json* Reader::array(const char* key) {
    const auto* value = member(key);
    if (value == nullptr || value->is_array()) return value;
    wrong(key, "an array");
    return nullptr;
}

void drop_empty(ConfigMap& config) {
    std::erase_if(config, [](const auto& entry) { return entry.second.empty(); });
}
void drop_empty(DeviceMap& devices) {
    for (auto& [name, device] : devices) drop_empty(device);
}

Result<> Reader::done() const {
    if (error_) return std::unexpected(*error_);
    return {};
}

}  // namespace lxmgr::api
