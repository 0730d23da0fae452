#include "lxd-daemon/devices/unplugged.h"

#include "profiles/config_keys.h"

namespace lxmgr::devices {

Result<Started> Unplugged::start(const DeviceContext& context) const {
    Started started;
    LX_TRY_AS(started.volatile_changes, type_.prepare(context));
    return started;
}

bool is_unplugged(const api::ConfigMap& config) {
    const std::string text = api::value_of(config, "attached");
    return !text.empty() && !profiles::parse_bool(text);
}

}  // namespace lxmgr::devices
