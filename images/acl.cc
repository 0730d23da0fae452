#include "images/acl.h"

#include <archive.h>
#include <archive_entry.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace lxmgr::images {
namespace {

struct AclEntry {
    std::uint16_t tag;
    std::uint16_t permissions;
    std::uint32_t id;
};

std::optional<std::uint16_t> kernel_tag(int tag) {
    switch (tag) {
        case ARCHIVE_ENTRY_ACL_USER_OBJ:
            return ACL_USER_OBJ;
        case ARCHIVE_ENTRY_ACL_USER:
            return ACL_USER;
        case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
            return ACL_GROUP_OBJ;
        case ARCHIVE_ENTRY_ACL_GROUP:
            return ACL_GROUP;
        case ARCHIVE_ENTRY_ACL_MASK:
            return ACL_MASK;
        case ARCHIVE_ENTRY_ACL_OTHER:
            return ACL_OTHER;
        default:
            return std::nullopt;
    }
}

std::vector<AclEntry> read_acl(archive_entry* entry, int type) {
    std::vector<AclEntry> out;
    int entry_type = 0, permset = 0, tag = 0, id = 0;
    const char* name = nullptr;
    archive_entry_acl_reset(entry, type);
    while (archive_entry_acl_next(entry, type, &entry_type, &permset, &tag, &id, &name) == ARCHIVE_OK) {
        const auto kernel = kernel_tag(tag);
        if (!kernel) continue;
        const bool named = *kernel == ACL_USER || *kernel == ACL_GROUP;
        if (named && id < 0) continue;
        out.push_back(
            {*kernel, static_cast<std::uint16_t>(permset & 7),
             named ? static_cast<std::uint32_t>(id) : static_cast<std::uint32_t>(ACL_UNDEFINED_ID)});
    }
    return out;
}

template <typename T>
void append_le(std::string& out, T value) {
    for (std::size_t i = 0; i < sizeof value; ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

}  // namespace

std::optional<std::string> posix_acl_xattr(archive_entry* entry, int type) {
    if (archive_entry_acl_count(entry, type) == 0) return std::nullopt;
    std::vector<AclEntry> acl = read_acl(entry, type);
    const auto is_class = [](const AclEntry& e) {
        return e.tag == ACL_USER_OBJ || e.tag == ACL_GROUP_OBJ || e.tag == ACL_OTHER;
    };
    const bool minimal = std::ranges::all_of(acl, is_class);
    if (acl.empty() || (minimal && type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS)) return std::nullopt;
    // The kernel wants this order (posix_acl_valid() in fs/posix_acl.c); the tags' values follow it.
    std::ranges::stable_sort(acl, [](const AclEntry& a, const AclEntry& b) {
        return a.tag != b.tag ? a.tag < b.tag : a.id < b.id;
    });
    std::string out;
    append_le(out, static_cast<std::uint32_t>(POSIX_ACL_XATTR_VERSION));
    for (const auto& e : acl) {
        append_le(out, e.tag);
        append_le(out, e.permissions);
        append_le(out, e.id);
    }
    return out;
}

}  // namespace lxmgr::images
