#pragma once
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/instances/backups/service.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/images/service.h"
#include "lxd-daemon/instances/migration/service.h"
#include "lxd-daemon/instances/recovery/notes.h"
#include "lxd-daemon/instances/recovery/recovery.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/instances/volumes/service.h"

namespace lxmgr::instances {

/// Starts the operation with `work` as its body and waits for its end.
Result<> run_and_wait(operations::Registry& operations, operations::Request request,
                      std::function<Result<>()> work);

/// Private to the room: what the Service holds beside its context.
struct Service::Impl {
    explicit Impl(Dependencies dependencies) : context(std::move(dependencies)) {}
    Context context;
    VolumeService volumes{context};
    BackupService backups{context};
    ImageService images{context};
    MigrationService migrations{context};
    RecoveryService recovery{context};
    RecoveryNotes notes{context};

    std::mutex list_mutex;
    std::array<std::uint64_t, 3> list_key{};
    std::map<std::string, std::shared_ptr<const std::string>> list_texts;  ///< by project

    std::mutex early_mutex;
    bool recovering = true;
    std::vector<std::pair<std::string, runtime::ExitStatus>>
        early_exits;  ///< heard of before recover() was done

    std::stop_source shutdown;  ///< ends the autostart
};

}  // namespace lxmgr::instances
