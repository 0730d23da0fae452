#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

/// What the values of snapshots.* mean. Calendar times are in the host's time zone, as LXD's.
namespace lxmgr::profiles {

/// snapshots.expiry: "3d 4H", of M (minutes), H, d, w, m (months), y; each at most once.
/// Errors: `bad_request` saying what is allowed.
Result<Time> expiry_after(std::string_view text, Time from);

/// What made a snapshot: somebody's request, or snapshots.schedule.
enum class SnapshotOrigin { hand, schedule };

/// When a snapshot made now goes, by snapshots.expiry or, of one made by hand, snapshots.expiry.manual where
/// that is set; the epoch: never.
Result<Time> snapshot_expiry(const api::ConfigMap& config, SnapshotOrigin origin, Time created);

/// snapshots.schedule: a cron line of five fields, or aliases with commas between them.
/// The next time after `after`; the epoch when there is none (@never, @startup, 30 February).
Result<Time> next_scheduled(std::string_view text, Time after);
/// @startup: a snapshot is made when the instance starts.
bool is_scheduled_at_startup(std::string_view text);

/// snapshots.pattern: text with at most one "%d", a number that counts up, and "{{
/// creation_date|date:'LAYOUT' }}" with a Go layout such as 2006-01-02_15-04-05. A taken name gets "-0", "-1"
/// and so on. Errors: `bad_request` for anything else between braces.
Result<std::string> expand_snapshot_pattern(std::string_view pattern, Time created);
/// The name for a valid pattern.
std::string snapshot_name(std::string_view pattern, Time created, const std::vector<std::string>& taken);

}  // namespace lxmgr::profiles
