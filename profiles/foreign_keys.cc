#include <algorithm>
#include <span>

#include "profiles/key_tables.h"

// Keys of LXD 5.0 and Incus (shared/api/config-keys.tsv) that this daemon does not serve. One that gets a row
// in a key table leaves its list here.
namespace lxmgr::profiles {
namespace {

constexpr std::string_view kInstance[] = {
    "agent.nic_config",
    "boot.debug_edk2",
    "boot.mode",
    "cluster.evacuate",
    "limits.cpu.pin_strategy",
    "limits.max_bus_ports",
    "limits.memory.hotplug",
    "limits.memory.hugepages",
    "limits.network.priority",
    "migration.incremental.memory",
    "migration.incremental.memory.goal",
    "migration.incremental.memory.iterations",
    "migration.stateful",
    "nvidia.driver.capabilities",
    "nvidia.require.cuda",
    "nvidia.require.driver",
    "nvidia.runtime",
    "oci.cwd",
    "oci.dns.domain",
    "oci.dns.nameservers",
    "oci.dns.search",
    "oci.entrypoint",
    "oci.gid",
    "oci.uid",
    "placement.group",
    "raw.qemu",
    "raw.qemu.conf",
    "raw.qemu.qmp.early",
    "raw.qemu.qmp.post-start",
    "raw.qemu.qmp.pre-start",
    "raw.qemu.scriptlet",
    "security.agent.metrics",
    "security.bpffs.delegate_attachs",
    "security.bpffs.delegate_cmds",
    "security.bpffs.delegate_maps",
    "security.bpffs.delegate_progs",
    "security.bpffs.path",
    "security.csm",
    "security.delegate_bpf",
    "security.delegate_bpf.attach_types",
    "security.delegate_bpf.cmd_types",
    "security.delegate_bpf.map_types",
    "security.delegate_bpf.prog_types",
    "security.devlxd.images",
    "security.devlxd.management.volumes",
    "security.guestapi.images",
    "security.iommu",
    "security.secureboot",
    "security.selinux.domain",
    "security.selinux.label_rootfs",
    "security.selinux.level",
    "security.selinux.type",
    "security.sev",
    "security.sev.policy.es",
    "security.sev.session.data",
    "security.sev.session.dh",
    "security.syscalls.blacklist",
    "security.syscalls.blacklist_compat",
    "security.syscalls.blacklist_default",
    "security.syscalls.whitelist",
    "smbios11.*",
    "systemd.credential-binary.*",
    "systemd.credential.*",
    "ubuntu_pro.guest_attach",
};

constexpr std::string_view kVolume[] = {
    "block.create_options", "block.type", "btrfs.*", "lvm.*", "volatile.*", "zfs.*",
};

constexpr std::string_view kDisk[] = {
    "boot.priority",      "ceph.cluster_name",
    "ceph.user_name",     "dependent",
    "initial.*",          "io.bus",
    "io.cache",           "io.threads",
    "limits.max.burst",   "limits.max.burst.length",
    "limits.read.burst",  "limits.read.burst.length",
    "limits.write.burst", "limits.write.burst.length",
    "size.state",         "wwn",
};

constexpr std::string_view kNic[] = {
    "acceleration",
    "acceleration.parent",
    "boot.priority",
    "connected",
    "hwaddr",
    "io.bus",
    "ipv4.address.external",
    "ipv4.gateway",
    "ipv4.host_address",
    "ipv4.routes",
    "ipv4.routes.external",
    "ipv6.address",
    "ipv6.address.external",
    "ipv6.gateway",
    "ipv6.host_address",
    "ipv6.routes",
    "ipv6.routes.external",
    "nested",
    "network",
    "pci",
    "productid",
    "security.acls",
    "security.acls.default.egress.action",
    "security.acls.default.egress.logged",
    "security.acls.default.ingress.action",
    "security.acls.default.ingress.logged",
    "security.promiscuous",
    "security.trusted",
    "vendorid",
    "vlan.tagged",
};

constexpr std::string_view kServer[] = {
    "acme.agree_tos",
    "acme.ca_url",
    "acme.challenge",
    "acme.domain",
    "acme.eab.hmac",
    "acme.eab.kid",
    "acme.email",
    "acme.http.port",
    "acme.provider",
    "acme.provider.environment",
    "acme.provider.resolvers",
    "authorization.client.default",
    "authorization.client.oidc",
    "authorization.client.tls",
    "authorization.client.tls-restricted",
    "authorization.client.unix",
    "authorization.openfga.api.token",
    "authorization.openfga.api.url",
    "authorization.openfga.store.id",
    "authorization.openfga.tls.identifier",
    "authorization.scriptlet",
    "candid.api.key",
    "candid.api.url",
    "candid.domains",
    "candid.expiry",
    "cluster.healing_threshold",
    "cluster.https_address",
    "cluster.images_minimal_replica",
    "cluster.join_token_expiry",
    "cluster.max_standby",
    "cluster.max_voters",
    "cluster.offline_threshold",
    "cluster.rebalance.batch",
    "cluster.rebalance.cooldown",
    "cluster.rebalance.interval",
    "cluster.rebalance.threshold",
    "core.auth_secret_expiry",
    "core.bgp_address",
    "core.bgp_asn",
    "core.bgp_routerid",
    "core.debug_address",
    "core.shutdown_action",
    "core.storage_buckets_address",
    "core.syslog_socket",
    "instances.lxcfs.per_instance",
    "instances.migration.stateful",
    "instances.placement.scriptlet",
    "instances.tpm.platform_cert",
    "instances.tpm.platform_key",
    "logging.*",
    "loki.api.ca_cert",
    "loki.api.url",
    "loki.auth.password",
    "loki.auth.username",
    "loki.instance",
    "loki.labels",
    "loki.loglevel",
    "loki.types",
    "maas.api.key",
    "maas.api.url",
    "maas.machine",
    "network.hwaddr_pattern",
    "network.ovn.ca_cert",
    "network.ovn.client_cert",
    "network.ovn.client_key",
    "network.ovn.integration_bridge",
    "network.ovn.northbound_connection",
    "network.ovs.connection",
    "oidc.audience",
    "oidc.claim",
    "oidc.client.id",
    "oidc.client.secret",
    "oidc.device.client.id",
    "oidc.groups.claim",
    "oidc.issuer",
    "oidc.scopes",
    "oidc.session.expiry",
    "rbac.agent.private_key",
    "rbac.agent.public_key",
    "rbac.agent.url",
    "rbac.agent.username",
    "rbac.api.expiry",
    "rbac.api.key",
    "rbac.api.url",
    "rbac.expiry",
    "storage.linstor.ca_cert",
    "storage.linstor.client_cert",
    "storage.linstor.client_key",
    "storage.linstor.controller_connection",
    "storage.linstor.satellite.name",
    "storage.logs_volume",
    "storage.project.*",
    "volatile.uuid",
};

constexpr std::string_view kProject[] = {
    "features.networks.zones",
    "features.storage.buckets",
    "images.auto_update_cached",
    "images.auto_update_interval",
    "images.default_architecture",
    "images.remote_cache_expiry",
    "limits.networks.uplink_ips.*",
    "network.hwaddr_pattern",
    "replica.cluster",
    "restricted.cluster.groups",
    "restricted.cluster.target",
    "restricted.networks.integrations",
    "restricted.networks.zones",
    "restricted.virtual-machines.lowlevel",
    "restricted.virtual-machines.nesting",
};

constexpr std::string_view kHostDevice[] = {"mdev", "mig.ci", "mig.gi", "mig.uuid", "pci"};

constexpr std::string_view kCharNode[] = {"limits.read", "limits.write"};

constexpr std::string_view kDeviceTypes[] = {"infiniband", "pci", "tpm"};

bool foreign_matches(std::string_view pattern, std::string_view name) {
    if (!pattern.ends_with(".*")) return pattern == name;
    return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

std::span<const std::string_view> foreign_keys(KeyScope scope) {
    switch (scope) {
        case KeyScope::instance:
            return kInstance;
        case KeyScope::server:
            return kServer;
        case KeyScope::disk:
            return kDisk;
        case KeyScope::nic_bridged:
        case KeyScope::nic_p2p:
        case KeyScope::nic_ipvlan:
        case KeyScope::nic_macvlan:
        case KeyScope::nic_physical:
        case KeyScope::nic_routed:
            return kNic;
        case KeyScope::gpu:
        case KeyScope::unix_hotplug:
        case KeyScope::usb:
            return kHostDevice;
        case KeyScope::unix_char:
            return kCharNode;
        case KeyScope::volume:
            return kVolume;
        case KeyScope::project:
            return kProject;
        case KeyScope::unix_block:
        case KeyScope::proxy:
        case KeyScope::none_device:
            return {};
    }
    return {};
}

}  // namespace

bool is_foreign_key(KeyScope scope, std::string_view name) {
    return std::ranges::any_of(foreign_keys(scope),
                               [name](std::string_view key) { return foreign_matches(key, name); });
}

bool is_foreign_device_type(std::string_view type) {
    return std::ranges::find(kDeviceTypes, type) != std::end(kDeviceTypes);
}

}  // namespace lxmgr::profiles
