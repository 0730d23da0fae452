#pragma once
#include <map>
#include <string>

#include "lxmgr/server.h"

/// The servers that the user has named, as lxc keeps them: $LXMGR_CONF, else ~/.config/lxmgr, with
/// config.yml, servercerts/NAME.crt, client.crt and client.key.
namespace lxmgr::cli {

constexpr const char* kLocal = "local";

class Remotes {
public:
    /// No file is no error: then there is "local" alone. Errors: `bad_request` when the file cannot be read.
    static Result<Remotes> load();
    Result<> save() const;

    /// Where it is reached, with the certificates. Errors: `not_found`.
    [[nodiscard]] Result<Server> server(const std::string& name) const;
    /// Takes it up with the certificate that it is known by from now on. Errors: `bad_request`, `conflict`.
    Result<> add(const std::string& name, const Server& server, const std::string& certificate_pem);
    Result<> rename(const std::string& name, const std::string& new_name);
    Result<> remove(const std::string& name);
    [[nodiscard]] bool knows(const std::string& name) const;

    std::string chosen = kLocal;                   ///< the default
    std::map<std::string, std::string> addresses;  ///< "https://HOST:PORT"; without "local"
    std::map<std::string, std::string> projects;   ///< by remote, where it is not "default"
};

/// Whether the user has named it; false when that cannot be told.
bool is_known_remote(const std::string& name);
/// "HOST", "HOST:PORT", "https://HOST:PORT", "https://[V6]:PORT". Errors: `bad_request`.
Result<Server> parse_server(std::string_view address);
std::string address_of(const Server& server);
/// Gives the server the user's own certificate, which is made when there is none yet.
Result<> use_client_certificate(Server& server);

}  // namespace lxmgr::cli
