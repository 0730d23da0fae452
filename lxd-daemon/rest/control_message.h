#pragma once
#include <cstddef>
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::rest {

constexpr std::size_t kMaxControlMessage = 65536;

/// What a client says on the control websocket of exec and console:
/// {"command":"window-resize","args":{"width":"120","height":"40"}} or {"command":"signal","signal":15}.
struct ControlMessage {
    enum class Kind { resize, signal } kind = Kind::resize;
    unsigned short width = 0, height = 0;
    int signal = 0;  ///< 1..64
};
/// Errors: `bad_request` for everything else.
Result<ControlMessage> parse_control_message(const std::string& text);

}  // namespace lxmgr::rest
