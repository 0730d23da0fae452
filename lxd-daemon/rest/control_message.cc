#include "lxd-daemon/rest/control_message.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {
namespace {

constexpr int kMaxSignal = 64;

std::unexpected<Error> bad_message() { return fail(Status::bad_request, "Bad control message"); }

/// A terminal size: a number in a string, as LXD's clients send it, or a plain one. 0: not valid.
unsigned short read_size(const nlohmann::json& args, const char* key) {
    const auto found = args.find(key);
    if (found == args.end()) return 0;
    std::uint64_t value = 0;
    if (found->is_string()) value = parse_uint(found->get_ref<const std::string&>()).value_or(0);
    if (found->is_number_unsigned()) value = found->get<std::uint64_t>();
    return value <= 0xffff ? static_cast<unsigned short>(value) : 0;
}

}  // namespace

Result<ControlMessage> parse_control_message(const std::string& text) {
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return bad_message();
    const auto command = json.find("command");
    if (command == json.end() || !command->is_string()) return bad_message();
    ControlMessage message;
    if (*command == "window-resize") {
        const auto args = json.find("args");
        if (args == json.end() || !args->is_object()) return bad_message();
        message.width = read_size(*args, "width");
        message.height = read_size(*args, "height");
        if (message.width == 0 || message.height == 0) return bad_message();
        return message;
    }
    const auto signal = json.find("signal");
    if (*command != "signal" || signal == json.end() || !signal->is_number_integer()) return bad_message();
    const auto number = signal->get<std::int64_t>();
    if (number < 1 || number > kMaxSignal) return bad_message();
    message.kind = ControlMessage::Kind::signal;
    message.signal = static_cast<int>(number);
    return message;
}

}  // namespace lxmgr::rest
