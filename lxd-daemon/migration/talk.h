#pragma once
#include <functional>

#include "lxd-daemon/migration/link.h"
#include "lxd-daemon/migration/messages.h"

/// The order in which two servers speak: the source offers, the target says what of it it takes, the trees go
/// by in the order of the snapshots with the object itself behind them, and the target says how it went.
namespace lxmgr::migration {

/// What this server can do.
/// @param compress  what the pool says: it costs more than it saves where servers are near each other
RsyncFeatures our_features(bool compress);

/// @param send  carries what `answer` names, with answer.rsync, which both can
/// Errors: what `send` says, what the target says.
Result<> talk_as_source(Link& link, const Header& offer,
                        const std::function<Result<>(const Header& answer)>& send);

struct TargetSteps {
    /// What is wanted of the offer: snapshots, and whether it is a refresh. The rest is filled in.
    std::function<Result<Header>(const Header& offer)> choose;
    /// Takes it, and keeps it for good.
    std::function<Result<>(const Header& offer, const Header& answer)> receive;
    bool compress = false;  ///< where the source wants it, too
};
/// Errors: what the steps say, which the source is told, too.
Result<> talk_as_target(Link& link, const TargetSteps& steps);

}  // namespace lxmgr::migration
