#include <gmock/gmock.h>

#include "tests/unit/database/temp_database.h"

using namespace lxmgr;
using namespace lxmgr::database;
using testing::ElementsAre;
using testing::IsEmpty;

namespace {

class ProfilesTest : public DatabaseTest {};
class ImagesTest : public DatabaseTest {};
class PoolsTest : public DatabaseTest {};
class NetworksTest : public DatabaseTest {};
class ServerConfigTest : public DatabaseTest {};
class WarningsTest : public DatabaseTest {};
class IntentsTest : public DatabaseTest {};

ImageRecord image(const std::string& fingerprint) {
    ImageRecord record;
    record.fingerprint = fingerprint;
    record.filename = "image.tar.xz";
    record.architecture = "x86_64";
    record.size_bytes = 42;
    record.properties = {{"os", "Debian"}};
    record.uploaded_at = now();
    return record;
}

AddressRecord address(const std::string& instance, const std::string& ipv4) {
    return {"lxdbr0", instance, "eth0", "00:16:3e:00:00:01", ipv4, "", false};
}

}  // namespace

TEST_F(ProfilesTest, DefaultIsAlwaysThere) {
    ASSERT_NE(db->profiles().find("default"), nullptr);
    reopen();
    EXPECT_EQ(db->profiles().list().size(), 1U);
}

TEST_F(ProfilesTest, InstancesAndImagesFollowARename) {
    ASSERT_TRUE(db->profiles().create({0, "a", "d", {{"user.x", "1"}}, {{"eth0", {{"type", "nic"}}}}}));
    InstanceRecord instance;
    instance.name = "web";
    instance.profiles = {"default", "a"};
    ASSERT_TRUE(db->instances().create(instance));
    ImageRecord record = image("f1");
    record.profiles = {"a"};
    ASSERT_TRUE(db->images().create(record));
    const auto generation = db->instances().generation();
    ASSERT_TRUE(db->profiles().rename("a", "b"));
    EXPECT_GT(db->instances().generation(), generation);
    for (int round = 0; round < 2; ++round) {
        EXPECT_THAT(db->instances().find("web")->profiles, ElementsAre("default", "b"));
        EXPECT_THAT(db->images().find("f1")->profiles, ElementsAre("b"));
        EXPECT_EQ(db->profiles().find("a"), nullptr);
        EXPECT_EQ(db->profiles().find("b")->config.at("user.x"), "1");
        reopen();
    }
}

TEST_F(ProfilesTest, OneInUseCannotBeRemoved) {
    ASSERT_TRUE(db->profiles().create({0, "a", "", {}, {}}));
    InstanceRecord instance;
    instance.name = "web";
    instance.profiles = {"a"};
    ASSERT_TRUE(db->instances().create(instance));
    EXPECT_EQ(db->profiles().remove("a").error().status, Status::bad_request);
    ASSERT_TRUE(db->instances().remove("web"));
    EXPECT_TRUE(db->profiles().remove("a"));
    EXPECT_EQ(db->profiles().remove("a").error().status, Status::not_found);
}

TEST_F(ProfilesTest, RemovingOneTakesItFromImages) {
    ASSERT_TRUE(db->profiles().create({0, "a", "", {}, {}}));
    ImageRecord record = image("f1");
    record.profiles = {"default", "a"};
    ASSERT_TRUE(db->images().create(record));
    ASSERT_TRUE(db->profiles().remove("a"));
    EXPECT_THAT(db->images().find("f1")->profiles, ElementsAre("default"));
    reopen();
    EXPECT_THAT(db->images().find("f1")->profiles, ElementsAre("default"));
}

TEST_F(ProfilesTest, UpdateReplacesConfigAndDevices) {
    ProfileRecord record = *db->profiles().find("default");
    record.config = {{"limits.cpu", "2"}};
    ASSERT_TRUE(db->profiles().update(record));
    EXPECT_EQ(db->profiles().create(record).error().status, Status::conflict);
    EXPECT_EQ(db->profiles().rename("default", "default").error().status, Status::conflict);
    reopen();
    EXPECT_EQ(db->profiles().find("default")->config, record.config);
}

TEST_F(ImagesTest, AreFoundByUniquePrefix) {
    ASSERT_TRUE(db->images().create(image("abc1")));
    ASSERT_TRUE(db->images().create(image("abc2")));
    EXPECT_EQ((*db->images().find_prefix("abc1"))->fingerprint, "abc1");
    EXPECT_EQ(db->images().find_prefix("abc").error().status, Status::bad_request);
    EXPECT_EQ(message_of(db->images().find_prefix("x")), "Image not found");
    EXPECT_EQ(message_of(db->images().find_prefix("")), "Image not found");
    EXPECT_EQ(db->images().create(image("abc1")).error().status, Status::conflict);
}

