#include "lxmgr/descriptors.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace lxmgr::cli {

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(n));
        } else if (errno == EAGAIN) {
            pollfd poll{fd, POLLOUT, 0};
            ::poll(&poll, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

}  // namespace lxmgr::cli
