#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/instances/context.h"

namespace lxmgr::instances {

/// Keeps running instances from writing until end(). An intent for each thaws it should the daemon die
/// meanwhile.
class Freeze {
public:
    Freeze(Context& context, std::vector<std::string> names) : context_(context), names_(std::move(names)) {}
    Freeze(Freeze&&) = delete;
    ~Freeze() { end(); }

    /// Those that do not run are left alone.
    Result<> begin();
    void end();

private:
    struct Frozen {
        std::string name;
        std::int64_t intent;
    };
    Context& context_;
    std::vector<std::string> names_;
    std::vector<Frozen> frozen_;
};

}  // namespace lxmgr::instances
