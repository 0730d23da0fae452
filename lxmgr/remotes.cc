#include "lxmgr/remotes.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxmgr/client.h"
#include "lxmgr/object.h"
#include "lxmgr/yaml.h"

namespace lxmgr::cli {
namespace {

std::string environment_of(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::string config_dir() {
    if (const auto named = environment_of("LXMGR_CONF"); !named.empty()) return named;
    const auto home = environment_of("HOME");
    return (home.empty() ? "/root" : home) + "/.config/lxmgr";
}

std::string certificate_path(const std::string& name) {
    return fmt::format("{}/servercerts/{}.crt", config_dir(), name);
}

Result<> check_remote_name(const std::string& name) {
    const bool plain =
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
        std::string::npos;
    if (!name.empty() && plain && name.front() != '-' && name.front() != '.' && name.size() <= 64) return {};
    return fail(Status::bad_request,
                fmt::format("'{}' is no name for a remote: use letters, digits, '.', '_' and '-'", name));
}

std::unexpected<Error> unknown_remote(const std::string& name) {
    return fail(Status::not_found,
                fmt::format("There is no remote '{}'; 'lxmgr remote list' shows what there is", name));
}

Result<> refuse_local(const std::string& name, std::string_view doing) {
    if (name != kLocal) return {};
    return fail(Status::bad_request, fmt::format("The remote 'local' cannot be {}", doing));
}

}  // namespace

Result<Remotes> Remotes::load() {
    Remotes out;
    const std::string path = config_dir() + "/config.yml";
    const auto text = read_file(path, std::size_t{1} << 20);
    if (!text) {
        if (text.error().status == Status::not_found) return out;
        return std::unexpected(text.error());
    }
    auto parsed = from_yaml(*text);
    if (!parsed) return std::unexpected(in("Reading " + path, std::move(parsed).error()));
    if (const auto chosen = text_member(*parsed, "default-remote"); !chosen.empty()) out.chosen = chosen;
    const Json& remotes = member(*parsed, "remotes");
    if (!remotes.is_object()) return out;
    for (const auto& [name, remote] : remotes.items()) {
        if (const auto project = text_member(remote, "project"); !project.empty())
            out.projects[name] = project;
        if (name != kLocal && check_remote_name(name)) out.addresses[name] = text_member(remote, "addr");
    }
    return out;
}

Result<> Remotes::save() const {
    Json remotes = Json::object();
    for (const auto& [name, address] : addresses)
        remotes[name] = {{"addr", address}, {"auth_type", "tls"}, {"protocol", "lxd"}};
    if (projects.contains(kLocal)) remotes[kLocal] = {{"addr", "unix://"}};
    for (const auto& [name, project] : projects) remotes[name]["project"] = project;
    LX_TRY(make_directories(config_dir(), 0700));
    return write_file_atomic(config_dir() + "/config.yml",
                             to_yaml({{"default-remote", chosen}, {"remotes", remotes}}));
}

bool Remotes::knows(const std::string& name) const { return name == kLocal || addresses.contains(name); }

Result<Server> Remotes::server(const std::string& name) const {
    if (name == kLocal) return Server(default_socket_path());
    const auto found = addresses.find(name);
    if (found == addresses.end()) return unknown_remote(name);
    LX_TRY_AS(Server server, parse_server(found->second));
    const auto pem = read_file(certificate_path(name), std::size_t{1} << 20);
    if (!pem) {
        return fail(Status::not_found,
                    fmt::format("The certificate of the remote '{0}' is missing: remove it ('lxmgr remote "
                                "remove {0}') and add it again",
                                name));
    }
    LX_TRY_AS(const auto certificate, auth::parse_certificate(*pem));
    server.fingerprint = certificate.fingerprint;
    LX_TRY(use_client_certificate(server));
    return server;
}

Result<> Remotes::add(const std::string& name, const Server& server, const std::string& certificate_pem) {
    LX_TRY(check_remote_name(name));
    if (knows(name)) return fail(Status::conflict, fmt::format("There is a remote '{}' already", name));
    LX_TRY(make_directories(config_dir() + "/servercerts", 0700));
    LX_TRY(write_file_atomic(certificate_path(name), certificate_pem));
    addresses[name] = address_of(server);
    return save();
}

Result<> Remotes::rename(const std::string& name, const std::string& new_name) {
    LX_TRY(refuse_local(name, "renamed"));
    LX_TRY(check_remote_name(new_name));
    if (!knows(name)) return unknown_remote(name);
    if (knows(new_name))
        return fail(Status::conflict, fmt::format("There is a remote '{}' already", new_name));
    LX_TRY_AS(const auto pem, read_file(certificate_path(name)));
    LX_TRY(write_file_atomic(certificate_path(new_name), pem));
    addresses[new_name] = addresses[name];
    addresses.erase(name);
    if (auto kept = projects.extract(name); !kept.empty()) projects[new_name] = kept.mapped();
    if (chosen == name) chosen = new_name;
    LX_TRY(save());
    ::unlink(certificate_path(name).c_str());
    return {};
}

Result<> Remotes::remove(const std::string& name) {
    LX_TRY(refuse_local(name, "removed"));
    if (!knows(name)) return unknown_remote(name);
    if (chosen == name) {
        return fail(
            Status::bad_request,
            fmt::format("'{}' is the default remote: 'lxmgr remote switch' to another one first", name));
    }
    addresses.erase(name);
    projects.erase(name);
    LX_TRY(save());
    ::unlink(certificate_path(name).c_str());
    return {};
}

bool is_known_remote(const std::string& name) {
    const auto remotes = Remotes::load();
    return remotes && remotes->knows(name);
}

Result<Server> parse_server(std::string_view address) {
    const auto wrong = [address] {
        return fail(Status::bad_request, fmt::format("'{}' is no address of a server, such as 192.0.2.1 or "
                                                     "https://host.example:8443, and no token",
                                                     address));
    };
    std::string_view rest = address;
    if (rest.starts_with("https://")) rest.remove_prefix(8);
    while (rest.ends_with('/')) rest.remove_suffix(1);
    Server out;
    if (rest.starts_with('[')) {
        const auto end = rest.find(']');
        if (end == std::string_view::npos) return wrong();
        out.host = rest.substr(1, end - 1);
        rest.remove_prefix(end + 1);
    } else {
        const auto colon = rest.find(':');
        const bool bare_ipv6 =
            colon != std::string_view::npos && rest.find(':', colon + 1) != std::string_view::npos;
        out.host = rest.substr(0, bare_ipv6 ? rest.size() : colon);
        rest.remove_prefix(out.host.size());
    }
    if (rest.starts_with(':')) out.port = rest.substr(1);
    const auto port = parse_uint(out.port);
    const bool bad_host = out.host.empty() || has_control_chars(out.host) ||
                          out.host.find_first_of("/ @?#=") != std::string::npos;
    if (bad_host || (!rest.empty() && !rest.starts_with(':')) || !port || *port < 1 || *port > 65535)
        return wrong();
    return out;
}

std::string address_of(const Server& server) {
    return server.host.contains(':') ? fmt::format("https://[{}]:{}", server.host, server.port)
                                     : fmt::format("https://{}:{}", server.host, server.port);
}

Result<> use_client_certificate(Server& server) {
    const std::string certificate = config_dir() + "/client.crt";
    const std::string key = config_dir() + "/client.key";
    if (!path_exists(certificate)) {
        std::array<char, HOST_NAME_MAX + 1> host{};
        ::gethostname(host.data(), HOST_NAME_MAX);
        const auto user = environment_of("USER");
        LX_TRY_AS(const auto made,
                  auth::make_key_pair(auth::Usage::client, user.empty() ? "root" : user, host.data()));
        LX_TRY(make_directories(config_dir(), 0700));
        LX_TRY(write_file_atomic(key, made.key_pem, 0600));
        LX_TRY(write_file_atomic(certificate, made.certificate_pem, 0644));
    }
    LX_TRY_AS(server.certificate_pem, read_file(certificate, std::size_t{1} << 20));
    LX_TRY_AS(server.key_pem, read_file(key, std::size_t{1} << 20));
    return {};
}

}  // namespace lxmgr::cli
