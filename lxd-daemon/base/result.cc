#include "lxd-daemon/base/result.h"

#include <fmt/format.h>

#include <system_error>

namespace lxmgr {

std::unexpected<Error> fail_errno(std::string_view call, std::string_view subject) {
    const int number = errno;
    const std::string reason = std::generic_category().message(number);
    std::string message = subject.empty() ? fmt::format("{}: {}", call, reason)
                                          : fmt::format("{} {}: {}", call, subject, reason);
    return std::unexpected(Error{Status::internal, std::move(message), number});
}

Error in(std::string_view doing, Error error) {
    error.message = fmt::format("{}: {}", doing, error.message);
    return error;
}

}  // namespace lxmgr
