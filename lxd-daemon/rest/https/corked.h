#pragma once
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstddef>

namespace lxmgr::rest {

/// While it lives, several TLS records go out in packets as large as can be, not in one for each; what is
/// left goes at its end: tcp(7), TCP_CORK. Nobody may wait meanwhile. Does nothing for a single record.
class Corked {
public:
    Corked(int fd, std::size_t bytes) : fd_(bytes > kRecordBytes ? fd : -1) { set(1); }
    ~Corked() { set(0); }
    Corked(Corked&&) = delete;

private:
    static constexpr std::size_t kRecordBytes = 16384;
    void set(int on) const {
        if (fd_ >= 0) ::setsockopt(fd_, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
    }
    int fd_;
};

}  // namespace lxmgr::rest
