#include "lxd-daemon/instances/apparmor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/settings.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kKey = "raw.apparmor";
/// In the run directory: the profile's name.
constexpr const char* kProfileFile = "/apparmor";
constexpr std::size_t kMaxBytes = 64 << 10;

std::unexpected<Error> wrong_rule(std::size_t line, std::string_view why) {
    return fail(Status::bad_request, fmt::format("{}: line {}: {}", kKey, line, why));
}

/// Braces group alternatives ("/{a,b}/**") and hold nested profiles; they must pair, and nothing may hide one
/// from whoever counts.
Result<> check_line(std::string_view line, std::size_t number, int& depth) {
    const bool braces = line.find_first_of("{}") != std::string_view::npos;
    if (line.find('#') != std::string_view::npos) return wrong_rule(number, "'#' can only begin a line");
    if (braces && line.find_first_of("\"'\\") != std::string_view::npos)
        return wrong_rule(number, "braces together with quotes or backslashes are not supported");
    for (const char c : line) {
        if ((static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f)
            return wrong_rule(number, "control characters are not allowed");
        if (c == '{') ++depth;
        if (c == '}' && --depth < 0) return wrong_rule(number, "'}' without '{'");
    }
    return {};
}

AppArmorKind kind_of(const api::ConfigMap& expanded) {
    return {flag_of(expanded, "security.privileged"), flag_of(expanded, "security.nesting")};
}

/// In the run directory: what must be unloaded after the run. It ends with the machine's power, as profiles
/// do.
Result<> note_profile(const std::string& path, const std::string& name) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    const std::string text = fmt::format("profile \"{}\"\n", name);
    if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        return fail_errno("Writing", path);
    return {};
}

std::string noted_profile(const std::string& path) {
    const std::string text = read_file(path).value_or("");
    const auto begin = text.find('"') + 1;
    return text.substr(begin, text.find('"', begin) - begin);
}

/// @return whether the instance gets a profile. Rules of the user's are an error where there can be none.
Result<bool> wants_profile(Context& context, const api::ConfigMap& expanded, const std::string& rules) {
    LX_TRY_AS(const RawLxc raw, parse_raw_lxc(api::value_of(expanded, "raw.lxc")));
    if (raw.unconfined) return false;
    const bool host = host_has_apparmor();
    const bool parser = !apparmor_parser().empty();
    if (host && parser == context.apparmor_problem.is_told()) note_apparmor(context);
    if (host && parser) return true;
    if (rules.empty()) return false;
    if (!host)
        return fail(Status::bad_request,
                    fmt::format("{}: this host has no AppArmor: unset the key, or enable AppArmor", kKey));
    return fail(Status::bad_request, fmt::format("{}: apparmor_parser is missing: install apparmor", kKey));
}

Result<> load(Context& context, const std::string& profile, const api::ConfigMap& expanded,
              const std::string& rules) {
    auto loaded = context.apparmor.load(profile, kind_of(expanded), rules);
    if (loaded) return {};
    if (!rules.empty()) return fail(Status::bad_request, fmt::format("{}: {}", kKey, loaded.error().message));
    return fail(Status::internal,
                fmt::format("No AppArmor profile: {} (raw.lxc: lxc.apparmor.profile=unconfined does without)",
                            loaded.error().message));
}

}  // namespace

Result<std::string> apparmor_rules(std::string_view text) {
    if (text.size() > kMaxBytes)
        return fail(Status::bad_request, fmt::format("{}: must be text of at most 64 KiB", kKey));
    std::string out;
    int depth = 0;
    std::size_t number = 0;
    for (const std::string& line : split(text, '\n')) {
        ++number;
        const std::string_view plain = trim(line);
        if (plain.empty() || plain.starts_with('#')) continue;
        LX_TRY(check_line(plain, number, depth));
        out += fmt::format("  {}\n", plain);
    }
    if (depth != 0) return wrong_rule(number, "'{' without '}'");
    return out;
}

Result<std::string> load_apparmor(Context& context, const std::string& name, const std::string& uuid,
                                  const api::ConfigMap& expanded) {
    LX_TRY_AS(const std::string rules, apparmor_rules(api::value_of(expanded, kKey)));
    LX_TRY_AS(const bool wanted, wants_profile(context, expanded, rules));
    if (!wanted) return std::string();
    const std::string profile = fmt::format("lxmgr-{}-{}", name, uuid);
    LX_TRY(note_profile(context.run_dir(name) + kProfileFile, profile));
    failpoint("instances.apparmor.written");
    if (auto loaded = load(context, profile, expanded, rules); !loaded) {
        unload_apparmor(context.run_dir(name));
        return std::unexpected(std::move(loaded).error());
    }
    return profile;
}

void unload_apparmor(const std::string& run_dir) {
    const std::string path = run_dir + kProfileFile;
    if (::access(path.c_str(), F_OK) != 0) return;
    const std::string name = noted_profile(path);
    if (auto removed = remove_apparmor_profile(name); !removed) {
        log::warn("AppArmor profile not removed", {{"profile", name}, {"error", removed.error().message}});
        return;
    }
    ::unlink(path.c_str());
}

Result<> update_apparmor(Context& context, const std::string& name, const ExpandedInstance& before,
                         const ExpandedInstance& after, Revert& undo) {
    const auto same = [&](const char* key) {
        return api::value_of(before.config, key) == api::value_of(after.config, key);
    };
    if (same(kKey) && same("security.nesting")) return {};
    LX_TRY_AS(const std::string rules, apparmor_rules(api::value_of(after.config, kKey)));
    LX_TRY_AS(const std::string old_rules, apparmor_rules(api::value_of(before.config, kKey)));
    const std::string path = context.run_dir(name) + kProfileFile;
    if (::access(path.c_str(), F_OK) != 0) return {};
    const std::string profile = noted_profile(path);
    // The kernel keeps the old one when a new one is refused.
    LX_TRY(load(context, profile, after.config, rules));
    undo.add([&context, name, profile, config = before.config, old_rules] {
        if (auto undone = load(context, profile, config, old_rules); !undone)
            log::error("AppArmor profile not restored",
                       {{"instance", name}, {"error", undone.error().message}});
    });
    return {};
}

void note_apparmor(Context& context) {
    std::optional<std::string> problem;
    if (host_has_apparmor() && apparmor_parser().empty())
        problem =
            "apparmor_parser is not installed (Debian package apparmor): instances start without a profile";
    context.apparmor_problem.note(context, problem);
}

void recover_apparmor(Context& context, const std::string& name, const api::ConfigMap& expanded) {
    const std::string path = context.run_dir(name) + kProfileFile;
    if (::access(path.c_str(), F_OK) != 0) return;
    Result<> loaded;
    if (const auto rules = apparmor_rules(api::value_of(expanded, kKey)); !rules) {
        loaded = std::unexpected(rules.error());
    } else {
        loaded = load(context, noted_profile(path), expanded, *rules);
    }
    if (!loaded)
        log::warn("AppArmor profile not recovered", {{"instance", name}, {"error", loaded.error().message}});
}

}  // namespace lxmgr::instances
