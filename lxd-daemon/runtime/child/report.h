#pragma once
#include <cerrno>

#include "lxd-daemon/monitor/message_io.h"
#include "lxd-daemon/monitor/steps.h"

namespace lxmgr::child {

/// How code after clone3 fails: it tells the monitor {step, errno, detail} and ends. No heap, no logs, no
/// exceptions.
class Report {
public:
    explicit Report(int socket) : socket_(socket) {}
    [[noreturn]] void fail(wire::Step step, std::uint32_t detail = 0) const {
        const std::uint32_t values[] = {static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(errno),
                                        detail};
        wire::send_numbers(socket_, wire::Type::failed, values, 3);
        ::_exit(1);
    }
    void require(bool good, wire::Step step, std::uint32_t detail = 0) const {
        if (!good) fail(step, detail);
    }

private:
    int socket_;
};

}  // namespace lxmgr::child
