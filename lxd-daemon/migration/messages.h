#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

/// What two servers say to each other on the control socket, as LXD 5.0.2 encodes it: protobuf messages whose
/// fields were read off its wire. Unknown fields are left out. Every parse_* gives `bad_request` for what is
/// malformed.
namespace lxmgr::migration {

/// A message that is longer is refused.
inline constexpr std::size_t kMaxControlBytes = std::size_t{16} << 20;

/// And so is one with more fields in all, or more snapshots.
inline constexpr std::size_t kMaxFields = 1'000'000, kMaxSnapshots = 10'000;

/// What another server or its rsync says, for people: a line of 1000 bytes at most, without control
/// characters.
std::string shown_text(std::string_view text);

/// How the content of volumes is carried. All servers know rsync.
inline constexpr std::uint64_t kByRsync = 0;

/// One range of ids on the disk of the source: those of `container_first`.. are found at `host_first`...
struct IdEntry {
    bool of_uids = false, of_gids = false;
    std::uint32_t host_first = 0, container_first = 0, count = 0;
    bool operator==(const IdEntry&) const = default;
};

/// A snapshot of an instance or a custom volume.
struct Snapshot {
    std::string name, architecture;  ///< of instances: "x86_64"; empty: not known
    api::ConfigMap config;
    api::DeviceMap devices;
    std::vector<std::string> profiles;
    bool ephemeral = false, stateful = false;
    Time created_at{}, last_used_at{}, expires_at{};  ///< whole seconds; the epoch: never
    /// Our own, where the source offers `streams`: what storage::VolumeStreams::identity() says of it. LXD
    /// leaves it out.
    std::string identity;
    bool operator==(const Snapshot&) const = default;
};

/// What both rsyncs must agree on.
struct RsyncFeatures {
    bool xattrs = false, remove = false, compress = false, bidirectional = false;
    /// Our own: hard links and ACLs, which LXD does not carry. LXD leaves the field out.
    bool faithful = false;
    bool operator==(const RsyncFeatures&) const = default;
};

/// The offer of the source, and what the target makes of it.
struct Header {
    std::uint64_t by = kByRsync;
    std::vector<IdEntry> idmap;               ///< empty: ids on disk are those inside
    std::vector<std::string> snapshot_names;  ///< of the answer: those that are wanted
    std::vector<Snapshot> snapshots;          ///< the same
    std::optional<RsyncFeatures> rsync;
    bool refresh = false;
    bool live = false;  ///< of a source: it wants to carry processes, too
    /// Our own, of a source: fingerprint of the image that the first tree stands on (storage::Driver's
    /// evident_base()). A target that has it begins with it. LXD leaves it out.
    std::string base;
    /// Our own, of a source: it can send a tree whole (rsync.h). Of a target: the first one is to come so, as
    /// there is nothing that it begins with. LXD leaves it out.
    bool whole = false;
    /// Our own: the form in which the source's storage driver can send volumes (storage::VolumeStreams). Of a
    /// target: all come so. LXD leaves it out.
    std::string streams;
    /// Our own, of a target that wants streams: the snapshot that both have, with which the first one begins.
    std::string stream_base;
    bool operator==(const Header&) const = default;
};
Result<Header> parse_header(std::string_view message);
std::string to_wire(const Header& header);

/// The end, as one side sees it.
struct Verdict {
    bool success = false;
    std::string message;  ///< of a failure; shown_text() of what came
};
Result<Verdict> parse_verdict(std::string_view message);
std::string to_wire(const Verdict& verdict);

}  // namespace lxmgr::migration
