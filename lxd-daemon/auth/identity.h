#pragma once
#include <algorithm>
#include <string>
#include <vector>

/// Who sends a request, and what that makes of it. What each endpoint needs stands in its Route.
namespace lxmgr::auth {

enum class Who {
    untrusted,
    guest,    ///< an instance that asks about itself
    metrics,  ///< a certificate of type "metrics": may read the metrics and nothing else
    client,   ///< a trusted certificate
    local     ///< whoever may open the unix socket
};

struct Identity {
    Who who = Who::untrusted;
    bool restricted = false;            ///< to `projects`
    std::vector<std::string> projects;  ///< of a restricted client
    std::string fingerprint;            ///< of the client's certificate, trusted or not; empty: it has none
    std::string address;                ///< IP address without the port; empty: local

    [[nodiscard]] bool is_admin() const { return who == Who::local || (who == Who::client && !restricted); }
    /// May use the objects of the project.
    [[nodiscard]] bool may_use(const std::string& project) const {
        return is_admin() || (who == Who::client && std::ranges::find(projects, project) != projects.end());
    }
};

}  // namespace lxmgr::auth
