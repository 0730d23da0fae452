#pragma once
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/networks.h"
#include "lxd-daemon/instances/pools.h"
#include "tests/unit/rest/fixture.h"

namespace lxmgr::rest::testing_support {

/// The routes of stored entities over a real database, pools and networks; no instances room.
class EntityRoutesTest : public testing::Test {
protected:
    EntityRoutesTest();
    ~EntityRoutesTest() override;

    Answer get(const std::string& target) { return client_.request("GET", target); }
    Answer call(const std::string& method, const std::string& target, const std::string& body = "",
                const std::string& headers = "") {
        return client_.request(method, target, body, headers);
    }
    /// "metadata" of a GET that must succeed.
    nlohmann::json metadata(const std::string& target);
    /// The final operation object of an answer that must be 202.
    nlohmann::json finished(const Answer& answer);
    database::Database& db() { return *database_; }
    [[nodiscard]] const std::string& root() const { return daemon_.root(); }
    instances::Pools& pools() { return *pools_; }
    Services& services() { return daemon_.services; }

private:
    std::string directory_;
    std::unique_ptr<database::Database> database_;
    std::unique_ptr<instances::Pools> pools_;
    std::unique_ptr<instances::Networks> networks_;
    TestDaemon daemon_;  // after what its operations use
    Client client_;
};

/// A unified image as tar bytes: metadata.yaml and a small rootfs. `serial` makes its fingerprint.
std::string unified_image(const std::string& serial);
/// The same as two archives.
std::string metadata_archive(const std::string& serial);
std::string rootfs_archive();

}  // namespace lxmgr::rest::testing_support
