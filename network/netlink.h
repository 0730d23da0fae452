#pragma once
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// rtnetlink(7) in the small: build a message, send it, read the acknowledgement or the dump.
namespace lxmgr::network {

/// One request. `Header` is the family header that follows nlmsghdr (ifinfomsg, ifaddrmsg, rtmsg, rtgenmsg).
class NetlinkMessage {
public:
    template <typename Header>
    NetlinkMessage(std::uint16_t type, std::uint16_t flags, const Header& header) {
        const nlmsghdr head{0, type, static_cast<std::uint16_t>(flags | NLM_F_REQUEST), 0, 0};
        append(&head, sizeof head);
        append(&header, sizeof header);
    }
    void add(std::uint16_t type, const void* data, std::size_t size);
    void add(std::uint16_t type, std::string_view text);  ///< with the NUL that the kernel wants
    void add_u32(std::uint16_t type, std::uint32_t value) { add(type, &value, sizeof value); }
    /// Opens a nested attribute; end() closes the one begun at `mark`.
    [[nodiscard]] std::size_t begin(std::uint16_t type);
    void end(std::size_t mark);
    /// Raw bytes inside a nest, as VETH_INFO_PEER has them before its attributes.
    template <typename Struct>
    void add_struct(const Struct& value) {
        append(&value, sizeof value);
    }
    /// The finished bytes, with length and sequence number set.
    std::string_view finish(std::uint32_t sequence, std::uint16_t extra_flags);

private:
    void append(const void* data, std::size_t size);
    std::vector<char> bytes_;
};

/// The attributes of a message, found by type.
class NetlinkAttributes {
public:
    NetlinkAttributes(const void* data, std::size_t size) : data_(data), size_(size) {}
    /// Of a message whose family header has `header_size` bytes.
    NetlinkAttributes(const nlmsghdr* message, std::size_t header_size);
    [[nodiscard]] const rtattr* find(std::uint16_t type) const;
    [[nodiscard]] std::string text(std::uint16_t type) const;  ///< empty when absent
    [[nodiscard]] NetlinkAttributes nested(std::uint16_t type) const;
    /// The attribute's value when it is there and long enough, else `fallback`.
    template <typename T>
    [[nodiscard]] T value(std::uint16_t type, T fallback) const {
        const rtattr* attribute = find(type);
        if (attribute == nullptr || RTA_PAYLOAD(attribute) < sizeof(T)) return fallback;
        T out;
        std::memcpy(&out, RTA_DATA(attribute), sizeof out);
        return out;
    }

private:
    const void* data_;
    std::size_t size_;
};

/// A socket in a multicast group of a netlink protocol (RTNLGRP_LINK of NETLINK_ROUTE), of whose messages
/// only those of one type arrive. It does not block.
Result<UniqueFd> open_netlink_group(int protocol, int group, std::uint16_t type);

/// A NETLINK_ROUTE socket in the network namespace of the calling thread; it stays there for its life.
class NetlinkSocket {
public:
    using Visitor = std::function<void(const nlmsghdr*)>;
    static Result<NetlinkSocket> open();
    /// A socket in another namespace, which it stays in. A short-lived thread enters it: the caller's never
    /// leaves its own.
    static Result<NetlinkSocket> open_in(int netns_fd);
    /// Sends a change and waits for its acknowledgement. The error's message is "<doing>: <reason>", with the
    /// kernel's own explanation (NETLINK_EXT_ACK, 4.12) where it gives one; sys_errno is the kernel's.
    Result<> change(NetlinkMessage message, const std::string& doing);
    /// Sends a query that has one answer.
    Result<> get(NetlinkMessage message, const std::string& doing, const Visitor& visit);
    /// Sends a dump request and visits every answer. `restart` is called first, and again whenever the kernel
    /// says that the dump was disturbed by a change and must be repeated.
    Result<> dump(const NetlinkMessage& message, const std::string& doing,
                  const std::function<void()>& restart, const Visitor& visit);

private:
    explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}
    enum class Outcome { finished, interrupted };
    Result<> send(NetlinkMessage& message, std::uint16_t flags, const std::string& doing);
    Result<Outcome> receive(const std::string& doing, bool multipart, const Visitor& visit);

    UniqueFd fd_;
    std::uint32_t sequence_ = 0;
};

}  // namespace lxmgr::network
