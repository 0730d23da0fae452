#include "profiles/checks.h"
#include "profiles/key_tables.h"
#include "profiles/web_checks.h"

namespace lxmgr::profiles {
namespace {

constexpr ConfigKey kServerKeys[] = {
    {KeyScope::server, "core.https_address", "string", "", Live::yes, check::listen_address,
     "Where the API is served over HTTPS: an IP address, with a port unless that is 8443; `[::]` or nothing "
     "before the port is all addresses. Unset: the unix socket only."},
    {KeyScope::server, "core.https_allowed_credentials", "bool", "false", Live::yes, check::boolean,
     "Whether pages of core.https_allowed_origin may use the client certificate that the browser has."},
    {KeyScope::server, "core.https_allowed_headers", "string", "", Live::yes, check::http_words,
     "Headers that such pages may send (Access-Control-Allow-Headers)."},
    {KeyScope::server, "core.https_allowed_methods", "string", "", Live::yes, check::http_words,
     "Methods that such pages may use (Access-Control-Allow-Methods)."},
    {KeyScope::server, "core.https_allowed_origin", "string", "", Live::yes, check::web_origin,
     "The other site whose pages may use the API over HTTPS, such as `https://panel.example`; `*` is every "
     "site. "
     "Unset: what browsers send for other sites is refused."},
    {KeyScope::server, "core.https_allowed_websocket_origin", "string", "", Live::yes, check::web_origins,
     "Further sites, with commas between, whose pages may open websockets."},
    {KeyScope::server, "core.https_trusted_proxy", "string", "", Live::yes, check::ip_addresses,
     "IP addresses, with commas between, of proxies whose PROXY header (version 1 or 2) says from where a "
     "connection "
     "comes."},
    {KeyScope::server, "core.metrics_address", "string", "", Live::yes, check::listen_address,
     "A second address that serves `/1.0/metrics` and nothing else."},
    {KeyScope::server, "core.metrics_authentication", "bool", "true", Live::yes, check::boolean,
     "Whether `/1.0/metrics` wants a trusted certificate."},
    {KeyScope::server, "core.remote_token_expiry", "string", "", Live::yes, check::token_expiry,
     "How long a token for a new client is good for, such as `30S`, `3H` or `1d`. Unset: until it is used, "
     "or the "
     "daemon ends."},
    {KeyScope::server, "core.shutdown_timeout", "integer", "5", Live::yes, check::days,
     "Minutes that a shutdown of the machine (SIGPWR, `lxmgr admin shutdown`) waits for running operations "
     "when the instances have stopped."},
    {KeyScope::server, "core.trust_ca_certificates", "bool", "false", Live::yes, check::boolean,
     "Whether every client is trusted whose certificate is signed by the authority in `server.ca` of the "
     "state directory, "
     "and not in its list `ca.crl`. A certificate in the trust store has the rights that stand there."},
    {KeyScope::server, "core.trust_password", "string", "", Live::yes, nullptr,
     "With which a client may add its own certificate. Stored hashed, and shown as `true`."},
    {KeyScope::server, "backups.compression_algorithm", "string", "gzip", Live::yes,
     check::backup_compression, "How backups are compressed: none, gzip, xz or zstd."},
    {KeyScope::server, "core.proxy_http", "string", "", Live::yes, check::proxy_url,
     "As `core.proxy_https`, for URLs that begin with `http:`, of which images are fetched from none."},
    {KeyScope::server, "core.proxy_https", "string", "", Live::yes, check::proxy_url,
     "Proxy through which images are fetched; none: what the daemon's environment says (https_proxy)."},
    {KeyScope::server, "core.proxy_ignore_hosts", "string", "", Live::yes, nullptr,
     "Hosts that are reached without the proxy, with commas between."},
    {KeyScope::server, "images.allow_local_urls", "bool", "false", Live::yes, check::boolean,
     "Whether images may be imported from URLs at loopback or link-local addresses, and restricted clients "
     "may name "
     "image servers there."},
    {KeyScope::server, "images.auto_update_cached", "bool", "true", Live::yes, check::boolean,
     "Whether images that were fetched by alias for an instance are kept up to date."},
    {KeyScope::server, "images.auto_update_interval", "integer", "6", Live::yes, check::days,
     "Hours between two looks for a newer version of an image that is kept up to date; 0: never."},
    {KeyScope::server, "images.compression_algorithm", "string", "gzip", Live::yes, check::image_compression,
     "How images made of instances are compressed: none, gzip, xz, zstd or squashfs."},
    {KeyScope::server, "images.default_architecture", "string", "", Live::yes, check::architecture,
     "Architecture of images that are asked for without one; none: this machine's."},
    {KeyScope::server, "images.remote_cache_expiry", "integer", "10", Live::yes, check::days,
     "Days after its last use until an image that was fetched for an instance is deleted; 0: never."},
    {KeyScope::server, "instances.nic.host_name", "string", "random", Live::yes, check::host_naming,
     "How the host's ends of NICs are named that have no host_name: random, or mac for `lxm` with what is "
     "behind the first byte of the MAC address."},
    {KeyScope::server, "core.dns_address", "string", "", Live::yes, nullptr,
     "Where zones are given to their peers by DNS: an IP address, with a port unless that is 53. Unset: "
     "nowhere."},
    {KeyScope::server, "storage.backups_volume", "string", "", Live::yes, check::volume_place,
     "`POOL/VOLUME`: the custom volume on which the files of backups are kept. Unset: the state directory."},
    {KeyScope::server, "storage.images_volume", "string", "", Live::yes, check::volume_place,
     "`POOL/VOLUME`: the custom volume on which the files of images are kept. Unset: the state directory."},
    {KeyScope::server, "user.*", "string", "", Live::yes, check::text, "Free-form data of the user."},
};

}  // namespace

std::span<const ConfigKey> server_keys() { return kServerKeys; }

}  // namespace lxmgr::profiles
