#include "images/image_layout.h"

#include <fmt/format.h>

namespace lxmgr::images {

bool in_rootfs(std::string_view path) {
    std::string copy(path);
    return strip_prefix(copy, kRootfsName);
}

Result<> to_rootfs(Entry& entry) {
    if (!strip_prefix(entry.path, kRootfsName)) return refuse(entry.path, "is outside of rootfs/");
    if (entry.type == EntryType::hard_link && !strip_prefix(entry.link_target, kRootfsName)) {
        return refuse(entry.path, "is a hard link out of rootfs/");
    }
    return {};
}

Result<> RootfsFilter::apply(Entry& entry) {
    if (!prefixed_ && !entry.path.empty()) prefixed_ = in_rootfs(entry.path);
    if (entry.path.empty() || !*prefixed_) return {};
    return to_rootfs(entry);
}

Result<bool> check_template(const Entry& entry) {
    if (entry.path.empty()) {
        if (entry.type != EntryType::directory) return refuse(kTemplatesName, "is no directory");
        return false;
    }
    if (entry.path.contains('/')) return refuse(entry.path, "is in a directory below templates/");
    if (entry.type != EntryType::file) return refuse(entry.path, "is in templates/ and no regular file");
    if (entry.size_bytes > kMaxTemplateBytes) return refuse(entry.path, "is a template that is too large");
    return true;
}

}  // namespace lxmgr::images
