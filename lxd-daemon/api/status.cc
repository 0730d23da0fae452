#include "lxd-daemon/api/types.h"

namespace lxmgr::api {

const char* status_text(StatusCode code) {
    switch (code) {
        case StatusCode::operation_created:
            return "Operation created";
        case StatusCode::started:
            return "Started";
        case StatusCode::stopped:
            return "Stopped";
        case StatusCode::running:
            return "Running";
        case StatusCode::cancelling:
            return "Cancelling";
        case StatusCode::pending:
            return "Pending";
        case StatusCode::starting:
            return "Starting";
        case StatusCode::stopping:
            return "Stopping";
        case StatusCode::aborting:
            return "Aborting";
        case StatusCode::freezing:
            return "Freezing";
        case StatusCode::frozen:
            return "Frozen";
        case StatusCode::thawed:
            return "Thawed";
        case StatusCode::error:
            return "Error";
        case StatusCode::ready:
            return "Ready";
        case StatusCode::success:
            return "Success";
        case StatusCode::failure:
            return "Failure";
        case StatusCode::cancelled:
            return "Cancelled";
    }
    return "Error";
}

}  // namespace lxmgr::api
