#include "network/netlink.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>

namespace lxmgr::network {
namespace {

constexpr std::size_t kReceiveBytes =
    32768;  // the kernel fills dumps up to this size, NLMSG_GOODSIZE and above
constexpr int kDumpAttempts = 10;

/// What NLMSG_ERROR says; nullopt for a plain acknowledgement. The extended text follows the echoed request.
std::unexpected<Error> refused(const nlmsghdr* message, const std::string& doing) {
    const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(message));
    const int number = -error->error;
    std::string reason = std::generic_category().message(number);
    if ((message->nlmsg_flags & NLM_F_ACK_TLVS) != 0) {
        std::size_t used = sizeof(nlmsgerr);
        if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) used += error->msg.nlmsg_len - NLMSG_HDRLEN;
        used = NLMSG_ALIGN(used);
        const std::size_t payload = message->nlmsg_len - NLMSG_HDRLEN;
        if (used < payload) {
            const NetlinkAttributes attributes(static_cast<const char*>(NLMSG_DATA(message)) + used,
                                               payload - used);
            if (const std::string text = attributes.text(NLMSGERR_ATTR_MSG); !text.empty()) {
                reason += fmt::format(" ({})", text);
            }
        }
    }
    return std::unexpected(Error{Status::internal, fmt::format("{}: {}", doing, reason), number});
}

}  // namespace

void NetlinkMessage::append(const void* data, std::size_t size) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + NLMSG_ALIGN(size));
    std::memcpy(bytes_.data() + at, data, size);
}

void NetlinkMessage::add(std::uint16_t type, const void* data, std::size_t size) {
    const rtattr head{static_cast<std::uint16_t>(RTA_LENGTH(size)), type};
    append(&head, sizeof head);
    append(data, size);
}

void NetlinkMessage::add(std::uint16_t type, std::string_view text) {
    const std::string terminated(text);
    add(type, terminated.c_str(), terminated.size() + 1);
}

std::size_t NetlinkMessage::begin(std::uint16_t type) {
    const std::size_t mark = bytes_.size();
    const rtattr head{0, type};
    append(&head, sizeof head);
    return mark;
}

void NetlinkMessage::end(std::size_t mark) {
    const auto length = static_cast<std::uint16_t>(bytes_.size() - mark);
    std::memcpy(bytes_.data() + mark + offsetof(rtattr, rta_len), &length, sizeof length);
}

std::string_view NetlinkMessage::finish(std::uint32_t sequence, std::uint16_t extra_flags) {
    auto* head = reinterpret_cast<nlmsghdr*>(bytes_.data());
    head->nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
    head->nlmsg_seq = sequence;
    head->nlmsg_flags = static_cast<std::uint16_t>(head->nlmsg_flags | extra_flags);
    return {bytes_.data(), bytes_.size()};
}

NetlinkAttributes::NetlinkAttributes(const nlmsghdr* message, std::size_t header_size)
    : data_(static_cast<const char*>(NLMSG_DATA(message)) + NLMSG_ALIGN(header_size)),
      size_(message->nlmsg_len - std::min<std::size_t>(message->nlmsg_len, NLMSG_SPACE(header_size))) {}

const rtattr* NetlinkAttributes::find(std::uint16_t type) const {
    std::size_t left = size_;
    const auto* attribute = static_cast<const rtattr*>(data_);
    while (left >= sizeof(rtattr) && attribute->rta_len >= sizeof(rtattr) && attribute->rta_len <= left) {
        if ((attribute->rta_type & NLA_TYPE_MASK) == type) return attribute;
        const std::size_t step = std::min<std::size_t>(RTA_ALIGN(attribute->rta_len), left);
        left -= step;
        attribute = reinterpret_cast<const rtattr*>(reinterpret_cast<const char*>(attribute) + step);
    }
    return nullptr;
}

std::string NetlinkAttributes::text(std::uint16_t type) const {
    const rtattr* attribute = find(type);
    if (attribute == nullptr) return {};
    const auto* data = static_cast<const char*>(RTA_DATA(attribute));
    return {data, ::strnlen(data, RTA_PAYLOAD(attribute))};
}

