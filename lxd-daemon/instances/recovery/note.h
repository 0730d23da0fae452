#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "lxd-daemon/instances/context.h"

/// Private to the room: backup.yaml, which stands beside the root of every instance, custom volume and
/// snapshot, and says what its row says. It is for who has lost the database; nothing else reads it. The
/// first line is a comment with a digest of what it was made of. Not synced by itself: a power cut may bring
/// back an older one.
namespace lxmgr::instances {

inline constexpr const char* kNoteFile = "backup.yaml";

// Each writes the note unless the one that is there says the same. An absent volume is success.
Result<> write_note(Context& context, const database::InstanceRecord& record);
Result<> write_note(Context& context, const database::InstanceRecord& record,
                    const database::SnapshotRecord& snapshot);
Result<> write_note(Context& context, const database::VolumeRecord& record);
Result<> write_note(Context& context, const database::VolumeRecord& record,
                    const database::VolumeSnapshotRecord& snapshot);

/// Null when there is none, or it cannot be read: a broken one is logged.
nlohmann::json read_note(storage::Driver& driver, const storage::Volume& volume);
/// The same of an open directory; `name` is for the log.
nlohmann::json read_note(int directory, const std::string& name);

}  // namespace lxmgr::instances
