#pragma once
#include <string>
#include <string_view>

#include "lxd-daemon/instances/context.h"

/// On a host with AppArmor each instance runs in a profile of its own (apparmor_policy.h), which holds the
/// rules of raw.apparmor, too. Elsewhere it needs none.
namespace lxmgr::instances {

/// The rules as they go into the profile, without comments. A rule cannot end the profile that it stands in.
/// Errors: `bad_request` "raw.apparmor: line 3: ...".
Result<std::string> apparmor_rules(std::string_view text);

/// Loads the instance's profile. The run directory notes it before that.
/// @return its name, unique on the host; empty: none. Errors: `bad_request` when the host has no AppArmor for
/// raw.apparmor, or the parser refuses its rules
Result<std::string> load_apparmor(Context& context, const std::string& name, const std::string& uuid,
                                  const api::ConfigMap& expanded);
/// Warns when this host has AppArmor but no parser, or takes that back; at the daemon's start, and when a
/// start of an instance finds it otherwise.
void note_apparmor(Context& context);
/// Removes the profile that the run directory speaks of; what cannot be removed is logged.
void unload_apparmor(const std::string& run_dir);
/// Of a running instance: replaces its profile. One that was started without waits for its next start.
Result<> update_apparmor(Context& context, const std::string& name, const ExpandedInstance& before,
                         const ExpandedInstance& after, Revert& undo);
/// Of a running instance, by a new daemon: which rules are in force is not known, when a change was cut off.
void recover_apparmor(Context& context, const std::string& name, const api::ConfigMap& expanded);

}  // namespace lxmgr::instances
