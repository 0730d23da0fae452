#pragma once
#include "lxmgr/command.h"
#include "lxmgr/object.h"

/// `config device ...` and `profile device ...`: the same verbs on instances and profiles.
namespace lxmgr::cli {

using ObjectOf = Object (*)(const std::string& name);

/// Each takes the words of `args`: NAME, DEVICE, and what the verb needs.
Result<int> device_list(Client& client, const Args& args, ObjectOf object_of);
Result<int> device_show(Client& client, const Args& args, ObjectOf object_of);
Result<int> device_add(Client& client, const Args& args, ObjectOf object_of);
Result<int> device_remove(Client& client, const Args& args, ObjectOf object_of);
Result<int> device_get(Client& client, const Args& args, ObjectOf object_of);
Result<int> device_set(Client& client, const Args& args, ObjectOf object_of);
Result<int> device_unset(Client& client, const Args& args, ObjectOf object_of);
/// Copies a device of the profiles to the instance, so that it can differ there.
Result<int> device_override(Client& client, const Args& args, ObjectOf object_of);

}  // namespace lxmgr::cli
