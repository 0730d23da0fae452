#include "profiles/checks.h"
#include "profiles/key_tables.h"

namespace lxmgr::profiles {
namespace {

constexpr ConfigKey kServerKeys[] = {
    {KeyScope::server, "user.*", "string", "", Live::yes, check::text, "Free-form data of the user."},
};

}  // namespace

std::span<const ConfigKey> server_keys() { return kServerKeys; }

}  // namespace lxmgr::profiles
