#include "lxmgr/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::cli {
namespace {

using Json = nlohmann::json;
constexpr int kYamlMaxDepth = 64;
constexpr std::array<std::string_view, 3> kTextKeys{"config", "devices", "properties"};

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, text) != words.end();
}
bool is_null(std::string_view text) { return is_one_of(text, {"", "~", "null", "Null", "NULL"}); }
bool is_true(std::string_view text) { return is_one_of(text, {"true", "True", "TRUE"}); }
bool is_false(std::string_view text) { return is_one_of(text, {"false", "False", "FALSE"}); }

/// A number in plain decimal; hexadecimal, octal, infinities and dates stay text.
std::optional<Json> number(std::string_view text) {
    if (const auto value = parse_int(text)) return Json(*value);
    if (text.find_first_of("0123456789") == std::string_view::npos) return std::nullopt;
    if (text.find_first_not_of("0123456789+-.eE") != std::string_view::npos) return std::nullopt;
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return Json(value);
}

Json plain_scalar(const std::string& text) {
    if (is_null(text)) return nullptr;
    if (is_true(text)) return true;
    if (is_false(text)) return false;
    if (auto value = number(text)) return *value;
    return text;
}

/// True when some YAML reader (also one of version 1.1, as Go's) would not take the bare word for a string.
bool needs_quotes(const std::string& text) {
    if (is_null(text)) return true;
    const bool starts_as_number = std::string_view("0123456789+-.").contains(text.front());
    if (starts_as_number && text.find_first_not_of("0123456789+-.eE_xXoabcdfABCDF:") == std::string::npos)
        return true;
    return is_one_of(to_lower(text), {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan",
                                      ".nan", ".inf", "-.inf", "<<", "="});
}

/// A literal block is what people want to edit; it holds exactly what ends in one newline and is not odd.
bool fits_literal(const std::string& text) {
    if (text.size() < 2 || !text.ends_with('\n') || text.ends_with("\n\n")) return false;
    if (text.front() == ' ' || text.front() == '\n' || text.front() == '\t') return false;
    return is_utf8(text) && !std::ranges::any_of(text, [](char c) {
               return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
           });
}

void emit(YAML::Emitter& out, const Json& value);

void emit_text(YAML::Emitter& out, const std::string& text) {
    if (fits_literal(text)) {
        out << YAML::Literal << text;
    } else if (needs_quotes(text) || has_control_chars(text)) {
        out << YAML::DoubleQuoted << text;
    } else {
        out << text;
    }
}

void emit_map(YAML::Emitter& out, const Json& value) {
    if (value.empty()) out << YAML::Flow;
    out << YAML::BeginMap;
    for (const auto& [key, item] : value.items()) {
        out << YAML::Key;
        emit_text(out, key);
        out << YAML::Value;
        emit(out, item);
    }
    out << YAML::EndMap;
}

void emit(YAML::Emitter& out, const Json& value) {
    if (value.is_object()) return emit_map(out, value);
    if (value.is_string()) return emit_text(out, value.get<std::string>());
    if (value.is_null()) {
        out << YAML::Null;
        return;
    }
    if (!value.is_array()) {
        out << value.dump();  // true, 12, 1.5: the same words in JSON and YAML
        return;
    }
    if (value.empty()) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (const auto& item : value) emit(out, item);
    out << YAML::EndSeq;
}

/// How scalars are read: by the schema, or as the text they are. `text_map` is a map whose values are text.
enum class Mode { typed, text_map, text };

Result<Json> convert(const YAML::Node& node, Mode mode, int depth);

Mode mode_below(Mode mode, std::string_view key) {
    if (mode != Mode::typed) return Mode::text;
    return std::ranges::find(kTextKeys, key) != kTextKeys.end() ? Mode::text_map : Mode::typed;
}

Result<Json> convert_map(const YAML::Node& node, Mode mode, int depth) {
    Json object = Json::object();
    for (const auto& item : node) {
        if (!item.first.IsScalar()) {
            return fail(Status::bad_request,
                        fmt::format("YAML line {}: a key must be a word", item.first.Mark().line + 1));
        }
        const std::string key = item.first.Scalar();
        if (object.contains(key)) {
            return fail(Status::bad_request,
                        fmt::format("YAML line {}: key '{}' occurs twice", item.first.Mark().line + 1, key));
        }
        LX_TRY_AS(object[key], convert(item.second, mode_below(mode, key), depth + 1));
    }
    return object;
}

Result<Json> convert(const YAML::Node& node, Mode mode, int depth) {
    if (depth > kYamlMaxDepth) return fail(Status::bad_request, "YAML is nested too deeply");
    switch (node.Type()) {
        case YAML::NodeType::Map:
            return convert_map(node, mode, depth);
        case YAML::NodeType::Sequence: {
            Json array = Json::array();
            for (const auto& item : node) {
                LX_TRY_AS(Json value, convert(item, mode, depth + 1));
                array.push_back(std::move(value));
            }
            return array;
        }
        case YAML::NodeType::Scalar: {
            const bool quoted = node.Tag() == "!";
            if (quoted) return Json(node.Scalar());
            if (mode == Mode::text) return Json(is_null(node.Scalar()) ? std::string() : node.Scalar());
            return plain_scalar(node.Scalar());
        }
        default:
            return mode == Mode::text ? Json("") : Json(nullptr);
    }
}

}  // namespace

std::string to_yaml(const Json& value) {
    YAML::Emitter out;
    out.SetMapFormat(YAML::Block);
    out.SetNullFormat(YAML::LowerNull);
    emit(out, value);
    std::string text = out.c_str();
    if (!text.ends_with('\n')) text += '\n';  // a literal block at the end has brought its own
    return text;
}

Result<Json> from_yaml(const std::string& text) {
    try {
        const auto documents = YAML::LoadAll(text);
        if (documents.empty()) return Json(nullptr);
        if (documents.size() > 1) return fail(Status::bad_request, "YAML holds more than one document");
        return convert(documents.front(), Mode::typed, 0);
    } catch (const YAML::Exception& error) {
        return fail(Status::bad_request, fmt::format("YAML line {}: {}", error.mark.line + 1, error.msg));
    }
}

}  // namespace lxmgr::cli
