#include "profiles/checks.h"
#include "profiles/key_tables.h"

namespace lxmgr::profiles {
namespace {

constexpr auto I = KeyScope::instance;

// Default values and live marks as LXD 5.0 documents them (shared/api/config-keys.tsv). A key is in this
// table only when the daemon does what it says.
constexpr ConfigKey kKeys[] = {
    {I, "boot.autostart", "bool", "", Live::no, check::boolean,
     "Start the instance with the daemon; unset: as it was when the host went down."},
    {I, "boot.autostart.delay", "integer", "0", Live::no, check::natural,
     "Seconds to wait after starting this instance before the next."},
    {I, "boot.autostart.priority", "integer", "0", Live::no, check::integer,
     "Start order; higher is earlier."},
    {I, "boot.host_shutdown_timeout", "integer", "30", Live::yes, check::natural,
     "Seconds to wait for a clean stop when the host shuts down."},
    {I, "boot.stop.priority", "integer", "0", Live::no, check::integer, "Stop order; higher is earlier."},
    {I, "cloud-init.network-config", "string", "DHCP on eth0", Live::no, check::text,
     "cloud-init network configuration, where the image reads it."},
    {I, "cloud-init.user-data", "string", "#cloud-config", Live::no, check::text,
     "cloud-init user data, where the image reads it."},
    {I, "cloud-init.vendor-data", "string", "#cloud-config", Live::no, check::text,
     "cloud-init vendor data, where the image reads it."},
    {I, "environment.*", "string", "", Live::yes, check::environment,
     "Environment variable of init and of commands run in the instance."},
    {I, "image.*", "string", "", Live::no, check::text, "Property of the image the instance was made from."},
    {I, "limits.cpu", "string", "", Live::yes, check::cpu_limit,
     "Number of CPUs, or the set of CPUs to pin to."},
    {I, "limits.cpu.allowance", "string", "100%", Live::yes, check::cpu_allowance,
     "CPU share in percent when contended, or a hard quota such as 25ms/100ms."},
    {I, "limits.memory", "string", "", Live::yes, check::memory_limit,
     "Memory limit, as a size or in percent of the host's."},
    {I, "limits.memory.enforce", "string", "hard", Live::yes, check::memory_enforce,
     "Whether the memory limit always holds (hard) or only when memory is short (soft)."},
    {I, "limits.processes", "integer", "", Live::yes, check::positive, "Largest number of processes."},
    {I, "security.nesting", "bool", "false", Live::yes, check::only_false,
     "Whether containers may run inside; only false for now."},
    {I, "security.privileged", "bool", "false", Live::no, check::only_false,
     "Whether the instance runs without a user namespace; only false for now."},
    {I, "security.protection.delete", "bool", "false", Live::yes, check::boolean,
     "Refuse to delete the instance."},
    {I, "user.*", "string", "", Live::yes, check::text, "Free-form data of the user."},
    {I, "volatile.*", "string", "", Live::no, check::text,
     "Internal state of the instance, kept by the daemon."},
};

}  // namespace

std::span<const ConfigKey> instance_keys() { return kKeys; }

}  // namespace lxmgr::profiles
