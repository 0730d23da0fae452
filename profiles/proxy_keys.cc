#include "profiles/checks.h"
#include "profiles/key_tables.h"

namespace lxmgr::profiles {
namespace {

constexpr auto P = KeyScope::proxy;

constexpr ConfigKey kProxyKeys[] = {
    {P, "bind", "string", "host", Live::yes, check::proxy_bind,
     "Which side listens: host, or instance (also: guest, container)."},
    {P, "connect", "string", "", Live::yes, check::proxy_address,
     "Where connections go to: tcp:ADDRESS:PORTS, udp:ADDRESS:PORTS, unix:PATH or unix:@NAME."},
    {P, "gid", "integer", "0", Live::yes, check::owner_id, "Group of the unix socket that listens."},
    {P, "listen", "string", "", Live::yes, check::proxy_address,
     "Where connections are taken: tcp:ADDRESS:PORTS, udp:ADDRESS:PORTS, unix:PATH or unix:@NAME."},
    {P, "mode", "integer", "0644", Live::yes, check::file_mode,
     "Permissions of the unix socket that listens, octal."},
    {P, "nat", "bool", "false", Live::yes, check::boolean,
     "Translate addresses in the kernel in place of a forwarder: the instance sees who connects."},
    {P, "proxy_protocol", "bool", "false", Live::yes, check::boolean,
     "Tell the sender's address first, in HAProxy's PROXY protocol."},
    {P, "security.gid", "integer", "0", Live::yes, check::owner_id, "Group that the forwarder drops to."},
    {P, "security.uid", "integer", "0", Live::yes, check::owner_id, "User that the forwarder drops to."},
    {P, "uid", "integer", "0", Live::yes, check::owner_id, "Owner of the unix socket that listens."},
};

}  // namespace

std::span<const ConfigKey> proxy_keys() { return kProxyKeys; }

}  // namespace lxmgr::profiles
