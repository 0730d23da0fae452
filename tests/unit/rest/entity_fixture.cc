#include "tests/unit/rest/entity_fixture.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <future>

#include "lxd-daemon/rest/routes.h"

namespace lxmgr::rest::testing_support {
namespace {

std::vector<std::span<const Route>> entity_routes() {
    return {profile_routes(),      image_routes(),          image_alias_routes(), network_routes(),
            storage_pool_routes(), storage_volume_routes(), project_routes(),     certificate_routes(),
            warning_routes(),      history_routes()};
}

std::string temp_directory() {
    char name[] = "/tmp/lxmgr-entities-XXXXXX";
    EXPECT_NE(::mkdtemp(name), nullptr);
    return name;
}

/// One ustar entry, POSIX.1-1988.
std::string tar_entry(const std::string& name, const std::string& content, char type, int mode) {
    std::string header(512, '\0');
    const auto put = [&header](std::size_t at, const std::string& text) {
        header.replace(at, text.size(), text);
    };
    put(0, name);
    put(100, fmt::format("{:07o}", mode));
    put(108, "0000000");
    put(116, "0000000");
    put(124, fmt::format("{:011o}", content.size()));
    put(136, "14524770400");
    put(148, "        ");
    header[156] = type;
    put(257, std::string("ustar\00000", 8));
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    put(148, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
    std::string out = header + content;
    out.resize((out.size() + 511) / 512 * 512, '\0');
    return out;
}

std::string metadata_entry(const std::string& serial) {
    const std::string yaml = fmt::format(
        "architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  os: tiny\n  serial: \"{}\"\n",
        serial);
    return tar_entry("metadata.yaml", yaml, '0', 0644);
}

std::string rootfs_entries(const std::string& prefix) {
    return tar_entry(prefix + "etc/", "", '5', 0755) + tar_entry(prefix + "sbin/", "", '5', 0755) +
           tar_entry(prefix + "sbin/init", "#!/bin/sh\n", '0', 0755);
}

const std::string kEnd(1024, '\0');

}  // namespace

std::string unified_image(const std::string& serial) {
    return metadata_entry(serial) + tar_entry("rootfs/", "", '5', 0755) + rootfs_entries("rootfs/") + kEnd;
}
std::string metadata_archive(const std::string& serial) { return metadata_entry(serial) + kEnd; }
std::string rootfs_archive() { return rootfs_entries("./") + kEnd; }

EntityRoutesTest::EntityRoutesTest()
    : directory_(temp_directory()), daemon_(entity_routes()), client_(daemon_.socket_path()) {
    auto opened = database::Database::open(directory_ + "/database/lxmgr.db");
    EXPECT_TRUE(opened);
    database_ = *std::move(opened);
    std::filesystem::create_directories(daemon_.root() + "/storage-pools");
    pools_ = std::make_unique<instances::Pools>(*database_, daemon_.root());
    networks_ = std::make_unique<instances::Networks>(*database_, directory_);
    EXPECT_EQ(::mkdir((daemon_.root() + "/images").c_str(), 0700), 0);
    daemon_.on_io([this] {
        daemon_.services.database = database_.get();
        daemon_.services.pools = pools_.get();
        daemon_.services.networks = networks_.get();
    });
}

EntityRoutesTest::~EntityRoutesTest() { std::filesystem::remove_all(directory_); }

nlohmann::json EntityRoutesTest::metadata(const std::string& target) {
    const Answer answer = get(target);
    EXPECT_EQ(answer.status, 200) << target << ": " << answer.body;
    return answer.json()["metadata"];
}

nlohmann::json EntityRoutesTest::finished(const Answer& answer) {
    EXPECT_EQ(answer.status, 202) << answer.body;
    const auto operation = daemon_.registry.find(answer.json()["metadata"]["id"]);
    EXPECT_NE(operation, nullptr);
    if (!operation) return nullptr;
    auto ended = std::make_shared<std::promise<void>>();
    operation->on_final([ended] { ended->set_value(); });
    ended->get_future().wait();
    return operation->to_json();
}

}  // namespace lxmgr::rest::testing_support
