#include <algorithm>
#include <array>

#include "profiles/checks.h"
#include "profiles/key_tables.h"

namespace lxmgr::profiles {
namespace {

constexpr auto B = KeyScope::unix_block;

constexpr auto keys_of(KeyScope scope) {
    return std::to_array<ConfigKey>({
        {scope, "gid", "integer", "0", Live::yes, check::owner_id, "Group of the node inside the instance."},
        {scope, "major", "integer", "that of the source", Live::yes, check::device_number,
         "Major number of the device."},
        {scope, "minor", "integer", "that of the source", Live::yes, check::device_number,
         "Minor number of the device."},
        {scope, "mode", "integer", "0660", Live::yes, check::file_mode, "Permissions of the node, octal."},
        {scope, "path", "string", "that of the source", Live::yes, check::absolute_path,
         "Path of the node inside the instance."},
        {scope, "required", "bool", "true", Live::yes, check::boolean,
         "Refuse to start when the source is absent."},
        {scope, "source", "string", "that inside", Live::yes, check::absolute_path,
         "Path of the device on the host."},
        {scope, "uid", "integer", "0", Live::yes, check::owner_id, "Owner of the node inside the instance."},
    });
}
constexpr auto kCharKeys = keys_of(KeyScope::unix_char);
/// Sorted by name: those of the kernel's rates are before all that follow gid.
constexpr auto block_keys() {
    constexpr auto shared = keys_of(B);
    constexpr ConfigKey rates[] = {
        {B, "limits.read", "string", "", Live::yes, check::disk_rate,
         "Largest rate of reading from the device: bytes a second (10MiB) or operations a second (500iops)."},
        {B, "limits.write", "string", "", Live::yes, check::disk_rate,
         "Largest rate of writing to the device."},
    };
    std::array<ConfigKey, shared.size() + std::size(rates)> out{};
    auto at = std::ranges::copy_n(shared.begin(), 1, out.begin()).out;
    at = std::ranges::copy(rates, at).out;
    std::ranges::copy(shared.begin() + 1, shared.end(), at);
    return out;
}
constexpr auto kBlockKeys = block_keys();

}  // namespace

std::span<const ConfigKey> unix_char_keys() { return kCharKeys; }
std::span<const ConfigKey> unix_block_keys() { return kBlockKeys; }

}  // namespace lxmgr::profiles
