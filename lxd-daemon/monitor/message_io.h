#pragma once
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "lxd-daemon/monitor/wire.h"

/// One message with its descriptors over a SEQPACKET socket. Inline, since daemon and monitor are linked
/// apart.
namespace lxmgr::wire {

/// Descriptors that came with a message; those not taken are closed.
class ReceivedFds {
public:
    ReceivedFds() = default;
    ReceivedFds(const ReceivedFds&) = delete;
    ReceivedFds& operator=(const ReceivedFds&) = delete;
    ~ReceivedFds() { clear(); }
    [[nodiscard]] std::size_t count() const { return count_; }
    /// The descriptor, which the caller owns now; -1 when there is none.
    int take(std::size_t index) {
        if (index >= count_) return -1;
        const int fd = fds_[index];
        fds_[index] = -1;
        return fd;
    }
    [[nodiscard]] const int* all() const { return fds_; }
    void add(int fd) {
        if (count_ < kMaxFds) {
            fds_[count_++] = fd;
        } else {
            ::close(fd);
        }
    }
    void clear() {
        for (std::size_t i = 0; i < count_; ++i) {
            if (fds_[i] >= 0) ::close(fds_[i]);
        }
        count_ = 0;
    }

private:
    int fds_[kMaxFds];
    std::size_t count_ = 0;
};

/// @return 0, or an errno. EMSGSIZE: more than the socket's send buffer holds.
inline int send_raw(int socket, const void* data, std::size_t size, const int* fds, std::size_t fd_count,
                    int flags = 0) {
    if (fd_count > kMaxFds) return EINVAL;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
    iovec part{const_cast<void*>(data), size};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd_count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        cmsghdr* const rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        std::memcpy(CMSG_DATA(rights), fds, sizeof(int) * fd_count);
    }
    for (;;) {
        if (::sendmsg(socket, &message, MSG_NOSIGNAL | flags) >= 0) return 0;
        if (errno != EINTR) return errno;
    }
}

inline int send_message(int socket, const Writer& writer, const int* fds = nullptr, std::size_t fd_count = 0,
                        int flags = 0) {
    if (!writer.ok()) return EMSGSIZE;
    return send_raw(socket, writer.data(), writer.size(), fds, fd_count, flags);
}

/// @return bytes received; 0 at the end of the connection; -errno otherwise. A message that did not fit is
/// -EMSGSIZE.
inline long receive_message(int socket, void* buffer, std::size_t capacity, ReceivedFds& fds, int flags = 0) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
    iovec part{buffer, capacity};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t received = 0;
    do {
        received = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);
    } while (received < 0 && errno == EINTR);
    if (received < 0) return -errno;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            fds.add(fd);
        }
    }
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return -EMSGSIZE;
    return received;
}

/// A message of a type and up to four numbers, as most are.
inline int send_numbers(int socket, Type type, const std::uint32_t* values, std::size_t count,
                        const int* fds = nullptr, std::size_t fd_count = 0, int flags = 0) {
    char buffer[sizeof(Header) + 16];
    Writer writer(buffer, sizeof buffer, type);
    for (std::size_t i = 0; i < count; ++i) writer.u32(values[i]);
    return send_message(socket, writer, fds, fd_count, flags);
}

}  // namespace lxmgr::wire
