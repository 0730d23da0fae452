#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "lxmgr/client.h"
#include "lxmgr/options.h"

/// What instances, profiles, networks, pools and the server have in common: they are read, changed key by key
/// and edited.
namespace lxmgr::cli {

struct Object {
    const char* noun;                       ///< "instance"
    std::string name;                       ///< empty: the server itself
    std::string path;                       ///< "/1.0/instances/dev"
    const char* list_command;               ///< "lxmgr list": where a user finds the right name
    std::span<const char* const> writable;  ///< keys of its PUT body
};

/// Of "dev", or of the snapshot "dev/before-upgrade".
Object instance_object(const std::string& name);
Object profile_object(const std::string& name);
Object project_object(const std::string& name);
Object network_object(const std::string& name);
Object pool_object(const std::string& name);
/// Of "data", or of its snapshot "data/before-upgrade".
Object volume_object(const std::string& pool, const std::string& name);
/// @param name  as the user said it
Object image_object(const std::string& name, const std::string& fingerprint);
Object server_object();

/// "instance 'dev'".
std::string title(const Object& object);
/// The error as a sentence about this object: a 404 says that it does not exist and where to look.
Error explain(const Object& object, std::string_view doing, Error error);

/// The object. Errors: explained.
Result<Json> read_object(Client& client, const Object& object);
/// Reads, changes and writes back (PUT with If-Match); when another client was faster, reads again and
/// retries.
Result<> change_object(Client& client, const Object& object, const std::function<Result<>(Json&)>& change);
/// YAML from stdin, or, on a terminal, the user's editor until what was written is accepted or given up.
Result<> edit_object(Client& client, const Object& object);
/// Only the writable keys of it.
Json writable_part(const Object& object, const Json& value);

/// `config` values by key.
Result<> set_config(Client& client, const Object& object, const Pairs& settings);
Result<> unset_config(Client& client, const Object& object, const std::string& key);
/// Prints the value of a key (an empty line when it is not set).
Result<> print_config(Client& client, const Object& object, const std::string& key, bool expanded);

/// A string member; empty when absent or not a string.
std::string text_member(const Json& object, std::string_view key);
/// A member; null when absent.
const Json& member(const Json& object, std::string_view key);

}  // namespace lxmgr::cli