TEST_F(ImagesTest, KeepEveryFieldOverAReopen) {
    ImageRecord record = image("f1");
    record.split = record.is_public = true;
    ASSERT_TRUE(db->images().create(record));
    record.properties = {{"os", "Debian"}, {"release", "bookworm"}};
    record.auto_update = true;
    record.last_used_at = now();
    ASSERT_TRUE(db->images().update(record));
    reopen();
    const auto found = db->images().find("f1");
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->properties, record.properties);
    EXPECT_EQ(found->size_bytes, 42U);
    EXPECT_EQ(found->last_used_at, record.last_used_at);
    EXPECT_EQ(found->uploaded_at, record.uploaded_at);
    EXPECT_TRUE(found->split && found->is_public && found->auto_update && !found->cached);
}

TEST_F(ImagesTest, AliasesGoWithTheirImage) {
    ASSERT_TRUE(db->images().create(image("f1")));
    ASSERT_TRUE(db->images().create(image("f2")));
    ASSERT_TRUE(db->images().create_alias({0, "a", "d", "f1", "container"}));
    ASSERT_TRUE(db->images().create_alias({0, "b", "", "f2", "container"}));
    EXPECT_EQ(db->images().create_alias({0, "a", "", "f2", "container"}).error().status, Status::conflict);
    EXPECT_EQ(db->images().create_alias({0, "c", "", "f3", "container"}).error().status, Status::not_found);
    ASSERT_TRUE(db->images().remove("f1"));
    EXPECT_EQ(db->images().find_alias("a"), nullptr);
    reopen();
    ASSERT_EQ(db->images().list_aliases().size(), 1U);
    EXPECT_EQ(db->images().list_aliases()[0]->target, "f2");
}

TEST_F(ImagesTest, AnAliasIsRenamedAndRetargetedById) {
    ASSERT_TRUE(db->images().create(image("f1")));
    ASSERT_TRUE(db->images().create(image("f2")));
    AliasRecord alias = **db->images().create_alias({0, "a", "", "f1", "container"});
    ASSERT_TRUE(db->images().create_alias({0, "b", "", "f1", "container"}));
    alias.name = "b";
    EXPECT_EQ(db->images().update_alias(alias).error().status, Status::conflict);
    alias.name = "c";
    alias.target = "f2";
    alias.description = "new";
    ASSERT_TRUE(db->images().update_alias(alias));
    reopen();
    EXPECT_EQ(db->images().find_alias("a"), nullptr);
    EXPECT_EQ(db->images().find_alias("c")->target, "f2");
    EXPECT_EQ(db->images().find_alias("c")->description, "new");
    ASSERT_TRUE(db->images().remove_alias("c"));
    EXPECT_EQ(db->images().remove_alias("c").error().status, Status::not_found);
}

TEST_F(PoolsTest, AreCreatedUpdatedAndRemoved) {
    ASSERT_TRUE(db->pools().create({0, "default", "overlay", "d", {{"source", "/x"}}}));
    EXPECT_EQ(db->pools().create({0, "default", "dir", "", {}}).error().status, Status::conflict);
    PoolRecord record = *db->pools().find("default");
    record.description = "new";
    record.driver = "dir";  // not changeable
    ASSERT_TRUE(db->pools().update(record));
    reopen();
    EXPECT_EQ(db->pools().find("default")->description, "new");
    EXPECT_EQ(db->pools().find("default")->driver, "overlay");
    EXPECT_EQ(db->pools().find("default")->config.at("source"), "/x");
    ASSERT_TRUE(db->pools().remove("default"));
    EXPECT_EQ(db->pools().remove("default").error().status, Status::not_found);
}

TEST_F(PoolsTest, OneWithInstancesCannotBeRemoved) {
    ASSERT_TRUE(db->pools().create({0, "default", "overlay", "", {}}));
    InstanceRecord instance;
    instance.name = "web";
    instance.pool = "default";
    ASSERT_TRUE(db->instances().create(instance));
    reopen();
    EXPECT_EQ(db->pools().remove("default").error().status, Status::bad_request);
    ASSERT_TRUE(db->instances().remove("web"));
    EXPECT_TRUE(db->pools().remove("default"));
}

TEST_F(NetworksTest, AnAddressHasOneHolder) {
    ASSERT_TRUE(db->networks().create({0, "lxdbr0", "", "bridge", {{"ipv4.address", "10.0.0.1/24"}}}));
    ASSERT_TRUE(db->networks().claim(address("a", "10.0.0.2")));
    ASSERT_TRUE(db->networks().claim(address("a", "10.0.0.3")));  // replaces its own
    const auto taken = db->networks().claim(address("b", "10.0.0.3"));
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().status, Status::conflict);
    EXPECT_EQ(taken.error().message, "Address '10.0.0.3' of network 'lxdbr0' is in use by instance 'a'");
    EXPECT_TRUE(db->networks().claim(address("b", "10.0.0.2")));
    EXPECT_TRUE(db->networks().claim(address("c", "")));
    EXPECT_TRUE(db->networks().claim(address("d", "")));
    ASSERT_TRUE(db->networks().release("lxdbr0", "a", "eth0"));
    EXPECT_TRUE(db->networks().claim(address("c", "10.0.0.3")));
    EXPECT_EQ(db->networks().claim({"absent", "a", "eth0", "", "", "", false}).error().status,
              Status::not_found);
}

