#pragma once
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lxd-daemon/base/result.h"

/// Words of the command line that have a form of their own. Errors are usage errors: `bad_request`, a
/// sentence.
namespace lxmgr::cli {

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// "key=value"; the value may be empty and may hold '='.
Result<std::pair<std::string, std::string>> parse_pair(std::string_view text);
Result<Pairs> parse_pairs(const std::vector<std::string>& texts);
/// Words of `config set`: KEY=VALUE..., or exactly KEY VALUE as older LXD has it.
Result<Pairs> parse_settings(const std::vector<std::string>& words);
/// "eth0,ipv4.address=10.0.0.2,mtu=1400" -> device name and its keys.
Result<std::pair<std::string, Pairs>> parse_device(std::string_view text);
/// "dev/etc/hosts" -> {"dev", "/etc/hosts"}.
struct InstancePath {
    std::string instance;
    std::string path;  ///< absolute; keeps a trailing '/'
};
Result<InstancePath> parse_instance_path(std::string_view text);
/// Octal file mode: "644", "0755".
Result<unsigned> parse_mode(std::string_view text);
/// A number from 0; `what` names it in the error.
Result<unsigned> parse_number(std::string_view text, std::string_view what);

}  // namespace lxmgr::cli
