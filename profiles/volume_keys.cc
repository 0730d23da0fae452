#include "profiles/checks.h"
#include "profiles/key_tables.h"

namespace lxmgr::profiles {
namespace {

constexpr auto V = KeyScope::volume;

constexpr ConfigKey kVolumeKeys[] = {
    {V, "block.filesystem", "string", "ext4", Live::no, check::file_system,
     "File system of the volume, on pools of driver lvm: ext4, xfs or btrfs."},
    {V, "block.mount_options", "string", "discard", Live::yes, check::text,
     "Mount options of that file system, as mount(8) takes them; taken when it is mounted next."},
    {V, "initial.gid", "integer", "0", Live::no, check::owner_id,
     "Group of a new volume's root directory, as instances see it."},
    {V, "initial.mode", "string", "0711", Live::no, check::file_mode,
     "Permission bits of a new volume's root directory, in octal."},
    {V, "initial.uid", "integer", "0", Live::no, check::owner_id,
     "Owner of a new volume's root directory, as instances see it."},
    {V, "lvm.stripes", "integer", "1", Live::no, check::stripes,
     "Over how many devices of the volume group the volume is spread, on pools of driver lvm. Volumes in "
     "a thin pool are spread as that is."},
    {V, "lvm.stripes.size", "size", "64KiB", Live::no, check::stripe_size,
     "How much goes to one of those devices before the next one's turn: 4KiB or a higher power of two."},
    {V, "security.shared", "bool", "false", Live::yes, check::boolean,
     "Of block volumes: whether several virtual machines may have it at once. There are none here: it goes "
     "along "
     "to servers that have them."},
    {V, "security.shifted", "bool", "false", Live::yes, check::boolean,
     "Show the files to each instance with its own ids: always so here, unless security.unmapped is set."},
    {V, "security.unmapped", "bool", "false", Live::no, check::boolean,
     "Show the files with the ids that they have on disk."},
    {V, "size", "size", "", Live::yes, check::volume_size,
     "Hard limit of what the volume holds, such as 10GiB; 0: none."},
    {V, "snapshots.expiry", "string", "", Live::yes, check::snapshot_expiry,
     "How long new snapshots live, such as 3d 12H: M (minutes), H, d, w, m (months), y."},
    {V, "snapshots.expiry.manual", "string", "as snapshots.expiry", Live::yes, check::snapshot_expiry,
     "How long snapshots are kept that were not made by the schedule."},
    {V, "snapshots.pattern", "string", "snap%d", Live::yes, check::snapshot_pattern,
     "Name of new snapshots: %d counts up, {{ creation_date|date:'2006-01-02_15-04-05' }} is the time."},
    {V, "snapshots.schedule", "string", "", Live::yes, check::snapshot_schedule,
     "When snapshots are made: a cron line, or aliases such as @daily with commas between."},
    {V, "user.*", "string", "", Live::yes, check::text, "Free-form data of the user."},
};

}  // namespace

std::span<const ConfigKey> volume_keys() { return kVolumeKeys; }

}  // namespace lxmgr::profiles
