#pragma once

/// The descriptors that the daemon gives lxmgr-rsync.
namespace lxmgr::rsync {

inline constexpr int kTree = 3;      ///< a detached mount: what is sent or received
inline constexpr int kRootfs = 4;    ///< of an instance: another one, for its directory "rootfs"
inline constexpr int kHandover = 5;  ///< a socket that takes the ends of rsync's remote shell; to send only

/// Where the tree is for rsync.
inline constexpr const char* kTreePath = "/volume/";
/// In place of rsync's arguments.
inline constexpr const char* kWhole = "whole";
/// rsync's remote shell: this program.
inline constexpr const char* kShell = "/shell";

}  // namespace lxmgr::rsync
