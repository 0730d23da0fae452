#include "lxd-daemon/instances/pool_foundation.h"

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kFoundationIntent = "pool-foundation";
constexpr std::string_view kConfigDetail = "config.";

storage::PoolConfig foundation_config(const api::ConfigMap& details) {
    storage::PoolConfig out;
    for (const auto& [key, value] : details) {
        if (key == "name") out.name = value;
        if (key == "path") out.path = value;
        if (key.starts_with(kConfigDetail)) out.config[key.substr(kConfigDetail.size())] = value;
    }
    return out;
}

Result<> recover_foundation(database::Database& database, const database::IntentRecord& intent) {
    const auto config = foundation_config(intent.details);
    const auto named = intent.details.find("driver");
    const auto* driver = named == intent.details.end() ? nullptr : storage::find_driver(named->second);
    if (driver != nullptr && driver->discard != nullptr && !database.pools().find(config.name))
        LX_TRY(driver->discard(config));
    log::info("interrupted work was cleaned up after a crash",
              {{"kind", kFoundationIntent}, {"pool", config.name}});
    return database.intents().remove(intent.id);
}

}  // namespace

Result<> PoolFoundation::add_intent() {
    api::ConfigMap details{
        {"name", config_.name}, {"path", config_.path}, {"driver", std::string(driver_.name)}};
    for (const auto& [key, value] : config_.config) details[std::string(kConfigDetail) + key] = value;
    LX_TRY_AS(intent_, database_.intents().add(kFoundationIntent, details));
    return {};
}

Result<> PoolFoundation::make() {
    if (driver_.prepare == nullptr) return {};
    LX_TRY(add_intent());
    failpoint("instances.pool.intent");
    auto prepared = driver_.prepare(config_);
    if (!prepared) {
        LX_TRY(forget());
        return prepared;
    }
    made_ = true;
    failpoint("instances.pool.prepared");
    return {};
}

PoolFoundation::~PoolFoundation() {
    if (!made_) return;
    auto gone = driver_.discard(config_);
    if (gone) gone = forget();
    if (!gone) log::error("pool left for the next start", {{"error", gone.error().message}});
}

Result<> PoolFoundation::belongs_to_a_row() {
    return intent_ ? database_.intents().remove(*intent_) : Result<>{};
}

Result<> PoolFoundation::doom() { return driver_.discard == nullptr ? Result<>{} : add_intent(); }

Result<> PoolFoundation::forget() { return belongs_to_a_row(); }

void recover_foundations(database::Database& database) {
    const auto intents = database.intents().list();
    if (!intents) return;
    for (const auto& intent : *intents) {
        if (intent.kind != kFoundationIntent) continue;
        if (auto done = recover_foundation(database, intent); !done)
            log::error("pool not cleaned up", {{"error", done.error().message}});
    }
}

}  // namespace lxmgr::instances
