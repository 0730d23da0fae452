#include "lxd-daemon/instances/apparmor.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kKey = "raw.apparmor";
/// In the run directory: the profile, as the parser reads it.
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

/// Of a profile as profile() writes it.
std::string name_in(const std::string& text) {
    const auto begin = text.find('"') + 1;
    return text.substr(begin, text.find('"', begin) - begin);
}

/// apparmor.d(5). What a guest's processes have open from outside has no path in its tree.
std::string profile(const std::string& name, const std::string& rules) {
    return fmt::format(
        "profile \"{}\" flags=(attach_disconnected,mediate_deleted) {{\n"
        "  capability,\n  dbus,\n  file,\n  mount,\n  network,\n  pivot_root,\n  ptrace,\n  remount,\n"
        "  signal,\n  umount,\n  unix,\n{}}}\n",
        name, rules);
}

Result<> require_apparmor() {
    const auto enabled = read_file("/sys/module/apparmor/parameters/enabled");
    if (enabled && enabled->starts_with("Y")) return {};
    return fail(Status::bad_request,
                fmt::format("{}: this host has no AppArmor: unset the key, or enable AppArmor", kKey));
}

Result<> parse_into_kernel(const std::string& path) {
    auto loaded = run_checked({.argv = {"apparmor_parser", "--replace", "--skip-cache", path}});
    if (loaded) return {};
    if (loaded.error().status == Status::not_found)
        return fail(Status::bad_request,
                    fmt::format("{}: apparmor_parser is missing: install apparmor", kKey));
    return fail(Status::bad_request, fmt::format("{}: {}", kKey, loaded.error().message));
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

Result<std::string> load_apparmor(const std::string& run_dir, const std::string& name,
                                  const api::ConfigMap& expanded) {
    LX_TRY_AS(const std::string rules, apparmor_rules(api::value_of(expanded, kKey)));
    if (rules.empty()) return std::string();
    LX_TRY(require_apparmor());
    const std::string path = run_dir + kProfileFile;
    LX_TRY(write_file_atomic(path, profile(name, rules)));
    failpoint("instances.apparmor.written");
    if (auto loaded = parse_into_kernel(path); !loaded) {
        unload_apparmor(run_dir);
        return std::unexpected(std::move(loaded).error());
    }
    return name;
}

void unload_apparmor(const std::string& run_dir) {
    const std::string path = run_dir + kProfileFile;
    if (::access(path.c_str(), F_OK) != 0) return;
    // It may not have been loaded yet when a daemon died: then this fails, and there is nothing to remove.
    const std::string name = name_in(read_file(path).value_or(""));
    const auto known = read_file("/sys/kernel/security/apparmor/profiles").value_or("");
    if (known.find(name + " (") != std::string::npos) {
        if (auto removed = run_checked({.argv = {"apparmor_parser", "--remove", path}}); !removed) {
            log::warn("AppArmor profile not removed",
                      {{"profile", name}, {"error", removed.error().message}});
            return;
        }
    }
    ::unlink(path.c_str());
}

Result<> update_apparmor(Context& context, const std::string& name, const ExpandedInstance& before,
                         const ExpandedInstance& after, Revert& undo) {
    if (api::value_of(before.config, kKey) == api::value_of(after.config, kKey)) return {};
    LX_TRY_AS(const std::string rules, apparmor_rules(api::value_of(after.config, kKey)));
    const std::string path = context.run_dir(name) + kProfileFile;
    if (::access(path.c_str(), F_OK) != 0) return {};
    LX_TRY_AS(const std::string old, read_file(path));
    const auto replace = [path](const std::string& text) -> Result<> {
        LX_TRY(write_file_atomic(path, text));
        return parse_into_kernel(path);
    };
    const auto put_back = [replace, old, name] {
        if (auto undone = replace(old); !undone)
            log::error("AppArmor profile not restored",
                       {{"instance", name}, {"error", undone.error().message}});
    };
    if (auto replaced = replace(profile(name_in(old), rules)); !replaced) {
        put_back();
        return replaced;
    }
    undo.add(put_back);
    return {};
}

}  // namespace lxmgr::instances
