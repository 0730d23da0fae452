#pragma once
#include <memory>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/options.h"

namespace lxmgr {

/// All rooms wired together, once. Opening recovers what the previous daemon left; run() serves until a
/// signal.
class Daemon {
public:
    static Result<std::unique_ptr<Daemon>> open(const Options& options);
    ~Daemon();
    /// SIGTERM and SIGINT end it with instances running on; SIGPWR shuts the instances down first.
    Result<> run();

private:
    Daemon();
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace lxmgr
