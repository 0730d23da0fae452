#include "images/yaml_json.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

constexpr int kMaxYamlVisits = 500'000;
constexpr int kMaxYamlDepth = 32;

class Converter {
public:
    explicit Converter(std::string_view what) : what_(what) {}

    Result<nlohmann::json> convert(const YAML::Node& node, int depth) {
        if (++visits_ > kMaxYamlVisits || depth > kMaxYamlDepth) return bad("has too many values");
        if (node.IsMap()) return map(node, depth);
        if (node.IsSequence()) return list(node, depth);
        if (!node.IsScalar()) return nlohmann::json(nullptr);
        if (!is_utf8(node.Scalar())) return bad("is not UTF-8");
        return scalar(node);
    }

private:
    [[nodiscard]] std::unexpected<Error> bad(std::string_view why) const {
        return fail(Status::bad_request, fmt::format("{} {}", what_, why));
    }
    Result<nlohmann::json> map(const YAML::Node& node, int depth) {
        nlohmann::json out = nlohmann::json::object();
        for (const auto& item : node) {
            if (!item.first.IsScalar() || !is_utf8(item.first.Scalar()))
                return bad("has a key that is no text");
            LX_TRY_AS(out[item.first.Scalar()], convert(item.second, depth + 1));
        }
        return out;
    }
    Result<nlohmann::json> list(const YAML::Node& node, int depth) {
        nlohmann::json out = nlohmann::json::array();
        for (const auto& item : node) {
            LX_TRY_AS(auto value, convert(item, depth + 1));
            out.push_back(std::move(value));
        }
        return out;
    }
    static nlohmann::json scalar(const YAML::Node& node) {
        const std::string& text = node.Scalar();
        if (node.Tag() == "!") return text;  // in quotes
        if (text == "true") return true;
        if (text == "false") return false;
        if (text == "null" || text == "~" || text.empty()) return nullptr;
        if (const auto number = parse_int(text)) return *number;
        return text;
    }

    std::string_view what_;
    int visits_ = 0;
};

/// Sure to be read as text: YAML 1.1 takes "y" and "on" for truth, and digits for numbers.
bool is_plain_key(const std::string& key) {
    const auto word = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    };
    return key.size() >= 4 && key.front() >= 'a' && key.front() <= 'z' && std::ranges::all_of(key, word) &&
           key != "true" && key != "false" && key != "null";
}

void emit(YAML::Emitter& out, const nlohmann::json& json, bool plain) {
    if (json.is_object()) {
        out << YAML::BeginMap;
        for (const auto& [key, value] : json.items()) {
            out << YAML::Key;
            if (!is_plain_key(key)) out << YAML::DoubleQuoted;
            out << key << YAML::Value;
            const bool time = key.ends_with("_at") && value.is_string() &&
                              parse_rfc3339(value.get_ref<const std::string&>()).has_value();
            emit(out, value, time);
        }
        out << YAML::EndMap;
    } else if (json.is_array()) {
        if (json.empty()) out << YAML::Flow;
        out << YAML::BeginSeq;
        for (const auto& value : json) emit(out, value, false);
        out << YAML::EndSeq;
    } else if (json.is_string()) {
        if (plain) {
            out << json.get<std::string>();
        } else {
            out << YAML::DoubleQuoted << json.get<std::string>();
        }
    } else if (json.is_boolean()) {
        out << json.get<bool>();
    } else if (json.is_number_integer()) {
        out << json.get<std::int64_t>();
    } else {
        out << YAML::Null;
    }
}

}  // namespace

Result<nlohmann::json> yaml_to_json(const std::string& yaml, std::string_view what) {
    try {
        return Converter(what).convert(YAML::Load(yaml), 0);
    } catch (const YAML::Exception& problem) {
        return fail(Status::bad_request, fmt::format("{} is not YAML: {}", what, problem.what()));
    }
}

std::string json_to_yaml(const nlohmann::json& json) {
    YAML::Emitter out;
    emit(out, json, false);
    return std::string(out.c_str()) + "\n";
}

}  // namespace lxmgr::images
