#pragma once
#include <mutex>
#include <string>

#include "lxd-daemon/base/result.h"

/// AppArmor profiles as text and in the kernel. What the parser makes of a text is kept, so that only the
/// first start of a kind of instance waits for it; the kernel is told by its files, without a program.
namespace lxmgr::instances {

struct AppArmorKind {
    bool privileged = false;
    bool nesting = false;
    bool operator==(const AppArmorKind&) const = default;
};

/// apparmor.d(5): allows everything but what reaches the host past the namespaces, and what `rules` deny.
/// @param rules  as apparmor_rules() returns them
std::string apparmor_profile(const std::string& name, const AppArmorKind& kind, const std::string& rules);

/// True where profiles can be loaded: AppArmor is on, and this is not a container of another manager's.
bool host_has_apparmor();
/// Where apparmor_parser(8) is; empty: not installed.
std::string apparmor_parser();

/// Compiles profiles, and keeps what came of it in a directory.
class AppArmorPolicies {
public:
    explicit AppArmorPolicies(std::string directory) : directory_(std::move(directory)) {}
    /// Loads a profile into the kernel, or replaces it there.
    /// Errors: `bad_request` with the parser's words
    Result<> load(const std::string& name, const AppArmorKind& kind, const std::string& rules);

private:
    Result<std::string> compiled(const std::string& text, bool afresh);

    std::string directory_;
    std::mutex
        mutex_;  ///< held while one is compiled: starts side by side wait for it instead of doing it, too
};

/// An absent profile is success.
Result<> remove_apparmor_profile(const std::string& name);

}  // namespace lxmgr::instances
