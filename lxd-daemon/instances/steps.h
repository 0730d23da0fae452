#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "lxd-daemon/operations/operation.h"

/// Private to the room: how a step on one instance becomes an operation.
namespace lxmgr::instances {

/// The body of most operations: a step that gives nothing back.
inline operations::Body step(std::function<Result<>(std::stop_token stop)> work) {
    return [work = std::move(work)](operations::Operation&, std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY(work(std::move(stop)));
        return nlohmann::json(nullptr);
    };
}

/// Named and locked for one instance; the caller adds the body.
inline operations::Request request_for(std::string description, const std::string& name,
                                       const std::string& requestor) {
    operations::Request request;
    request.description = std::move(description);
    request.resources = {{"instances", {name}}};
    request.locks = {"instance:" + name};
    request.requestor = requestor;
    return request;
}

}  // namespace lxmgr::instances
