#include "lxd-daemon/api/event.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_writer.h"

namespace lxmgr::api {

std::string to_json_text(const Lifecycle& lifecycle, const nlohmann::json& context) {
    std::string out;
    ObjectWriter object(out);
    object.text("action", lifecycle.action);
    object.text("source", lifecycle.source);
    if (!context.is_null()) {
        object.raw("context") += context.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    if (!lifecycle.requestor_json.empty()) object.raw("requestor") += lifecycle.requestor_json;
    object.end();
    return out;
}

}  // namespace lxmgr::api
