#pragma once
#include <memory>
#include <optional>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/instances/kept_files/kept_files.h"

/// Private to the folder: the way of files from one place to another.
namespace lxmgr::instances {

/// Notes the files of a kind ("key") that may be in two places, "from" and "to", each the id of a volume's
/// row or 0.
inline constexpr const char* kKeptMoveIntent = "move-kept-files";

/// The files are copied; both places have them until finish(), or until it goes without that: then only the
/// old one has.
class KeptMove {
public:
    static Result<std::unique_ptr<KeptMove>> begin(KeptFiles& files, VolumeMounts& mounts,
                                                   const KeptKind& kind, const std::string& wanted,
                                                   const api::ConfigMap& next);
    KeptMove(KeptMove&&) = delete;
    /// The config is stored: who asks from now on is shown the new place, and the old one is cleared when
    /// nobody reads there any more.
    void finish();

private:
    KeptMove(KeptFiles& files, VolumeMounts& mounts, const KeptKind& kind)
        : files_(files), mounts_(mounts), kind_(kind) {}
    Result<> keep_writers_out();
    Result<> open_target(const std::string& wanted, const api::ConfigMap& next);
    Result<> copy_all();
    Result<> note();
    /// Clears the place that does not count and takes the intent away; what cannot be done now is done later.
    void settle();
    /// The volume is everybody's again, once it is cleared.
    void give_back(std::int64_t volume);

    KeptFiles& files_;
    VolumeMounts& mounts_;
    const KeptKind& kind_;
    KeptPlacePtr from_, to_;
    bool settled_ = true;
    database::IntentRecord intent_;
    Revert undo_;
};

}  // namespace lxmgr::instances
