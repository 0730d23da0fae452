#include "storage/tree/id_shift.h"

#include <endian.h>
#include <linux/capability.h>

#include <cstring>

namespace lxmgr::storage {
namespace {

constexpr std::uint32_t kNobody = 65534;

std::uint32_t container_id(const std::vector<sys::IdRange>& ranges, std::uint32_t host) {
    for (const auto& range : ranges) {
        if (host >= range.host_first && host - range.host_first < range.count) {
            return range.container_first + (host - range.host_first);
        }
    }
    return kNobody;
}

std::uint32_t load32(const std::string& text, std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, text.data() + at, sizeof value);
    return le32toh(value);
}

std::uint16_t load16(const std::string& text, std::size_t at) {
    std::uint16_t value = 0;
    std::memcpy(&value, text.data() + at, sizeof value);
    return le16toh(value);
}

void store32(std::string& text, std::size_t at, std::uint32_t value) {
    value = htole32(value);
    std::memcpy(text.data() + at, &value, sizeof value);
}

}  // namespace

std::uint32_t IdShift::uid(std::uint32_t on_disk) const {
    const std::uint32_t inside = from_ == nullptr ? on_disk : container_id(from_->uids, on_disk);
    return to_ == nullptr ? inside : to_->host_uid(inside);
}

std::uint32_t IdShift::gid(std::uint32_t on_disk) const {
    const std::uint32_t inside = from_ == nullptr ? on_disk : container_id(from_->gids, on_disk);
    return to_ == nullptr ? inside : to_->host_gid(inside);
}

std::string IdShift::xattr(std::string_view name, std::string value) const {
    if (name == "system.posix_acl_access" || name == "system.posix_acl_default") return acl(std::move(value));
    if (name == "security.capability") return capability(std::move(value));
    return value;
}

std::string IdShift::acl(std::string value) const {
    constexpr std::size_t kHeader = 4, kEntry = 8;  // le32 version; then le16 tag, le16 permissions, le32 id
    constexpr std::uint16_t kUser = 0x02, kGroup = 0x08;
    for (std::size_t at = kHeader; at + kEntry <= value.size(); at += kEntry) {
        const std::uint16_t tag = load16(value, at);
        if (tag == kUser) store32(value, at + 4, uid(load32(value, at + 4)));
        if (tag == kGroup) store32(value, at + 4, gid(load32(value, at + 4)));
    }
    return value;
}

std::string IdShift::capability(std::string value) const {
    if (value.size() != XATTR_CAPS_SZ_2 && value.size() != XATTR_CAPS_SZ_3) return value;
    const bool has_root = value.size() == XATTR_CAPS_SZ_3;
    if (!has_root && from_ != nullptr) return value;  // the host's own, no guest's
    const std::uint32_t flags = load32(value, 0) & VFS_CAP_FLAGS_MASK;
    const std::uint32_t root = uid(has_root ? load32(value, XATTR_CAPS_SZ_2) : 0);
    value.resize(root == 0 ? XATTR_CAPS_SZ_2 : XATTR_CAPS_SZ_3);
    store32(value, 0, flags | (root == 0 ? VFS_CAP_REVISION_2 : VFS_CAP_REVISION_3));
    if (root != 0) store32(value, XATTR_CAPS_SZ_2, root);
    return value;
}

}  // namespace lxmgr::storage
