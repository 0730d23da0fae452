#include "lxd-daemon/auth/certificate.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "lxd-daemon/auth/password.h"
#include "lxd-daemon/base/base64.h"
#include "lxd-daemon/base/files.h"

namespace lxmgr::auth {
namespace {

class TempDirectory {
public:
    TempDirectory() { EXPECT_NE(::mkdtemp(path_.data()), nullptr); }
    TempDirectory(TempDirectory&&) = delete;
    ~TempDirectory() { EXPECT_TRUE(remove_tree(path_).has_value()); }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_ = "/tmp/lxmgr-auth-XXXXXX";
};

std::string body_of(const std::string& pem) {
    const auto begin = pem.find('\n');
    return pem.substr(begin, pem.find("\n-----END") - begin);
}

TEST(Base64Test, GivesBackWhatItWasGiven) {
    for (const std::string text : {"", "a", "ab", "abc", "abcd", "\x00\xff\x10 x"})
        EXPECT_EQ(from_base64(to_base64(text)), text);
    EXPECT_EQ(to_base64("hello"), "aGVsbG8=");
    EXPECT_EQ(from_base64("aGVs\nbG8=\n"), "hello");
    for (const char* bad : {"a", "aGVsbG8", "aG=s", "aGVsbG8==", "a*==", "====", "="})
        EXPECT_FALSE(from_base64(bad)) << bad;
}

TEST(CertificateTest, IsTheSameAsPemAndAsBase64OfDer) {
    const auto made = make_key_pair(Usage::server, "root", "host.example");
    ASSERT_TRUE(made);
    const auto pem = parse_certificate(made->certificate_pem);
    const auto encoded = parse_certificate(body_of(made->certificate_pem));
    ASSERT_TRUE(pem && encoded);
    EXPECT_EQ(pem->fingerprint.size(), 64U);
    EXPECT_EQ(pem->fingerprint, encoded->fingerprint);
    EXPECT_EQ(pem->pem, made->certificate_pem);
    EXPECT_TRUE(pem->is_valid_now());
    EXPECT_NEAR(double(pem->not_after - pem->not_before), 10.0 * 365 * 86400, 2);
}

TEST(CertificateTest, RefusesWhatIsNone) {
    const auto made = make_key_pair(Usage::client, "me", "strange, host");
    ASSERT_TRUE(made);
    const auto der = from_base64(body_of(made->certificate_pem));
    ASSERT_TRUE(der);
    EXPECT_TRUE(parse_der(*der));
    EXPECT_FALSE(parse_der(*der + "x"));
    EXPECT_FALSE(parse_der(der->substr(0, der->size() - 1)));
    EXPECT_FALSE(parse_der(""));
    EXPECT_FALSE(parse_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    EXPECT_FALSE(parse_certificate(std::string(1 << 20, 'A')));
}

TEST(ServerCertificateTest, IsMadeOnceAndKept) {
    const TempDirectory directory;
    const auto first = open_server_certificate(directory.path(), "host");
    const auto second = open_server_certificate(directory.path(), "host");
    ASSERT_TRUE(first && second);
    EXPECT_EQ(first->certificate.fingerprint, second->certificate.fingerprint);
    struct stat status{};
    ASSERT_EQ(::stat((directory.path() + "/server.key").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST(ServerCertificateTest, FailsWhenTheKeyIsAnothers) {
    const TempDirectory directory;
    ASSERT_TRUE(open_server_certificate(directory.path(), "host"));
    const auto other = make_key_pair(Usage::server, "root", "other");
    ASSERT_TRUE(other);
    ASSERT_TRUE(write_file_atomic(directory.path() + "/server.key", other->key_pem));
    const auto opened = open_server_certificate(directory.path(), "host");
    ASSERT_TRUE(opened);
    const auto checked = parse_key_pair({opened->certificate.pem, opened->key_pem});
    ASSERT_FALSE(checked);
    EXPECT_TRUE(checked.error().message.contains("does not belong")) << checked.error().message;
}

TEST(PasswordTest, IsFoundAgainByItsHashOnly) {
    const auto hash = hash_password("secret");
    ASSERT_TRUE(hash);
    EXPECT_NE(*hash, *hash_password("secret"));
    EXPECT_FALSE(hash->contains("secret"));
    EXPECT_TRUE(is_password("secret", *hash));
    EXPECT_FALSE(is_password("Secret", *hash));
    EXPECT_FALSE(is_password("", *hash));
    EXPECT_FALSE(is_password("secret", ""));
}

}  // namespace
}  // namespace lxmgr::auth
