#include "profiles/checks.h"
#include "profiles/key_tables.h"

namespace lxmgr::profiles {
namespace {

constexpr ConfigKey kServerKeys[] = {
    {KeyScope::server, "core.proxy_https", "string", "", Live::yes, check::proxy_url,
     "Proxy through which images are fetched; none: what the daemon's environment says (https_proxy)."},
    {KeyScope::server, "core.proxy_ignore_hosts", "string", "", Live::yes, nullptr,
     "Hosts that are reached without the proxy, with commas between."},
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
    {KeyScope::server, "user.*", "string", "", Live::yes, check::text, "Free-form data of the user."},
};

}  // namespace

std::span<const ConfigKey> server_keys() { return kServerKeys; }

}  // namespace lxmgr::profiles
