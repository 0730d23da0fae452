#pragma once
#include <string>
#include <string_view>

#include "lxd-daemon/instances/context.h"

/// raw.apparmor. An instance needs no AppArmor and runs without a profile; with this key it gets one that
/// allows everything, and the user's rules in it: those that deny are what makes a difference.
namespace lxmgr::instances {

/// The rules as they go into the profile, without comments. A rule cannot end the profile that it stands in.
/// Errors: `bad_request` "raw.apparmor: line 3: ...".
Result<std::string> apparmor_rules(std::string_view text);

/// Loads the profile with apparmor_parser(8). The run directory notes it before that.
/// @param name  of the profile, unique on the host
/// @return the name; empty when raw.apparmor is not set. Errors: `bad_request` when the host has no AppArmor
/// or the parser refuses the rules
Result<std::string> load_apparmor(const std::string& run_dir, const std::string& name,
                                  const api::ConfigMap& expanded);
/// Removes the profile that the run directory speaks of; what cannot be removed is logged.
void unload_apparmor(const std::string& run_dir);
/// Of a running instance: replaces its profile. One that was started without waits for its next start.
Result<> update_apparmor(Context& context, const std::string& name, const ExpandedInstance& before,
                         const ExpandedInstance& after, Revert& undo);

}  // namespace lxmgr::instances
