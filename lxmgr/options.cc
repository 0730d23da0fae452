#include "lxmgr/options.h"

#include <fmt/format.h>

#include <charconv>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::cli {

Result<std::pair<std::string, std::string>> parse_pair(std::string_view text) {
    const auto at = text.find('=');
    if (at == std::string_view::npos || at == 0) {
        return fail(Status::bad_request, fmt::format("'{}' is not of the form KEY=VALUE", text));
    }
    return std::pair{std::string(text.substr(0, at)), std::string(text.substr(at + 1))};
}

Result<Pairs> parse_pairs(const std::vector<std::string>& texts) {
    Pairs pairs;
    for (const auto& text : texts) {
        LX_TRY_AS(auto pair, parse_pair(text));
        pairs.push_back(std::move(pair));
    }
    return pairs;
}

Result<Pairs> parse_settings(const std::vector<std::string>& words) {
    if (words.size() == 2 && !words[0].contains('=')) return Pairs{{words[0], words[1]}};
    if (words.empty()) return fail(Status::bad_request, "KEY=VALUE is missing");
    return parse_pairs(words);
}

Result<std::pair<std::string, Pairs>> parse_device(std::string_view text) {
    auto parts = split(text, ',');
    if (parts.front().empty() || parts.front().contains('=')) {
        return fail(Status::bad_request, fmt::format("'{}' is not of the form DEVICE,KEY=VALUE,...", text));
    }
    std::string name = std::move(parts.front());
    parts.erase(parts.begin());
    LX_TRY_AS(auto pairs, parse_pairs(parts));
    return std::pair{std::move(name), std::move(pairs)};
}

Result<InstancePath> parse_instance_path(std::string_view text) {
    const auto at = text.find('/');
    if (at == std::string_view::npos || at == 0) {
        return fail(Status::bad_request, fmt::format("'{}' is not of the form INSTANCE/PATH", text));
    }
    return InstancePath{std::string(text.substr(0, at)), std::string(text.substr(at))};
}

Result<unsigned> parse_mode(std::string_view text) {
    unsigned mode = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (error != std::errc{} || end != text.data() + text.size() || mode > 07777) {
        return fail(Status::bad_request, fmt::format("'{}' is not a file mode such as 0644", text));
    }
    return mode;
}

Result<unsigned> parse_number(std::string_view text, std::string_view what) {
    const auto value = parse_uint(text);
    if (!value || *value > 0xffffffffU) {
        return fail(Status::bad_request, fmt::format("{} '{}' is not a whole number", what, text));
    }
    return static_cast<unsigned>(*value);
}

}  // namespace lxmgr::cli
