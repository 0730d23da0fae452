#pragma once
#include <optional>
#include <string>

struct archive_entry;

namespace lxmgr::images {

/// The value of system.posix_acl_access or system.posix_acl_default (layout: linux/posix_acl_xattr.h, version
/// 2) for the ACL that libarchive found in a pax header. None when the entry has no such ACL, or only the
/// three classes that the mode holds already. Users and groups given by name only are left out: names mean
/// nothing outside the image.
/// @param type  ARCHIVE_ENTRY_ACL_TYPE_ACCESS or ARCHIVE_ENTRY_ACL_TYPE_DEFAULT
std::optional<std::string> posix_acl_xattr(archive_entry* entry, int type);

}  // namespace lxmgr::images
