#include "lxd-daemon/rest/lifecycle.h"

#include "lxd-daemon/api/event.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/events/hub.h"

namespace lxmgr::rest {

void publish_lifecycle(Services& services, const std::string& requestor, const std::string& action,
                       const std::string& url, const nlohmann::json& context) {
    if (services.hub.idle(events::Kind::lifecycle)) return;
    const auto shown = api::split_url(url);
    services.hub.publish(events::Kind::lifecycle, shown.project,
                         api::to_json_text({action, shown.url, requestor}, context));
}

void publish_server_lifecycle(Services& services, const std::string& requestor, const std::string& action,
                              const std::string& url) {
    if (services.hub.idle(events::Kind::lifecycle)) return;
    services.hub.publish(events::Kind::lifecycle, "", api::to_json_text({action, url, requestor}, nullptr));
}

}  // namespace lxmgr::rest
