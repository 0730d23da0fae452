#include "profiles/checks.h"
#include "profiles/key_tables.h"

namespace lxmgr::profiles {
namespace {

constexpr auto X = KeyScope::proxy;

constexpr ConfigKey kProxyKeys[] = {
    {X, "bind", "string", "host", Live::yes, check::proxy_bind,
     "Which side listens: host, or instance (also: guest, container)."},
    {X, "connect", "string", "", Live::yes, check::proxy_address,
     "Where connections go to: tcp:ADDRESS:PORTS, udp:ADDRESS:PORTS, unix:PATH or unix:@NAME."},
    {X, "gid", "integer", "0", Live::yes, check::owner_id, "Group of the unix socket that listens."},
    {X, "listen", "string", "", Live::yes, check::proxy_address,
     "Where connections are taken: tcp:ADDRESS:PORTS, udp:ADDRESS:PORTS, unix:PATH or unix:@NAME."},
    {X, "mode", "integer", "0644", Live::yes, check::file_mode,
     "Permissions of the unix socket that listens, octal."},
    {X, "nat", "bool", "false", Live::yes, check::boolean,
     "Translate addresses in the kernel in place of a forwarder: the instance sees who connects."},
    {X, "proxy_protocol", "bool", "false", Live::yes, check::boolean,
     "Tell the sender's address first, in HAProxy's PROXY protocol."},
    {X, "security.gid", "integer", "0", Live::yes, check::owner_id, "Group that the forwarder drops to."},
    {X, "security.uid", "integer", "0", Live::yes, check::owner_id, "User that the forwarder drops to."},
    {X, "uid", "integer", "0", Live::yes, check::owner_id, "Owner of the unix socket that listens."},
};

}  // namespace

std::span<const ConfigKey> proxy_keys() { return kProxyKeys; }

}  // namespace lxmgr::profiles
