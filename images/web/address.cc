#include "images/web/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "images/web/web.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

bool is_local_v4(std::uint32_t host_order) {
    return (host_order >> 24) == 127 || (host_order >> 24) == 0 || (host_order >> 16) == 0xA9FE;
}

bool is_local_v6(const in6_addr& address) {
    if (IN6_IS_ADDR_V4MAPPED(&address) || IN6_IS_ADDR_V4COMPAT(&address)) {
        std::uint32_t v4 = 0;
        std::memcpy(&v4, address.s6_addr + 12, sizeof v4);
        return is_local_v4(ntohl(v4));
    }
    return IN6_IS_ADDR_LOOPBACK(&address) || IN6_IS_ADDR_UNSPECIFIED(&address) ||
           IN6_IS_ADDR_LINKLOCAL(&address);
}

template <auto Free>
struct Freer {
    void operator()(auto* object) const { Free(object); }
};

}  // namespace

bool is_local_address(const sockaddr* address) {
    if (address->sa_family == AF_INET)
        return is_local_v4(ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return is_local_v6(reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
    return true;  // a unix socket, say
}

bool is_local_name(const std::string& host) {
    in_addr v4{};
    if (::inet_aton(host.c_str(), &v4) != 0) return is_local_v4(ntohl(v4.s_addr));
    in6_addr v6{};
    const std::string bare = host.substr(0, host.find('%'));
    if (::inet_pton(AF_INET6, bare.c_str(), &v6) == 1) return is_local_v6(v6);
    return host == "localhost" || host.ends_with(".localhost");
}

Result<UrlParts> parse_url(std::string_view url) {
    const auto bad = [&](std::string_view what) {
        return fail(Status::bad_request, fmt::format("'{}' {}", shown_url(url), what));
    };
    if (has_control_chars(url) || url.contains(' ') || url.size() > 8192)
        return bad("is not usable as a URL");
    UrlParts out;
    const auto colon = url.find("://");
    if (colon == std::string_view::npos) return bad("is no URL: it begins with https://");
    out.scheme = to_lower(url.substr(0, colon));
    if (out.scheme != "https" && out.scheme != "http") return bad("is no https URL");
    std::string_view rest = url.substr(colon + 3);
    rest = rest.substr(0, rest.find_first_of("/?#"));
    if (const auto at = rest.rfind('@'); at != std::string_view::npos) rest.remove_prefix(at + 1);
    if (rest.starts_with('[')) {
        rest = rest.substr(1, rest.find(']') - 1);
    } else {
        rest = rest.substr(0, rest.find(':'));
    }
    if (rest.empty()) return bad("names no host");
    out.host = to_lower(rest);
    return out;
}

bool is_ignored_host(std::string_view names, std::string_view host) {
    std::string list(names);
    std::ranges::replace(list, ' ', ',');
    return std::ranges::any_of(split(list, ','), [&](std::string name) {
        name = to_lower(name);
        if (name == "*") return true;
        if (name.starts_with('.')) name.erase(0, 1);
        return !name.empty() && (host == name || host.ends_with("." + name));
    });
}

Result<std::string> public_key_pin(const std::string& certificate_pem) {
    const auto bad = [] {
        return fail(Status::bad_request, "The certificate of the image server is not one in PEM");
    };
    const std::unique_ptr<BIO, Freer<BIO_free>> bytes(
        BIO_new_mem_buf(certificate_pem.data(), static_cast<int>(certificate_pem.size())));
    if (!bytes) return bad();
    const std::unique_ptr<X509, Freer<X509_free>> certificate(
        PEM_read_bio_X509(bytes.get(), nullptr, nullptr, nullptr));
    if (!certificate) return bad();
    unsigned char* der = nullptr;
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &der);
    if (size <= 0) return bad();
    std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
    unsigned hash_size = 0;
    const int hashed =
        EVP_Digest(der, static_cast<std::size_t>(size), hash.data(), &hash_size, EVP_sha256(), nullptr);
    OPENSSL_free(der);
    if (hashed != 1) return fail(Status::internal, "SHA-256 failed");
    std::array<unsigned char, EVP_MAX_MD_SIZE * 2> text{};
    const int n = EVP_EncodeBlock(text.data(), hash.data(), static_cast<int>(hash_size));
    return "sha256//" + std::string(reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(n));
}

}  // namespace lxmgr::images
