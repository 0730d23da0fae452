#pragma once
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "lxd-daemon/base/result.h"

/// Owners of OpenSSL's objects.
namespace lxmgr::auth {

template <auto free>
struct Freer {
    template <typename T>
    void operator()(T* object) const {
        free(object);
    }
};
using X509Ptr = std::unique_ptr<X509, Freer<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;

/// `internal` with OpenSSL's own words for the last error of this thread.
std::unexpected<Error> openssl_error(const std::string& doing);

/// Reads them from PEM text. Errors: `bad_request`.
Result<X509Ptr> read_certificate_pem(const std::string& pem);
Result<KeyPtr> read_key_pem(const std::string& pem);

}  // namespace lxmgr::auth
