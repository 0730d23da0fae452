#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/copies.h"

/// Private to the room: the directories of custom volumes and their snapshots. Each is named by an id that
/// only its row knows; an intent names those that are being made or removed, so that a crash leaves none and
/// nothing is ever removed only because no row knows it.
namespace lxmgr::instances {

/// A directory about to be made: it goes again, now or after a crash, unless it is kept.
class NewDirectory {
public:
    /// @param shape  type and name do not count
    static Result<NewDirectory> begin(Context& context, const std::string& pool,
                                      const storage::Volume& shape = {});
    NewDirectory(NewDirectory&& other) noexcept
        : context_(std::exchange(other.context_, nullptr)),
          driver_(std::move(other.driver_)),
          place_(std::move(other.place_)),
          intent_(other.intent_) {}
    NewDirectory& operator=(NewDirectory&&) = delete;
    ~NewDirectory();

    [[nodiscard]] const Place& place() const { return place_; }
    [[nodiscard]] const std::string& name() const { return place_.volume.name; }
    /// In the transaction that stores its row.
    Result<> belongs_to_a_row();
    /// After that transaction.
    void keep() { context_ = nullptr; }

private:
    NewDirectory(Context& context, DriverPtr driver, Place place, std::int64_t intent)
        : context_(&context), driver_(std::move(driver)), place_(std::move(place)), intent_(intent) {}
    Context* context_;
    DriverPtr driver_;  ///< held until there is a row: its pool stays
    Place place_;
    std::int64_t intent_;
};

/// Directories whose rows go: doom() in the transaction that removes a row, remove() after it.
class DoomedDirectories {
public:
    explicit DoomedDirectories(Context& context) : context_(context) {}
    Result<> doom(const std::string& pool, const std::string& directory);
    /// Failures are logged: the next start of the daemon tries again.
    void remove();

private:
    struct Doomed {
        Place place;
        std::int64_t intent;
    };
    Context& context_;
    std::vector<Doomed> doomed_;
};

inline constexpr const char* kVolumeDirectoryIntent = "volume-directory";
/// After a crash: the directory goes unless a row knows it.
Result<> recover_volume_directory(Context& context, const database::IntentRecord& intent);

}  // namespace lxmgr::instances