TEST_F(NetworksTest, AddressesFollowRenamesAndGoWithTheirOwner) {
    ASSERT_TRUE(db->networks().create({0, "lxdbr0", "", "bridge", {}}));
    for (const char* name : {"a", "b", "new"}) {
        InstanceRecord instance;
        instance.name = name;
        ASSERT_TRUE(db->instances().create(instance));
    }
    ASSERT_TRUE(db->networks().claim(address("a", "10.0.0.2")));
    ASSERT_TRUE(db->networks().claim(address("b", "10.0.0.3")));
    ASSERT_TRUE(db->networks().rename_instance("a", "new"));
    ASSERT_TRUE(db->networks().rename("lxdbr0", "br1"));
    for (int round = 0; round < 2; ++round) {
        ASSERT_EQ(db->networks().addresses_of("new").size(), 1U);
        EXPECT_EQ(db->networks().addresses_of("new")[0].network, "br1");
        EXPECT_THAT(db->networks().addresses_of("a"), IsEmpty());
        EXPECT_EQ(db->networks().addresses("br1").size(), 2U);
        reopen();
    }
    ASSERT_TRUE(db->networks().release_all("new"));
    EXPECT_EQ(db->networks().addresses("br1").size(), 1U);
    ASSERT_TRUE(db->networks().remove("br1"));
    EXPECT_THAT(db->networks().addresses("br1"), IsEmpty());
    reopen();
    EXPECT_THAT(db->networks().addresses_of("b"), IsEmpty());
}

TEST_F(NetworksTest, ClaimsOfInstancesThatNeverCameToBeAreDroppedAtOpen) {
    ASSERT_TRUE(db->networks().create({0, "lxdbr0", "", "bridge", {}}));
    ASSERT_TRUE(db->networks().claim(address("ghost", "10.0.0.2")));
    reopen();
    EXPECT_THAT(db->networks().addresses("lxdbr0"), IsEmpty());
}

TEST_F(ServerConfigTest, IsReplacedAsAWhole) {
    EXPECT_TRUE(db->server_config().all().empty());
    ASSERT_TRUE(db->server_config().replace({{"user.a", "1"}, {"user.b", "2"}}));
    ASSERT_TRUE(db->server_config().replace({{"user.b", "3"}}));
    EXPECT_EQ(db->server_config().all(), (api::ConfigMap{{"user.b", "3"}}));
    reopen();
    EXPECT_EQ(db->server_config().all(), (api::ConfigMap{{"user.b", "3"}}));
}

TEST_F(WarningsTest, CountUntilResolved) {
    auto& warnings = db->warnings();
    ASSERT_TRUE(warnings.raise("Broken", 2, "/1.0/networks/x", "first"));
    ASSERT_TRUE(warnings.raise("Broken", 3, "/1.0/networks/x", "second"));
    ASSERT_TRUE(warnings.raise("Broken", 2, "/1.0/networks/y", "other"));
    auto list = *warnings.list();
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0].count, 2);
    EXPECT_EQ(list[0].last_message, "second");
    EXPECT_EQ(list[0].severity, 3);
    ASSERT_TRUE(warnings.resolve("Broken", "/1.0/networks/x"));
    ASSERT_TRUE(warnings.raise("Broken", 2, "/1.0/networks/x", "again"));
    EXPECT_EQ(warnings.list()->size(), 3U);
    ASSERT_TRUE(warnings.set_status(list[0].uuid, 2));
    ASSERT_TRUE(warnings.remove(list[1].uuid));
    EXPECT_EQ(warnings.remove("absent").error().status, Status::not_found);
    EXPECT_EQ(warnings.set_status("absent", 2).error().status, Status::not_found);
}

TEST_F(IntentsTest, StayUntilRemoved) {
    const auto first = db->intents().add("create-instance", {{"name", "a"}});
    ASSERT_TRUE(first);
    ASSERT_TRUE(db->intents().add("delete-instance", {{"name", "b"}}));
    reopen();
    auto list = *db->intents().list();
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0].kind, "create-instance");
    EXPECT_EQ(list[0].details.at("name"), "a");
    ASSERT_TRUE(db->intents().remove(*first));
    EXPECT_EQ(db->intents().list()->size(), 1U);
}

TEST_F(IntentsTest, GoInTheTransactionThatEndsTheWork) {
    const auto id = db->intents().add("create-instance", {{"name", "a"}});
    ASSERT_TRUE(id);
    const auto failed = db->transaction([&]() -> Result<> {
        EXPECT_TRUE(db->intents().remove(*id));
        return fail(Status::internal, "no");
    });
    EXPECT_FALSE(failed);
    EXPECT_EQ(db->intents().list()->size(), 1U);
}
