#include "lxd-daemon/auth/authority.h"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "lxd-daemon/auth/openssl.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"

namespace lxmgr::auth {
namespace {

using StorePtr = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;
using RevokedPtr = std::unique_ptr<X509_CRL, Freer<X509_CRL_free>>;

/// False: there is a list, but it can't be read, so that nobody can be sure.
bool add_revoked(X509_STORE* store, const std::string& path) {
    if (!path_exists(path)) return true;
    const auto text = read_file(path);
    if (!text) return false;
    const BioPtr in(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
    const RevokedPtr list(PEM_read_bio_X509_CRL(in.get(), nullptr, nullptr, nullptr));
    if (!list || X509_STORE_add_crl(store, list.get()) != 1) return false;
    return X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) == 1;
}

}  // namespace

Result<Authority> Authority::open(const std::string& state_dir) {
    const std::string path = state_dir + "/server.ca";
    auto text = read_file(path);
    if (!text)
        return fail(Status::bad_request,
                    "core.trust_ca_certificates needs the authority's certificate in " + path);
    LX_TRY(read_certificate_pem(*text));
    Authority out;
    out.certificate_pem_ = *std::move(text);
    out.revoked_path_ = state_dir + "/ca.crl";
    return out;
}

bool Authority::vouches_for(const Certificate& client) const {
    const auto own = read_certificate_pem(certificate_pem_);
    const auto theirs = read_certificate_pem(client.pem);
    const StorePtr store(X509_STORE_new());
    const StoreContextPtr context(X509_STORE_CTX_new());
    if (!own || !theirs || !store || !context || X509_STORE_add_cert(store.get(), own->get()) != 1)
        return false;
    if (!add_revoked(store.get(), revoked_path_)) {
        log::error("the authority's list of revoked certificates cannot be used", {{"file", revoked_path_}});
        ERR_clear_error();
        return false;
    }
    const bool good = X509_STORE_CTX_init(context.get(), store.get(), theirs->get(), nullptr) == 1 &&
                      X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_CLIENT) == 1 &&
                      X509_verify_cert(context.get()) == 1;
    ERR_clear_error();
    return good;
}

std::string Authority::revoked_version() const {
    struct stat info{};
    if (::stat(revoked_path_.c_str(), &info) != 0) return "";
    return fmt::format("{} {} {}.{}", info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

}  // namespace lxmgr::auth