NetlinkAttributes NetlinkAttributes::nested(std::uint16_t type) const {
    const rtattr* attribute = find(type);
    if (attribute == nullptr) return NetlinkAttributes(static_cast<const void*>(nullptr), 0);
    return NetlinkAttributes(static_cast<const void*>(RTA_DATA(attribute)), RTA_PAYLOAD(attribute));
}

Result<NetlinkSocket> NetlinkSocket::open() {
    UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!fd) return fail_errno("socket", "NETLINK_ROUTE");
    // Both only improve the answers, and kernels before 4.12 and 5.0 know them not: failing is no error.
    const int on = 1;
    ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    return NetlinkSocket(std::move(fd));
}

Result<NetlinkSocket> NetlinkSocket::open_in(int netns_fd) {
    std::optional<Result<NetlinkSocket>> opened;
    const auto enter = [&opened, netns_fd] {
        if (::setns(netns_fd, CLONE_NEWNET) == 0) {
            opened = open();
        } else {
            opened = fail_errno("setns", "network namespace");
        }
    };
    try {
        std::thread(enter).join();
    } catch (const std::system_error& error) {
        return fail(Status::unavailable, fmt::format("Entering a network namespace: {}", error.what()));
    }
    return *std::move(opened);
}

Result<> NetlinkSocket::send(NetlinkMessage& message, std::uint16_t flags, const std::string& doing) {
    const std::string_view bytes = message.finish(++sequence_, flags);
    if (::send(fd_.get(), bytes.data(), bytes.size(), 0) < 0) return fail_errno(doing, "");
    return {};
}

Result<NetlinkSocket::Outcome> NetlinkSocket::receive(const std::string& doing, bool multipart,
                                                      const Visitor& visit) {
    const auto buffer = std::make_unique_for_overwrite<char[]>(kReceiveBytes);
    bool interrupted = false;
    for (;;) {
        const ssize_t received = ::recv(fd_.get(), buffer.get(), kReceiveBytes, 0);
        if (received < 0 && errno == EINTR) continue;
        if (received < 0) return fail_errno(doing, "");
        auto left = static_cast<unsigned>(received);
        for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.get()); NLMSG_OK(message, left);
             message = NLMSG_NEXT(message, left)) {
            if (message->nlmsg_seq != sequence_) continue;
            if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
            if (message->nlmsg_type == NLMSG_DONE)
                return interrupted ? Outcome::interrupted : Outcome::finished;
            if (message->nlmsg_type == NLMSG_ERROR) {
                if (static_cast<const nlmsgerr*>(NLMSG_DATA(message))->error != 0)
                    return refused(message, doing);
                return Outcome::finished;
            }
            visit(message);
            if (!multipart) return Outcome::finished;
        }
    }
}

Result<> NetlinkSocket::change(NetlinkMessage message, const std::string& doing) {
    LX_TRY(send(message, NLM_F_ACK, doing));
    LX_TRY(receive(doing, true, [](const nlmsghdr*) {}));
    return {};
}

Result<> NetlinkSocket::get(NetlinkMessage message, const std::string& doing, const Visitor& visit) {
    LX_TRY(send(message, 0, doing));
    LX_TRY(receive(doing, false, visit));
    return {};
}

Result<> NetlinkSocket::dump(const NetlinkMessage& message, const std::string& doing,
                             const std::function<void()>& restart, const Visitor& visit) {
    for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
        restart();
        NetlinkMessage request = message;
        LX_TRY(send(request, NLM_F_DUMP, doing));
        LX_TRY_AS(const Outcome outcome, receive(doing, true, visit));
        if (outcome == Outcome::finished) return {};
    }
    return fail(Status::unavailable,
                fmt::format("{}: interfaces change faster than they can be read", doing));
}

Result<UniqueFd> open_netlink_group(int protocol, int group, std::uint16_t type) {
    UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
    if (!fd) return fail_errno("socket", "AF_NETLINK");
    // The type is at byte 4, in the machine's order; what the filter loads is in the network's.
    std::array<sock_filter, 4> code{{
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(type), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    }};
    const sock_fprog filter{static_cast<unsigned short>(code.size()), code.data()};
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
        return fail_errno("SO_ATTACH_FILTER", "AF_NETLINK");
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
        return fail_errno("Watching", "changes of the network");
    return fd;
}

}  // namespace lxmgr::network
